/**
 * What the person has chosen: one plain object. Parts of the page listen to it and are told once a frame.
 *
 * @typedef {object} View
 * @property {number} lag            the cursor: how many steps before the last one
 * @property {number} lane           the lane that the keyboard, the strip and the search are about
 * @property {number[]} cut          for each lane: the ways that are cut, as bits
 * @property {number | null} loss    the lag of the one loss that is followed; null: all of them
 * @property {boolean} log
 * @property {boolean} rms
 * @property {boolean} own           each lane has its own scale
 * @property {boolean} playing
 * @property {number} speed          steps a second
 * @property {"system" | "light" | "dark"} theme
 * @property {string | null} part    the part or wire that is read, as "lane/key"
 * @property {boolean} pinned         the part stays when the pointer leaves it
 * @property {string} search
 * @property {number | null} tour    the station of the tour
 * @property {Record<string, number>[]} sliders   for each lane: what was changed in it
 *
 * @typedef {(view: View, before: View) => void} Listener
 */

/** @param {number} lanes @returns {View} */
export function firstView(lanes) {
    return {
        lag: 0, lane: 0, cut: Array(lanes).fill(0), loss: null, log: true, rms: false, own: false, playing: false,
        speed: 4, theme: "system", part: null, pinned: false, search: "", tour: null, sliders: Array.from({ length: lanes }, () => ({})),
    };
}

/** The view and who listens to it. */
export class Store {
    /** @param {View} view */
    constructor(view) {
        this.view = view;
        this.shown = view;
        this.waiting = false;
        /** @type {Listener[]} */
        this.listeners = [];
    }

    /** @param {Listener} listener */
    listen(listener) {
        this.listeners.push(listener);
    }

    /**
     * Change the view; what is shown follows with the next frame.
     *
     * @param {Partial<View>} change
     */
    set(change) {
        this.view = { ...this.view, ...change };
        if (this.waiting) return;
        this.waiting = true;
        requestAnimationFrame(() => this.show());
    }

    /** Tell all listeners now. */
    show() {
        this.waiting = false;
        const before = this.shown;
        this.shown = this.view;
        for (const listener of this.listeners) listener(this.shown, before);
    }
}

/**
 * A list with one entry changed.
 *
 * @template T
 * @param {T[]} list
 * @param {number} index
 * @param {T} value
 */
export function replaced(list, index, value) {
    return list.map((old, k) => (k === index ? value : old));
}
