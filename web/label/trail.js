/** The last changes with their state, and those that another page was ahead of. */

import { thumbnail } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { plural } from "../figures.js";
import { conflictsOf } from "./store.js";

/** @typedef {import("../labels.js").Change} Change */

/** Changes that are shown. */
const SHOWN = 6;
const STATES = { pending: "on its way", waiting: "waits for the device", confirmed: "taken", failed: "not taken", undone: "undone" };
const MARKS = { pending: "…", waiting: "…", confirmed: "✓", failed: "✗", undone: "↶" };

/** The label of a change in words. @param {Change} change */
const labelOf = ({ items }) => {
    const labels = [...new Set(items.map(({ label }) => label ?? "no label"))];
    return labels.length === 1 ? labels[0] : plural(labels.length, "class", "classes");
};

/** @param {(image: string) => void} show */
export function trail(show) {
    const root = el("div.trail", { role: "group", "aria-label": "Latest labels" });
    /** @type {Change[]} */
    let changes = [];
    const names = new WeakMap();
    let count = 0;

    /** @param {Element} element @param {Change} change */
    function redraw(element, change) {
        const [, words, mark] = element.children;
        const many = change.items.length > 1 ? ` ×${change.items.length}` : "";
        say(words, `${labelOf(change)}${many}`);
        say(mark, MARKS[change.state]);
        /** @type {HTMLElement} */ (element).dataset.state = change.state;
        element.setAttribute("aria-label", `${labelOf(change)}${many}, ${STATES[change.state]}: look at it again`);
    }

    /** @param {Change} change */
    function take(change) {
        if (!change.items.length) return;
        if (!names.has(change)) names.set(change, `${(count += 1)}`);
        changes = [change, ...changes.filter((other) => other !== change)].slice(0, SHOWN);
        changes.sort((one, other) => Number(names.get(other)) - Number(names.get(one)));
        keyed(root, changes, (one) => names.get(one), (one) => {
            const image = one.items[0].image;
            const element = button("", () => show(image), { class: "given" });
            element.append(el("img", { src: thumbnail(image), alt: "", width: 40, height: 30 }), el("bdi"), el("span"));
            redraw(element, one);
            return element;
        }, redraw);
    }
    return { root, take };
}

/**
 * What a person may say to labels that another one gave meanwhile.
 * @param {Change} change
 * @returns {{theirs: {image: string, label: string | null, mine: string | null}[], free: import("../labels.js").Item[]}} `free`: items
 *     that nobody else labelled, which the refusal held up
 */
export function disputed(change) {
    const conflicts = conflictsOf(change);
    /** @type {ReturnType<typeof disputed>} */
    const found = { theirs: [], free: [] };
    for (const item of change.items.slice(change.sent)) {
        const conflict = conflicts.get(item.image.slice(0, 16));
        if (conflict) found.theirs.push({ image: item.image, label: conflict.label, mine: item.label });
        else found.free.push(item);
    }
    return found;
}

/** @param {import("../main.js").App} app @param {(change: Change) => void} settled */
export function conflicts(app, settled) {
    const root = el("div.conflicts", { role: "group", "aria-label": "Labels that another one gave" });

    /** @param {Change} change */
    function take(change) {
        if (change.state !== "failed" || change.error?.code !== "conflict") return;
        const { theirs, free } = disputed(change);
        if (!theirs.length) return;
        const [first] = theirs;
        const one = theirs.length === 1;
        const panel = el("section.panel.conflict", { "aria-label": "Conflict" });
        const end = (/** @type {import("../labels.js").Item[]} */ items, /** @type {string} */ text) => {
            panel.remove();
            settled(change);
            if (items.length) app.labels.set(change.task, items, text);
        };
        const mine = theirs.map(({ image, label, mine: wanted }) => ({ image, label: wanted, was: label }));
        panel.append(
            el("img", { src: thumbnail(first.image), alt: "", width: 80, height: 60 }),
            el("p", {}, one ? "Meanwhile another one labelled this image " : `Meanwhile another one labelled ${theirs.length} of these ${change.items.length} images, the first `,
                el("strong", {}, el("bdi", {}, first.label ?? "no label")), "; you said ", el("strong", {}, el("bdi", {}, first.mine ?? "no label")), "."),
            el("div.row", {},
                button("Keep theirs", () => end(free, `${plural(free.length, "image")}: ${labelOf(change)}`)),
                button("Set mine", () => end([...free, ...mine], `${plural(free.length + mine.length, "image")}: ${labelOf(change)}`))));
        root.append(panel);
    }
    return { root, take };
}
