/**
 * Playing the reverse pass: the cursor goes back step by step, and in each cell messages run along the wires, against
 * the arrows of the data. Keys: arrows, Home, End and the space bar.
 *
 * @typedef {import("./view.js").Store} Store
 * @typedef {import("./lane.js").Lane} Lane
 */

import { pulse } from "./pulse.js";

const SLOW = 5; // steps a second up to which messages are shown on their way

/** The clock of the page. */
export class Player {
    /**
     * @param {Store} store
     * @param {number} longest
     * @param {Lane[]} lanes
     */
    constructor(store, longest, lanes) {
        this.store = store;
        this.longest = longest;
        this.lanes = lanes;
        this.still = matchMedia("(prefers-reduced-motion: reduce)");
        this.due = 0;
    }

    listen() {
        document.addEventListener("keydown", (event) => this.key(event));
        this.store.listen((view, before) => {
            if (view.playing && !before.playing) {
                if (view.lag >= this.longest - 1) this.store.set({ lag: 0 });
                this.due = performance.now() + 1000 / view.speed;
                this.send();
                requestAnimationFrame((now) => this.tick(now));
            }
        });
    }

    /** @param {number} now */
    tick(now) {
        const { view } = this.store;
        if (!view.playing) return;
        if (now >= this.due) {
            const steps = Math.max(1, Math.floor(((now - this.due) * view.speed) / 1000) + 1);
            this.due += (1000 * steps) / view.speed;
            const lag = Math.min(view.lag + steps, this.longest - 1);
            this.store.set({ lag, playing: lag < this.longest - 1 });
            this.send();
        }
        requestAnimationFrame((later) => this.tick(later));
    }

    /** Messages on their way, if there is time to see them. */
    send() {
        const { speed, lag } = this.store.view;
        if (this.still.matches || speed > SLOW) return;
        for (const lane of this.lanes) {
            if (lane.cell && lane.shown) pulse(lane.cell, lane.lane.T - 1 - lag, 900 / speed);
        }
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const { target, key } = event;
        if (event.altKey || event.ctrlKey || event.metaKey || !(target instanceof Element)) return;
        if (target.closest("input, select, textarea, summary, [role=application]")) return;
        const { view } = this.store;
        if (key === "Escape") this.store.set({ part: null, pinned: false });
        const lag = { ArrowLeft: view.lag + 1, ArrowRight: view.lag - 1, Home: this.longest - 1, End: 0,
            PageUp: view.lag + 10, PageDown: view.lag - 10 }[key];
        if (lag !== undefined) {
            event.preventDefault();
            this.store.set({ lag: Math.min(Math.max(lag, 0), this.longest - 1), playing: false });
        } else if (key === " " && !target.closest("button, [role=button]")) {
            event.preventDefault();
            this.store.set({ playing: !view.playing });
        }
    }
}
