/**
 * The guided tour: stations of one idea each. What it is about is lit, the rest is dimmed.
 *
 * @typedef {import("./data.js").Data} Data
 * @typedef {import("./data.js").Station} Station
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 */

import { h, say } from "./dom.js";

const DIMMED = ".lane header, .sentence, .chart, .ways, .text, .senders-said, .heat, .note, .weights, .sliders, .cell-box, .equations, .unrolled";
/** @type {Record<string, string>} what is lit, within the lane of a station; a selector after ">>" is of the page */
const LIT = {
    step: ".cell-box, .equations", unrolled: ">> .unrolled", reverse: ".cell-box, .chart, .weights",
    vanishing: ">> .chart, .lane header, .text", carry: ".chart, .cell-box", cut: ".ways, .chart, .sentence, .cell-box",
    bias: ".sliders, .chart, .sentence", yours: `>> ${DIMMED}`,
};

/** The card of the tour, at the foot of the page. */
export class Tour {
    /**
     * @param {Data} data
     * @param {Store} store
     * @param {HTMLElement} root
     */
    constructor(data, store, root) {
        this.data = data;
        this.store = store;
        this.root = root;
        /** @type {Element[]} */
        this.lit = [];
        this.title = h("h2", { tabindex: -1 });
        this.words = h("p");
        this.count = h("span", { class: "count" });
        const go = (/** @type {number} */ by) => () => this.go((store.view.tour ?? 0) + by);
        this.back = h("button", { onclick: go(-1) }, "Back");
        this.next = h("button", { onclick: go(1) }, "Next");
        this.element = h("section", { class: "tour", "aria-label": "Guided tour", hidden: true },
            this.title, this.words,
            h("div", {}, this.back, this.next, this.count, h("button", { class: "end", onclick: () => this.end() }, "End the tour")));
        this.begin = data.tour.length
            ? h("button", { class: "begin", onclick: () => this.go(0) }, "Guided tour") : null;
        store.listen((view, before) => {
            if (view.tour !== before.tour) this.show(view);
        });
        document.addEventListener("keydown", ({ key }) => {
            if (key === "Escape" && store.view.tour !== null && store.view.part === null) this.end();
        });
    }

    /** @param {number} number */
    go(number) {
        const station = this.data.tour[number];
        if (!station) return;
        const lanes = this.data.lanes;
        const lane = Math.min(station.lane, lanes.length - 1);
        const cut = lanes.map((one, k) => {
            const names = k === lane ? station.set?.cut ?? [] : [];
            return names.reduce((bits, name) => bits | (1 << Math.max(one.ways?.names.indexOf(name) ?? 0, 0)), 0);
        });
        this.store.set({ tour: number, lane, lag: Math.max(lanes[lane].T - 1 - station.turn, 0), cut, loss: null,
            playing: false, part: null, sliders: lanes.map((_, k) => (k === lane ? station.set?.sliders ?? {} : {})) });
    }

    end() {
        const { lanes } = this.data;
        this.store.set({ tour: null, cut: lanes.map(() => 0), sliders: lanes.map(() => ({})) });
        this.begin?.focus();
    }

    /** @param {View} view */
    show({ tour, lane }) {
        const station = tour === null ? undefined : this.data.tour[tour];
        this.element.hidden = !station;
        this.root.classList.toggle("touring", Boolean(station));
        for (const element of this.root.querySelectorAll(".dim")) element.classList.remove("dim");
        if (!station || tour === null) {
            this.root.classList.remove("carrying");
            return;
        }
        say(this.title, station.title);
        say(this.words, station.words);
        say(this.count, `${tour + 1} of ${this.data.tour.length}`);
        this.back.disabled = tour === 0;
        this.next.disabled = tour === this.data.tour.length - 1;
        this.root.classList.toggle("carrying", station.set?.wires === "carry");
        const selector = LIT[station.station] ?? LIT.yours;
        const within = selector.startsWith(">>") ? this.root : this.root.querySelector(`#lane${lane}`) ?? this.root;
        this.lit = [...within.querySelectorAll(selector.replace(">> ", ""))];
        for (const element of this.root.querySelectorAll(DIMMED)) {
            if (!this.lit.some((one) => one === element || one.contains(element))) element.classList.add("dim");
        }
        this.lit[0]?.scrollIntoView({ block: "center", behavior: "instant" });
        this.title.focus({ preventScroll: true });
    }
}
