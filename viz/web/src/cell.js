/**
 * The one cell of a lane, with the numbers of the step under the cursor: its glyphs as the exporter drew them, the
 * wires with what came back along each. From the right come the wires of the next step, from which the gradient comes.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./data.js").Theme} Theme
 * @typedef {import("./scale.js").Scale} Scale
 */

import { at } from "./data.js";
import { h, s, say, set, stamped } from "./dom.js";
import { short } from "./numbers.js";
import { isCut } from "./shown.js";
import { WireMark } from "./wire.js";

const ABOVE = 8;
const SIDE = 26; // what is shown of the gap to the neighbouring cells, beyond their common names

/** The picture of one cell. */
export class CellPicture {
    /**
     * @param {Lane} lane
     * @param {NonNullable<Lane["cell"]>} cell
     */
    constructor(lane, cell) {
        this.lane = lane;
        this.cell = cell;
        const reach = cell.pitch - cell.width + SIDE;
        this.left = -reach;
        this.wires = cell.wires.map((wire) => new WireMark(wire, { left: this.left + 6, numbers: true }));
        this.arriving = cell.wires.filter((wire) => wire.recurrent).map((wire) =>
            new WireMark(wire, { left: cell.width - cell.pitch + 4, numbers: false, target: false }));
        this.back = stamped(cell.back);
        this.glyphs = stamped(cell.glyphs);
        this.leaveOutNames();
        this.next = s("g", { transform: `translate(${cell.pitch},0)`, class: "next" },
            ...this.arriving.map((mark) => mark.group));
        this.badges = lane.states.map((name) => ({ name, before: badge(), after: badge() }));
        this.pulses = s("g", { class: "pulses" });
        this.pulsing = 0;
        this.svg = s("svg", { class: "cell", role: "group", "aria-label": `One step of ${lane.name}` },
            this.back, this.next, s("g", {}, ...this.wires.map((mark) => mark.group)), this.glyphs,
            s("g", {}, ...this.wires.map((mark) => mark.number).filter((text) => text !== null)),
            ...this.badges.flatMap(({ before, after }) => [before.group, after.group]), this.pulses);
        this.parts = new Map(cell.parts.map((part, index) => [part.key, { part, index }]));
        for (const element of this.glyphs.querySelectorAll("[data-key]")) {
            const found = this.parts.get(element.getAttribute("data-key") ?? "");
            if (!found) continue;
            set(element, "tabindex", 0);
            set(element, "role", "button");
            set(element, "aria-label", `${element.textContent?.trim()}: ${called(found.part)}`);
        }
    }

    /** The names between two cells: the badges of this picture say them, with their step. */
    leaveOutNames() {
        for (const text of this.glyphs.querySelectorAll("text")) {
            if (Number(text.getAttribute("x")) > this.cell.width && !text.closest("[data-key]")) text.remove();
        }
    }

    /** Measure what can be measured on the page alone. */
    place() {
        for (const mark of [...this.wires, ...this.arriving]) mark.place();
        const { cell, left } = this;
        const box = [this.back, this.glyphs].map((group) => group.getBBox());
        const top = Math.min(0, ...box.map((b) => b.y)) - ABOVE;
        const bottom = Math.max(cell.height, ...box.map((b) => b.y + b.height)) + ABOVE;
        const width = cell.width - 2 * left;
        set(this.svg, "viewBox", `${left} ${top} ${width} ${bottom - top}`);
        set(this.svg, "width", width);
        set(this.svg, "height", bottom - top);
        const gap = cell.pitch - cell.width;
        for (const { name, before, after } of this.badges) {
            const y = this.level(name);
            moveBadge(before, -gap / 2 - SIDE / 2, y);
            moveBadge(after, cell.width + gap / 2 + SIDE / 2, y);
        }
    }

    /** At which height a state enters the cell. @param {string} state */
    level(state) {
        const keys = new Set(this.cell.parts.filter((part) => part.symbol === state).map((part) => part.key));
        const mark = this.wires.find(({ wire }) => wire.recurrent && keys.has(wire.from)) ?? this.arriving[0];
        if (!mark) return this.cell.height / 2;
        const line = mark.line;
        let length = 0;
        const total = line.getTotalLength();
        while (length < total && line.getPointAtLength(length).x < -4) length += 4;
        return line.getPointAtLength(length).y;
    }

    /**
     * The numbers of one step.
     *
     * @param {number} turn
     * @param {{anchor: number, scale: Scale, theme: Theme, rms: boolean, cut: number, lane: Lane}} how
     */
    show(turn, { anchor, scale, theme, rms, cut, lane }) {
        const inside = turn >= 0 && turn < lane.T;
        set(this.svg, "opacity", inside ? null : 0.35);
        const table = rms ? lane.message_rms : lane.messages;
        const way = (/** @type {WireMark} */ mark) => (isCut(lane, mark.wire, cut) ? "cut" : "sent");
        let k = 0;
        this.wires.forEach((mark, e) => {
            mark.show(inside ? at(table, e, turn) : NaN, anchor, scale, theme, way(mark));
            if (mark.wire.recurrent) {
                const next = this.arriving[k++];
                next.show(turn + 1 < lane.T ? at(table, e, turn + 1) : NaN, anchor, scale, theme, way(next));
            }
        });
        const profile = rms ? lane.rms : lane.profile;
        for (const { name, before, after } of this.badges) {
            const norms = profile[name]?.data;
            sayBadge(before, name, "t−1", inside && turn > (lane.first ?? 0) ? norms?.[turn - 1] : undefined, theme);
            sayBadge(after, name, "t", inside ? norms?.[turn] : undefined, theme);
        }
    }

    /**
     * The elements that a key names, to be lit.
     *
     * @param {string | null} key
     */
    light(key) {
        for (const element of this.svg.querySelectorAll(".lit")) element.classList.remove("lit");
        if (key === null) return;
        for (const element of this.svg.querySelectorAll("[data-key]")) {
            if (element.getAttribute("data-key") === key) element.classList.add("lit");
        }
    }
}

/** What a part is called. @param {import("./data.js").Part} part */
export function called(part) {
    return [part.symbol, part.role, part.operation ?? part.name].filter((word, k, all) => word && all.indexOf(word) === k).join(", ");
}

function badge() {
    const frame = s("rect", { height: 32, rx: 4, "stroke-width": 1 });
    const name = s("text", { "text-anchor": "middle", "font-size": 13, "font-style": "italic" });
    const number = s("text", { "text-anchor": "middle", "font-size": 11, class: "size" });
    return { group: s("g", { class: "badge" }, frame, name, number), frame, name, number };
}

/** @param {ReturnType<typeof badge>} made @param {number} x @param {number} y */
function moveBadge({ frame, name, number }, x, y) {
    set(frame, "x", x - 31);
    set(frame, "width", 62);
    set(frame, "y", y - 16);
    set(name, "x", x);
    set(name, "y", y - 3);
    set(number, "x", x);
    set(number, "y", y + 11);
}

/**
 * @param {ReturnType<typeof badge>} made
 * @param {string} state
 * @param {string} step
 * @param {number | undefined} norm
 * @param {Theme} theme
 */
function sayBadge({ group, frame, name, number }, state, step, norm, theme) {
    set(group, "display", norm === undefined ? "none" : null);
    if (norm === undefined) return;
    set(frame, "fill", theme.paper);
    set(frame, "stroke", theme.rim);
    set(name, "fill", theme.ink);
    set(number, "fill", theme.ink);
    const subscript = name.lastElementChild ?? name.appendChild(s("tspan", { "font-size": 10, dy: 3 }));
    if (!name.firstChild || name.firstChild === subscript) name.prepend(document.createTextNode(state));
    say(subscript, step);
    say(number, short(norm));
}

/**
 * The equations of a cell; the one that is read is lit.
 *
 * @param {NonNullable<Lane["cell"]>} cell
 */
export function equationList(cell) {
    return h("ul", { class: "equations" }, ...cell.equations.map(({ left, right }) =>
        h("li", {}, h("b", {}, ...lettered(left)), " = ", ...lettered(right))));
}

/**
 * Text with subscripts, written h_t or W_{xi}.
 *
 * @param {string} text
 */
export function lettered(text) {
    return text.split(/(_\{[^{}]*\}|_[^\s{}()])/).filter(Boolean).map((piece) =>
        piece.startsWith("_") && piece.length > 1 ? h("sub", {}, piece.replace(/^_\{?|\}$/g, "")) : piece);
}
