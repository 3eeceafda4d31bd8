/** All suggestions above a bound, taken at once after a look. */

import { button, el, say } from "../dom.js";
import { percent, plural } from "../figures.js";
import { Tiles } from "./tiles.js";

/** The most images that the device is asked about at once. */
const MOST = 300;
const BOUND = 95;

/** @typedef {{image: string, label: string, probability: number}} Suggestion */

/**
 * Those that reach the bound, the most doubtful first.
 * @param {Suggestion[]} suggestions @param {number} bound in percent
 */
export function above(suggestions, bound) {
    return suggestions.filter(({ probability }) => probability * 100 >= bound).sort((one, other) => one.probability - other.probability);
}

/**
 * @param {string[]} images @param {import("./answers.js").Answers} answers
 * @param {{burstsOf: (images: string[]) => number, accept: (suggestions: Suggestion[]) => void, cancel: () => void}} acts
 */
export function acceptAll(images, answers, { burstsOf, accept, cancel }) {
    const asked = images.slice(0, MOST);
    /** @type {Suggestion[]} */
    let suggestions = [];
    let shown = [];
    let isOpen = true;
    const words = el("p", { role: "status" });
    const bound = /** @type {HTMLInputElement} */ (el("input", { type: "number", min: 50, max: 100, step: 1, value: BOUND, inputmode: "numeric" }));
    const go = button("Accept", () => take(), { class: "primary", disabled: true });
    const tiles = new Tiles("Suggestions", () => drawCount());
    const root = el("section.accept", { "aria-label": "Accept suggestions" },
        el("h2", {}, "Accept suggestions"), words,
        el("div.row", {}, el("label.row", {}, "at least", bound, "%"), go, button("Back", () => cancel())),
        el("p.faint", {}, "The most doubtful come first. Take a tile out by a click or by space."), tiles.root);

    function drawCount() {
        const { chosen } = tiles;
        say(go, `Accept ${chosen.size}`);
        go.disabled = chosen.size === 0;
        const more = images.length > asked.length ? ` of the first ${asked.length}` : "";
        const bursts = burstsOf([...chosen]);
        say(words, `${chosen.size}${more} suggestions are chosen, from ${plural(bursts, "burst")}: worth about ${plural(bursts, "image")}.`);
    }

    function draw() {
        shown = above(suggestions, Number(bound.value));
        tiles.show(shown.map(({ image, label, probability }) => ({ image, caption: `${label} ${percent(probability)}` })), true);
    }

    function take() {
        const { chosen } = tiles;
        accept(shown.filter(({ image }) => chosen.has(image)));
    }

    async function ask() {
        let count = 0;
        await Promise.all(asked.map(async (image) => {
            const answer = await answers.want(image);
            if (!isOpen) return;
            count += 1;
            if (answer?.label && answer.probability !== null && !answer.unknown) {
                suggestions.push({ image, label: answer.label, probability: answer.probability });
            }
            if (count < asked.length) say(words, `Asking the head in service: ${count} of ${asked.length} …`);
        }));
        if (!isOpen) return;
        suggestions = suggestions.filter(({ image }) => images.includes(image));
        draw();
        if (!suggestions.length) say(words, "The head in service suggests nothing for these images.");
    }
    bound.addEventListener("input", draw);
    ask();
    return {
        root,
        keys: () => [...tiles.keys().filter(({ key }) => key !== "Escape"),
            { key: "Enter", does: "accept the chosen suggestions", run: take }, { key: "Escape", does: "back", run: () => cancel() }],
        close: () => void (isOpen = false),
    };
}
