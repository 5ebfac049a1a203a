/**
 * A net that the page computes again, forwards and backwards: see `viz/explorer/live.py`, which printed its functions.
 *
 * @typedef {import("./data.js").Table} Table
 * @typedef {Record<string, Float64Array>} Values    arrays by name, the rows one after the other
 * @typedef {{array: string, how: "add" | "multiply", from: number | null, to: number | null}} Change
 * @typedef {{option: string, label: string, start: number, low: number, high: number, step: number,
 *     changes: Change[]}} Slider
 * @typedef {{kind: "once" | "repeat", inputs: string[], gives: string[], T: number,
 *     rows: Record<string, {array: string, order: number[]}>,
 *     states: {last: string, next: string, first: string}[], kept: Record<string, string>, probes: string[]}} Stage
 * @typedef {{module: string, T: number, loss: string, stages: Stage[], arrays: Record<string, Table>,
 *     states: Record<string, string>, wires: (string | null)[], sliders: Slider[],
 *     cut: {number: number, stage: Stage, ways: Record<string, string>} | null}} Live
 * @typedef {{forwards: (...given: any[]) => {outputs: Values, saved: any}, backwards: (...given: any[]) => Values,
 *     shapes: {inputs: Record<string, number[]>, outputs: Record<string, number[]>}}} Functions
 * @typedef {{loss: number, profile: Record<string, Float64Array>, messages: Float64Array | null}} Result
 */

/** A net, ready to be run with other settings. */
export class Net {
    /** @param {Live} live */
    constructor(live) {
        this.live = live;
        /** @type {Functions[]} */
        this.functions = /** @type {any} */ (globalThis).microgradrnnModules[live.module];
        this.sliders = live.sliders;
    }

    /**
     * Everything at these settings. What is left out is at its start, and so is what this net has no slider for.
     *
     * @param {Record<string, number>} [settings]  by option: forgetBias, gain, h0, length
     * @returns {Result}
     */
    run(settings = {}) {
        const { stages, loss } = this.live;
        const values = this.changed(settings);
        const norms = this.pass(stages, this.functions, values, settings);
        return { loss: values[loss][0], profile: this.profile(norms), messages: this.messages(norms) };
    }

    /**
     * The profiles if some ways through the cell are shut. Null if this net cannot tell.
     *
     * @param {Record<string, number>} settings
     * @param {string[]} shut   names of ways
     * @returns {Record<string, Float64Array> | null}
     */
    cut(settings, shut) {
        if (!this.live.cut) return null;
        const { number, stage, ways } = this.live.cut;
        const values = this.changed(settings);
        for (const [way, mask] of Object.entries(ways)) values[mask] = Float64Array.of(shut.includes(way) ? 0 : 1);
        const own = this.functions[this.functions.length - 1];
        const stages = this.live.stages.map((one, k) => (k === number ? stage : one));
        const functions = this.functions.map((one, k) => (k === number ? own : one));
        return this.profile(this.pass(stages, functions, values, settings));
    }

    /**
     * Forwards and backwards through all stages. Returns the norm of the gradient of each probe at each step.
     *
     * @param {Stage[]} stages
     * @param {Functions[]} functions
     * @param {Values} values
     * @param {Record<string, number>} settings
     * @returns {Record<string, Float64Array>}
     */
    pass(stages, functions, values, settings) {
        const { T } = this.live;
        const first = T - Math.min(Math.max(Math.round(settings.length ?? T), 1), T);
        const saved = stages.map((stage, k) => (stage.kind === "once"
            ? this.once(stage, functions[k], values)
            : this.repeat(stage, functions[k], values, first)));
        return this.back(stages, functions, values, saved, first);
    }

    /**
     * The known numbers, changed as the sliders say.
     *
     * @param {Record<string, number>} settings
     * @returns {Values}
     */
    changed(settings) {
        /** @type {Values} */
        const values = Object.create(null);
        for (const [name, table] of Object.entries(this.live.arrays)) {
            values[name] = /** @type {Float64Array} */ (table.data);
        }
        for (const { option, start, changes } of this.sliders) {
            const value = settings[option] ?? start;
            if (value === start) continue;
            for (const { array, how, from, to } of changes) {
                const width = this.live.arrays[array].shape.at(-1) ?? 1;
                const [low, high] = [from ?? 0, to ?? width];
                values[array] = values[array].map((x, k) => {
                    if (k % width < low || k % width >= high) return x;
                    return how === "add" ? x + (value - start) : x * value;
                });
            }
        }
        return values;
    }

    /**
     * A stage that is done once. Returns what its derivative needs.
     *
     * @param {Stage} stage
     * @param {Functions} functions
     * @param {Values} values   gets the results
     */
    once(stage, functions, values) {
        const { outputs, saved } = functions.forwards(...stage.inputs.map((name) => values[name]), values);
        Object.values(outputs).forEach((y, k) => (values[stage.gives[k]] = y));
        return saved;
    }

    /**
     * A stage that is done for each step from a first one on; before it all states are the first state. Returns what
     * the derivative needs of each step.
     *
     * @param {Stage} stage
     * @param {Functions} functions
     * @param {Values} values
     * @param {number} first
     */
    repeat(stage, functions, values, first) {
        const { shapes } = functions;
        /** @type {Values} */
        const given = Object.create(values);
        for (const name of stage.probes) given[name] = new Float64Array(size(shapes.inputs[name]));
        for (const state of stage.states) given[state.last] = values[state.first];
        const sizes = Object.values(shapes.outputs).map(size);
        stage.gives.forEach((name, k) => {
            const all = (values[stage.kept[name]] = new Float64Array(stage.T * sizes[k]));
            const state = stage.states.find(({ next }) => next === name);
            if (state) for (let t = 0; t < first; t++) all.set(values[state.first], t * sizes[k]);
        });
        const saved = [];
        for (let t = first; t < stage.T; t++) {
            for (const [name, { array, order }] of Object.entries(stage.rows)) {
                given[name] = row(values[array], order[t], size(shapes.inputs[name]));
            }
            const step = functions.forwards(...stage.inputs.map((name) => given[name]), given);
            saved.push(step.saved);
            Object.values(step.outputs).forEach((y, k) => {
                values[stage.kept[stage.gives[k]]].set(y, t * sizes[k]);
                given[stage.gives[k]] = y;
            });
            for (const { last, next } of stage.states) given[last] = given[next];
        }
        return saved;
    }

    /**
     * The reverse pass through all stages. Of an array that wires lead to, norms of what comes from later stages.
     *
     * @param {Stage[]} stages
     * @param {Functions[]} functions
     * @param {Values} values
     * @param {any[]} saved   by stage
     * @param {number} first  the first step that was taken
     */
    back(stages, functions, values, saved, first) {
        /** @type {Values} */
        const gradients = Object.create(null);
        /** @type {(name: string) => Float64Array} */
        const at = (name) => (gradients[name] ??= new Float64Array(values[name].length));
        at(this.live.loss).fill(1);
        /** @type {Record<string, Float64Array>} */
        const norms = Object.create(null);
        for (let k = stages.length - 1; k >= 0; k--) {
            const stage = stages[k];
            if (stage.kind === "once") {
                if (!stage.inputs.length) continue;
                const found = functions[k].backwards(saved[k], ...stage.gives.map(at));
                for (const name of stage.inputs) add(at(name), found[name]);
                continue;
            }
            const { inputs, outputs } = functions[k].shapes;
            const sizes = Object.values(outputs).map(size);
            const wanted = Object.values(stage.kept).filter((name) => this.live.wires.includes(name));
            for (const name of [...stage.probes, ...wanted]) norms[name] = new Float64Array(stage.T).fill(NaN);
            /** @type {Values} */
            let carried = {};
            for (let t = stage.T - 1; t >= first; t--) {
                const seeds = stage.gives.map((name, j) => {
                    const seed = row(at(stage.kept[name]), t, sizes[j]);
                    const later = norms[stage.kept[name]];
                    if (later) later[t] = norm(seed);
                    for (const { last, next } of stage.states) if (next === name) add(seed, carried[last]);
                    return seed;
                });
                const found = functions[k].backwards(saved[k][t - first], ...seeds);
                for (const [name, { array, order }] of Object.entries(stage.rows)) {
                    add(row(at(array), order[t], size(inputs[name])), found[name]);
                }
                for (const name of stage.inputs) if (name in values) add(at(name), found[name]);
                for (const probe of stage.probes) norms[probe][t] = norm(found[probe]);
                carried = found;
            }
            for (const state of stage.states) add(at(state.first), carried[state.last]);
        }
        return norms;
    }

    /** The norms at the states. @param {Record<string, Float64Array>} norms */
    profile(norms) {
        return Object.fromEntries(Object.entries(this.live.states).map(([name, probe]) => [name, norms[probe]]));
    }

    /** The norms of what goes along the wires, a row for each. @param {Record<string, Float64Array>} norms */
    messages(norms) {
        const { wires, T } = this.live;
        const found = new Float64Array(wires.length * T).fill(NaN);
        wires.forEach((probe, e) => probe && found.set(norms[probe], e * T));
        return wires.length ? found : null;
    }
}

/** @param {number[]} shape */
function size(shape) {
    return shape.reduce((a, b) => a * b, 1);
}

/** @param {Float64Array} all @param {number} j @param {number} n */
function row(all, j, n) {
    return all.subarray(j * n, (j + 1) * n);
}

/** @param {Float64Array} sum @param {Float64Array | null | undefined} x */
function add(sum, x) {
    if (x) for (let k = 0; k < sum.length; k++) sum[k] += x[k];
}

/**
 * The Euclidean norm, without under- or overflow.
 *
 * @param {Float64Array | null} x
 */
function norm(x) {
    if (!x) return 0;
    let total = 0;
    for (let k = 0; k < x.length; k++) total += x[k] * x[k];
    if (total > 1e-280 && total < 1e280) return Math.sqrt(total);
    let largest = 0;
    for (let k = 0; k < x.length; k++) largest = Math.max(largest, Math.abs(x[k]));
    if (!(largest > 0 && largest < Infinity)) return largest;
    total = 0;
    for (let k = 0; k < x.length; k++) total += (x[k] / largest) ** 2;
    return largest * Math.sqrt(total);
}
