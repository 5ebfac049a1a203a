/**
 * Taking the view away: as one SVG with all colours in full, as PNG, or its numbers as CSV.
 *
 * @typedef {import("./shown.js").Shown} Shown
 */

import { at } from "./data.js";
import { h, s } from "./dom.js";

const INKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "display",
    "font-size", "font-weight", "font-style", "font-family", "text-anchor", "paint-order", "visibility"];

/**
 * A copy of a picture that needs no style sheet.
 *
 * @param {SVGSVGElement} picture
 */
function copied(picture) {
    const copy = /** @type {SVGSVGElement} */ (picture.cloneNode(true));
    const [from, to] = [picture, copy].map((root) => [root, ...root.querySelectorAll("*")]);
    from.forEach((element, k) => {
        const style = getComputedStyle(element);
        for (const ink of INKS) {
            const value = style.getPropertyValue(ink);
            if (value && value !== "normal") to[k].setAttribute(ink, value);
        }
        for (const name of ["class", "tabindex", "role", "id"]) to[k].removeAttribute(name);
    });
    for (const target of copy.querySelectorAll("[stroke='rgba(0, 0, 0, 0)']")) target.remove();
    return copy;
}

/**
 * The pictures of a page, below each other.
 *
 * @param {{title: string, paper: string, ink: string, font: string,
 *     rows: {words: string[], pictures: SVGSVGElement[]}[]}} what
 */
export function asSvg({ title, paper, ink, font, rows }) {
    let y = 34;
    let width = 640;
    const items = rows.flatMap(({ words, pictures }) => {
        const texts = words.map((line, k) => s("text", { x: 16, y: (y += 19), fill: ink, "font-family": font,
            "font-size": k ? 12 : 15, "font-weight": k ? "normal" : "bold" }, line));
        let [x, tall] = [16, 0];
        const copies = pictures.map((picture) => {
            const [w, high] = ["width", "height"].map((name) => Number(picture.getAttribute(name)));
            const copy = copied(picture);
            for (const [name, value] of Object.entries({ x, y: y + 8, width: w, height: high })) copy.setAttribute(name, String(value));
            x += w + 16;
            tall = Math.max(tall, high);
            return copy;
        });
        y += tall + 20;
        width = Math.max(width, x);
        return [...texts, ...copies];
    });
    width = Math.max(width, 16 + 9.5 * title.length);
    const svg = s("svg", { xmlns: "http://www.w3.org/2000/svg", width, height: y, viewBox: `0 0 ${width} ${y}` },
        s("title", {}, title), s("rect", { width, height: y, fill: paper }),
        s("text", { x: 16, y: 26, fill: ink, "font-family": font, "font-size": 17, "font-weight": "bold" }, title), ...items);
    return new XMLSerializer().serializeToString(svg);
}

/**
 * @param {string} svg
 * @returns {Promise<Blob>}
 */
export async function asPng(svg, enlarged = 2) {
    const image = new Image();
    const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    try {
        image.src = address;
        await image.decode();
    } finally {
        URL.revokeObjectURL(address);
    }
    const canvas = h("canvas", { width: Math.round(image.width * enlarged), height: Math.round(image.height * enlarged) });
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) =>
        canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG could be made"))), "image/png"));
}

/**
 * A row for each step of each lane.
 *
 * @param {Shown[]} all
 */
export function asCsv(all) {
    const names = [...new Set(all.flatMap(({ lane }) => lane.ways?.names ?? []))];
    const head = ["net", "layer", "step", "lag", "label", "state", "norm", "norm, nothing changed", ...names.map((name) => `share of ${name}`)];
    const lines = all.flatMap(({ lane, T, norms, full }) => Array.from({ length: T }, (_, j) => {
        const shares = names.map((name) => at(lane.ways?.shares, lane.ways?.names.indexOf(name) ?? -1, j));
        return [lane.name, lane.layer, lane.steps[j], T - 1 - j, lane.labels?.[j] ?? "", lane.state, norms[j], full[j],
            ...shares.map((x) => (x === undefined || Number.isNaN(x) ? "" : x))];
    }));
    return [head, ...lines].map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

/**
 * One field. What a spreadsheet would take for a formula is quoted with an apostrophe.
 *
 * @param {string | number} value
 */
function field(value) {
    if (typeof value === "number") return String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
    const link = h("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
