/**
 * The whole page: header, toolbar, legend, lanes. It decides what has to be drawn again when the view changes.
 *
 * @typedef {import("./data.js").Data} Data
 * @typedef {import("./view.js").View} View
 */

import { h, set } from "./dom.js";
import { banner, markFailure } from "./failure.js";
import { fromFragment, toFragment } from "./fragment.js";
import { quoted } from "./label.js";
import { Lane } from "./lane.js";
import { legend } from "./legend.js";
import { Player } from "./player.js";
import { Scale } from "./scale.js";
import { Search } from "./search.js";
import { shown } from "./shown.js";
import { takeAway } from "./takeaway.js";
import { Toolbar } from "./toolbar.js";
import { Tour } from "./tour.js";
import { Unrolled } from "./unrolled.js";
import { Store } from "./view.js";

const DRAWN_AGAIN = /** @type {const} */ (["cut", "loss", "log", "rms", "own", "theme", "sliders"]);

/** The page, and what follows from its data. */
export class Page {
    /** @param {Data} data */
    constructor(data) {
        this.data = data;
        this.store = new Store(fromFragment(location.hash, data.lanes));
        this.longest = Math.max(1, ...data.lanes.map((lane) => lane.T));
        this.lanes = data.lanes.map((_, k) => new Lane(data, k, this.store));
        this.legend = h("div", { class: "legend-box" });
        this.toolbar = new Toolbar(this.store, this.longest, (view) => this.at(view));
        /** @type {Scale | null} */
        this.legendOf = null;
        /** @type {Unrolled | null} */
        this.stripDrawn = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.sharing = undefined;
        /** @type {"light" | "dark" | null} */
        this.dressed = null;
        this.player = new Player(this.store, this.longest, this.lanes);
        this.dark = matchMedia("(prefers-color-scheme: dark)");
        this.paper = matchMedia("print"); // which is white
        this.themes = h("select", { onchange: () => this.store.set({
            theme: /** @type {View["theme"]} */ (this.themes.value) }) },
        ...["system", "light", "dark"].map((name) => h("option", { value: name }, name)));
        this.stripHome = h("div");
        this.strips = data.lanes.map((lane, k) => (lane.cell ? new Unrolled(lane, lane.cell, k, this.store) : null));
        this.stripOf = h("select", { onchange: () => this.store.set({ lane: Number(this.stripOf.value) }) },
            ...data.lanes.map((lane, k) => h("option", { value: k }, lane.name)));
        this.element = h("main");
        this.tour = new Tour(data, this.store, this.element);
        const some = data.lanes.length > 0;
        this.element.append(
            h("header", { class: "top" },
                h("h1", {}, data.title),
                h("div", { class: "menu" }, this.tour.begin, some && new Search(data.lanes, this.store).element, some && takeAway(this),
                    h("label", {}, h("span", { class: "hidden" }, "Theme"), this.themes))),
            h("div", { class: "under" }, h("p", { class: "summary" }, data.summary), this.legend),
            banner(data.error) ?? "",
            this.tour.element);
        if (some) this.tour.element.before(
            h("div", { class: "sticky" }, this.toolbar.element),
            h("div", { class: "lanes" }, ...this.lanes.map((lane) => lane.element)),
            h("section", { class: "unrolled", "aria-label": "The net unrolled" },
                h("header", {}, h("h2", {}, "Unrolled: "), h("label", {}, h("span", { class: "hidden" }, "Which net"), this.stripOf),
                    h("p", {}, "Zoom in: a step becomes a cell, then every operation. Drag or use the arrows to move; a click moves the cursor.")),
                this.stripHome));
    }

    /** Draw for the first time, and listen. The element is on the page now. */
    start() {
        for (const lane of this.lanes) lane.cell?.place();
        markFailure(this.data.error, this.lanes);
        this.measure();
        this.store.listen((view, before) => this.show(view, before));
        this.draw(this.store.view);
        this.move(this.store.view);
        this.stripSeen = false;
        new IntersectionObserver(([{ isIntersecting }]) => {
            this.stripSeen = isIntersecting;
            if (isIntersecting) this.unroll(this.store.shown);
        }).observe(this.stripHome);
        const again = () => {
            this.draw(this.store.view);
            this.move(this.store.view);
        };
        this.dark.addEventListener("change", again);
        this.paper.addEventListener("change", again);
        new ResizeObserver(() => this.measure() && again()).observe(this.element);
        this.player.listen();
        Object.assign(globalThis, { explorer: this }); // for the console
        addEventListener("hashchange", () => {
            if (location.hash.slice(1) !== toFragment(this.store.view, this.data.lanes)) {
                this.store.set(fromFragment(location.hash, this.data.lanes));
            }
        });
        if (this.store.view.tour !== null) this.tour.show(this.store.view);
    }

    /** The view into the address, once it rests: browsers allow few changes a second. */
    share() {
        clearTimeout(this.sharing);
        this.sharing = setTimeout(() => {
            const said = toFragment(this.store.view, this.data.lanes);
            if (location.hash.slice(1) !== said) history.replaceState(null, "", `#${said}`);
        }, 300);
    }

    /** Read the width of the charts; true if it changed. */
    measure() {
        const width = Math.max(260, this.lanes[0]?.chart.svg.parentElement?.clientWidth ?? 0);
        const changed = width !== this.width;
        this.width = width;
        this.stripWidth = this.stripHome.clientWidth;
        if (changed) for (const lane of this.lanes) lane.text?.measure();
        return changed;
    }

    /** @param {View} view @param {View} before */
    show(view, before) {
        if (DRAWN_AGAIN.some((name) => view[name] !== before[name])) this.draw(view);
        this.move(view);
        this.share();
    }

    /** Everything but the cursor. @param {View} view */
    draw(view) {
        const dark = !this.paper.matches && (view.theme === "dark" || (view.theme === "system" && this.dark.matches));
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
        const moved = this.lanes.map((lane, k) => lane.sliders.moved(view.sliders[k]));
        const all = this.lanes.map((lane, k) => shown(lane.lane, k, view, moved[k]));
        this.all = all;
        const untouched = { ...view, cut: view.cut.map(() => 0), loss: null };
        const plain = this.lanes.map((lane, k) => shown(lane.lane, k, untouched));
        const common = this.common(all, view);
        this.scales = all.map(({ norms, anchor, full, fullAnchor }) => (view.own
            ? Scale.of([...ratios(norms, anchor), ...ratios(full, fullAnchor)], 30)
            : common));
        this.lanes.forEach((lane, k) => {
            const scale = /** @type {Scale[]} */ (this.scales)[k];
            const what = [view.cut[k], view.loss, view.log, view.sliders[k], theme, scale.low, scale.high, this.width];
            if (what.every((one, j) => one === lane.drawn[j])) return; // only another lane changed
            lane.drawn = what;
            lane.draw(all[k], view, { scale, theme, dark, longest: this.longest, others: plain.filter((_, j) => j !== k),
                width: this.width ?? 600 });
        });
        this.theme = theme;
        this.legendOf = null;
        this.stripDrawn = null;
    }

    /**
     * The scale of all lanes: that of the nets as they are, and more where another loss is chosen or a net changed.
     *
     * @param {import("./shown.js").Shown[]} all
     * @param {View} view
     */
    common(all, view) {
        const { low, high } = this.data.scale;
        if (view.loss === null && view.sliders.every((settings) => !Object.keys(settings).length)) return new Scale(low, high);
        const wider = Scale.of(all.flatMap(({ norms, anchor }) => ratios(norms, anchor)), 24);
        return new Scale(Math.min(low, wider.low), Math.max(high, wider.high));
    }

    /** What follows the cursor. @param {View} view */
    move(view) {
        for (const lane of this.lanes) lane.move(view);
        this.toolbar.show(view);
        this.unroll(view);
        const scale = this.scales?.[view.lane];
        if (scale && this.theme && this.legendOf !== scale) {
            const of = view.own ? this.data.lanes[view.lane].name : "all nets";
            this.legend.replaceChildren(legend(scale, this.theme, of),
                h("span", {}, view.own ? `its own scale: ${of}` : "× the gradient at lag 0"));
            this.legendOf = scale;
        }
    }

    /** The strip of the chosen lane. @param {View} view */
    unroll(view) {
        const [strip, shown, scale] = [this.strips[view.lane], this.all?.[view.lane], this.scales?.[view.lane]];
        this.stripOf.value = String(view.lane);
        if (!strip || !shown || !scale || !this.theme) {
            this.stripHome.replaceChildren();
            return;
        }
        if (this.stripHome.firstChild !== strip.element) this.stripHome.replaceChildren(strip.element);
        if (!this.stripSeen) return;
        const width = this.stripWidth ?? 900;
        if (strip.width !== width || !strip.ready) strip.resize(width);
        if (this.stripDrawn !== strip) {
            this.stripDrawn = strip;
            strip.draw(shown, { scale, theme: this.theme, high: (ratio) => Math.min(1, scale.height(ratio, view.log)), rms: view.rms,
                cut: view.cut[view.lane] });
        }
        strip.mark(shown.T - 1 - view.lag);
    }

    /** Where the cursor is, in words. @param {View} view */
    at(view) {
        const lane = this.data.lanes[view.lane];
        return `lag ${view.lag}${quoted(lane?.labels?.[lane.T - 1 - view.lag])}`;
    }
}

/** @param {ArrayLike<number>} norms @param {number} anchor */
const ratios = (norms, anchor) => Array.from(norms, (norm) => norm / anchor);
