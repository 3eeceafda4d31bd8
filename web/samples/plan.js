/** What a bulk change will do, counted before it is done. Pure, so that it is tested alone. */

/** More images than these are labelled after a question only. */
const ASKED = 20;

/**
 * @typedef {object} Plan
 * @property {import("../labels.js").Item[]} items those whose label changes
 * @property {import("../labels.js").Item[]} without of these, those that have no label
 * @property {number} replaced labels that go
 * @property {number} same images that have the label already
 */

/**
 * What giving `label` to `rows` means.
 * @param {import("../columns.js").Samples} samples @param {Iterable<number>} rows @param {string | null} label @returns {Plan}
 */
export function plan(samples, rows, label) {
    const items = [];
    const without = [];
    let same = 0;
    for (const row of rows) {
        const was = samples.labelOf(row);
        if (was === label) {
            same += 1;
            continue;
        }
        const item = { image: samples.image(row), label, was };
        items.push(item);
        if (was === null) without.push(item);
    }
    return { items, without, replaced: items.length - without.length, same };
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** Whether a person is asked before. @param {Plan} plan */
export const needsAnswer = ({ items, replaced }) => items.length > ASKED || replaced > 0;

/** The question before a bulk change. @param {Plan} plan @param {string | null} label */
export function question({ items, replaced }, label) {
    if (label === null) return `Takes ${count(replaced, "label")} away.`;
    const replaces = replaced ? `, replaces ${count(replaced, "label")}` : "";
    return `${count(items.length, "image")} as ${label}${replaces}.`;
}

/** What was done. @param {number} n @param {string | null} label */
export const told = (n, label) => (label === null ? `${count(n, "label")} taken away` : `${count(n, "image")}: ${label}`);

/**
 * What a selection is worth, in words.
 * @param {{images: number, bursts: number}} worth
 */
export function worthInWords({ images, bursts }) {
    if (!images) return "Nothing selected.";
    const selected = `${images.toLocaleString("en")} selected`;
    if (images === bursts) return `${selected}.`;
    return `${selected} in ${count(bursts, "burst")}: worth about ${count(bursts, "image")}.`;
}

/**
 * Where rows are in another list of samples; those that are gone are left out.
 * @param {import("../columns.js").Samples} before @param {import("../columns.js").Samples} after @param {Iterable<number>} rows
 */
export function moved(before, after, rows) {
    const found = [];
    for (const row of rows) {
        const now = after.row(before.image(row));
        if (now >= 0) found.push(now);
    }
    return found;
}

/** Parts of at most `most`. @template T @param {T[]} list @param {number} most @returns {T[][]} */
export function parts(list, most) {
    const made = [];
    for (let from = 0; from < list.length; from += most) made.push(list.slice(from, from + most));
    return made;
}
