/**
 * What a lane shows under a view: the norms of the gradient of its state, after what was cut, chosen and changed.
 *
 * @typedef {import("./data.js").Lane} Lane
 * @typedef {import("./data.js").SweptLane} SweptLane
 * @typedef {import("./view.js").View} View
 *
 * @typedef {object} Shown
 * @property {Lane | (Lane & SweptLane)} lane   the lane with the numbers of the moved sliders
 * @property {number} T
 * @property {ArrayLike<number>} norms      of what is left after the cut, from the chosen loss, by turn
 * @property {ArrayLike<number>} full       with nothing cut, all losses, no slider moved
 * @property {number} anchor                the norm of `norms` that counts as 1
 * @property {number} fullAnchor
 * @property {number} first                 the oldest turn that there is
 * @property {number} from                  the turn at which the gradient enters
 * @property {boolean} changed              whether anything is cut, chosen or changed
 * @property {boolean} chosen               whether the norms are those of one chosen loss
 * @property {boolean} many                 whether the net has losses at several steps
 */

import { row } from "./data.js";

/**
 * The ways that are open, as bits, and all of them.
 *
 * @param {Lane} lane
 * @param {number} cut
 */
export function open(lane, cut) {
    const all = lane.ways ? 2 ** lane.ways.names.length - 1 : 0;
    return { all, kept: all & ~cut };
}

/** The names of the ways that are not kept. @param {import("./data.js").Ways} ways @param {number} kept */
function cutWays(ways, kept) {
    return ways.names.filter((_, k) => !(kept & (1 << k))).flatMap((way) => ways.members?.[way] ?? [way]);
}

/** The row of a loss at a lag among the losses that a lane itemises; −1 if it has none there. */
/** @param {Lane} lane @param {number | null} lag */
export function lossRow(lane, lag) {
    return lag === null || !lane.itemised ? -1 : lane.itemised.losses.indexOf(lane.T - 1 - lag);
}

/**
 * @param {Lane} lane
 * @param {number} index
 * @param {View} view
 * @param {Lane & SweptLane} [moved]   the lane as the sliders have it
 * @returns {Shown}
 */
export function shown(lane, index, view, moved = lane) {
    const full = profileOf(lane);
    const whole = moved === lane ? full : profileOf(moved);
    const T = whole.length;
    const { all, kept } = open(moved, view.cut[index]);
    const chosen = lossRow(moved, view.loss);
    /** @type {ArrayLike<number>} */
    let norms = whole;
    if (chosen >= 0 && moved.itemised) norms = row(moved.itemised.norms, chosen);
    else if (moved.ways && kept !== all && moved.shut) norms = moved.shut(cutWays(moved.ways, kept));
    else if (moved.ways && kept !== all && !moved.stale) norms = row(moved.ways.kept, kept);
    const one = lane.one && lane.one > 0 ? lane.one : anchorOf(full, T - 1);
    const from = chosen >= 0 && moved.itemised ? moved.itemised.losses[chosen] : T - 1;
    return {
        lane: moved, T, norms, full, from, first: moved.first ?? 0,
        anchor: chosen >= 0 || moved !== lane ? anchorOf(chosen >= 0 ? norms : whole, from) : one,
        fullAnchor: one,
        changed: norms !== full, chosen: chosen >= 0, many: (lane.itemised?.losses.length ?? 0) > 1,
    };
}

/**
 * The norms of the state that is followed; of a loop of a single step there is but one.
 *
 * @param {Lane} lane
 */
function profileOf(lane) {
    return lane.profile[lane.state]?.data ?? Float64Array.from({ length: lane.T }, (_, j) => (j === lane.T - 1 ? lane.one ?? 0 : 0));
}

/**
 * The norm at which the gradient enters: at the step of the loss, or the first before it that has one.
 *
 * @param {ArrayLike<number>} norms
 * @param {number} from
 */
function anchorOf(norms, from) {
    for (let turn = from; turn >= 0; turn--) if (norms[turn] > 0 && norms[turn] < Infinity) return norms[turn];
    return 1;
}

/**
 * Whether a wire is cut: the one way that it belongs to is.
 *
 * @param {Lane} lane
 * @param {import("./data.js").Wire} wire
 * @param {number} cut
 */
export function isCut({ ways }, wire, cut) {
    if (!ways || !cut) return false;
    const way = ways.names.length === 1 && wire.recurrent ? 0 : ways.names.indexOf(wire.way ?? "");
    return way >= 0 && Boolean(cut & (1 << way));
}
