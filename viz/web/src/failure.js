/**
 * A forward pass that raised: its message over the page, and the failing operation marked in its cell.
 *
 * @typedef {import("./data.js").Data} Data
 */

import { h, s } from "./dom.js";

/** @param {Data["error"]} error */
export function banner(error) {
    return error && h("p", { class: "error", role: "alert" }, h("b", {}, "The forward pass stopped here. "), error.message);
}

/**
 * @param {Data["error"]} error
 * @param {import("./lane.js").Lane[]} lanes
 */
export function markFailure(error, lanes) {
    const cell = error && lanes[error.lane ?? -1]?.cell;
    for (const element of cell?.glyphs.querySelectorAll("[data-key]") ?? []) {
        if (element.getAttribute("data-key") !== error?.node) continue;
        const { x, y, width, height } = /** @type {SVGGElement} */ (element).getBBox();
        element.append(s("rect", { class: "failed", x: x - 5, y: y - 5, width: width + 10, height: height + 10, rx: 8 },
            s("title", {}, error?.message ?? "")));
    }
}
