/**
 * What is known of one part or wire at the step under the cursor: operation, shape, norms, and who sent what to it.
 *
 * @typedef {import("./data.js").Lane} Lane
 */

import { at } from "./data.js";
import { called, lettered } from "./cell.js";
import { h } from "./dom.js";
import { short } from "./numbers.js";

/**
 * The rows of a part or wire: a title, and pairs of a name and a value.
 *
 * @param {Lane} lane
 * @param {string} key
 * @param {number} turn
 * @returns {{title: string, rows: [string, string][], equation: number | null} | null}
 */
export function facts(lane, key, turn) {
    const { cell } = lane;
    if (!cell) return null;
    const index = new Map(cell.parts.map((part, k) => [part.key, k]));
    /** @param {string | null} name */
    const part = (name) => cell.parts[index.get(name ?? "") ?? -1];
    /** @param {string | null} name */
    const title = (name) => {
        const found = part(name);
        return found ? found.symbol ?? found.operation ?? found.name : "outside the layer";
    };
    const e = cell.wires.findIndex((wire) => wire.key === key);
    if (e >= 0) {
        const wire = cell.wires[e];
        const message = at(lane.messages, e, turn);
        return {
            title: wire.said,
            equation: part(wire.to)?.equation ?? null,
            rows: [
                ["message", said(message)],
                ["message, RMS", said(at(lane.message_rms, e, turn))],
                ["local factor", factor(lane, message, index.get(wire.to ?? ""), turn)],
                ...balance(lane, e, turn),
            ],
        };
    }
    const k = index.get(key);
    if (k === undefined) return null;
    const found = cell.parts[k];
    /** @type {[string, string][]} */
    const received = [];
    /** @type {[string, string][]} */
    const sent = [];
    cell.wires.forEach((wire, j) => {
        if (wire.from === key) {
            const column = wire.recurrent ? turn + 1 : turn;
            const message = column < lane.T ? at(lane.messages, j, column) : NaN;
            if (!Number.isNaN(message)) {
                received.push([`received from ${title(wire.to)}${wire.recurrent ? ", one step on" : ""}`,
                    `${said(message)} (× ${factor(lane, message, index.get(wire.to ?? ""), column)})`]);
            }
        }
        if (wire.to === key && !Number.isNaN(at(lane.messages, j, turn))) {
            sent.push([`sent to ${title(wire.from)}${wire.recurrent ? ", one step back" : ""}`, said(at(lane.messages, j, turn))]);
        }
    });
    return {
        title: called(found),
        equation: found.equation,
        rows: [
            ...meaning(cell.equations[found.equation ?? -1]),
            ["operation", found.operation ?? "given"],
            ["shape", !found.shape ? "not known" : found.shape.length ? found.shape.join(" × ") : "a number"],
            ["‖value‖", said(at(lane.values, k, turn))],
            ["‖gradient‖", said(at(lane.gradients, k, turn))],
            ...received, ...sent,
        ],
    };
}

/** @param {import("./data.js").Equation | undefined} equation @returns {[string, string][]} */
const meaning = (equation) => (equation?.words ? [["is", equation.words]] : []);

/** @param {number} x */
const said = (x) => (Number.isNaN(x) ? "none" : short(x));

/**
 * @param {Lane} lane
 * @param {number} message
 * @param {number | undefined} consumer
 * @param {number} turn
 */
function factor(lane, message, consumer, turn) {
    const gradient = consumer === undefined ? NaN : at(lane.gradients, consumer, turn);
    return gradient > 0 ? said(message / gradient) : "unknown";
}

/**
 * @param {Lane} lane
 * @param {number} e
 * @param {number} turn
 * @returns {[string, string][]}
 */
function balance(lane, e, turn) {
    const x = at(lane.balance, e, turn);
    return Number.isNaN(x) ? [] : [["positive entries", `${Math.round(50 + 50 * x)} %`]];
}

/**
 * The card.
 *
 * @param {NonNullable<ReturnType<typeof facts>>} found
 */
export function card({ title, rows }) {
    return [h("b", {}, title), h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name),
        h("dd", {}, ...(name === "is" ? lettered(value) : [value]))]))];
}
