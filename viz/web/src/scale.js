/** The scale of gradients: a norm to a width and a colour, as viz/scale.py has it. 1 is the gradient at lag 0. */

/** @typedef {import("./data.js").Theme} Theme */

export const ONE = 2 / 3; // the place of 1: below it there is more to tell apart
const LEVELS = 60;

/** Decades from 10^low to 10^high, of norms divided by an anchor. What lies outside looks like the nearest end. */
export class Scale {
    /**
     * @param {number} low
     * @param {number} high
     */
    constructor(low, high) {
        this.low = Math.min(low, -1);
        this.high = Math.max(high, 0);
    }

    /**
     * The whole decades that hold some ratios; the lowest are cut off where there are more than `widest`.
     *
     * @param {Iterable<number>} ratios
     */
    static of(ratios, widest = 10) {
        let low = Infinity;
        let high = -Infinity;
        for (const ratio of ratios) {
            if (!(ratio > 0) || ratio === Infinity) continue;
            const decade = Math.log10(ratio);
            low = Math.min(low, decade);
            high = Math.max(high, decade);
        }
        if (low === Infinity) return new Scale(-8, 0);
        const top = Math.max(Math.ceil(high - 1e-9), 0);
        return new Scale(Math.min(Math.max(Math.floor(low + 1e-9), -widest), -2), top);
    }

    /**
     * Where on the scale a ratio is, 0..1.
     *
     * @param {number} ratio
     */
    place(ratio) {
        if (!(ratio > 0)) return 0;
        const decade = Math.log10(ratio);
        const place = decade <= 0 ? ONE * (1 - decade / this.low)
            : this.high ? ONE + ((1 - ONE) * decade) / this.high : ONE;
        return Math.min(Math.max(place, 0), 1);
    }

    /**
     * How high a column of a ratio stands, 0..1.
     *
     * @param {number} ratio
     * @param {boolean} log
     */
    height(ratio, log) {
        return log ? (ratio > 0 ? Math.max((Math.log10(ratio) - this.low) / (this.high - this.low), 0) : 0) : ratio / 10 ** this.high;
    }

    /**
     * The colour of a ratio, one of 61.
     *
     * @param {number} ratio
     * @param {Theme} theme
     */
    colour(ratio, theme) {
        return onRamp(theme.changes, this.place(ratio));
    }

    /**
     * The width of a wire in pixels.
     *
     * @param {number} ratio
     */
    width(ratio) {
        return 0.5 + 5.5 * (Math.round(this.place(ratio) * LEVELS) / LEVELS);
    }
}

/** @type {Map<string[], string[]>} */
const computed = new Map();

/**
 * The colour at x in 0..1 of a ramp of evenly spaced colours.
 *
 * @param {string[]} ramp
 * @param {number} x
 */
export function onRamp(ramp, x) {
    let levels = computed.get(ramp);
    if (!levels) {
        levels = Array.from({ length: LEVELS + 1 }, (_, j) => {
            const place = (j / LEVELS) * (ramp.length - 1);
            const k = Math.min(Math.floor(place), ramp.length - 2);
            return mixed(ramp[k], ramp[k + 1], place - k);
        });
        computed.set(ramp, levels);
    }
    return levels[Math.round(Math.min(Math.max(x, 0), 1) * LEVELS) || 0];
}

/**
 * @param {string} one
 * @param {string} other
 * @param {number} share
 */
export function mixed(one, other, share) {
    const hex = [1, 3, 5].map((k) => {
        const a = parseInt(one.slice(k, k + 2), 16);
        const b = parseInt(other.slice(k, k + 2), 16);
        return Math.round(a + share * (b - a)).toString(16).padStart(2, "0");
    });
    return `#${hex.join("")}`;
}

/** @param {string} colour */
function light(colour) {
    return [1, 3, 5].reduce((sum, k, j) => {
        const x = parseInt(colour.slice(k, k + 2), 16) / 255;
        return sum + [0.2126, 0.7152, 0.0722][j] * (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    }, 0);
}

/**
 * How well two colours are told apart, from 1 to 21 (WCAG 2).
 *
 * @param {string} one
 * @param {string} other
 */
export function contrast(one, other) {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}

/**
 * Black or white, whichever is easier to read on a colour.
 *
 * @param {string} ground
 */
export function readable(ground) {
    return contrast(ground, "#000000") > contrast(ground, "#ffffff") ? "#000000" : "#ffffff";
}
