/** Numbers in few characters, as viz/numbers.py writes them. */

/** @type {Record<string, string>} */
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** @param {number} exponent */
const raised = (exponent) => [...String(exponent)].map((c) => RAISED[c]).join("");

/**
 * A power of ten: 10⁻³, 1, 10.
 *
 * @param {number} decade
 */
export function power(decade) {
    return decade === 0 ? "1" : decade === 1 ? "10" : `10${raised(decade)}`;
}

/**
 * A norm in few characters: 0.012, 1.3·10⁻⁷, 123.
 *
 * @param {number} x
 * @returns {string}
 */
export function short(x) {
    if (x === 0) return "0";
    if (Number.isNaN(x)) return "not a number";
    if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
    const size = Math.abs(x);
    if (size >= 0.001 && size < 999.5) return signed(String(Number(size < 99.5 ? x.toPrecision(2) : x.toFixed(0))));
    const [mantissa, exponent] = x.toExponential(1).split("e");
    const tens = `10${raised(Number(exponent))}`;
    return Number(mantissa) === 1 ? tens : signed(`${Number(mantissa)}·${tens}`);
}

/** @param {string} digits */
const signed = (digits) => digits.replace(/^-/, "−");

/**
 * A part of a whole: in per cent where that reads well, else as a power of ten.
 *
 * @param {number} x
 */
export function part(x) {
    return x >= 0.001 && x < 9.995 ? `${short(100 * x)} %` : x >= 9.995 ? `${short(x)} times` : short(x);
}

/**
 * "1 step", "12 steps".
 *
 * @param {number} count
 * @param {string} what
 */
export function counted(count, what) {
    return `${count} ${what}${count === 1 ? "" : "s"}`;
}
