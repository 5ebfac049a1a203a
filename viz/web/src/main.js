/** The page: reads the data, makes its parts, and draws them whenever the view changes. */

import { read } from "./data.js";
import { h } from "./dom.js";
import { Page } from "./page.js";

try {
    const page = new Page(read(document.getElementById("data")?.textContent ?? ""));
    (document.getElementById("app") ?? document.body).append(page.element);
    page.start();
} catch (error) {
    document.body.prepend(h("p", { role: "alert", class: "broken" }, `This page could not be shown: ${error}`));
    throw error;
}
