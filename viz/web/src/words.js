/**
 * Sentences computed from the numbers.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./shown.js").Shown} Shown
 */

import { at } from "./data.js";
import { quoted } from "./label.js";
import { counted, part, short } from "./numbers.js";
import { open } from "./shown.js";

const ALIKE = 0.2; // two rates of decay are called alike if their logarithms differ by no more than this part
const LITTLE = 2; // a change by less than this factor is little

/**
 * "i", "i and f", "i, f and g".
 *
 * @param {string[]} words
 */
export function listed(words) {
    return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}` : words[0] ?? "";
}

/** @param {string} way */
const named = (way) => (way === "carry" || way === "rest" ? `the ${way}` : way);

/**
 * What happened to a lane when ways were cut.
 *
 * @param {Shown} shown
 * @param {number} cut
 * @param {Shown[]} others   the other lanes, as they are
 */
export function cutSentence(shown, cut, others) {
    const { ways } = shown.lane;
    if (!ways) return "";
    const names = ways.names.map(named);
    const { all, kept } = open(shown.lane, cut);
    const gone = names.filter((_, k) => !(kept & (1 << k)));
    const stays = names.filter((_, k) => kept & (1 << k));
    const oldest = shown.first;
    const lags = shown.T - 1 - oldest;
    if (!stays.length) {
        return shown.many ? "With every way cut, nothing comes back from later steps: what is left at a step is from its own loss."
            : "With every way cut, the gradient does not leave the last step.";
    }
    const whole = (shown.lane.shut ? shown.lane.profile[shown.lane.state].data[oldest] : at(ways.kept, all, oldest)) / shown.anchor;
    const left = shown.norms[oldest] / shown.anchor;
    const how = gone.length > 1 && stays.length === 1 ? `By ${stays[0]} alone` : `Without ${listed(gone)}`;
    let text = `${how}, ${amounts(left, whole, lags, shown.many)}`;
    if (left > whole * LITTLE) text += " More is left than before: what came by different ways cancelled.";
    else if (left * LITTLE > whole) {
        text += stays.length === 1 && gone.length > 1 ? ` Nearly all of it comes by ${stays[0]}.`
            : shown.many ? " That changes little: the other ways and the losses of later steps make up for it."
                : " That changes little: the gradient takes the other ways.";
    }
    const carry = ways.names.indexOf("carry");
    if (carry >= 0 && cut & (1 << carry)) text += likeAnother(left, lags, others);
    return text;
}

/**
 * What is left of the gradient, and what was before. Where later steps have losses too, new gradient comes in, and
 * nothing is "left".
 *
 * @param {number} left
 * @param {number} whole
 * @param {number} lags
 * @param {boolean} many
 */
export function amounts(left, whole, lags, many) {
    const said = (/** @type {number} */ x) => (many ? `${short(x)} times` : x === 0 ? "nothing" : part(x));
    return many ? `the gradient ${counted(lags, "step")} back is ${said(left)} that at lag 0, instead of ${said(whole)}.`
        : `${said(left)} of the gradient is left ${counted(lags, "step")} back, instead of ${said(whole)}.`;
}

/**
 * Does what is left die like a net that never had a carry?
 *
 * @param {number} left
 * @param {number} lags
 * @param {Shown[]} others
 */
function likeAnother(left, lags, others) {
    const plain = others.find(({ lane, T }) => !lane.ways?.names.includes("carry") && T - 1 >= lags);
    if (!plain) return "";
    const its = plain.norms[plain.T - 1 - lags] / plain.anchor;
    if (!(its > 0) || !(its < 1)) return "";
    const said = `${plain.lane.name} (${part(its)})`;
    if (left === 0) return ` It dies even faster than ${said}.`;
    const ratio = Math.log(left) / Math.log(its);
    if (Math.abs(ratio - 1) <= ALIKE) return ` It now dies like ${said}.`;
    return ratio > 1 ? ` It dies even faster than ${said}.` : ` It still lasts longer than ${said}.`;
}

/**
 * What one loss does to the steps before it.
 *
 * @param {Shown} shown
 */
export function lossSentence({ lane, norms, anchor, from }) {
    let reach = 0;
    for (let turn = from; turn >= 0; turn--) if (norms[turn] / anchor >= 0.01) reach = from - turn;
    const at = `The loss at step ${lane.steps[from]}${quoted(lane.labels?.[from])}`;
    return `${at} reaches ${counted(reach, "step")} back with more than 1 % of its gradient; `
        + `${part(norms[0] / anchor)} is left ${counted(from, "step")} back.`;
}

/**
 * Which later loss sent the most to a step.
 *
 * @param {Lane} lane
 * @param {number} turn
 */
export function sendersSentence(lane, turn) {
    const { itemised } = lane;
    if (!itemised || turn < 0) return "";
    let best = -1;
    itemised.losses.forEach((_, k) => {
        if (at(itemised.norms, k, turn) > (best < 0 ? 0 : at(itemised.norms, best, turn))) best = k;
    });
    if (best < 0) return "No loss sends a gradient to this step.";
    const from = itemised.losses[best];
    const later = from === turn ? "its own loss" : `the loss ${counted(from - turn, "step")} later`;
    return `${later[0].toUpperCase()}${later.slice(1)}${quoted(lane.labels?.[from])} sends the most to this step: `
        + `${short(at(itemised.norms, best, turn))}.`;
}

/**
 * The number under the cursor, in words.
 *
 * @param {Shown} shown
 * @param {number} lag
 */
export function cursorSentence({ lane, T, norms, anchor, first }, lag, rms = false) {
    const turn = T - 1 - lag;
    if (turn < first) return `${lane.name} has no step ${lag} back`;
    const ratio = norms[turn] / anchor;
    let start = T - 1; // where the gradient enters: earlier, if the last steps have none
    while (start > 0 && norms[start] === 0) start--;
    const amount = turn === start ? "the gradient enters here" : turn > start ? "no gradient comes here"
        : `${part(ratio)} of that at lag ${T - 1 - start}`;
    const factor = rms ? (lane.rms[lane.state]?.data[turn] ?? 0) / (lane.profile[lane.state]?.data[turn] ?? 1) || 0 : 1;
    const what = rms ? `RMS(∂L/∂${lane.state})` : `‖∂L/∂${lane.state}‖`;
    return `${what} = ${short(norms[turn] * factor)}${Number.isFinite(ratio) ? `, ${amount}` : ""}`;
}
