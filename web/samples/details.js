/** All that is known of one sample, over the page. */

import { act, picture, thumbnail } from "../api.js";
import { neighbours } from "../columns.js";
import { ask, el, say } from "../dom.js";
import { percent } from "../figures.js";
import { time } from "./tile.js";

/**
 * Shows a sample; resolves when it is closed.
 * @param {import("./desk.js").Desk} desk @param {number} row
 */
export async function details(desk, row) {
    const { app, samples } = desk;
    const image = samples.image(row);
    const label = samples.labelOf(row);
    const predicted = samples.predictedOf(row);
    const img = el("img.large", { src: picture(image), alt: label ?? predicted ?? "" });
    // The file may be gone; its thumbnail stays.
    img.addEventListener("error", () => img.setAttribute("src", thumbnail(image)), { once: true });
    const path = el("dd", {}, "…");
    const now = el("dd", {}, "…");
    const near = el("div.near");
    const nearText = el("p.faint", {}, "Looking for the nearest labelled images…");
    const burst = Array.from(samples.burst).filter((other) => other === samples.burst[row]).length;
    const shown = ask(label ?? "No label", [
        img,
        el("dl.figures", {},
            el("dt", {}, "Label"), el("dd", {}, label ?? "none", samples.isExcluded(row) ? ", excluded" : ""),
            el("dt", {}, "Predicted on arrival"), el("dd", {}, predicted === null ? "nothing" : `${predicted} ${percent(samples.probabilityOf(row))}`),
            el("dt", {}, "Predicted now"), now,
            el("dt", {}, "Arrived"), el("dd", {}, time(samples.arrived[row])),
            el("dt", {}, "Burst"), el("dd", {}, burst > 1 ? `${burst} images` : "alone"),
            el("dt", {}, "File"), path,
            el("dt", {}, "Digest"), el("dd.mono", {}, image, "…")),
        el("h3", {}, "Nearest labelled images"), nearText, near,
    ], [{ label: "Label it", value: "label" }, { label: "Close", value: "", primary: true }]);
    tell(act("predict", { image, ...app.about }), (found) => {
        say(path, found.path ?? "a frame of a camera");
        say(now, inWords(found));
    }, (why) => (say(path, "–"), say(now, why)));
    tell(neighbours(image, app.task), (found) => {
        near.append(...found.map((/** @type {any} */ other) => el("figure", {},
            el("img", { src: thumbnail(other.image), alt: "", width: 96, height: 72 }),
            el("figcaption", {}, other.label ?? "–", el("small", {}, ` ${other.distance.toFixed(2)}`)))));
        say(nearText, found.length ? agreement(found) : "None has a label yet.");
    }, (why) => say(nearText, why));
    if ((await shown) === "label") desk.oneByOne([samples.row(image) >= 0 ? samples.row(image) : row]);
}

/** What a head says now. @param {any} found an answer of `predict` */
function inWords({ label, top, set, unknown }) {
    if (label === null || label === undefined) return "nothing: there is no head";
    const list = (top ?? []).map((/** @type {any} */ { label: name, probability }) => `${name} ${percent(probability)}`).join(", ");
    const doubt = unknown ? "; unlike anything known" : set && set.length > 1 ? `; cannot exclude ${set.join(", ")}` : "";
    return `${list || label}${doubt}`;
}

/** How many of the nearest have which label, the most frequent one. @param {{label: string}[]} found */
export function agreement(found) {
    const counts = new Map();
    for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
    const [label, most] = [...counts].sort((a, b) => b[1] - a[1])[0];
    return `${most} of the ${found.length} nearest ${most === 1 ? "is" : "are"} ${label}.`;
}

/** @param {Promise<any>} promise @param {(value: any) => void} good @param {(why: string) => void} bad */
function tell(promise, good, bad) {
    promise.then(good, (error) => bad(error instanceof Error ? error.message : String(error)));
}
