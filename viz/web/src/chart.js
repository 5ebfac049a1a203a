/**
 * The chart of a lane: ‖∂L/∂state‖ against lag, the loss at the right. Under it the ways by which the gradient came,
 * and, where losses are itemised, which later loss sent what to the step under the cursor.
 *
 * @typedef {import("./shown.js").Shown} Shown
 * @typedef {import("./data.js").Theme} Theme
 * @typedef {import("./scale.js").Scale} Scale
 */

import { scaleLinear } from "d3-scale";
import { at } from "./data.js";
import { s, say, set } from "./dom.js";
import { power, short } from "./numbers.js";

export const LEFT = 52; // room for the names of the decades
const RIGHT = 10;
const TOP = 12;
export const STRIP = 26;
const GAP = 8;
const AXIS = 22;

/** The chart of one lane: made once, filled again whenever what it shows changes. */
export class Chart {
    /**
     * @param {string} label    what the picture is, for those who do not see it
     * @param {(lag: number) => void} scrub   called with the lag under the pointer while it is pressed
     */
    constructor(label, scrub) {
        this.bars = s("g", { "shape-rendering": "crispEdges" });
        this.grid = s("g", { "font-size": 11, "text-anchor": "end" });
        this.ghost = s("path", { fill: "none", "stroke-width": 1.5, "stroke-dasharray": "5 3" });
        this.outline = s("path", { fill: "none", "stroke-width": 1.2 });
        this.mark = s("path");
        /** @type {any[]} what the strip of ways was drawn from */
        this.stripKey = [];
        this.strip = s("g", { "shape-rendering": "crispEdges" });
        this.losses = s("g");
        this.axis = s("g", { "font-size": 11, "text-anchor": "middle" });
        this.line = s("line", { "stroke-width": 2 });
        this.knob = s("circle", { r: 5, "stroke-width": 2 });
        this.title = s("title", {}, label);
        this.svg = s("svg", { role: "img", class: "chart" }, this.title, this.grid, this.bars, this.outline,
            this.ghost, this.mark, this.strip, this.losses, this.axis, this.line, this.knob);
        this.width = 600;
        this.tall = 104;
        this.T = 1;
        this.x = scaleLinear();
        this.y = scaleLinear();
        const scrubbed = (/** @type {PointerEvent} */ event) => {
            const { left, width } = this.svg.getBoundingClientRect();
            const x = (event.clientX - left) * (this.width / width);
            const turn = Math.floor(this.x.invert(x));
            scrub(this.longest - 1 - Math.min(Math.max(turn, this.longest - this.T), this.longest - 1));
        };
        /** @type {(turn: number) => void} called with the step whose loss was clicked */
        this.onLoss = () => {};
        this.svg.addEventListener("pointerdown", (event) => {
            if (event.target instanceof Element && this.losses.contains(event.target)) {
                const { left, width } = this.svg.getBoundingClientRect();
                this.onLoss(Math.floor(this.x.invert((event.clientX - left) * (this.width / width))) - this.longest + this.T);
                return;
            }
            this.svg.setPointerCapture(event.pointerId);
            scrubbed(event);
        });
        this.svg.addEventListener("pointermove", (event) => {
            if (this.svg.hasPointerCapture(event.pointerId)) scrubbed(event);
        });
        this.longest = 1;
    }

    /** The height of all strips. @param {boolean} ways @param {boolean} losses */
    static under(ways, losses) {
        return GAP + (ways ? STRIP + GAP : 0) + (losses ? STRIP + GAP : 0) + AXIS;
    }

    /**
     * Draw what a lane shows.
     *
     * @param {Shown} shown
     * @param {{scale: Scale, theme: Theme, log: boolean, longest: number, colours: string[], itemised: boolean, cut: number}} how
     *     longest: the steps of the longest lane, which all lanes share as their axis
     */
    draw(shown, { scale, theme, log, longest, colours, itemised, cut }) {
        const { T, norms, anchor, full, fullAnchor, first } = shown;
        const ways = shown.lane.ways;
        const height = TOP + this.tall + Chart.under(Boolean(ways), itemised);
        set(this.svg, "width", this.width);
        set(this.svg, "height", height);
        set(this.svg, "viewBox", `0 0 ${this.width} ${height}`);
        this.T = T;
        this.longest = longest;
        this.x.domain([0, longest]).range([LEFT, this.width - RIGHT]);
        const largest = Math.max(1, ...finite(norms, anchor), ...finite(full, fullAnchor));
        this.y.domain(log ? [scale.low, scale.high || 0] : [0, largest]).range([TOP + this.tall, TOP]).clamp(true);
        const high = (/** @type {number} */ ratio) => this.y(log ? (ratio > 0 ? Math.log10(ratio) : -Infinity) : ratio);
        const skip = longest - T;
        this.drawGrid(scale, theme, log);
        this.drawBars(norms, anchor, first, skip, high, scale, theme);
        set(this.outline, "d", stairs(norms, anchor, (j) => this.x(skip + j), high));
        set(this.outline, "stroke", theme.ink);
        const ghost = shown.changed ? stairs(full, fullAnchor, (j) => this.x(longest - full.length + j), high) : "";
        set(this.ghost, "d", ghost);
        set(this.ghost, "stroke", theme.faint);
        let y = TOP + this.tall + GAP;
        this.stripTop = y;
        set(this.strip, "opacity", shown.lane.stale || shown.from < shown.T - 1 ? 0.3 : null);
        if (ways) {
            const key = [ways, this.width, skip, T, theme];
            if (key.some((one, k) => one !== this.stripKey[k])) this.drawStrip(shown, skip, y, colours, theme);
            this.stripKey = key;
            for (const share of this.strip.querySelectorAll(".share")) {
                set(share, "opacity", cut & (1 << Number(share.getAttribute("data-way"))) ? 0.2 : null);
            }
            y += STRIP + GAP;
        } else {
            this.strip.replaceChildren();
            this.stripKey = [];
        }
        this.lossTop = y;
        this.losses.replaceChildren();
        if (itemised) y += STRIP + GAP;
        this.drawAxis(y - 2, theme);
        this.bottom = y - 4;
        set(this.line, "y1", TOP - 8);
        set(this.line, "y2", this.bottom);
        set(this.line, "stroke", theme.now);
        set(this.knob, "fill", theme.paper);
        set(this.knob, "stroke", theme.now);
        this.high = high;
        this.shown = shown;
        this.theme = theme;
    }

    /** @param {Scale} scale @param {Theme} theme @param {boolean} log */
    drawGrid(scale, theme, log) {
        const every = Math.max(1, Math.ceil((scale.high - scale.low) / 6));
        const ticks = log
            ? Array.from({ length: scale.high - scale.low + 1 }, (_, k) => scale.low + k).filter((d) => d % every === 0)
            : this.y.ticks(5);
        this.grid.replaceChildren(
            s("rect", { x: LEFT, y: TOP, width: this.width - LEFT - RIGHT, height: this.tall, fill: theme.tile }),
            ...ticks.flatMap((tick) => {
                const one = tick === (log ? 0 : 1);
                return [
                    s("line", { x1: LEFT, x2: this.width - RIGHT, y1: this.y(tick), y2: this.y(tick),
                        stroke: one ? theme.faint : theme.rim, "stroke-width": one ? 1.3 : 1 }),
                    s("text", { x: LEFT - 6, y: this.y(tick) + 4, fill: one ? theme.ink : theme.faint,
                        "font-weight": one ? "bold" : null }, log ? power(tick) : short(tick)),
                ];
            }),
        );
    }

    /**
     * A column a step. Columns of one colour are one path, so that a long net has no more than 61 elements.
     *
     * @param {ArrayLike<number>} norms
     * @param {number} anchor
     * @param {number} first
     * @param {number} skip
     * @param {(ratio: number) => number} high
     * @param {Scale} scale
     * @param {Theme} theme
     */
    drawBars(norms, anchor, first, skip, high, scale, theme) {
        const floor = TOP + this.tall;
        /** @type {Map<string, string[]>} */
        const paths = new Map();
        for (let j = first; j < norms.length; j++) {
            const ratio = norms[j] / anchor;
            if (ratio === 0) continue;
            const fine = ratio < Infinity;
            const colour = fine ? scale.colour(ratio, theme) : theme.alarm;
            const [left, right, top] = [this.x(skip + j), this.x(skip + j + 1), fine ? high(ratio) : TOP];
            if (top >= floor) continue;
            if (!paths.has(colour)) paths.set(colour, []);
            paths.get(colour)?.push(`M${round(left)},${floor}V${round(top)}H${round(right)}V${floor}z`);
        }
        const made = [...paths].map(([colour, d], k) => {
            const path = /** @type {SVGPathElement} */ (this.bars.children[k] ?? s("path"));
            set(path, "fill", colour);
            set(path, "d", d.join(""));
            return path;
        });
        this.bars.replaceChildren(...made);
    }

    /**
     * The ways by which the gradient came, as shares.
     *
     * @param {Shown} shown
     * @param {number} skip
     * @param {number} y
     * @param {string[]} colours
     * @param {Theme} theme
     */
    drawStrip({ lane, T }, skip, y, colours, theme) {
        const ways = lane.ways;
        if (!ways) return;
        const base = new Float64Array(T);
        this.strip.replaceChildren(
            s("rect", { x: this.x(skip), y, width: this.x(skip + T) - this.x(skip), height: STRIP, fill: theme.tile }),
            s("text", { x: LEFT - 6, y: y + STRIP / 2 + 4, fill: theme.faint, "font-size": 11, "text-anchor": "end" },
                "by way"),
        );
        for (let k = ways.names.length - 1; k >= 0; k--) {
            let d = "";
            for (let j = 0; j < T; j++) {
                const share = at(ways.shares, k, j);
                if (!(share > 0)) continue;
                const [low, top] = [y + STRIP * (1 - base[j]), y + STRIP * (1 - base[j] - share)];
                d += `M${round(this.x(skip + j))},${round(low)}V${round(top)}H${round(this.x(skip + j + 1))}V${round(low)}z`;
                base[j] += share;
            }
            this.strip.append(s("path", { d, fill: colours[k], class: "share", "data-way": k }));
        }
    }

    /** @param {number} y @param {Theme} theme */
    drawAxis(y, theme) {
        const ticks = scaleLinear().domain([0, this.longest - 1]).ticks(Math.max(2, Math.min(8, this.width / 90)))
            .filter(Number.isInteger);
        this.axis.replaceChildren(
            ...ticks.map((lag) => s("text", { x: this.x(this.longest - 1 - lag + 0.5), y: y + 12, fill: theme.faint },
                String(lag))),
            s("text", { x: LEFT - 6, y: y + 12, fill: theme.faint, "text-anchor": "end" }, "lag"),
        );
    }

    /**
     * Move the cursor.
     *
     * @param {number} lag
     */
    move(lag) {
        const { shown, theme } = this;
        if (!shown || !theme || !this.high) return;
        const turn = shown.T - 1 - lag;
        const inside = turn >= 0;
        const x = round(this.x(this.longest - lag - 0.5));
        set(this.line, "x1", x);
        set(this.line, "x2", x);
        set(this.knob, "cx", x);
        set(this.knob, "display", inside ? null : "none");
        if (inside) {
            const ratio = shown.norms[turn] / shown.anchor;
            set(this.knob, "cy", round(Number.isFinite(ratio) ? this.high(ratio) : TOP));
        }
        this.moveLosses(turn);
    }

    /**
     * Which later loss sent what to the step under the cursor.
     *
     * @param {number} turn
     */
    moveLosses(turn) {
        const { shown, theme } = this;
        const itemised = shown?.lane.itemised;
        if (!shown || !theme || !itemised || this.bottom === undefined || this.lossTop === undefined) return;
        if (this.bottom < this.lossTop + STRIP) return;
        const skip = this.longest - shown.T;
        const column = turn < 0 ? [] : itemised.losses.map((_, k) => at(itemised.norms, k, turn));
        const largest = Math.max(...column, 0);
        const d = column.map((norm, k) => {
            const height = norm > 0 && largest < Infinity ? Math.max(STRIP * (norm / largest), 1) : 0;
            const [left, right] = [this.x(skip + itemised.losses[k]), this.x(skip + itemised.losses[k] + 1)];
            const floor = (this.lossTop ?? 0) + STRIP;
            return height ? `M${round(left)},${floor}V${round(floor - height)}H${round(right)}V${floor}z` : "";
        });
        if (!this.losses.firstChild) {
            this.losses.append(
                s("rect", { x: LEFT, y: this.lossTop, width: this.width - LEFT - RIGHT, height: STRIP, fill: theme.tile }),
                s("text", { x: LEFT - 6, y: this.lossTop + STRIP / 2 + 4, fill: theme.faint, "font-size": 11,
                    "text-anchor": "end" }, "by loss"),
                s("path", { class: "senders", fill: theme.wire }));
        }
        set(/** @type {Element} */ (this.losses.lastChild), "d", d.join(""));
    }

    /** @param {string} text */
    describe(text) {
        say(this.title, text);
    }
}

/** @param {ArrayLike<number>} norms @param {number} anchor */
function finite(norms, anchor) {
    let largest = 0;
    for (let j = 0; j < norms.length; j++) {
        const ratio = norms[j] / anchor;
        if (ratio < Infinity && ratio > largest) largest = ratio;
    }
    return [largest];
}

/**
 * @param {ArrayLike<number>} norms
 * @param {number} anchor
 * @param {(turn: number) => number} x
 * @param {(ratio: number) => number} high
 */
function stairs(norms, anchor, x, high) {
    let d = "";
    for (let j = 0; j < norms.length; j++) {
        const ratio = norms[j] / anchor;
        if (!Number.isFinite(ratio)) continue;
        d += `${d ? "V" : `M${round(x(j))},`}${round(high(ratio))}H${round(x(j + 1))}`;
    }
    return d;
}

/** @param {number} x */
const round = (x) => Math.round(x * 10) / 10;
