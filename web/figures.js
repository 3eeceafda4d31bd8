/** Figures in words: how they read everywhere on the page. */

import { el, keyed, say } from "./dom.js";

/** Stands for what is not known. */
export const NOTHING = "–";

/** A share as a percentage with at most one decimal. @param {number | null | undefined} ratio */
export const percent = (ratio) => (isNumber(ratio) ? `${tenths(ratio * 100)} %` : NOTHING);

/** A difference of shares: "+1.3 points". @param {number | null | undefined} change */
export function points(change) {
    if (!isNumber(change)) return NOTHING;
    const value = tenths(change * 100);
    return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value)} ${Math.abs(value) === 1 ? "point" : "points"}`;
}

/**
 * A share with its 95 % interval.
 * @param {number | null | undefined} ratio @param {[number, number] | null | undefined} interval
 */
export function between(ratio, interval) {
    return interval ? `${percent(ratio)} (${percent(interval[0])} to ${percent(interval[1])})` : percent(ratio);
}

/** @param {number | null | undefined} bytes */
export const megabytes = (bytes) => (isNumber(bytes) ? `${(bytes / 1048576).toFixed(1)} MB` : NOTHING);

/** A moment in the clock of who looks: "2026-03-01 08:02:01". @param {string | null | undefined} at RFC 3339 */
export function moment(at) {
    const date = new Date(at ?? NaN);
    if (Number.isNaN(date.getTime())) return NOTHING;
    const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
    const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
    return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** A length of time by its two largest units: "2 d 3 h". @param {number | null | undefined} seconds */
export function duration(seconds) {
    if (!isNumber(seconds)) return NOTHING;
    if (seconds < 60) return `${seconds < 10 && seconds % 1 ? seconds.toFixed(2) : Math.round(seconds)} s`;
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const first = units.findIndex(([, size]) => seconds >= Number(size));
    let rest = seconds;
    return units.slice(first, first + 2).map(([name, size]) => {
        const count = Math.floor(rest / Number(size));
        rest -= count * Number(size);
        return count ? `${count} ${name}` : "";
    }).filter(Boolean).join(" ");
}

/** "1 image", "2 images". @param {number} count @param {string} one @param {string} [more] */
export const plural = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

/**
 * Rows of a list of figures, kept where they are as they change.
 * @param {Element} list a `dl` @param {[string, unknown][]} rows
 */
export function listFigures(list, rows) {
    keyed(list, rows.flatMap(([name, value]) => [{ key: `${name}?`, tag: "dt", text: name }, { key: name, tag: "dd", text: value }]),
        ({ key }) => key, ({ tag, text }) => el(tag, {}, String(text)), (element, { text }) => say(element, text));
}

/** @param {unknown} value @returns {value is number} */
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
/** @param {number} value */
const tenths = (value) => Math.round(value * 10) / 10 || 0;
