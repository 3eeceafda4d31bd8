/** What a person wants of this page, kept in this browser. */

const THEME = "edgetuned.theme";

/** @typedef {"system" | "light" | "dark"} Theme */

/** @returns {Theme} */
export function theme() {
    const kept = localStorage.getItem(THEME);
    return kept === "light" || kept === "dark" ? kept : "system";
}

/** Draws the page in the colours that are wanted. */
export function applyTheme() {
    const wanted = theme();
    if (wanted === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = wanted;
}

/** @param {Theme} wanted */
export function setTheme(wanted) {
    if (wanted === "system") localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, wanted);
    applyTheme();
}
