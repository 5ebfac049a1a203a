/**
 * One lane: a net, what comes back to its state, its ways to cut, the text it read, and its cell.
 *
 * @typedef {import("./data.js").Data} Data
 * @typedef {import("./data.js").Lane} LaneData
 * @typedef {import("./data.js").Theme} Theme
 * @typedef {import("./shown.js").Shown} Shown
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 * @typedef {import("./scale.js").Scale} Scale
 */

import { CellPicture, equationList } from "./cell.js";
import { Chart } from "./chart.js";
import { h, say, set } from "./dom.js";
import { HeatMaps } from "./heat.js";
import { open } from "./shown.js";
import { TextRow } from "./textrow.js";
import { replaced } from "./view.js";
import { cursorSentence, cutSentence, lossSentence, sendersSentence } from "./words.js";

/** A lane on the page. */
export class Lane {
    /**
     * @param {Data} data
     * @param {number} index
     * @param {Store} store
     */
    constructor(data, index, store) {
        this.data = data;
        this.lane = data.lanes[index];
        this.index = index;
        this.store = store;
        const { lane } = this;
        this.chart = new Chart("", (lag) => store.set({ lag, lane: index, playing: false }));
        this.cell = lane.cell ? new CellPicture(lane, lane.cell) : null;
        this.text = lane.labels ? new TextRow(lane.labels, lane.name, (lag) => this.letter(lag)) : null;
        this.heat = lane.heat ? new HeatMaps(lane.heat) : null;
        this.equations = lane.cell?.equations.length ? equationList(lane.cell) : null;
        this.sentence = h("p", { class: "sentence", "aria-live": "polite" });
        this.reading = h("p", { class: "reading" });
        this.senders = lane.itemised ? h("p", { class: "senders-said" }) : null;
        this.ways = this.waysField();
        this.aside = h("div", { class: "aside" }, this.cell?.svg, this.equations);
        this.element = h("section", { class: "lane", id: `lane${index}`, "aria-label": lane.name,
            onpointerdown: () => this.select(), onfocusin: () => this.select() },
        h("div", { class: "main" },
            h("header", {}, h("h2", {}, lane.name), this.reading), this.sentence,
            this.chart.svg, this.ways, this.text?.element, this.senders, this.heat?.element),
        this.aside);
    }

    select() {
        if (this.store.view.lane !== this.index) this.store.set({ lane: this.index });
    }

    /** A letter was clicked: the cursor goes there, or its loss is chosen. @param {number} lag */
    letter(lag) {
        this.store.set({ lag, playing: false });
    }

    /** The ways as checkboxes: what is checked is open. */
    waysField() {
        const { ways } = this.lane;
        if (!ways) return null;
        this.boxes = ways.names.map((name, k) => h("input", { type: "checkbox", checked: true, "data-way": name,
            onchange: () => this.cut(k) }));
        this.swatches = ways.names.map(() => h("i", { class: "swatch" }));
        return h("fieldset", { class: "ways" }, h("legend", {}, "Ways open"),
            ...ways.names.map((name, k) => h("label", {}, this.boxes?.[k], this.swatches?.[k], name)));
    }

    /** Cut a way, or open it again. @param {number} k */
    cut(k) {
        const { cut } = this.store.view;
        this.store.set({ cut: replaced(cut, this.index, cut[this.index] ^ (1 << k)), loss: null });
    }

    /**
     * @param {Shown} shown
     * @param {View} view
     * @param {{scale: Scale, theme: Theme, dark: boolean, longest: number, others: Shown[], width: number}} how
     */
    draw(shown, view, { scale, theme, dark, longest, others, width }) {
        const { ways } = this.lane;
        const cut = view.cut[this.index];
        const colours = (dark ? ways?.colours_dark : ways?.colours) ?? [];
        this.shown = shown;
        this.scale = scale;
        this.theme = theme;
        this.chart.width = width;
        this.chart.draw(shown, { scale, theme, log: view.log, longest, colours, itemised: Boolean(this.lane.itemised) });
        this.swatches?.forEach((swatch, k) => (swatch.style.backgroundColor = colours[k]));
        this.boxes?.forEach((box, k) => (box.checked = !(cut & (1 << k))));
        this.text?.paint((turn) => scale.colour(shown.norms[turn] / shown.anchor, theme));
        say(this.sentence, this.words(shown, view, others));
        this.chart.describe(`${this.lane.name}: ${this.sentence.textContent}`);
        set(this.element, "data-changed", shown.changed ? "yes" : null);
    }

    /** @param {Shown} shown @param {View} view @param {Shown[]} others */
    words(shown, view, others) {
        const cut = view.cut[this.index];
        if (shown.lane.ways && open(shown.lane, cut).kept !== open(shown.lane, cut).all && shown.from === shown.T - 1
            && view.loss === null) return cutSentence(shown, cut, others);
        if (view.loss !== null && shown.changed) return lossSentence(shown);
        return shown.lane.finding;
    }

    /** Follow the cursor. @param {View} view */
    move(view) {
        const { shown, scale, theme } = this;
        if (!shown || !scale || !theme) return;
        const turn = shown.T - 1 - view.lag;
        this.chart.move(view.lag);
        say(this.reading, cursorSentence(shown, view.lag));
        this.text?.move(view.lag, view.loss);
        this.heat?.show(turn, theme);
        if (this.senders) say(this.senders, sendersSentence(this.lane, turn));
        this.cell?.show(turn, { anchor: shown.fullAnchor, scale, theme, rms: view.rms, cut: view.cut[this.index],
            lane: this.lane });
        set(this.element, "aria-current", view.lane === this.index ? "true" : null);
    }
}
