/** The first answers of a new head, and whether they are right. */

import { thumbnail } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { percent } from "../figures.js";
import { chooseClass } from "../samples/classbox.js";
import { said } from "./words.js";

/** Answers that are shown. */
const SHOWN = 24;

/** @typedef {{image: string, label: string | null, probability: number | null, verdict: string | null}} Shown `verdict` is the label that was given */

/** How many answers were right so far. @param {Shown[]} shown */
export function score(shown) {
    const judged = shown.filter(({ verdict }) => verdict !== null);
    if (!judged.length) return "";
    const right = judged.filter(({ label, verdict }) => label === verdict).length;
    return `${right} of ${judged.length} right so far.`;
}

/**
 * @param {import("../main.js").App} app @param {import("./store.js").Store} store @param {import("./answers.js").Answers} answers
 * @param {() => void} back
 */
export function trial(app, store, answers, back) {
    const words = el("p.faint");
    const sum = el("p.next", { role: "status" });
    const list = el("div.picks");
    const root = el("div", { hidden: true }, words, sum, list,
        el("p.row", {}, button("Go on with what is worth a label", () => app.go("label", { queue: "review" }), { class: "primary" }), button("Label more by hand", back)));
    /** @type {Shown[]} */
    let shown = [];

    /** @param {Shown} one @param {string} label */
    function judge(one, label) {
        app.labels.set(app.task, [{ image: one.image, label, was: one.verdict }], said([one.image], label));
        draw();
        app.announce(score(shown));
    }

    /** @param {Shown} one */
    async function correct(one) {
        const label = await chooseClass(app, "What is it?");
        if (label) judge(one, app.nameClass(label) && label);
    }

    /** @param {Shown} one */
    function make(one) {
        const name = one.image.slice(0, 6);
        return el("div.tile", {}, el("img", { src: thumbnail(one.image), alt: `Image ${name}`, loading: "lazy", width: 160, height: 120 }),
            el("span.caption"), el("span.row.verdict", {},
                button("Right", () => one.label && judge(one, one.label), { "aria-label": `Right: image ${name} is ${one.label}` }),
                button("Wrong", () => correct(one), { "aria-label": `Wrong: image ${name} is not ${one.label}` })));
    }

    /** @param {Element} element @param {Shown} one */
    function redraw(element, one) {
        const answer = one.label === null ? "no answer" : `${one.label} ${percent(one.probability)}`;
        say(element.children[1], one.verdict === null ? answer : one.verdict === one.label ? `✓ ${answer}` : `✗ ${answer}: it is ${one.verdict}`);
        element.classList.toggle("undecided", one === open());
        /** @type {HTMLElement} */ (element).dataset.verdict = one.verdict === null ? "" : one.verdict === one.label ? "right" : "wrong";
    }

    /** The first one that nobody has judged. */
    const open = () => shown.find(({ verdict }) => verdict === null) ?? null;

    function draw() {
        // An undone label, and one of another page, count as well.
        for (const one of shown) one.verdict = store.labelOf(one.image) ?? null;
        keyed(list, shown, ({ image }) => image, make, redraw);
        shown.forEach((one, at) => redraw(list.children[at], one));
        say(sum, score(shown));
    }

    return {
        root,
        draw,
        /** @param {string[]} images @param {string} reason */
        async show(images, reason) {
            say(words, reason);
            shown = [];
            list.replaceChildren();
            const found = await Promise.all(images.slice(0, SHOWN).map(async (image) => ({ image, answer: await answers.want(image) })));
            shown = found.map(({ image, answer }) => ({ image, label: answer?.label ?? null, probability: answer?.probability ?? null, verdict: null }));
            if (!shown.length) say(sum, "All images have a label. The next ones that arrive are answered.");
            draw();
        },
        keys() {
            const right = () => {
                const one = open();
                if (one?.label) judge(one, one.label);
            };
            const digits = Array.from({ length: 9 }, (_, at) => ({
                key: `${at + 1}`, does: `it is class ${at + 1}`, hidden: at > 0, run: () => {
                    const one = open();
                    const label = app.classes()[at];
                    if (one && label) judge(one, label);
                },
            }));
            return [{ key: "Enter", does: "the answer with the frame is right", run: right },
                { key: "w", does: "it is wrong", run: () => { const one = open(); if (one) correct(one); } }, ...digits];
        },
    };
}
