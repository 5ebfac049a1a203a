/**
 * The whole page: header, toolbar, legend, lanes. It decides what has to be drawn again when the view changes.
 *
 * @typedef {import("./data.js").Data} Data
 * @typedef {import("./view.js").View} View
 */

import { h, set } from "./dom.js";
import { Lane } from "./lane.js";
import { legend } from "./legend.js";
import { Player } from "./player.js";
import { Scale } from "./scale.js";
import { shown } from "./shown.js";
import { Toolbar } from "./toolbar.js";
import { Store, firstView } from "./view.js";

const DRAWN_AGAIN = /** @type {const} */ (["cut", "loss", "log", "rms", "own", "theme", "sliders"]);

/** The page, and what follows from its data. */
export class Page {
    /** @param {Data} data */
    constructor(data) {
        this.data = data;
        this.store = new Store(firstView(data.lanes.length));
        this.longest = Math.max(1, ...data.lanes.map((lane) => lane.T));
        this.lanes = data.lanes.map((_, k) => new Lane(data, k, this.store));
        this.legend = h("div", { class: "legend-box" });
        this.toolbar = new Toolbar(this.store, this.longest, (view) => this.at(view), this.legend);
        /** @type {Scale | null} */
        this.legendOf = null;
        /** @type {"light" | "dark" | null} */
        this.dressed = null;
        this.player = new Player(this.store, this.longest, this.lanes);
        this.dark = matchMedia("(prefers-color-scheme: dark)");
        this.themes = h("select", { onchange: () => this.store.set({
            theme: /** @type {View["theme"]} */ (this.themes.value) }) },
        ...["system", "light", "dark"].map((name) => h("option", { value: name }, name)));
        this.element = h("main", {},
            h("header", { class: "top" },
                h("div", {}, h("h1", {}, data.title), h("p", { class: "summary" }, data.summary)),
                h("div", { class: "menu" }, h("label", {}, "Theme ", this.themes))),
            h("div", { class: "sticky" }, this.toolbar.element),
            h("div", { class: "lanes" }, ...this.lanes.map((lane) => lane.element)));
    }

    /** Draw for the first time, and listen. The element is on the page now. */
    start() {
        for (const lane of this.lanes) lane.cell?.place();
        this.measure();
        this.store.listen((view, before) => this.show(view, before));
        this.draw(this.store.view);
        this.move(this.store.view);
        this.dark.addEventListener("change", () => this.draw(this.store.view));
        new ResizeObserver(() => {
            if (!this.measure()) return;
            this.draw(this.store.view);
            this.move(this.store.view);
        }).observe(this.element);
        this.player.listen();
    }

    /** Read the width of the charts; true if it changed. */
    measure() {
        const width = Math.max(260, this.lanes[0]?.chart.svg.parentElement?.clientWidth ?? 0);
        const changed = width !== this.width;
        this.width = width;
        return changed;
    }

    /** @param {View} view @param {View} before */
    show(view, before) {
        if (DRAWN_AGAIN.some((name) => view[name] !== before[name])) this.draw(view);
        this.move(view);
    }

    /** Everything but the cursor. @param {View} view */
    draw(view) {
        const dark = view.theme === "dark" || (view.theme === "system" && this.dark.matches);
        const name = dark ? "dark" : "light";
        const theme = this.data.themes[name];
        if (this.dressed !== name) {
            this.dressed = name;
            set(document.documentElement, "data-theme", name);
            for (const [ink, colour] of Object.entries(theme)) {
                if (typeof colour === "string") document.documentElement.style.setProperty(`--${ink}`, colour);
            }
        }
        this.themes.value = view.theme;
        const all = this.lanes.map((lane, k) => shown(lane.lane, k, view));
        const untouched = { ...view, cut: view.cut.map(() => 0), loss: null };
        const plain = this.lanes.map((lane, k) => shown(lane.lane, k, untouched));
        this.scales = all.map(({ norms, anchor, full, fullAnchor }) => (view.own
            ? Scale.of([...ratios(norms, anchor), ...ratios(full, fullAnchor)], 30)
            : new Scale(this.data.scale.low, this.data.scale.high)));
        this.lanes.forEach((lane, k) => lane.draw(all[k], view, {
            scale: /** @type {Scale[]} */ (this.scales)[k], theme, dark, longest: this.longest,
            others: plain.filter((_, j) => j !== k), width: this.width ?? 600,
        }));
        this.theme = theme;
        this.legendOf = null;
    }

    /** What follows the cursor. @param {View} view */
    move(view) {
        for (const lane of this.lanes) lane.move(view);
        this.toolbar.show(view);
        const scale = this.scales?.[view.lane];
        if (scale && this.theme && this.legendOf !== scale) {
            const of = view.own ? this.data.lanes[view.lane].name : "all nets";
            this.legend.replaceChildren(legend(scale, this.theme, of),
                h("span", {}, view.own ? `its own scale: ${of}` : "× the gradient at lag 0"));
            this.legendOf = scale;
        }
    }

    /** Where the cursor is, in words. @param {View} view */
    at(view) {
        const lane = this.data.lanes[view.lane];
        const label = lane?.labels?.[lane.T - 1 - view.lag];
        return `lag ${view.lag}${label ? ` “${label}”` : ""}`;
    }
}

/** @param {ArrayLike<number>} norms @param {number} anchor */
const ratios = (norms, anchor) => Array.from(norms, (norm) => norm / anchor);
