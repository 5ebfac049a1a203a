/**
 * How a wire looks with the gradient that came back along it, as viz/scene/wires.py has it: width and colour by
 * decade; dotted if exactly zero; orange and thick with "!" if not finite; thin if nothing was sent.
 *
 * @typedef {import("./data.js").Theme} Theme
 * @typedef {import("./scale.js").Scale} Scale
 */

import { s, say, set } from "./dom.js";
import { short } from "./numbers.js";
import { contrast } from "./scale.js";

const CASED = 2; // a line whose contrast with the paper is less than this gets a casing

/** One wire on the page. Its path never changes; how it looks does, with every step. */
export class WireMark {
    /**
     * @param {import("./data.js").Wire} wire
     * @param {{left: number, numbers: boolean, size?: number, target?: boolean}} how   left: the edge of the picture, beyond which nothing
     *     is seen; size: of the numbers; target: whether it can be pointed at
     */
    constructor(wire, { left, numbers, size = 11, target = true }) {
        this.wire = wire;
        this.casing = s("path", { d: wire.d, fill: "none", opacity: 0.55 });
        this.line = s("path", { d: wire.d, fill: "none" });
        this.head = s("path", { "stroke-width": 0.7 });
        this.alarm = s("text", { "font-size": 13, "font-weight": "bold", "text-anchor": "middle" }, "!");
        this.number = wire.label && numbers
            ? s("text", { x: wire.label[0], y: wire.label[1], "font-size": size, "text-anchor": wire.label[2], "paint-order": "stroke",
                "stroke-width": 3, "stroke-linejoin": "round", class: "number" })
            : null;
        this.target = target ? s("path", { d: wire.d, fill: "none", stroke: "transparent", "stroke-width": 14,
            class: "target", "data-key": wire.key }) : "";
        this.group = s("g", { class: "wire" }, this.casing, this.line, this.head, this.alarm, this.target);
        this.left = left;
    }

    /** Find out where its arrow and its alarm stand. The wire is on the page now. */
    place() {
        this.course = courseOf(this.wire, this.line, this.left);
        set(this.alarm, "x", this.course.quarter.x);
        set(this.alarm, "y", this.course.quarter.y - 7);
    }

    /**
     * @param {number} norm     NaN: nothing was sent
     * @param {number} anchor
     * @param {Scale} scale
     * @param {Theme} theme
     * @param {"sent" | "cut"} [way]
     */
    show(norm, anchor, scale, theme, way = "sent") {
        const ratio = norm / anchor;
        const kind = way === "cut" ? "cut" : Number.isNaN(norm) ? "none" : norm === 0 ? "zero"
            : Number.isFinite(ratio) ? "sent" : "alarm";
        const colour = kind === "sent" ? scale.colour(ratio, theme) : kind === "alarm" ? theme.alarm
            : kind === "none" ? theme.rim : theme.nothing;
        const width = kind === "sent" ? scale.width(ratio) : kind === "alarm" ? 6 : 1.4;
        set(this.line, "stroke", colour);
        set(this.line, "stroke-width", round(width));
        set(this.line, "stroke-dasharray", kind === "zero" ? "1.5 3.5" : kind === "cut" ? "5 4" : null);
        const cased = kind === "sent" && contrast(colour, theme.tile) < CASED;
        set(this.casing, "stroke", cased ? theme.wire : "none");
        set(this.casing, "stroke-width", round(width + 1.3));
        set(this.alarm, "display", kind === "alarm" ? null : "none");
        set(this.alarm, "fill", theme.alarm);
        set(this.head, "display", kind === "sent" ? null : "none");
        if (kind === "sent") {
            set(this.head, "d", this.arrow(6 + 1.25 * width));
            set(this.head, "fill", colour);
            set(this.head, "stroke", theme.wire);
        }
        if (this.number) {
            say(this.number, kind === "none" || kind === "cut" ? "" : short(norm));
            set(this.number, "fill", kind === "alarm" ? theme.ink : theme.ink);
            set(this.number, "stroke", theme.tile);
        }
    }

    /** A triangle at the tip. @param {number} size */
    arrow(size) {
        if (!this.course) return "";
        const { x, y, dx, dy } = this.course.tip;
        const length = Math.hypot(dx, dy) || 1;
        const [ux, uy] = [dx / length, dy / length];
        const [bx, by] = [x - ux * size, y - uy * size];
        const half = size / 2;
        return `M${round(x)},${round(y)}L${round(bx - uy * half)},${round(by + ux * half)}`
            + `L${round(bx + uy * half)},${round(by - ux * half)}z`;
    }
}

/**
 * @typedef {{length: number, start: number, tip: {x: number, y: number, dx: number, dy: number}, quarter: DOMPoint}} Course
 * start: how far along the path the picture begins; tip: where the gradient arrives, and from which direction
 */

/** @type {WeakMap<import("./data.js").Wire, Map<number, Course>>} every stamp of a wire has the same course */
const courses = new WeakMap();

/**
 * @param {import("./data.js").Wire} wire
 * @param {SVGPathElement} line
 * @param {number} left
 * @returns {Course}
 */
function courseOf(wire, line, left) {
    const known = courses.get(wire) ?? new Map();
    courses.set(wire, known);
    let course = known.get(left);
    if (!course) {
        const length = line.getTotalLength();
        let start = 0;
        if (wire.recurrent) while (start < length && line.getPointAtLength(start).x < left) start += 4;
        const [tip, after] = [line.getPointAtLength(start), line.getPointAtLength(start + 1.5)];
        course = { length, start, tip: { x: tip.x, y: tip.y, dx: tip.x - after.x, dy: tip.y - after.y },
            quarter: line.getPointAtLength(start + (length - start) / 4) };
        known.set(left, course);
    }
    return course;
}

/** @param {number} x */
const round = (x) => Math.round(x * 10) / 10;
