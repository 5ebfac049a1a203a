/**
 * The net unrolled, as far as one wants to look: far away a step is a column, nearer a cell, nearest every operation
 * with its numbers. Only the steps in sight are in the document.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./data.js").Theme} Theme
 * @typedef {import("./scale.js").Scale} Scale
 * @typedef {import("./shown.js").Shown} Shown
 * @typedef {import("./view.js").Store} Store
 */

import { select } from "d3-selection";
import { zoom, zoomIdentity } from "d3-zoom";
import { at } from "./data.js";
import { dress } from "./dress.js";
import { h, s, say, set, stamped } from "./dom.js";
import { quoted } from "./label.js";
import { Minimap } from "./minimap.js";
import { isCut } from "./shown.js";
import { WireMark } from "./wire.js";

const CELLS = 46; // from this width of a step in pixels on it is a cell
const READABLE = 0.85; // and from this enlargement on every operation can be read
const BEGINNING = 0.5; // the enlargement at first
const HEAD = 22; // for what is written over a step
const FOOT = 8;
const NEAREST = 1.6;

/** The strip of one lane. */
export class Unrolled {
    /**
     * @param {Lane} lane
     * @param {NonNullable<Lane["cell"]>} cell
     * @param {number} index
     * @param {Store} store
     */
    constructor(lane, cell, index, store) {
        this.lane = lane;
        this.cell = cell;
        this.store = store;
        this.width = 900;
        this.tall = cell.height + 46;
        this.name = `stamp${index}`;
        const glyphs = stamped(cell.glyphs);
        const shapes = /** @type {SVGGElement} */ (glyphs.cloneNode(true));
        for (const text of shapes.querySelectorAll("text")) text.remove();
        const letters = s("g", { "text-anchor": "middle", "font-size": 22, "font-weight": "bold" }, ...cell.parts
            .filter(({ symbol, x }) => symbol && symbol.length <= 2 && x > 0)
            .map(({ symbol, x, y, role }) => (role === "gate" || role === "candidate" || role === "input"
                ? s("text", { x, y: y + 8 }, symbol) : null)));
        shapes.append(letters);
        glyphs.id = `${this.name}-glyphs`;
        shapes.id = `${this.name}-shapes`;
        const back = stamped(cell.back);
        back.id = `${this.name}-back`;
        this.originals = [back, shapes, glyphs];
        this.world = s("g");
        this.heads = s("g", { "text-anchor": "middle", "font-size": 12 });
        this.svg = s("svg", { class: "strip", tabindex: 0, role: "application",
            "aria-label": `${lane.name} unrolled. Plus and minus zoom, arrows move, 0 shows all.` },
        s("defs", {}, back, shapes, glyphs), this.world, this.heads);
        this.level = h("span", { class: "level", role: "status" });
        this.minimap = new Minimap(lane, (turn) => this.centre(turn));
        /** @type {Map<number, ReturnType<Unrolled["stamp"]>>} */
        this.shownCells = new Map();
        /** @type {"columns" | "cells" | "operations" | undefined} */
        this.drawn = undefined;
        /** @type {number | undefined} */
        this.turn = undefined;
        /** @type {import("d3-zoom").ZoomBehavior<SVGSVGElement, unknown>} */
        this.zoom = zoom();
        this.zoom.on("zoom", ({ transform }) => this.moved(transform));
        // A wheel over a strip that has no focus scrolls the page, as everywhere else.
        this.zoom.filter((event) => (event.type === "wheel" ? event.ctrlKey || document.activeElement === this.svg : !event.button));
        this.at = zoomIdentity;
        this.waiting = false;
        const by = (/** @type {number} */ k) => () => select(this.svg).call(this.zoom.scaleBy, k);
        this.element = h("div", { class: "strip-box" },
            h("div", { class: "strip-bar" },
                h("button", { onclick: by(1 / 1.6), "aria-label": "Zoom out" }, "−"),
                h("button", { onclick: by(1.6), "aria-label": "Zoom in" }, "+"),
                h("button", { onclick: () => this.all() }, "all steps"),
                h("button", { onclick: () => this.near() }, "step at the cursor"), this.level),
            this.svg, this.minimap.element);
        this.svg.addEventListener("keydown", (event) => this.key(event));
        this.svg.addEventListener("click", (event) => {
            const turn = Math.floor((this.at.invertX(event.offsetX)) / cell.pitch);
            if (turn >= 0 && turn < lane.T) store.set({ lag: lane.T - 1 - turn, playing: false });
        });
    }

    /** @param {number} width */
    resize(width) {
        this.width = width;
        set(this.svg, "width", width);
        set(this.svg, "height", this.tall);
        const whole = this.lane.T * this.cell.pitch;
        this.least = Math.min(width / whole, 1);
        this.zoom.scaleExtent([this.least, NEAREST]).extent([[0, 0], [width, this.tall]])
            .translateExtent([[0, -1e6], [whole, 1e6]]);
        if (!this.ready) {
            this.ready = true;
            select(this.svg).call(this.zoom).on("dblclick.zoom", null);
            select(this.svg).call(this.zoom.scaleTo, BEGINNING);
            this.centre(this.lane.T - 1);
        } else {
            select(this.svg).call(this.zoom.scaleBy, 1);
        }
    }

    all() {
        select(this.svg).call(this.zoom.transform, zoomIdentity.scale(this.least ?? 1));
    }

    /** Every operation of the step at the cursor. */
    near() {
        const k = Math.min(1, (this.width - 20) / this.cell.pitch);
        select(this.svg).call(this.zoom.scaleTo, Math.max(k, this.least ?? 0));
        this.centre(this.lane.T - 1 - this.store.view.lag);
    }

    /** @param {number} turn */
    centre(turn) {
        select(this.svg).call(this.zoom.translateTo, (turn + 0.5) * this.cell.pitch, 0);
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const on = select(this.svg);
        const far = this.width / 4 / this.at.k;
        if (event.key === "+" || event.key === "=") on.call(this.zoom.scaleBy, 1.4);
        else if (event.key === "-") on.call(this.zoom.scaleBy, 1 / 1.4);
        else if (event.key === "0") this.all();
        else if (event.key === "ArrowLeft") on.call(this.zoom.translateBy, far, 0);
        else if (event.key === "ArrowRight") on.call(this.zoom.translateBy, -far, 0);
        else if (event.key === "Enter") this.near();
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    /** @param {import("d3-zoom").ZoomTransform} transform */
    moved(transform) {
        this.at = transform;
        if (this.waiting) return;
        this.waiting = true;
        requestAnimationFrame(() => {
            this.waiting = false;
            this.show();
        });
    }

    /**
     * @param {Shown} shown
     * @param {{scale: Scale, theme: Theme, high: (ratio: number) => number, rms: boolean, cut: number}} how
     */
    draw(shown, how) {
        this.shown = shown;
        if (this.how?.theme !== how.theme) this.originals.forEach(dress);
        this.how = how;
        for (const group of this.shownCells.values()) this.number(group);
        this.minimap.draw(shown, how.scale, how.theme);
        this.show();
    }

    /** Its numbers into a cell. @param {ReturnType<Unrolled["stamp"]>} group */
    number({ marks, turn }) {
        const { shown, how } = this;
        if (!shown || !how) return;
        const table = how.rms ? shown.lane.message_rms : shown.lane.messages;
        for (const mark of marks) {
            mark.show(at(table, mark.index, turn), shown.fullAnchor, how.scale, how.theme, isCut(shown.lane, mark.wire, how.cut) ? "cut" : "sent");
        }
    }

    /** Which step is marked. @param {number} turn */
    mark(turn) {
        if (this.turn === turn) return;
        this.turn = turn;
        this.minimap.mark(turn);
        const x = this.at.applyX((turn + 0.5) * this.cell.pitch);
        if (turn >= 0 && this.ready && (x < 0 || x > this.width)) this.centre(turn);
        else this.show();
    }

    /** The steps in sight. */
    inSight() {
        const { pitch } = this.cell;
        const first = Math.floor(this.at.invertX(0) / pitch);
        const last = Math.ceil(this.at.invertX(this.width) / pitch);
        return [Math.max(first, 0), Math.min(last, this.lane.T - 1)];
    }

    show() {
        if (!this.shown || !this.how || !this.ready) return;
        const [first, last] = this.inSight();
        const step = this.at.k * this.cell.pitch;
        const level = step < CELLS ? "columns" : this.at.k < READABLE ? "cells" : "operations";
        if (this.drawn !== level) {
            this.world.replaceChildren();
            this.shownCells.clear();
            this.drawn = level;
            set(this.svg, "data-level", level);
        }
        say(this.level, `steps ${this.lane.steps[first]} to ${this.lane.steps[last]}: ${
            { columns: "a column each", cells: "a cell each", operations: "every operation" }[level]}`);
        if (level === "columns") this.columns(first, last);
        else this.cells(first, last, level === "operations");
        this.writeHeads(first, last, step);
        this.minimap.window(this.at.invertX(0) / this.cell.pitch, this.at.invertX(this.width) / this.cell.pitch);
    }

    /** @param {number} first @param {number} last */
    columns(first, last) {
        const { shown, how } = this;
        if (!shown || !how) return;
        const { pitch } = this.cell;
        const [k, x] = [this.at.k, this.at.x];
        const floor = this.tall - FOOT;
        set(this.world, "transform", null);
        /** @type {Map<string, string>} */
        const paths = new Map();
        for (let j = Math.max(first, shown.first); j <= last; j++) {
            const ratio = shown.norms[j] / shown.anchor;
            if (ratio === 0) continue;
            const colour = ratio < Infinity ? how.scale.colour(ratio, how.theme) : how.theme.alarm;
            const tall = Math.max((floor - HEAD) * (ratio < Infinity ? how.high(ratio) : 1), 1);
            const [left, right] = [x + j * pitch * k, x + (j + 1) * pitch * k - Math.min(2, pitch * k * 0.15)];
            paths.set(colour, `${paths.get(colour) ?? ""}M${left.toFixed(1)},${floor}V${(floor - tall).toFixed(1)}H${right.toFixed(1)}V${floor}z`);
        }
        const here = this.turn ?? -1;
        const frame = here >= first && here <= last
            ? [s("rect", { x: x + here * pitch * k, y: HEAD, width: Math.max(pitch * k, 2), height: floor - HEAD,
                fill: how.theme.now, opacity: 0.4 })] : [];
        this.world.replaceChildren(...[...paths].map(([fill, d]) => s("path", { fill, d })), ...frame);
    }

    /** @param {number} first @param {number} last @param {boolean} near */
    cells(first, last, near) {
        const { shown, how, cell } = this;
        if (!shown || !how) return;
        const k = this.at.k;
        const room = this.tall - HEAD - FOOT;
        const y = HEAD + Math.max((room - cell.height * k) / 2, 6);
        set(this.world, "transform", `translate(${this.at.x},${y}) scale(${k})`);
        const free = [...this.shownCells].filter(([turn]) => turn < first || turn > last);
        for (const [turn] of free) this.shownCells.delete(turn);
        for (let turn = first; turn <= last; turn++) {
            let group = this.shownCells.get(turn);
            if (!group) {
                group = free.pop()?.[1] ?? this.stamp(near); // a cell that went out of sight comes in on the other side
                group.turn = turn;
                set(group, "transform", `translate(${turn * cell.pitch},0)`);
                set(group, "data-turn", turn);
                this.shownCells.set(turn, group);
                this.number(group);
            }
            set(group.frame, "stroke", turn === this.turn ? how.theme.now : "none");
        }
        for (const [, group] of free) group.remove();
    }

    /** One cell, on the page. @param {boolean} near */
    stamp(near) {
        const { cell } = this;
        const frame = s("rect", { x: -4, y: -4, width: cell.width + 8, height: cell.height + 8, rx: 14, fill: "none", "stroke-width": 4 });
        const marks = cell.wires.map((wire, index) => Object.assign(new WireMark(wire, { left: -cell.pitch + cell.width + 8, numbers: near, size: 13, target: false }), { index }));
        const group = s("g", {},
            s("use", { href: `#${this.name}-back` }), ...marks.map((mark) => mark.group),
            s("use", { href: `#${this.name}-${near ? "glyphs" : "shapes"}` }), ...marks.map((mark) => mark.number), frame);
        this.world.append(group);
        for (const mark of marks) mark.place();
        return Object.assign(group, { marks, frame, turn: -1 });
    }

    /** What stands over the steps: lag, and what was read. @param {number} first @param {number} last @param {number} step */
    writeHeads(first, last, step) {
        const { theme } = this.how ?? {};
        const { T, labels } = this.lane;
        const every = Math.max(1, Math.ceil(60 / step));
        const turns = [];
        for (let turn = first; turn <= last; turn++) if ((T - 1 - turn) % every === 0) turns.push(turn);
        this.heads.replaceChildren(...turns.map((turn) => {
            const label = step >= 60 ? quoted(labels?.[turn]) : "";
            return s("text", { x: this.at.applyX((turn + 0.5) * this.cell.pitch - (this.drawn === "columns" ? 0 : (this.cell.pitch - this.cell.width) / 2)),
                y: 14, fill: turn === this.turn ? theme?.now : theme?.faint, "font-weight": turn === this.turn ? "bold" : null },
            `lag ${T - 1 - turn}${label}`);
        }));
    }
}
