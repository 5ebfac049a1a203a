/** Messages on their way through one cell: a dot runs back along each wire, once its consumer has all it waits for. */

import { at } from "./data.js";
import { s } from "./dom.js";

/**
 * @param {import("./cell.js").CellPicture} picture
 * @param {number} turn
 * @param {number} duration   of one step, in milliseconds
 */
export function pulse(picture, turn, duration) {
    const { wires, lane, pulses } = picture;
    const depths = depthOf(wires.map((mark) => mark.wire));
    const deepest = Math.max(...depths.values(), 0) + 1;
    const dots = wires.flatMap((mark, e) => {
        const norm = turn >= 0 ? at(lane.messages, e, turn) : NaN;
        if (!(norm > 0)) return [];
        const dot = s("circle", { r: 4, fill: mark.line.getAttribute("stroke"), stroke: "currentColor", opacity: 0 });
        return [{ dot, mark, from: (depths.get(mark.wire.to ?? "") ?? 0) / deepest }];
    });
    pulses.replaceChildren(...dots.map(({ dot }) => dot));
    const begun = performance.now();
    picture.pulsing = begun;
    const draw = (/** @type {number} */ now) => {
        if (picture.pulsing !== begun) return;
        const time = (now - begun) / duration;
        if (time >= 1) {
            pulses.replaceChildren();
            return;
        }
        for (const { dot, mark, from } of dots) {
            const gone = Math.min((time - from) * deepest, 1);
            const { length, start } = mark.course ?? { length: 0, start: 0 };
            const point = mark.line.getPointAtLength(length - (length - start) * Math.max(gone, 0));
            dot.setAttribute("cx", String(point.x));
            dot.setAttribute("cy", String(point.y));
            dot.setAttribute("opacity", gone > 0 && gone < 1 ? "1" : "0");
        }
        requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
}

/**
 * For each part, how many wires a message has passed when the part has all that it receives.
 *
 * @param {import("./data.js").Wire[]} wires
 */
function depthOf(wires) {
    /** @type {Map<string, number>} */
    const depths = new Map();
    const within = wires.filter((wire) => !wire.recurrent && !wire.outside);
    const depth = (/** @type {string} */ part) => {
        const known = depths.get(part);
        if (known !== undefined) return known;
        depths.set(part, 0);
        const found = Math.max(0, ...within.filter((wire) => wire.from === part).map((wire) => depth(wire.to ?? "") + 1));
        depths.set(part, found);
        return found;
    };
    for (const wire of wires) depth(wire.to ?? "");
    return depths;
}
