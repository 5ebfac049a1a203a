/** Shared weights collect one share a step: what each has collected on the way back to the cursor, and what is added here. */

import { at } from "./data.js";
import { h, say } from "./dom.js";
import { short } from "./numbers.js";

/** A bar for each weight. */
export class WeightBars {
    /** @param {import("./data.js").Weights} weights */
    constructor(weights) {
        this.weights = weights;
        this.bars = weights.names.map((name, k) => {
            let most = 0;
            for (let j = 0; j < weights.sums.shape[1]; j++) most = Math.max(most, at(weights.sums, k, j) || 0);
            return { name, most, full: h("i"), said: h("span") };
        });
        this.element = h("div", { class: "weights" }, h("span", { class: "name" }, "Collected by the weights (+ this step's share)"),
            h("ul", {}, ...this.bars.map(({ name, full, said }) =>
                h("li", {}, h("b", {}, name), h("span", { class: "bar" }, full), said))));
    }

    /** @param {number} turn */
    show(turn) {
        this.bars.forEach(({ most, full, said }, k) => {
            const [share, sum] = [at(this.weights.shares, k, turn), at(this.weights.sums, k, turn)];
            say(said, turn < 0 || Number.isNaN(sum) ? "none" : `${short(sum)} (+ ${short(share)})`);
            full.style.width = `${Math.min(100, (100 * sum) / most) || 0}%`;
        });
    }
}
