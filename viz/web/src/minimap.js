/** A long net at a glance: all its steps as a band of colours, and a window on those in sight. */

import { h, s, set } from "./dom.js";

const WIDTH = 1000;
const TALL = 16;

/** The band of one lane. */
export class Minimap {
    /**
     * @param {import("./data.js").Lane} lane
     * @param {(turn: number) => void} go
     */
    constructor(lane, go) {
        this.T = lane.T;
        this.band = s("g", { "shape-rendering": "crispEdges" });
        this.frame = s("rect", { y: 1, height: TALL - 2, fill: "none", "stroke-width": 2, "vector-effect": "non-scaling-stroke" });
        this.cursor = s("rect", { y: 0, height: TALL });
        this.svg = s("svg", { viewBox: `0 0 ${WIDTH} ${TALL}`, preserveAspectRatio: "none", role: "img",
            "aria-label": `All ${lane.T} steps of ${lane.name}; the frame is what the strip shows` }, this.band, this.cursor, this.frame);
        this.element = h("div", { class: "minimap" }, this.svg);
        const move = (/** @type {PointerEvent} */ event) => {
            const { left, width } = this.svg.getBoundingClientRect();
            go(((event.clientX - left) / width) * this.T - 0.5);
        };
        this.svg.addEventListener("pointerdown", (event) => {
            this.svg.setPointerCapture(event.pointerId);
            move(event);
        });
        this.svg.addEventListener("pointermove", (event) => {
            if (this.svg.hasPointerCapture(event.pointerId)) move(event);
        });
    }

    /**
     * @param {import("./shown.js").Shown} shown
     * @param {import("./scale.js").Scale} scale
     * @param {import("./data.js").Theme} theme
     */
    draw({ norms, anchor, first }, scale, theme) {
        /** @type {Map<string, string>} */
        const paths = new Map();
        const step = WIDTH / this.T;
        for (let j = first; j < norms.length; j++) {
            const ratio = norms[j] / anchor;
            const colour = ratio === 0 ? theme.tile : ratio < Infinity ? scale.colour(ratio, theme) : theme.alarm;
            paths.set(colour, `${paths.get(colour) ?? ""}M${(j * step).toFixed(2)},0v${TALL}h${step.toFixed(2)}v-${TALL}z`);
        }
        this.band.replaceChildren(...[...paths].map(([fill, d]) => s("path", { fill, d })));
        set(this.frame, "stroke", theme.ink);
        set(this.cursor, "fill", theme.now);
    }

    /** @param {number} first @param {number} last */
    window(first, last) {
        const [left, right] = [Math.max(first, 0), Math.min(last, this.T)].map((turn) => (turn * WIDTH) / this.T);
        set(this.frame, "x", left.toFixed(1));
        set(this.frame, "width", Math.max(right - left, 4).toFixed(1));
    }

    /** @param {number} turn */
    mark(turn) {
        set(this.cursor, "x", ((turn * WIDTH) / this.T).toFixed(2));
        set(this.cursor, "width", Math.max(WIDTH / this.T, 3).toFixed(2));
        set(this.cursor, "display", turn < 0 ? "none" : null);
    }
}
