/** What was taken for what, as a table whose cells lead to their images. */

import { el } from "../dom.js";
import { shade } from "./reports.js";

/** @typedef {{true: number, predicted: number, images: string[]}} Cell */
/** @typedef {{training: number, head: {version: number}, classes: string[], matrix: number[][], cells: Cell[]}} Confusion */

/** The most images that an address names. */
const MOST = 50;

/**
 * What leads to the images of a cell: the images themselves, or both classes where they are not known.
 * @param {Confusion} confusion @param {number} row @param {number} column @returns {Record<string, string>}
 */
export function cellArgs({ cells, classes }, row, column) {
    const images = cells.find((cell) => cell.true === row && cell.predicted === column)?.images ?? [];
    if (images.length) return { images: images.slice(0, MOST).map((image) => image.slice(0, 16)).join(",") };
    return { label: classes[row], predicted: classes[column] };
}

/** How the table reads. @param {Confusion} confusion */
export const confusionWords = ({ head, training }) =>
    `Rows: the label. Columns: the answer of head ${head?.version ?? "–"} on images that it had not seen, training ${training}. `
    + "A number leads to its images.";

/** @param {Confusion} confusion @param {Record<string, string>} about the task */
export function confusionTable(confusion, about) {
    const { classes, matrix } = confusion;
    const cell = (/** @type {number[]} */ counts, /** @type {number} */ row, /** @type {number} */ column) => {
        const count = counts[column];
        const total = counts.reduce((sum, value) => sum + value, 0);
        const kind = `shade-${shade(count, total)}`;
        if (!count) return el("td.number", { class: kind }, "0");
        const query = new URLSearchParams({ ...cellArgs(confusion, row, column), ...about });
        const says = row === column
            ? `${count} of ${classes[row]} right` : `${count} of ${classes[row]} taken for ${classes[column]}`;
        return el("td.number", { class: `${kind}${row === column ? " right" : ""}` },
            el("a", { href: `#/samples?${query}`, "aria-label": says, title: says }, String(count)));
    };
    return el("table.confusion", {},
        el("caption.unseen", {}, "What was taken for what"),
        el("thead", {}, el("tr", {}, el("td", {}),
            ...classes.map((name) => el("th.number", { scope: "col", title: name }, el("span", {}, name))))),
        el("tbody", {}, ...matrix.map((counts, row) => el("tr", {},
            el("th", { scope: "row", title: classes[row] }, el("span", {}, classes[row])),
            ...classes.map((_, column) => cell(counts, row, column))))));
}
