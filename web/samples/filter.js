/** Which samples are shown and in what order. Pure, so that it is tested alone; the address of the page carries it. */

import { NONE } from "../columns.js";

/**
 * @typedef {object} Filter
 * @property {string | null} label null: any; "": without a label
 * @property {string | null} predicted null: any; "": without a prediction
 * @property {number} low percent
 * @property {number} high percent
 * @property {boolean} differ labelled unlike predicted
 * @property {string | null} reason of the review list; "": any
 * @property {"hide" | "show" | "only"} excluded
 * @property {boolean} stacks one tile for a burst
 * @property {string[] | null} images first digits of images
 * @property {"latest" | "arrival" | "doubt" | "sure"} sort
 * @property {"tiles" | "table"} view
 */

/** What hides nothing. @returns {Filter} */
export const everything = () => ({
    label: null,
    predicted: null,
    low: 0,
    high: 100,
    differ: false,
    reason: null,
    excluded: "hide",
    stacks: false,
    images: null,
    sort: "latest",
    view: "tiles",
});

/** @param {string | null} text @param {number} otherwise */
function percent(text, otherwise) {
    const value = text === null || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(value) ? Math.min(100, Math.max(0, value)) : otherwise;
}

/** @template {string} T @param {string | null} text @param {T[]} choices the first one holds without `text` @returns {T} */
const among = (text, choices) => choices.find((choice) => choice === text) ?? choices[0];

/** First digits of images out of a text. @param {string} text @returns {string[] | null} */
export function digits(text) {
    const found = text.toLowerCase().match(/[0-9a-f]+/g);
    return found ? [...new Set(found)] : null;
}

/** The filter of an address. @param {URLSearchParams} params @returns {Filter} */
export function read(params) {
    const images = digits(params.get("images") ?? "");
    return {
        label: params.get("label"),
        predicted: params.get("predicted"),
        low: percent(params.get("low"), 0),
        high: percent(params.get("high"), 100),
        differ: params.get("differ") === "1",
        reason: params.get("reason"),
        // Who names images wants to see them.
        excluded: params.has("excluded") || !images ? among(params.get("excluded"), ["hide", "show", "only"]) : "show",
        stacks: params.get("stacks") === "1",
        images,
        sort: among(params.get("sort"), ["latest", "arrival", "doubt", "sure"]),
        view: among(params.get("view"), ["tiles", "table"]),
    };
}

/** What an address says of a filter: only what differs from the usual. @param {Filter} filter @returns {Record<string, string>} */
export function write(filter) {
    const usual = everything();
    /** @type {Record<string, string>} */
    const params = {};
    for (const [name, value] of Object.entries(filter)) {
        if (value === null || value === /** @type {any} */ (usual)[name]) continue;
        params[name] = Array.isArray(value) ? value.join(",") : value === true ? "1" : String(value);
    }
    // Images are shown whatever their state unless the address says otherwise.
    if (filter.images && filter.excluded === "hide") params.excluded = "hide";
    if (filter.images && filter.excluded === "show") delete params.excluded;
    return params;
}

/** The number that a class has in the columns; -1 where no sample has it. @param {import("../columns.js").Samples} samples @param {string} name */
const number = (samples, name) => (name === "" ? NONE : samples.classes.indexOf(name));

/** @param {import("../columns.js").Samples} samples @param {string[]} images @returns {Set<number>} */
function named(samples, images) {
    const rows = new Set();
    const short = images.filter((image) => image.length < 16);
    for (const image of images) if (image.length >= 16 && samples.row(image) >= 0) rows.add(samples.row(image));
    if (!short.length) return rows;
    for (let row = 0; row < samples.n; row += 1) {
        const image = samples.image(row);
        if (short.some((start) => image.startsWith(start))) rows.add(row);
    }
    return rows;
}

/**
 * The rows that a filter leaves, in its order.
 * @param {import("../columns.js").Samples} samples @param {Filter} filter
 * @param {Map<string, string>} reasons why an image (its first 16 digits) is on the review list
 * @returns {number[]}
 */
export function rows(samples, filter, reasons) {
    const { label, predicted, probability, n } = samples;
    const wantedLabel = filter.label === null ? null : number(samples, filter.label);
    const wantedPrediction = filter.predicted === null ? null : number(samples, filter.predicted);
    const isRanged = filter.low > 0 || filter.high < 100;
    // As tiles show it.
    const isOutside = (/** @type {number} */ row) => {
        const percent = Math.round(probability[row] / 2.55);
        return predicted[row] === NONE || percent < filter.low || percent > filter.high;
    };
    const only = filter.images ? named(samples, filter.images) : null;
    const found = [];
    for (let row = 0; row < n; row += 1) {
        if (wantedLabel !== null && label[row] !== wantedLabel) continue;
        if (wantedPrediction !== null && predicted[row] !== wantedPrediction) continue;
        if (isRanged && isOutside(row)) continue;
        if (filter.differ && !isContradicted(samples, row)) continue;
        if (filter.excluded !== "show" && samples.isExcluded(row) !== (filter.excluded === "only")) continue;
        if (only && !only.has(row)) continue;
        if (filter.reason !== null) {
            const reason = reasons.get(samples.image(row));
            if (!reason || (filter.reason !== "" && reason !== filter.reason)) continue;
        }
        found.push(row);
    }
    return sorted(samples, found, filter.sort);
}

/** Whether a sample is labelled unlike it was predicted. @param {import("../columns.js").Samples} samples @param {number} row */
export const isContradicted = ({ label, predicted }, row) => label[row] !== NONE && predicted[row] !== NONE && label[row] !== predicted[row];

/** @param {import("../columns.js").Samples} samples @param {number[]} found in the order of arrival @param {Filter["sort"]} sort */
function sorted({ probability, predicted }, found, sort) {
    if (sort === "arrival") return found;
    if (sort === "latest") return found.reverse();
    // What has no prediction is neither doubted nor sure: it comes last.
    const key = (/** @type {number} */ row) => (predicted[row] === NONE ? 1000 : sort === "doubt" ? probability[row] : 255 - probability[row]);
    return found.sort((a, b) => key(a) - key(b) || a - b);
}

/**
 * One row for each burst: the first of it in the list, which stands for the others of the list.
 * @param {number[]} list @param {ArrayLike<number>} burst
 * @returns {{list: number[], members: Map<number, number[]>}}
 */
export function stacked(list, burst) {
    const members = new Map();
    const tops = new Map();
    for (const row of list) {
        const top = tops.get(burst[row]);
        if (top === undefined) {
            tops.set(burst[row], row);
            members.set(row, [row]);
        } else {
            members.get(top).push(row);
        }
    }
    return { list: [...members.keys()], members };
}

/** @param {unknown} value a cell of a CSV file */
function cell(value) {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows as CSV, with the names that `samples import` reads. @param {import("../columns.js").Samples} samples @param {number[]} list */
export function csv(samples, list) {
    const lines = ["image,label,predicted,probability,arrived_at,group,fold,excluded"];
    for (const row of list) {
        const isPredicted = samples.predicted[row] !== NONE;
        lines.push([
            samples.image(row),
            samples.labelOf(row),
            samples.predictedOf(row),
            isPredicted ? samples.probabilityOf(row).toFixed(3) : "",
            new Date(samples.arrived[row] * 1000).toISOString(),
            samples.image(samples.burst[row]),
            samples.fold[row] === 255 ? "" : samples.fold[row],
            samples.isExcluded(row),
        ].map(cell).join(","));
    }
    return `${lines.join("\r\n")}\r\n`;
}
