/** The bar of classes, with their keys. */

import { button, el, keyed, say } from "../dom.js";
import { DIGITS } from "../labels.js";

/**
 * Draws the classes with their digits.
 * @param {HTMLElement} bar @param {string[]} classes @param {Map<string, number>} counts @param {string | null} suggested
 * @param {(label: string) => void} choose
 */
export function drawBar(bar, classes, counts, suggested, choose) {
    const redraw = (/** @type {Element} */ element, /** @type {{label: string, at: number}} */ { label, at }) => {
        const [digit, , count] = element.children;
        say(digit, at < DIGITS ? at + 1 : "");
        /** @type {HTMLElement} */ (digit).hidden = at >= DIGITS;
        say(count, counts.get(label) ?? 0);
        element.classList.toggle("suggested", label === suggested);
    };
    keyed(bar, classes.map((label, at) => ({ label, at })), ({ label }) => label, (item) => {
        const element = button("", () => choose(item.label), { class: "classkey" });
        element.append(el("kbd"), el("bdi", {}, item.label), el("small"));
        redraw(element, item);
        return element;
    }, redraw);
}
