/**
 * The text that was read, each character coloured by how much of the gradient comes back to its step. A click moves
 * the cursor there; where losses are itemised, a second one follows that character's loss.
 */

import { h, set } from "./dom.js";
import { visible } from "./label.js";
import { readable } from "./scale.js";

/** A row of characters. */
export class TextRow {
    /**
     * @param {string[]} labels
     * @param {string} name
     * @param {(lag: number) => void} go
     */
    constructor(labels, name, go) {
        this.T = labels.length;
        this.letters = labels.map((label, turn) => h("span", { class: "letter", "data-turn": turn }, visible(label)));
        this.element = h("p", {
            class: "text", tabindex: 0, role: "slider", "aria-label": `The text as ${name} reads it`,
            "aria-valuemin": 0, "aria-valuemax": this.T - 1, "aria-valuenow": 0,
            onclick: (event) => {
                const turn = /** @type {HTMLElement} */ (event.target).dataset.turn;
                if (turn !== undefined) go(this.T - 1 - Number(turn));
            },
        }, ...this.letters);
        this.labels = labels;
        this.overflows = false;
        this.room = 0;
        this.scrolled = 0;
        /** @type {number[]} where each letter stands */
        this.tops = [];
        /** @type {HTMLElement | undefined} */
        this.here = undefined;
        /** @type {HTMLElement | undefined} */
        this.chosen = undefined;
    }

    /** Scroll, if a line is out of sight. @param {number} top */
    reveal(top) {
        if (top >= this.scrolled && top <= this.scrolled + this.room - 20) return;
        this.scrolled = Math.max(top - this.room / 2, 0);
        this.element.scrollTop = this.scrolled;
    }

    /** Where the letters stand, read once: reading it at every move would lay the page out again. */
    measure() {
        this.room = this.element.clientHeight;
        this.overflows = this.element.scrollHeight > this.room;
        this.tops = this.overflows ? this.letters.map((letter) => letter.offsetTop - this.letters[0].offsetTop) : [];
    }

    /**
     * @param {(turn: number) => string} colour
     */
    paint(colour) {
        this.letters.forEach((letter, turn) => {
            const ground = colour(turn);
            if (letter.dataset.ground === ground) return;
            letter.dataset.ground = ground;
            letter.style.backgroundColor = ground;
            letter.style.color = readable(ground);
        });
    }

    /**
     * @param {number} lag
     * @param {number | null} loss
     */
    move(lag, loss) {
        const here = this.letters[this.T - 1 - lag];
        if (this.here !== here) {
            this.here?.classList.remove("here");
            here?.classList.add("here");
            this.here = here;
            if (here && this.overflows) this.reveal(this.tops[this.T - 1 - lag]);
        }
        set(this.element, "aria-valuenow", Math.min(lag, this.T - 1));
        set(this.element, "aria-valuetext", `${this.labels[this.T - 1 - lag] ?? "nothing"}, ${lag} steps back`);
        const chosen = loss === null ? undefined : this.letters[this.T - 1 - loss];
        if (this.chosen !== chosen) {
            this.chosen?.classList.remove("loss");
            chosen?.classList.add("loss");
            this.chosen = chosen;
        }
    }
}
