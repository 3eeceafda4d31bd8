/** Settings of the page itself, and the way out. */

import { button, el } from "../dom.js";
import { setTheme, theme } from "../preferences.js";

/** Ends the session; a device without a token has none. @param {import("../main.js").App} app */
async function signOut(app) {
    try {
        const headers = { "Content-Type": "application/json" };
        const response = await fetch("logout", { method: "POST", credentials: "same-origin", redirect: "manual", headers, body: "{}" });
        if (response.status >= 400) throw new Error(`the device answered ${response.status}`);
        location.assign("login");
    } catch (error) {
        app.toast(`Not signed out: ${error instanceof Error ? error.message : error}`, [], 0);
    }
}

/** @param {import("../main.js").App} app */
export function pageSettings(app) {
    const keys = /** @type {HTMLInputElement} */ (
        el("input", { type: "checkbox", id: "page-keys", checked: !app.keys.off, "aria-describedby": "page-keys-about" })
    );
    keys.addEventListener("change", () => {
        app.keys.switch(!keys.checked);
        app.announce(keys.checked ? "Single keys act" : "Single keys do nothing");
    });
    const themes = /** @type {[import("../preferences.js").Theme, string][]} */ ([["system", "as the system"], ["light", "light"], ["dark", "dark"]]);
    const options = themes.map(([value, name]) => el("option", { value }, name));
    const choice = /** @type {HTMLSelectElement} */ (el("select", { id: "page-theme" }, ...options));
    choice.value = theme();
    choice.addEventListener("change", () => setTheme(/** @type {import("../preferences.js").Theme} */ (choice.value)));
    return el("section.panel.wide", { "aria-labelledby": "panel-page" },
        el("h2", { id: "panel-page" }, "This page"),
        el("div.row", {}, keys, el("label", { for: "page-keys" }, "Single keys act"),
            el("small", { id: "page-keys-about" }, "Keys with Ctrl, arrows and Enter act in any case."),
            button("All keys", () => app.help())),
        el("div.row", {}, el("label", { for: "page-theme" }, "Colours"), choice),
        el("p", {}, "For programs: ", el("a", { href: "metrics" }, "metrics"), " for Prometheus, ",
            el("a", { href: "api/v1/openapi.json" }, "the HTTP API"), " as OpenAPI."),
        el("div.row", {}, button("Sign out", () => signOut(app))));
}
