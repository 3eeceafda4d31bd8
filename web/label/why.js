/** Why the device answers as it does: the images most like it, and what is known of the one that is shown. */

import { thumbnail } from "../api.js";
import { neighbours } from "../columns.js";
import { el, keyed, say } from "../dom.js";
import { percent } from "../figures.js";
import { vote } from "./words.js";

/** @typedef {{image: string, label: string | null, distance: number}} Near */

/** Tiles of neighbours. @param {HTMLElement} list @param {Near[]} near */
export function drawNear(list, near) {
    const caption = (/** @type {Near} */ { label, distance }) => `${label ?? "no label"} ${distance.toFixed(2)}`;
    keyed(list, near, ({ image }) => image, (one) => el("div.tile", {},
        el("img", { src: thumbnail(one.image.slice(0, 16)), alt: "", loading: "lazy", width: 160, height: 120 }),
        el("span.caption", {}, caption(one))), (element, one) => say(/** @type {Element} */ (element.lastElementChild), caption(one)));
}

/** @param {import("../main.js").App} app */
export function whyPanel(app) {
    const summary = el("p");
    const near = el("div.nearest");
    const facts = el("dl.figures");
    const root = el("section.panel.whypanel", { "aria-label": "Why", hidden: true }, el("h2", {}, "Why"), summary, near, facts);
    let current = "";

    /** @param {[string, string][]} rows */
    function drawFacts(rows) {
        keyed(facts, rows.filter(([, value]) => value).flatMap(([name, value]) => [{ key: `${name}?`, tag: "dt", text: name }, { key: name, tag: "dd", text: value }]),
            ({ key }) => key, ({ tag, text }) => el(tag, {}, el("bdi", {}, text)), (element, { text }) => say(/** @type {Element} */ (element.firstElementChild), text));
    }

    /**
     * @param {string} image @param {import("./answers.js").Answer | null | undefined} answer
     * @param {{burst: string, arrived: string, path: string}} known
     */
    async function show(image, answer, { burst, arrived, path }) {
        drawFacts([
            ["Most likely", (answer?.top ?? []).slice(0, 3).map(({ label, probability }) => `${label} ${percent(probability)}`).join(", ")],
            ["Not excluded", answer?.set ? (answer.set.join(", ") || "every class is excluded") : ""],
            ["Like the known", answer?.unknown === true ? "no, like nothing known" : answer?.unknown === false ? "yes" : ""],
            ["Burst", burst],
            ["Arrived", arrived],
            ["File", answer?.path ?? path],
        ]);
        if (image === current) return;
        current = image;
        say(summary, "Looking for images like it …");
        near.replaceChildren();
        try {
            const found = /** @type {Near[]} */ (await neighbours(image, app.task));
            if (current !== image) return;
            say(summary, vote(found));
            drawNear(near, found);
        } catch (error) {
            if (current !== image) return;
            say(summary, `The device names no images like it: ${error instanceof Error ? error.message : error}`);
        }
    }
    return { root, show };
}
