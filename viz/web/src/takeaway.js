/**
 * The menu of what can be taken away: the view as a picture, its numbers, a link, paper.
 *
 * @typedef {import("./page.js").Page} Page
 */

import { h, say } from "./dom.js";
import { asCsv, asPng, asSvg, download } from "./export.js";

/** @param {Page} page */
export function takeAway(page) {
    const saved = h("span", { class: "saved", role: "status" });
    /** @type {[string, () => Promise<void> | void][]} */
    const kinds = [
        ["Picture (SVG)", () => download(new Blob([pictureOf(page)], { type: "image/svg+xml" }), "explorer.svg")],
        ["Picture (PNG)", async () => download(await asPng(pictureOf(page)), "explorer.png")],
        ["Numbers (CSV)", () => download(new Blob([asCsv(page.all ?? [])], { type: "text/csv" }), "explorer.csv")],
        ["Link to this view", async () => {
            await navigator.clipboard.writeText(location.href);
            say(saved, "The link is copied.");
        }],
        ["Print", () => print()],
    ];
    return h("details", { class: "take" }, h("summary", {}, "Save"),
        h("div", {}, ...kinds.map(([words, act]) => h("button", { onclick: async () => {
            say(saved, "");
            try {
                await act();
            } catch {
                say(saved, "That did not work here; the address of the page holds the view.");
            }
        } }, words)), saved));
}

/** The view as one SVG. @param {Page} page */
export function pictureOf(page) {
    const { lanes, data, legend } = page;
    const theme = page.theme ?? data.themes.light;
    const rows = lanes.map(({ lane, chart, cell, sentence, reading }) => ({
        words: [lane.name, sentence.textContent ?? "", `${page.at(page.store.view)}: ${reading.textContent}`],
        pictures: cell ? [chart.svg, cell.svg] : [chart.svg],
    }));
    const scale = { words: ["Scale: × the gradient at lag 0"], pictures: [...legend.querySelectorAll("svg")] };
    return asSvg({ title: data.title, paper: theme.paper, ink: theme.ink, font: getComputedStyle(document.body).fontFamily,
        rows: [...rows, scale] });
}
