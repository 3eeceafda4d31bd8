/** A class chosen by its name, while it is typed; a new one after a question. */

import { ask, el, keyed } from "../dom.js";

/** The most names that are shown. */
const SHOWN = 8;

/**
 * Names that fit what is typed: those that begin so first.
 * @param {string[]} classes @param {string} typed
 */
export function fitting(classes, typed) {
    const text = typed.trim().toLowerCase();
    const same = (/** @type {string} */ name) => Number(name.toLowerCase() === text);
    const begins = classes.filter((name) => name.toLowerCase().startsWith(text)).sort((a, b) => same(b) - same(a));
    const there = new Set(begins);
    return [...begins, ...classes.filter((name) => !there.has(name) && name.toLowerCase().includes(text))];
}

/** What is wrong with a new name, or null. @param {string} name */
export function problem(name) {
    if (!name) return "Type a name.";
    if (new TextEncoder().encode(name).length > 128) return "That name is too long.";
    return /[/\\\u0000-\u001f\u007f-\u009f]/.test(name) ? "A name has no slashes." : null;
}

/** @param {import("../main.js").App} app @param {string} [title] @returns {Promise<string | null>} null where none was chosen */
export async function chooseClass(app, title = "Label with") {
    const name = await typed(app.classes(), title);
    if (name === null || app.classes().includes(name)) return name;
    const wrong = problem(name);
    if (wrong) {
        app.toast(wrong);
        return null;
    }
    const answer = await ask("A new class?", [el("p", {}, "No image has the label ", el("strong", {}, name), " yet.")], [
        { label: "Cancel", value: "" },
        { label: "Create it", value: "create", primary: true },
    ]);
    if (answer !== "create") return null;
    app.nameClass(name);
    return name;
}

/** @param {string[]} classes @param {string} title @returns {Promise<string | null>} */
function typed(classes, title) {
    const input = /** @type {HTMLInputElement} */ (el("input", {
        type: "text", role: "combobox", "aria-label": "Name of the class", "aria-controls": "classbox", "aria-expanded": "true",
        "aria-autocomplete": "list", autocomplete: "off", maxlength: "128", autofocus: true,
    }));
    const list = el("ul.classbox", { id: "classbox", role: "listbox", "aria-label": "Classes" });
    const dialog = /** @type {HTMLDialogElement} */ (el("dialog", { "aria-label": title }, el("h2", {}, title), input, list,
        el("p.faint", {}, "Enter takes the marked class; another name makes a new one.")));
    let at = 0;
    /** @type {string[]} */
    let found = [];
    const draw = () => {
        const text = input.value.trim();
        found = fitting(classes, text).slice(0, SHOWN);
        if (text && !classes.includes(text)) found.push(text);
        at = Math.max(0, Math.min(at, found.length - 1));
        const items = found.map((name, index) => ({ name, index, isNew: !classes.includes(name) }));
        keyed(list, items, ({ name, isNew }) => `${isNew} ${name}`, ({ name, isNew }) =>
            el("li", { role: "option", onclick: () => take(name) }, name, isNew ? el("small", {}, " (new)") : null));
        for (const [index, item] of [...list.children].entries()) {
            item.id = `classbox-${index}`;
            item.setAttribute("aria-selected", String(index === at));
        }
        if (found.length) input.setAttribute("aria-activedescendant", `classbox-${at}`);
        else input.removeAttribute("aria-activedescendant");
    };
    /** @type {string | null} */
    let result = null;
    const take = (/** @type {string} */ name) => {
        result = name;
        dialog.close();
    };
    input.addEventListener("input", () => ((at = 0), draw()));
    input.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            at += event.key === "ArrowDown" ? 1 : -1;
            draw();
        } else if (event.key === "Enter" && !event.isComposing) {
            if (found.length) take(found[at]);
        } else return;
        event.preventDefault();
    });
    document.body.append(dialog);
    draw();
    dialog.showModal();
    return new Promise((resolve) => {
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(result);
        });
    });
}
