/**
 * Changing a net. A small net is computed again in the page, with the functions that the compiler printed; a larger
 * one is chosen among nets that were computed before.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 */

import { h, say } from "./dom.js";
import { Net } from "./live.js";
import { short } from "./numbers.js";
import { replaced } from "./view.js";
import { amounts } from "./words.js";

/** The sliders of one lane. */
export class Sliders {
    /**
     * @param {Lane} lane
     * @param {number} index
     * @param {Store} store
     */
    constructor(lane, index, store) {
        this.lane = lane;
        /** @type {Record<string, number> | undefined} */
        this.settings = undefined;
        const known = lane.state in lane.profile; // a single step has no profile to compare with
        const net = lane.live && known ? new Net(lane.live) : null;
        this.net = net;
        // the browser compiles the functions while they run for the first time: do so before anyone moves a slider
        if (net) (window.requestIdleCallback ?? setTimeout)(() => net.run());
        const sweep = known ? lane.sweep : null;
        const list = this.net?.sliders ?? (sweep ? [{ option: sweep.option, label: sweep.option.replaceAll("_", " "),
            low: 0, high: sweep.values.length - 1, step: 1, start: nearest(lane) }] : []);
        this.sliders = list.map(({ option, label, low, high, step, start }) => {
            const input = h("input", { type: "range", min: low, max: high, step, "data-option": option });
            input.valueAsNumber = start;
            const output = h("output", {});
            input.addEventListener("input", () => this.set(store, index, { [option]: input.valueAsNumber }));
            return { option, label, start, input, output };
        });
        const reset = h("button", { onclick: () => store.set({ sliders: replaced(store.view.sliders, index, {}) }) }, "as recorded");
        this.element = list.length ? h("fieldset", { class: "sliders" }, h("legend", {}, "Change the net"),
            ...this.sliders.map(({ label, input, output }) => h("label", {}, h("span", {}, label), input, output)), reset) : null;
    }

    /** @param {Store} store @param {number} index @param {Record<string, number>} change */
    set(store, index, change) {
        const settings = { ...store.view.sliders[index], ...change };
        for (const { option, start } of this.sliders) if (settings[option] === start) delete settings[option];
        const lag = Math.min(store.view.lag, (settings.length ?? Infinity) - 1); // the cursor stays on a step that is taken
        store.set({ sliders: replaced(store.view.sliders, index, settings), loss: null, lag });
    }

    /** What a slider stands at, in words. @param {string} option @param {number} value */
    said(option, value) {
        return short(this.net ? value : this.lane.sweep?.values[value] ?? NaN);
    }

    /**
     * The lane as the sliders have it.
     *
     * @param {Record<string, number>} settings
     * @returns {Lane}
     */
    moved(settings) {
        for (const { option, start, input, output } of this.sliders) {
            const value = settings[option] ?? start;
            input.valueAsNumber = value;
            say(output, this.said(option, value));
        }
        if (!Object.keys(settings).length) return this.lane;
        if (this.settings !== settings) {
            this.settings = settings;
            this.result = this.net ? this.computed(this.net, settings) : this.chosen(settings);
        }
        return this.result ?? this.lane;
    }

    /** @param {Net} net @param {Record<string, number>} settings @returns {Lane} */
    computed(net, settings) {
        const { lane } = this;
        const { profile, messages } = net.run(settings);
        const first = settings.length === undefined ? 0 : lane.T - settings.length;
        const tables = Object.fromEntries(Object.entries(profile).map(([name, data]) => [name, { shape: [lane.T], data }]));
        const factors = Object.fromEntries(Object.entries(tables).map(([name, { shape, data }]) => {
            const j = lane.profile[name].data.findIndex((x) => x > 0 && x < Infinity);
            return [name, { shape, data: data.map((x) => (x * lane.rms[name].data[j]) / lane.profile[name].data[j]) }];
        }));
        const norms = tables[lane.state]?.data ?? [];
        const was = lane.profile[lane.state].data;
        const left = norms[first] / norms[lane.T - 1];
        const how = this.sliders.filter(({ option }) => settings[option] !== undefined)
            .map(({ option, label }) => `${label} ${this.said(option, settings[option])}`).join(", ");
        const many = (lane.itemised?.losses.length ?? 0) > 1;
        const finding = `With ${how}, ${amounts(left, was[first] / was[lane.T - 1], lane.T - 1 - first, many)}`;
        return { ...lane, profile: tables, rms: factors, first, finding, stale: true, itemised: null,
            shut: lane.live.cut && this.remembered((ways) => net.cut(settings, ways)?.[lane.state] ?? norms),
            messages: messages ? { shape: lane.messages.shape, data: messages } : lane.messages };
    }

    /**
     * The same function, which is not asked twice for the same ways.
     *
     * @param {(ways: string[]) => ArrayLike<number>} found
     */
    remembered(found) {
        /** @type {Map<string, ArrayLike<number>>} */
        const known = new Map();
        return (/** @type {string[]} */ ways) => {
            const key = JSON.stringify(ways);
            const norms = known.get(key) ?? found(ways);
            known.set(key, norms);
            return norms;
        };
    }

    /** @param {Record<string, number>} settings @returns {Lane} */
    chosen(settings) {
        const { lane } = this;
        const { sweep } = lane;
        if (!sweep) return lane;
        const index = settings[sweep.option];
        const found = sweep.lanes[index];
        const finding = `With ${sweep.option.replaceAll("_", " ")} ${short(sweep.values[index])}: ${found.finding}`;
        return { ...lane, ...found, finding, rms: found.rms ?? lane.rms, itemised: null, heat: found.heat ?? null };
    }
}

/** The place of the recorded net among those computed before: the one with the same profile. @param {Lane} lane */
function nearest({ sweep, profile, state }) {
    const far = (sweep?.lanes ?? []).map((one) => {
        const [a, b] = [one.profile[state].data, profile[state].data];
        return Math.abs(Math.log(a[0] / a[a.length - 1]) - Math.log(b[0] / b[b.length - 1]));
    });
    return Math.max(far.indexOf(Math.min(...far)), 0);
}
