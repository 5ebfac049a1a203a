/** The legend: which width and colour which decade has. It follows the scale that is shown. */

import { s } from "./dom.js";
import { power } from "./numbers.js";
import { Scale } from "./scale.js";

/**
 * @param {Scale} scale
 * @param {import("./data.js").Theme} theme
 * @param {string} of   whose scale it is
 */
export function legend(scale, theme, of) {
    const [width, left] = [250, 24];
    const place = (/** @type {number} */ decade) =>
        left + (width * scale.place(10 ** decade)) / Math.max(scale.place(10 ** scale.high), 1e-9);
    const every = Math.max(1, Math.ceil(-scale.low / 4));
    const ticks = [];
    for (let decade = 0; decade >= scale.low; decade -= every) ticks.push(decade);
    if (scale.high > 0) ticks.unshift(scale.high);
    const pieces = Array.from({ length: 60 }, (_, k) => {
        const decade = scale.low + ((scale.high - scale.low) * (k + 0.5)) / 60;
        const [x0, x1] = [scale.low + ((scale.high - scale.low) * k) / 60, scale.low + ((scale.high - scale.low) * (k + 1)) / 60]
            .map(place);
        const tall = scale.width(10 ** decade);
        return s("rect", { x: x0, width: x1 - x0 + 0.5, y: 8 - tall / 2, height: tall, fill: scale.colour(10 ** decade, theme) });
    });
    return s("svg", { class: "legend", width: width + 2 * left, height: 34, role: "img",
        "aria-label": `Scale of ${of}: from ${power(scale.low)} to ${power(scale.high)}, 1 is the gradient at lag 0` },
        ...pieces, ...ticks.flatMap((decade) => [
            s("line", { x1: place(decade), x2: place(decade), y1: 14, y2: 18, stroke: theme.faint }),
            s("text", { x: place(decade), y: 30, "font-size": 11, "text-anchor": "middle",
                fill: decade === 0 ? theme.ink : theme.faint, "font-weight": decade === 0 ? "bold" : null },
            `${decade <= scale.low ? "≤ " : ""}${power(decade)}`)]));
}
