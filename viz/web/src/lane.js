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
import { Inspector } from "./inspector.js";
import { lossRow, open } from "./shown.js";
import { Sliders } from "./sliders.js";
import { TextRow } from "./textrow.js";
import { replaced } from "./view.js";
import { WeightBars } from "./weights.js";
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
        /** @type {any[]} what it was drawn from */
        this.drawn = [];
        this.itemised = (lane.itemised?.losses.length ?? 0) > 1; // of a single loss there is nothing to choose
        this.chart = new Chart("", (lag) => store.set({ lag, lane: index, playing: false }));
        this.cell = lane.cell ? new CellPicture(lane, lane.cell) : null;
        this.text = lane.labels ? new TextRow(lane.labels, lane.name, (lag) => this.letter(lag)) : null;
        this.heat = lane.heat ? new HeatMaps(lane.heat, lane.states) : null;
        this.equations = lane.cell?.equations.length ? equationList(lane.cell) : null;
        this.sentence = h("p", { class: "sentence", "aria-live": "polite" });
        this.reading = h("p", { class: "reading" });
        this.senders = this.itemised ? h("p", { class: "senders-said" }) : null;
        this.ways = this.waysField();
        this.sliders = new Sliders(lane, index, store);
        this.weights = lane.weights ? new WeightBars(lane.weights) : null;
        this.inspector = this.cell ? new Inspector(this.cell, index, this.equations, store) : null;
        this.lossButton = this.itemised ? h("button", { onclick: () => this.follow() }) : null;
        this.aside = h("div", { class: "aside" }, h("div", { class: "cell-box" }, this.cell?.svg), this.equations, this.weights?.element,
            this.inspector?.element);
        this.element = h("section", { class: "lane", id: `lane${index}`, "aria-label": lane.name,
            onpointerdown: () => this.select(), onfocusin: () => this.select() },
        h("div", { class: "main" },
            h("header", {}, h("h2", {}, lane.name), this.reading), this.sentence,
            this.chart.svg, this.ways, this.text?.element,
            this.senders && h("div", { class: "losses" }, this.lossButton, this.senders),
            this.sliders.element, this.missing(), this.heat?.element),
        this.aside);
        this.chart.onLoss = (turn) => this.choose(lane.T - 1 - turn);
        this.text?.element.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.follow();
        });
    }

    /** Why there is nothing to cut or to change. */
    missing() {
        const { missing, ways, sweep } = this.lane;
        const said = [!ways && missing?.ways && `No ways to cut: ${missing.ways}.`,
            !this.sliders.element && !sweep && missing?.live && `No sliders: ${missing.live}.`].filter(Boolean);
        return said.length ? h("p", { class: "note" }, said.join(" ")) : null;
    }

    select() {
        if (this.store.view.lane !== this.index) this.store.set({ lane: this.index });
    }

    /** A letter was clicked: the cursor goes there, or its loss is chosen. @param {number} lag */
    letter(lag) {
        this.store.set({ lag, playing: false });
        if (this.itemised && lossRow(this.lane, lag) >= 0) this.choose(lag);
    }

    /** Follow the loss of one step alone. @param {number} lag */
    choose(lag) {
        this.store.set({ lag, loss: lag, cut: this.store.view.cut.map(() => 0), playing: false });
    }

    /** Follow the loss of the step under the cursor; or all of them, if it is followed already. */
    follow() {
        const { lag, loss } = this.store.view;
        if (loss !== null) this.store.set({ loss: null });
        else if (lossRow(this.lane, lag) >= 0) this.choose(lag);
    }

    /** The ways as checkboxes: what is checked is open. */
    waysField() {
        const { ways } = this.lane;
        if (!ways?.names.length) return null;
        this.boxes = ways.names.map((name, k) => h("input", { type: "checkbox", checked: true, "data-way": name,
            onchange: () => this.cut(k) }));
        this.swatches = ways.names.map(() => h("i", { class: "swatch" }));
        return h("fieldset", { class: "ways" }, h("legend", {}, "Ways open"),
            ...ways.names.map((name, k) => h("label", {}, this.boxes?.[k], this.swatches?.[k], name)),
            this.note = h("span", { class: "note" }));
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
        this.chart.draw(shown, { scale, theme, log: view.log, longest, colours, itemised: this.itemised, cut });
        this.swatches?.forEach((swatch, k) => (swatch.style.backgroundColor = colours[k]));
        this.boxes?.forEach((box, k) => {
            box.checked = !(cut & (1 << k));
            box.disabled = Boolean(shown.lane.stale && !shown.lane.shut);
        });
        const other = shown.lane.stale && view.loss !== null ? "of all losses: a changed net is not taken apart by loss"
            : shown.lane.stale && !shown.lane.shut ? "ways as recorded: they are not computed again"
            : view.loss !== null && shown.changed ? "ways and wires: of all losses together, and so is what a cut shows"
                : cut ? "numbers at wires: with every way open" : "";
        if (this.note) say(this.note, other);
        this.text?.paint((turn) => (shown.norms[turn] > 0 ? scale.colour(shown.norms[turn] / shown.anchor, theme) : theme.tile));
        say(this.sentence, this.words(shown, view, others));
        this.chart.describe(`${this.lane.name}: ${this.sentence.textContent}`);
        set(this.element, "data-changed", shown.changed ? "yes" : null);
        set(this.element, "data-stale", shown.lane.stale ? "yes" : null);
    }

    /** @param {Shown} shown @param {View} view @param {Shown[]} others */
    words(shown, view, others) {
        const cut = view.cut[this.index];
        if (shown.lane.ways && open(shown.lane, cut).kept !== open(shown.lane, cut).all && shown.from === shown.T - 1
            && view.loss === null) return cutSentence(shown, cut, others);
        if (shown.chosen) return lossSentence(shown);
        return shown.lane.finding;
    }

    /** Follow the cursor. @param {View} view */
    move(view) {
        const { shown, scale, theme } = this;
        if (!shown || !scale || !theme) return;
        const there = shown.T - 1 - view.lag;
        const turn = there < shown.first ? -1 : there; // a step that the net does not take
        this.chart.move(view.lag);
        say(this.reading, cursorSentence(shown, view.lag, view.rms));
        this.text?.move(view.lag, view.loss);
        this.heat?.show(turn, theme);
        if (this.senders) say(this.senders, sendersSentence(this.lane, turn));
        if (this.lossButton) {
            say(this.lossButton, view.loss === null ? "Follow only the loss of this step" : "Follow all losses");
            this.lossButton.disabled = view.loss === null && (Boolean(shown.lane.stale) || lossRow(this.lane, view.lag) < 0);
        }
        this.weights?.show(turn);
        this.cell?.show(turn, { anchor: shown.lane.stale ? shown.anchor : shown.fullAnchor, scale, theme, rms: view.rms,
            cut: view.cut[this.index], lane: shown.lane });
        this.inspector?.show(view, turn, shown.lane);
        set(this.element, "aria-current", view.lane === this.index ? "true" : null);
    }
}
