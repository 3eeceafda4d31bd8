/** The bar of classes, and choosing one by its name. */

import { ask, button, el, keyed, say } from "../dom.js";
import { DIGITS } from "../labels.js";
import { matches } from "./words.js";

/** The most octets of a label. */
const LONGEST = 128;

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

/**
 * Asks for a class by its name; a new one is made after a question.
 * @param {string[]} classes @param {string} [title] @returns {Promise<string | null>} null where none was chosen
 */
export async function chooseClass(classes, title = "Class by name") {
    const typed = await pick(classes, title);
    if (!typed || classes.includes(typed)) return typed || null;
    const words = problemWith(typed);
    if (words) {
        await ask("No class", [el("p", {}, words)], [{ label: "Close", value: "", primary: true }]);
        return null;
    }
    const answer = await ask("A new class?", [el("p", {}, "There is no class ", el("strong", {}, el("bdi", {}, typed)), " yet.")], [
        { label: "Make it", value: "make", primary: true },
        { label: "Cancel", value: "" },
    ]);
    return answer === "make" ? typed : null;
}

/** Why a text can be no class. @param {string} text */
export function problemWith(text) {
    if (!text.trim()) return "A class needs a name.";
    if (new TextEncoder().encode(text).length > LONGEST) return `The name is longer than ${LONGEST} octets.`;
    return "";
}

/** @param {string[]} classes @param {string} title @returns {Promise<string>} */
function pick(classes, title) {
    const list = el("ul.class-options", { role: "listbox", id: "class-options", "aria-label": "Classes" });
    const input = /** @type {HTMLInputElement} */ (el("input", {
        type: "text", role: "combobox", "aria-controls": "class-options", "aria-expanded": "true", "aria-autocomplete": "list",
        "aria-label": "Name of the class", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    }));
    const dialog = /** @type {HTMLDialogElement} */ (el("dialog", { "aria-label": title }));
    const form = el("form", { method: "dialog" }, el("h2", {}, title), input, list,
        el("div.row.end", {}, button("Cancel", () => dialog.close("")), el("button.primary", { type: "submit" }, "Choose")));
    dialog.append(form);
    let at = 0;
    /** @type {{label: string, isNew: boolean}[]} */
    let options = [];

    function draw() {
        const text = input.value.trim();
        const found = matches(classes, text).map((label) => ({ label, isNew: false }));
        options = [...found, ...(text && !classes.includes(text) ? [{ label: text, isNew: true }] : [])];
        at = Math.max(0, Math.min(at, options.length - 1));
        keyed(list, options.map((option, index) => ({ ...option, index })), ({ label, isNew }) => `${isNew}${label}`,
            ({ label, isNew }) => el("li", { role: "option" }, isNew ? "New class: " : "", el("bdi", {}, label)));
        [...list.children].forEach((option, index) => {
            option.id = `class-option-${index}`;
            option.setAttribute("aria-selected", String(index === at));
            /** @type {HTMLElement} */ (option).onclick = () => dialog.close(options[index].label);
            if (index === at) option.scrollIntoView({ block: "nearest" });
        });
        if (options.length) input.setAttribute("aria-activedescendant", `class-option-${at}`);
        else input.removeAttribute("aria-activedescendant");
    }
    input.addEventListener("input", () => ((at = 0), draw()));
    input.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        at = (at + step + options.length) % Math.max(1, options.length);
        draw();
    });
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        dialog.close(options[at]?.label ?? "");
    });
    document.body.append(dialog);
    draw();
    dialog.showModal();
    input.focus();
    return new Promise((resolve) => {
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog.returnValue);
        });
    });
}
