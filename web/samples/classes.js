/** The classes of a task: how many images each has, and to rename, merge or clear one with all its labels. */

import { act, read, transaction } from "../api.js";
import { inWords } from "./desk.js";
import { ask, button, el, keyed, say } from "../dom.js";
import { problem } from "./classbox.js";
import { count } from "./plan.js";

/**
 * What is said before a class is renamed, merged or cleared.
 * @param {string} from @param {string | null} to @param {{set: number, kept: number}} counts @param {boolean} exists whether `to` has images
 */
export function announced(from, to, { set, kept }, exists) {
    const labels = `${count(set, "image")}${kept ? ` and ${count(kept, "label")} that wait for their image` : ""}`;
    if (to === null) return `${labels} will have no label. The files stay as they are.`;
    return exists ? `${labels} of ${from} will be ${to}, and no class is called ${from} any more.` : `${labels} of ${from} will be called ${to}.`;
}

/** Whether folders gave labels of these samples, and which. @param {{label_source?: string, path?: string | null}[]} found answers of `samples` */
export const isFed = (found) => found.some(({ label_source: source }) => source === "folder");

export class Classes {
    /** @param {import("./desk.js").Desk} desk @param {(label: string) => void} show shows the images of a class */
    constructor(desk, show) {
        this.desk = desk;
        this.show = show;
        this.body = el("tbody");
        this.note = el("p.faint");
        this.element = el("details.classes-panel", {}, el("summary", {}, "Classes"),
            el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Classes" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Class"),
                el("th.number", { scope: "col" }, "Images"), el("th", { scope: "col" }, "Change all of them"))), this.body)), this.note);
        this.element.addEventListener("toggle", () => this.draw());
    }

    draw() {
        if (!/** @type {HTMLDetailsElement} */ (this.element).open) return;
        const counts = this.desk.samples.counts();
        const rows = this.desk.app.classes().map((name) => ({ name, images: counts.get(name) ?? 0 }));
        keyed(this.body, rows, ({ name }) => name, ({ name, images }) => this.row(name, images), (element, { images }) => {
            say(/** @type {Element} */ (element.children[1]), images.toLocaleString("en"));
        });
        say(this.note, rows.length ? "" : "No image has a label yet.");
    }

    /** @param {string} name @param {number} images */
    row(name, images) {
        const labelled = (/** @type {string} */ text, /** @type {() => unknown} */ run) => button(text, run, { "aria-label": `${text} ${name}` });
        return el("tr", {}, el("th", { scope: "row" }, button(name, () => this.show(name), { class: "quiet", title: "Show its images" })),
            el("td.number", {}, images.toLocaleString("en")),
            el("td", {}, el("span.row", {}, labelled("Rename…", () => this.rename(name)), labelled("Merge into…", () => this.merge(name)),
                labelled("Clear…", () => this.relabel(name, null)))));
    }

    /** @param {string} name */
    async rename(name) {
        const input = /** @type {HTMLInputElement} */ (el("input", { type: "text", value: name, "aria-label": "New name", maxlength: "128", autocomplete: "off" }));
        const answer = await ask(`Rename ${name}`, [el("p", {}, input)], [{ label: "Next", value: "next", primary: true }, { label: "Cancel", value: "" }]);
        const to = input.value.trim();
        if (answer !== "next" || to === name) return;
        const wrong = problem(to);
        if (wrong) this.desk.app.toast(wrong);
        else await this.relabel(name, to);
    }

    /** @param {string} name */
    async merge(name) {
        const others = this.desk.app.classes().filter((other) => other !== name);
        if (!others.length) return this.desk.app.toast("There is no other class.");
        const select = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": "The other class" }, ...others.map((other) => el("option", { value: other }, other))));
        const answer = await ask(`Merge ${name} into`, [el("p", {}, select)], [{ label: "Next", value: "next", primary: true }, { label: "Cancel", value: "" }]);
        if (answer === "next") await this.relabel(name, select.value);
    }

    /** Says how many images it is about, and does it after a question. @param {string} from @param {string | null} to */
    async relabel(from, to) {
        const { app } = this.desk;
        const about = app.about;
        const send = async () => {
            const { change } = await act("relabel", { from, to, ...about, transaction: transaction() });
            return change === null || change === undefined ? [] : [change];
        };
        const what = to === null ? "take the labels of a class away" : "rename classes";
        try {
            const [counts, fed] = await Promise.all([
                act("relabel", { from, to, dry_run: true, ...about }),
                read("samples", { ...about, label: from, limit: 1000 }).then(isFed, () => false),
            ]);
            const exists = to !== null && (this.desk.samples.counts().get(to) ?? 0) > 0;
            const title = to === null ? `Clear ${from}?` : exists ? `Merge ${from} into ${to}?` : `Rename ${from} to ${to}?`;
            const answer = await ask(title, [
                el("p", {}, announced(from, to, counts, exists)),
                fed && el("p", {}, `A folder feeds this class: images in a folder named ${from} get the label ${from} again when they arrive. Rename the folder as well.`),
            ], [{ label: "Cancel", value: "" }, { label: to === null ? "Clear it" : exists ? "Merge" : "Rename", value: "yes", primary: true }]);
            if (answer !== "yes") return;
            const numbers = await app.labels.later(send);
            const done = to === null ? `${from} cleared` : exists ? `${from} merged into ${to}` : `${from} renamed to ${to}`;
            if (to !== null) app.renameClass(from, to);
            if (!numbers.length) app.toast(`${done}: ${count(counts.set, "image")}`);
            app.labels.push(app.task, numbers, `${done}: ${count(counts.set, "image")}`, send);
            this.desk.soon();
        } catch (error) {
            app.toast(inWords(error, what));
        }
    }
}
