/** Shared weights collect one share a step: what each weight gets at this step, and what it has collected so far. */

import { at } from "./data.js";
import { h, say } from "./dom.js";
import { short } from "./numbers.js";

/** A row for each weight. */
export class WeightRows {
    /** @param {import("./data.js").Weights} weights */
    constructor(weights) {
        this.weights = weights;
        this.rows = weights.names.map((name) => ({ name, here: h("td"), so: h("td"), bar: h("i") }));
        this.element = h("table", { class: "weights" },
            h("caption", {}, "Every step adds its share to the same weights"),
            h("thead", {}, h("tr", {}, ...["weight", "share of this step", "collected from the loss to here"]
                .map((words) => h("th", { scope: "col" }, words)))),
            h("tbody", {}, ...this.rows.map(({ name, here, so, bar }) =>
                h("tr", {}, h("th", { scope: "row" }, name), here, h("td", {}, h("span", { class: "bar" }, bar), so)))));
        this.most = weights.names.map((_, k) => {
            let most = 0;
            for (let j = 0; j < weights.sums.shape[1]; j++) most = Math.max(most, at(weights.sums, k, j) || 0);
            return most;
        });
    }

    /** @param {number} turn */
    show(turn) {
        this.rows.forEach(({ here, so, bar }, k) => {
            const [share, sum] = [at(this.weights.shares, k, turn), at(this.weights.sums, k, turn)];
            say(here, turn < 0 || Number.isNaN(share) ? "none" : `+ ${short(share)}`);
            say(so, turn < 0 || Number.isNaN(sum) ? "none" : short(sum));
            bar.style.width = `${Math.min(100, (100 * sum) / this.most[k]) || 0}%`;
        });
    }
}
