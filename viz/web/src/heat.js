/** Heat maps: the entries of each state at the step under the cursor, and those of its gradient. */

import { h } from "./dom.js";
import { mixed } from "./scale.js";

/**
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./data.js").Theme} Theme
 */

/** One strip for each state and each of value and gradient. */
export class HeatMaps {
    /**
     * @param {NonNullable<Lane["heat"]>} heat
     * @param {string[]} states   which are always shown; the rest is unfolded
     */
    constructor(heat, states) {
        this.rows = Object.entries(heat).flatMap(([state, { value, gradient }]) => [
            row(state, `Entries of ${state} at this step`, value),
            row(`∂L/∂${state}`, `Entries of ∂L/∂${state} at this step`, gradient),
        ]);
        const grid = (/** @type {typeof this.rows} */ rows) => h("div", { class: "grid" },
            ...rows.flatMap(({ name, canvas, most }) => [h("span", { class: "name" }, name), canvas, most]));
        const first = this.rows.filter((_, k) => states.includes(Object.keys(heat)[k >> 1]));
        const rest = this.rows.filter((one) => !first.includes(one));
        this.element = h("div", { class: "heat", role: "group", "aria-label": "Entries at this step: blue below 0, orange above" },
            grid(first), rest.length ? h("details", {}, h("summary", {}, "and of each gate"), grid(rest)) : null);
    }

    /**
     * @param {number} turn
     * @param {Theme} theme
     */
    show(turn, theme) {
        const ends = [theme.changes[2], theme.tile, theme.changes[theme.changes.length - 2]];
        for (const { table, canvas, most } of this.rows) paint(canvas, most, table, turn, ends);
    }
}

/**
 * @param {string} name
 * @param {string} label
 * @param {import("./data.js").Table} table
 */
function row(name, label, table) {
    const canvas = h("canvas", { width: table.shape[1], height: 1, role: "img", "aria-label": label });
    return { name, table, canvas, most: h("span", { class: "most" }) };
}

/**
 * Negative entries in the first colour, positive ones in the last; the strongest is the largest of this step.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLElement} most
 * @param {import("./data.js").Table} table
 * @param {number} turn
 * @param {string[]} ends
 */
function paint(canvas, most, { shape, data }, turn, ends) {
    const n = shape[1];
    const context = canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(n, 1);
    const entries = turn >= 0 ? data.subarray(turn * n, (turn + 1) * n) : new Float32Array(n);
    let largest = 0;
    for (const x of entries) if (Math.abs(x) < Infinity) largest = Math.max(largest, Math.abs(x));
    entries.forEach((x, k) => {
        const colour = mixed(ends[1], x < 0 ? ends[0] : ends[2], largest ? Math.min(Math.abs(x) / largest, 1) || 0 : 0);
        for (let c = 0; c < 3; c++) image.data[4 * k + c] = parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16);
        image.data[4 * k + 3] = 255;
    });
    context.putImageData(image, 0, 0);
    const text = largest ? `± ${largest < 1e-3 || largest >= 1000 ? largest.toExponential(1) : largest.toPrecision(2)}` : "all 0";
    if (most.textContent !== text) most.textContent = text;
}
