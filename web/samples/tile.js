/** How a sample looks in a grid, as a tile and as a line of a table, and how it is read out. */

import { thumbnail } from "../api.js";
import { NONE } from "../columns.js";
import { el, say } from "../dom.js";

/**
 * What is shown of a sample beside its columns.
 * @typedef {object} More
 * @property {import("../columns.js").Samples} samples
 * @property {number[]} members rows that it stands for
 * @property {"" | "pending" | "failed"} state
 * @property {string} reason why it is on the review list
 */

/** @param {import("../columns.js").Samples} samples @param {number} row */
const percent = (samples, row) => `${Math.round(samples.probability[row] / 2.55)} %`;

/** What is said of a sample. @param {number} row @param {More} more */
export function words(row, { samples, members, state, reason }) {
    const predicted = samples.predictedOf(row);
    const label = stackLabel(members, samples);
    const stack = members.length;
    const said = [
        label === null ? "no label" : `label ${label}`,
        predicted === null ? "not predicted" : `predicted ${predicted}, ${percent(samples, row)}`,
        stack > 1 ? `burst of ${stack} images` : "",
        samples.isExcluded(row) ? "excluded" : "",
        reason ? `review: ${reason}` : "",
        state === "pending" ? "being saved" : state === "failed" ? "not saved" : "",
    ];
    return said.filter(Boolean).join("; ");
}

/** The label of a stack: how many of it have one, where not all do. @param {number[]} members @param {import("../columns.js").Samples} samples */
function stackLabel(members, samples) {
    const labels = members.map((row) => samples.labelOf(row)).filter((label) => label !== null);
    if (!labels.length) return null;
    const first = labels[0];
    if (labels.some((label) => label !== first)) return "different labels";
    return labels.length === members.length ? first : `${first} (${labels.length} of ${members.length})`;
}

/**
 * What a tile shows below its picture.
 * @param {number} row @param {import("../columns.js").Samples} samples @param {number[]} [members]
 * @returns {[string, "label" | "predicted" | "faint"]}
 */
export function caption(row, samples, members = [row]) {
    const label = stackLabel(members, samples);
    if (label !== null) return [label, "label"];
    return samples.predicted[row] === NONE ? ["no answer", "faint"] : [`${samples.predictedOf(row)} ${percent(samples, row)}`, "predicted"];
}

/** @param {Element} element @param {string} name @param {boolean} is */
function flag(element, name, is) {
    if (element.classList.contains(name) !== is) element.classList.toggle(name, is);
}

/** Shows a picture, or keeps its place while it flies by. @param {HTMLImageElement} img @param {string} image @param {boolean} isStill */
function show(img, image, isStill) {
    if (img.dataset.image === image) return;
    if (isStill) {
        img.dataset.image = image;
        img.src = thumbnail(image);
    } else if (img.dataset.image) {
        delete img.dataset.image;
        img.removeAttribute("src");
    }
}

/** A tile without a sample. */
export function makeTile() {
    return el("div.tile.sample", { role: "gridcell" },
        el("img", { alt: "", draggable: "false" }),
        el("span.check", { "aria-hidden": "true" }),
        el("span.stack.tag", { hidden: true, "aria-hidden": "true" }),
        el("span.caption", { "aria-hidden": "true" }, el("span")),
        // What is seen in signs is read in words.
        el("span.unseen"));
}

/** @param {HTMLElement} tile @param {number} row @param {boolean} isStill @param {More} more */
export function fillTile(tile, row, isStill, more) {
    const { samples, members, state } = more;
    const stack = members.length;
    const [img, , pile, line, read] = /** @type {any} */ (tile.children);
    show(img, samples.image(row), isStill);
    const [text, kind] = caption(row, samples, members);
    const mark = { pending: " …", failed: " !", "": "" }[state];
    say(line.firstElementChild, text + mark);
    if (line.firstElementChild.className !== kind) line.firstElementChild.className = kind;
    if (stack > 1) say(pile, `×${stack}`);
    pile.hidden = stack < 2;
    flag(tile, "pending", state === "pending");
    flag(tile, "failed", state === "failed");
    flag(tile, "excluded", samples.isExcluded(row));
    flag(tile, "differs", samples.label[row] !== NONE && samples.predicted[row] !== NONE && samples.label[row] !== samples.predicted[row]);
    const said = words(row, more);
    if (read.textContent !== said) {
        read.textContent = said;
        tile.title = said;
    }
}

/** The columns of the table. */
export const HEADS = ["Picture", "Label", "Predicted", "Probability", "Arrived", "Burst", "State"];

/** A line of the table without a sample. */
export function makeLine() {
    const cell = (/** @type {import("../dom.js").Child[]} */ ...children) => el("span", { role: "gridcell" }, ...children);
    return el("div.sample", { role: "row" },
        cell(el("span.check", { "aria-hidden": "true" }), el("img", { alt: "", draggable: "false" })), ...HEADS.slice(1).map(() => cell()));
}

/** @param {HTMLElement} line @param {number} row @param {boolean} isStill @param {More} more */
export function fillLine(line, row, isStill, more) {
    const { samples, members, state, reason } = more;
    const stack = members.length;
    const [picture, label, predicted, surety, arrived, burst, rest] = /** @type {any} */ (line.children);
    show(picture.lastElementChild, samples.image(row), isStill);
    say(label, stackLabel(members, samples) ?? "–");
    say(predicted, samples.predictedOf(row) ?? "–");
    say(surety, samples.predicted[row] === NONE ? "–" : percent(samples, row));
    say(arrived, time(samples.arrived[row]));
    say(burst, stack > 1 ? `×${stack}` : samples.image(samples.burst[row]).slice(0, 8));
    const states = [samples.isExcluded(row) ? "excluded" : "", reason, state === "pending" ? "being saved" : state === "failed" ? "not saved" : ""];
    say(rest, states.filter(Boolean).join(", "));
    flag(line, "failed", state === "failed");
    flag(line, "excluded", samples.isExcluded(row));
}

const FORMAT = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

/** @param {number} seconds since 1970 */
export const time = (seconds) => FORMAT.format(new Date(seconds * 1000));
