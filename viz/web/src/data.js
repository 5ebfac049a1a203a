/**
 * What the page is about: the types of the JSON that `viz/explorer` writes, and how its arrays are read.
 *
 * @typedef {{type: "f8" | "f4" | "u1", shape: number[], base64: string}} Packed
 * @typedef {{shape: number[], data: Float64Array | Float32Array | Uint8Array}} Table
 *
 * @typedef {{key: string, d: string, from: string, to: string | null, recurrent: boolean, delay: number,
 *     outside: boolean, said: string, label: [number, number, string] | null, way: string | null}} Wire
 * @typedef {{key: string, symbol: string | null, name: string, operation: string | null, equation: number | null, shape: number[] | null,
 *     role: string | null, x: number, y: number}} Part
 * @typedef {{left: string, right: string, symbol: string | null, words?: string}} Equation
 * @typedef {{width: number, height: number, pitch: number, glyphs: string, back: string, wires: Wire[],
 *     parts: Part[], equations: Equation[]}} Cell
 *
 * @typedef {{names: string[], colours: string[], colours_dark: string[], shares: Table, kept: Table,
 *     members?: Record<string, string[]>}} Ways
 * @typedef {{losses: number[], norms: Table}} Itemised
 * @typedef {{names: string[], shares: Table, sums: Table}} Weights
 * @typedef {Record<string, {value: Table, gradient: Table}>} Heat
 * @typedef {{option: string, values: number[], lanes: SweptLane[]}} Sweep
 * @typedef {{profile: Record<string, Table>, rms?: Record<string, Table>, ways: Ways | null,
 *     horizon: number | null, finding: string, heat?: Heat | null}} SweptLane
 *
 * @typedef {SweptLane & {name: string, colour: string, colour_dark: string, layer: number, T: number, steps: number[],
 *     labels: string[] | null, state: string, states: string[], rms: Record<string, Table>, cell: Cell | null,
 *     messages: Table, message_rms: Table, balance: Table, values: Table, gradients: Table,
 *     heat: Heat | null, itemised: Itemised | null,
 *     weights?: Weights | null, live: any, sweep: Sweep | null, missing?: Record<string, string>, one?: number | null,
 *     first?: number, stale?: boolean, shut?: ((ways: string[]) => ArrayLike<number>) | null}} Lane
 *     first: the oldest turn that was taken; stale: computed again in the page, but not its shares of the ways;
 *     shut: the norms with some ways cut, computed again; null if the page cannot
 *
 * @typedef {{station: string, title: string, words: string, lane: number, turn: number,
 *     set: {cut?: string[], [name: string]: any}}} Station
 * @typedef {{ink: string, faint: string, paper: string, tile: string, rim: string, wire: string, alarm: string,
 *     nothing: string, now: string, changes: string[]}} Theme
 * @typedef {{format: number, title: string, summary: string, lanes: Lane[], tour: Station[],
 *     scale: {low: number, high: number}, themes: {light: Theme, dark: Theme},
 *     error: {message: string, lane: number | null, turn: number | null, node: string | null} | null}} Data
 */

const KINDS = { f8: Float64Array, f4: Float32Array, u1: Uint8Array };

/**
 * The JSON of the page, its arrays unpacked.
 *
 * @param {string} text
 * @returns {Data}
 */
export function read(text) {
    return unpacked(JSON.parse(text));
}

/**
 * The same with all arrays unpacked, in place. (A reviver of JSON.parse would be called for every number.)
 *
 * @param {any} value
 */
function unpacked(value) {
    if (typeof value !== "object" || value === null) return value;
    if (typeof value.base64 === "string") return unpack(value);
    for (const key of Object.keys(value)) {
        if (typeof value[key] === "object") value[key] = unpacked(value[key]);
    }
    return value;
}

/**
 * @param {Packed} packed
 * @returns {Table}
 */
function unpack({ type, shape, base64 }) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return { shape, data: new KINDS[type](bytes.buffer) };
}

/**
 * The entry of a table in row r, column c; NaN for a table that is not there.
 *
 * @param {Table | null | undefined} table
 * @param {number} row
 * @param {number} column
 */
export function at(table, row, column) {
    return table ? table.data[row * table.shape[1] + column] : NaN;
}

/**
 * One row of a table.
 *
 * @param {Table} table
 * @param {number} row
 */
export function row(table, row) {
    return table.data.subarray(row * table.shape[1], (row + 1) * table.shape[1]);
}
