/**
 * The controls of the cursor and of what is shown.
 *
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 */

import { h, say, set } from "./dom.js";

const SPEEDS = [1, 2, 4, 10, 30];

/** The bar over the lanes. */
export class Toolbar {
    /**
     * @param {Store} store
     * @param {number} longest   the steps of the longest lane
     * @param {(view: View) => string} said   what the cursor is at, in words
     */
    constructor(store, longest, said) {
        this.store = store;
        this.longest = longest;
        this.said = said;
        const step = (/** @type {number} */ by) => () => store.set({ lag: this.inside(store.view.lag + by), playing: false });
        this.play = h("button", { class: "play", onclick: () => store.set({ playing: !store.view.playing }) });
        this.range = h("input", { type: "range", min: 0, max: longest - 1, step: 1, id: "cursor",
            oninput: () => store.set({ lag: longest - 1 - this.range.valueAsNumber, playing: false }) });
        this.where = h("output", { for: "cursor" });
        this.speed = h("select", { onchange: () => store.set({ speed: Number(this.speed.value) }) },
            ...SPEEDS.map((speed) => h("option", { value: speed }, `${speed} steps/s`)));
        this.choices = [
            this.choice("axis", ["log", "linear"], (view) => (view.log ? 0 : 1), (k) => ({ log: k === 0 })),
            this.choice("size", ["norm", "RMS"], (view) => (view.rms ? 1 : 0), (k) => ({ rms: k === 1 })),
            this.choice("scale", ["common", "own"], (view) => (view.own ? 1 : 0), (k) => ({ own: k === 1 })),
        ];
        this.element = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Cursor and scales" },
            h("div", { class: "cursor" },
                h("button", { title: "One step further back (←)", "aria-label": "One step further back", onclick: step(1) }, "◀"),
                this.play,
                h("button", { title: "One step nearer to the loss (→)", "aria-label": "One step nearer to the loss", onclick: step(-1) }, "▶︎"),
                h("button", { title: "To the loss: lag 0 (End)", "aria-label": "To the loss, lag 0", onclick: () => store.set({ lag: 0, playing: false }) }, "lag 0"),
                h("label", { class: "wide" }, h("span", { class: "hidden" }, "Steps back from the loss"), this.range),
                this.where),
            h("div", { class: "choices" }, h("label", {}, h("span", { class: "hidden" }, "Speed"), this.speed),
                ...this.choices.map(({ element }) => element)));
    }

    /**
     * A group of buttons of which one is pressed.
     *
     * @param {string} name
     * @param {string[]} options
     * @param {(view: View) => number} of
     * @param {(k: number) => Partial<View>} change
     */
    choice(name, options, of, change) {
        const buttons = options.map((option, k) => h("button", { "data-choice": option,
            onclick: () => this.store.set(change(k)) }, option));
        const element = h("div", { class: "choice", role: "group", "aria-label": name }, ...buttons);
        return { element, show: (/** @type {View} */ view) => buttons.forEach((button, k) =>
            set(button, "aria-pressed", of(view) === k ? "true" : "false")) };
    }

    /** @param {number} lag */
    inside(lag) {
        return Math.min(Math.max(lag, 0), this.longest - 1);
    }

    /** @param {View} view */
    show(view) {
        this.range.value = String(this.longest - 1 - view.lag);
        const words = this.said(view);
        set(this.range, "aria-valuetext", words);
        say(this.where, words);
        say(this.play, view.playing ? "❚❚ Pause" : "◀ Play back");
        this.speed.value = String(view.speed);
        for (const choice of this.choices) choice.show(view);
    }
}
