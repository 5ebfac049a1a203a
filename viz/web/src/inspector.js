/**
 * The card that says what is known of the part or wire that is pointed at, focused or searched for. Its equation is
 * lit in the caption of the cell.
 *
 * @typedef {import("./view.js").View} View
 * @typedef {import("./view.js").Store} Store
 * @typedef {import("./cell.js").CellPicture} CellPicture
 */

import { h } from "./dom.js";
import { card, facts } from "./reader.js";

/** The card of one lane. */
export class Inspector {
    /**
     * @param {CellPicture} picture
     * @param {number} index
     * @param {HTMLUListElement | null} equations
     * @param {Store} store
     */
    constructor(picture, index, equations, store) {
        this.picture = picture;
        this.index = index;
        this.equations = equations;
        /** @type {string | null} */
        this.lit = null;
        this.element = h("div", { class: "card", role: "status", hidden: true });
        const read = (/** @type {Event} */ event, /** @type {boolean} */ pinned) => {
            const key = /** @type {Element} */ (event.target).closest("[data-key]")?.getAttribute("data-key");
            if (key) store.set({ part: `${index}/${key}`, pinned });
            else if (pinned) store.set({ part: null, pinned });
        };
        const leave = () => {
            if (!store.view.pinned && store.view.part?.startsWith(`${index}/`)) store.set({ part: null });
        };
        picture.svg.addEventListener("pointerover", (event) => {
            if (!store.view.pinned) read(event, false);
        });
        picture.svg.addEventListener("pointerleave", leave);
        picture.svg.addEventListener("focusin", (event) => read(event, false));
        picture.svg.addEventListener("focusout", leave);
        picture.svg.addEventListener("click", (event) => read(event, true));
        picture.svg.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            read(event, true);
        });
    }

    /** @param {View} view @param {number} turn @param {import("./data.js").Lane} lane */
    show(view, turn, lane) {
        const mine = view.part?.startsWith(`${this.index}/`) ? view.part.slice(String(this.index).length + 1) : null;
        const found = mine === null ? null : facts(lane, mine, turn);
        if (this.lit !== mine) {
            this.lit = mine;
            this.picture.light(mine);
            [...(this.equations?.children ?? [])].forEach((line, k) =>
                line.classList.toggle("lit", found !== null && k === found.equation));
        }
        this.element.hidden = found === null;
        if (!found || mine === null) return;
        this.element.classList.toggle("pinned", view.pinned);
        this.element.replaceChildren(...card(found));
        this.beside(mine);
    }

    /** Put the card under what it is about, or above it. @param {string} key */
    beside(key) {
        const about = [...this.picture.svg.querySelectorAll("[data-key]")].find((one) => one.getAttribute("data-key") === key);
        const around = this.element.offsetParent;
        if (!about || !around) return;
        const [it, frame] = [about.getBoundingClientRect(), around.getBoundingClientRect()];
        const { offsetWidth, offsetHeight } = this.element;
        const middle = it.left + it.width / 2 - frame.left - offsetWidth / 2;
        const picture = this.picture.svg.getBoundingClientRect();
        const [above, below] = [it.top - frame.top - 8 - offsetHeight, it.bottom - frame.top + 8];
        const low = it.top + it.bottom > picture.top + picture.bottom; // the equations below stay in sight
        const up = low ? it.top - 8 - offsetHeight > 0 : it.bottom + 8 + offsetHeight > innerHeight;
        this.element.style.left = `${Math.min(Math.max(middle, 4 - frame.left), innerWidth - 12 - frame.left - offsetWidth)}px`;
        this.element.style.top = `${up ? above : below}px`;
    }
}
