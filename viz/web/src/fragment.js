/**
 * The view as the fragment of the address, so that a link shares it: `#lag=12&lane=1&cut=carry,i|&axis=linear`.
 *
 * @typedef {import("./view.js").View} View
 * @typedef {import("./data.js").Lane} Lane
 */

import { firstView } from "./view.js";

/** @param {View} view @param {Lane[]} lanes */
export function toFragment(view, lanes) {
    const said = new URLSearchParams();
    if (view.lag) said.set("lag", String(view.lag));
    if (view.lane) said.set("lane", String(view.lane));
    if (view.loss !== null) said.set("loss", String(view.loss));
    if (!view.log) said.set("axis", "linear");
    if (view.rms) said.set("size", "rms");
    if (view.own) said.set("scale", "own");
    if (view.speed !== 4) said.set("speed", String(view.speed));
    if (view.theme !== "system") said.set("theme", view.theme);
    if (view.tour !== null) said.set("tour", String(view.tour + 1));
    lanes.forEach((lane, k) => {
        const cut = lane.ways?.names.filter((_, way) => view.cut[k] & (1 << way)) ?? [];
        if (cut.length) said.set(`cut${k}`, cut.join(","));
        for (const [option, value] of Object.entries(view.sliders[k])) said.set(`${option}${k}`, String(value));
    });
    return said.toString();
}

/**
 * What a fragment says; what it says wrongly is as at the start.
 *
 * @param {string} fragment
 * @param {Lane[]} lanes
 * @returns {View}
 */
export function fromFragment(fragment, lanes) {
    const said = new URLSearchParams(fragment.replace(/^#/, ""));
    const view = firstView(lanes.length);
    const longest = Math.max(1, ...lanes.map((lane) => lane.T));
    const whole = (/** @type {string} */ name, /** @type {number} */ low, /** @type {number} */ high) => {
        const value = Number(said.get(name) ?? NaN);
        return Number.isInteger(value) && value >= low && value <= high ? value : null;
    };
    view.lag = whole("lag", 0, longest - 1) ?? 0;
    view.lane = whole("lane", 0, lanes.length - 1) ?? 0;
    view.loss = whole("loss", 0, longest - 1);
    view.log = said.get("axis") !== "linear";
    view.rms = said.get("size") === "rms";
    view.own = said.get("scale") === "own";
    view.speed = whole("speed", 1, 60) ?? 4;
    view.theme = /** @type {View["theme"]} */ (["light", "dark"].find((name) => name === said.get("theme")) ?? "system");
    const station = whole("tour", 1, 99);
    view.tour = station === null ? null : station - 1;
    lanes.forEach((lane, k) => {
        const cut = said.get(`cut${k}`)?.split(",") ?? [];
        view.cut[k] = cut.reduce((bits, name) => {
            const way = lane.ways?.names.indexOf(name) ?? -1;
            return way < 0 ? bits : bits | (1 << way);
        }, 0);
        const options = lane.live?.sliders.map((/** @type {{option: string}} */ one) => one.option)
            ?? (lane.sweep ? [lane.sweep.option] : []);
        for (const option of options) {
            const value = Number(said.get(`${option}${k}`) ?? NaN);
            if (Number.isFinite(value)) view.sliders[k][option] = value;
        }
    });
    return view;
}
