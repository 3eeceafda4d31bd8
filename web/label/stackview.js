/** The images of a stack, each of which can be taken out of it. */

import { thumbnail } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { plural } from "../figures.js";
import { chosen, worthOf } from "./stack.js";

/** Images of a stack that are shown. */
const SHOWN = 60;

/** @param {() => void} changed */
export function stackView(changed) {
    const words = el("p");
    const members = el("div.burst-members", { role: "group", "aria-label": "Images of this burst" });
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", onchange: changed }));
    const also = el("label.row", {}, box, el("span"));
    const root = el("div.burst-view", { hidden: true }, words, also, members);
    /** @type {Set<string>} */
    const without = new Set();

    /** @param {string} image */
    function toggle(image) {
        if (!without.delete(image)) without.add(image);
        changed();
    }

    return {
        root,
        without,
        get withLabelled() {
            return box.checked;
        },
        reset() {
            without.clear();
            box.checked = false;
        },
        /** @param {import("./stack.js").Stack | null} stack */
        draw(stack) {
            root.hidden = stack === null;
            if (!stack) return;
            const labelled = stack.members.length - stack.bare.length;
            const taken = new Set(chosen(stack, box.checked, without));
            say(words, `${worthOf(stack)}. A key labels ${plural(taken.size, "image")}.`);
            also.hidden = labelled === 0;
            say(/** @type {Element} */ (also.lastElementChild), `also ${labelled === 1 ? "the one" : `the ${labelled}`} with a label`);
            const bare = new Set(stack.bare);
            const redraw = (/** @type {Element} */ element, /** @type {string} */ image) => {
                element.setAttribute("aria-pressed", String(taken.has(image)));
                /** @type {HTMLButtonElement} */ (element).disabled = !bare.has(image) && !box.checked;
            };
            keyed(members, stack.members.slice(0, SHOWN), (image) => image, (image) => {
                const element = button("", () => toggle(image), { class: "burst-member", "aria-label": `Image ${image.slice(0, 6)}` });
                element.append(el("img", { src: thumbnail(image), alt: "", loading: "lazy", width: 64, height: 48 }));
                redraw(element, image);
                return element;
            }, redraw);
        },
    };
}
