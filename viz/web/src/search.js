/**
 * Search: parts by symbol, role or operation; steps by number or by what was read there.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 * @typedef {{words: string, change: Partial<View>}} Hit
 */

import { called } from "./cell.js";
import { h, say } from "./dom.js";
import { quoted } from "./label.js";

const MOST = 12;
/** @type {Record<string, string>} what people call a gate or a candidate, by its letter */
const NAMES = {
    f: "forget gate", i: "input gate", o: "output gate", r: "reset gate", z: "update gate", g: "candidate", n: "candidate",
};

/**
 * @param {Lane[]} lanes
 * @param {string} query
 * @returns {Hit[]}
 */
export function found(lanes, query) {
    const wanted = query.trim().toLowerCase();
    if (!query) return [];
    return lanes.flatMap((lane, k) => {
        const parts = (wanted ? lane.cell?.parts ?? [] : []).filter(({ symbol, role, operation, name }) => {
            const learned = role === "gate" || role === "candidate" ? NAMES[symbol ?? ""] : "";
            return symbol?.toLowerCase() === wanted
                || (wanted.length > 1 && [role, operation, name, learned].some((word) => word?.toLowerCase().includes(wanted)));
        });
        const steps = Array.from({ length: lane.T }, (_, j) => j).filter((j) =>
            lane.labels?.[j]?.toLowerCase() === (wanted || query) || `${lane.steps[j]}` === wanted
            || `step ${lane.steps[j]}` === wanted || `lag ${lane.T - 1 - j}` === wanted);
        return [
            ...parts.map((part) => ({ words: `${called(part)} in ${lane.name}`,
                change: { lane: k, part: `${k}/${part.key}`, pinned: true } })),
            ...steps.reverse().map((j) => ({
                words: `step ${lane.steps[j]}${quoted(lane.labels?.[j])}, lag ${lane.T - 1 - j} in ${lane.name}`,
                change: { lane: k, lag: lane.T - 1 - j, playing: false } })),
        ];
    });
}

/** The field and what was found. */
export class Search {
    /** @param {Lane[]} lanes @param {Store} store */
    constructor(lanes, store) {
        this.store = store;
        const field = h("input", { type: "search", placeholder: "f, gate, step 12…", "aria-label": "Search a symbol, a role or a step",
            maxlength: 60, oninput: () => this.list(found(lanes, field.value)) });
        this.hits = h("ul", { class: "hits", hidden: true });
        this.status = h("span", { class: "hidden", role: "status" });
        this.element = h("div", { class: "search" }, field, this.hits, this.status);
        this.element.addEventListener("keydown", (event) => {
            if (event.key === "Escape") {
                field.value = "";
                this.list([]);
                field.focus();
            } else if (event.key === "Enter" && event.target === field) {
                this.hits.querySelector("button")?.click();
            } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
                const all = [field, ...this.hits.querySelectorAll("button")];
                const here = all.indexOf(/** @type {any} */ (document.activeElement));
                all[(here + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]?.focus();
                event.preventDefault();
            }
        });
        this.element.addEventListener("focusout", ({ relatedTarget }) => {
            if (!(relatedTarget instanceof Node && this.element.contains(relatedTarget))) this.hits.hidden = true;
        });
        this.element.addEventListener("focusin", () => (this.hits.hidden = !this.hits.children.length));
        this.field = field;
    }

    /** @param {Hit[]} hits */
    list(hits) {
        const none = this.field.value && !hits.length;
        this.hits.replaceChildren(...none ? [h("li", { class: "none" }, "Nothing found. Try a letter, gate, tanh or step 3.")]
            : hits.slice(0, MOST).map(({ words, change }) => h("li", {}, h("button", { onclick: () => this.choose(change) }, words))));
        this.hits.hidden = !this.hits.children.length;
        say(this.status, this.field.value ? `${hits.length} found` : "");
        this.field.setAttribute("aria-invalid", String(Boolean(this.field.value) && !hits.length));
    }

    /** @param {Partial<View>} change */
    choose(change) {
        this.store.set(change);
        document.getElementById(`lane${change.lane}`)?.scrollIntoView({ block: "nearest" });
    }
}
