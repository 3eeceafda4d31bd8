/** What is said beside the picture: why it is asked about, what the device suggests, what label it has. */

import { el, say } from "../dom.js";
import { percent } from "../figures.js";
import { drawNear } from "./why.js";
import { why } from "./words.js";

/**
 * @typedef {object} Shown
 * @property {string} image
 * @property {string | null} label what it has
 * @property {{label: string, probability: number | null} | null} suggestion
 * @property {boolean} asking whether the suggestion is not known yet
 * @property {import("./queue.js").Review | undefined} item
 * @property {import("./answers.js").Answer | null | undefined} answer
 * @property {string} note
 * @property {string} burst
 * @property {boolean} excluded
 */

export function card() {
    const reason = el("p.faint");
    const label = el("p");
    const suggestion = el("p.next");
    const others = el("p.faint");
    const note = el("p.aside");
    const burst = el("p.faint");
    const near = el("div.nearest");
    const root = el("div.asked", {}, reason, label, suggestion, others, near, note, burst);

    /** @param {Shown} shown */
    function draw({ label: has, suggestion: wanted, asking, item, answer, note: words, burst: about, excluded }) {
        const isSuspicious = item?.reason === "suspicious" && has !== null && !!wanted;
        say(reason, item ? why(item.reason, answer ?? undefined) : "");
        reason.hidden = !item;
        label.replaceChildren(...(has === null ? [] : [isSuspicious ? "given: " : "label: ", el("strong", {}, el("bdi", {}, has))]), excluded ? el("span.tag.warn", {}, "excluded") : "");
        label.hidden = has === null && !excluded;
        suggestion.replaceChildren(...(wanted ? [isSuspicious ? "suggested: " : "", el("bdi", {}, wanted.label), ` ${percent(wanted.probability)}`]
            : [asking ? "asking the head …" : answer?.unknown ? "like nothing known" : "no suggestion"]));
        // A list that names another answer than the one above would be of another head.
        const top = answer && (!wanted || answer.label === wanted.label) ? answer.top : [];
        const rest = top.filter((one) => one.label !== wanted?.label && one.probability >= 0.005).slice(0, 2);
        say(others, rest.map((one) => `${one.label} ${percent(one.probability)}`).join(", "));
        others.hidden = !rest.length;
        near.hidden = !isSuspicious || !item?.neighbours?.length;
        drawNear(near, isSuspicious ? (item?.neighbours ?? []) : []);
        say(note, words);
        note.hidden = !words;
        say(burst, about);
        burst.hidden = !about;
    }
    return { root, draw };
}
