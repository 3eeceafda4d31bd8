/** Tables that scroll by themselves where the page is narrow. */

import { el } from "./dom.js";

/**
 * @param {string} title what a screen reader calls it
 * @param {string[]} columns their names
 * @param {HTMLElement} body its rows, a `tbody`
 * @param {string} [kind] a class of the table
 */
export function plainTable(title, columns, body, kind = "") {
    const head = el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name))));
    return el("table", { class: kind }, el("caption.unseen", {}, title), head, body);
}

/** A place that keys can scroll. @param {string} title @param {...HTMLElement} children */
export const scrolling = (title, ...children) =>
    el("div.scroll", { tabindex: 0, role: "region", "aria-label": `${title}, table` }, ...children);

/** A table that scrolls by itself. @type {typeof plainTable} */
export const scrollTable = (title, columns, body, kind) => scrolling(title, plainTable(title, columns, body, kind));
