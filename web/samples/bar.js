/** The bar below a selection: what it is worth and what can be done with it. Samples and Map have the same. */

import { chooseClass } from "./classbox.js";
import { choice } from "./desk.js";
import { button, el, keyed, say } from "../dom.js";
import { DIGITS } from "../labels.js";
import { question, worthInWords } from "./plan.js";
import { worth } from "../selection.js";

/**
 * What the bar acts on.
 * @typedef {object} Subject
 * @property {() => number[]} chosen rows: those selected, or those that the focus stands for
 * @property {() => Iterable<number>} selected rows
 * @property {(images: Set<string>) => void} done a change of these images was given: the selection has served
 * @property {() => void} clear
 * @property {() => void} details
 * @property {() => void} refocus where the focus was before a question
 */

export class Bar {
    /** @param {import("./desk.js").Desk} desk @param {Subject} subject */
    constructor(desk, subject) {
        this.desk = desk;
        this.subject = subject;
        /** Ends the question that is open. @type {((answer: "all" | "without" | "") => void) | null} */
        this.answer = null;
        this.count = el("p.count");
        this.classes = el("span.row.classes");
        this.question = el("p.row.question", { hidden: true, role: "group", "aria-label": "Question" });
        this.excludes = button("Exclude", () => this.exclude());
        this.acts = el("div.row.acts", {}, this.classes,
            el("button", { type: "button", onclick: () => this.other() }, el("kbd", {}, "/"), " Other class…"),
            el("button", { type: "button", onclick: () => this.give(null) }, el("kbd", {}, "0"), " No label"),
            this.excludes,
            button("Label one by one", () => this.oneByOne()),
            button("Details", () => this.subject.details()),
            button("Clear", () => this.subject.clear(), { "aria-label": "Clear the selection" }));
        this.element = el("section.selectionbar", { "aria-label": "Selection" }, this.count, this.question, this.acts);
    }

    draw() {
        const found = worth(this.subject.selected(), this.desk.samples.burst);
        say(this.count, worthInWords(found));
        this.element.classList.toggle("idle", found.images === 0);
        const classes = this.desk.app.classes().slice(0, DIGITS);
        keyed(this.classes, classes.map((name, at) => ({ name, at })), ({ name, at }) => `${at} ${name}`,
            ({ name, at }) => el("button.class", { type: "button", onclick: () => this.give(name) }, el("kbd", {}, String(at + 1)), ` ${name}`));
        say(this.excludes, this.areExcluded(this.subject.chosen()) ? "Take back in" : "Exclude");
    }

    /** @param {number[]} rows */
    areExcluded(rows) {
        return rows.length > 0 && rows.every((row) => this.desk.samples.isExcluded(row));
    }

    /** The keys of what the bar does. @returns {import("../keys.js").Binding[]} */
    keys() {
        return [
            ...Array.from({ length: DIGITS }, (_, at) => ({ key: String(at + 1), does: "", hidden: true, run: () => this.digit(at) })),
            { key: "1 to 9", does: "label the selection with the class of that key", run: () => {} },
            { key: "/", does: "label the selection with a class by its name, or a new one", run: () => this.other() },
            { key: "0", does: "take the labels away", run: () => this.give(null) },
            { key: "x", does: "exclude, or take back in", run: () => this.exclude() },
        ];
    }

    /** @param {number} at */
    digit(at) {
        const name = this.desk.app.classes()[at];
        if (name === undefined) this.desk.app.toast(`No class has the key ${at + 1} yet: / names one.`);
        else this.give(name);
    }

    /** @returns {number[] | null} rows to act on; says what to do where there are none */
    rows() {
        const rows = this.subject.chosen();
        if (rows.length) return rows;
        this.desk.app.toast("Select images first: click one, or go to one with Tab and arrows.");
        return null;
    }

    /** @param {number[]} rows */
    images(rows) {
        return new Set(rows.map((row) => this.desk.samples.image(row)));
    }

    /** @param {string | null} label */
    async give(label) {
        this.answer?.("");
        const rows = this.rows();
        if (!rows) return;
        const images = this.images(rows);
        if (await this.desk.give(rows, label, (plan) => this.ask(plan, label))) this.subject.done(images);
    }

    async other() {
        this.answer?.("");
        const rows = this.rows();
        if (!rows) return;
        const images = this.images(rows);
        const label = await chooseClass(this.desk.app);
        this.subject.refocus();
        if (label === null) return;
        // The samples may have been read anew meanwhile.
        const now = [...images].map((image) => this.desk.samples.row(image)).filter((row) => row >= 0);
        if (await this.desk.give(now, label, (plan) => this.ask(plan, label))) this.subject.done(images);
    }

    oneByOne() {
        const rows = this.rows();
        if (rows) this.desk.oneByOne(rows);
    }

    async exclude() {
        this.answer?.("");
        const rows = this.rows();
        if (!rows) return;
        const images = this.images(rows);
        if (await this.desk.exclude(rows, !this.areExcluded(rows))) this.subject.done(images);
    }

    /**
     * Asks in one line of the bar.
     * @param {import("./plan.js").Plan} plan @param {string | null} label @returns {Promise<"all" | "without" | "">}
     */
    ask(plan, label) {
        const text = question(plan, label);
        const some = plan.replaced > 0 && plan.without.length > 0;
        return new Promise((resolve) => {
            const answer = (/** @type {"all" | "without" | ""} */ value) => {
                const hadFocus = this.question.contains(document.activeElement);
                this.answer = null;
                this.question.hidden = true;
                this.question.replaceChildren();
                if (hadFocus) this.subject.refocus();
                resolve(value);
            };
            this.answer = answer;
            const first = choice("Do it", () => answer("all"), true);
            this.question.replaceChildren(el("span", {}, text), first,
                ...(some ? [choice(`Only the ${plan.without.length.toLocaleString("en")} without`, () => answer("without"))] : []),
                choice("Cancel", () => answer("")));
            this.question.hidden = false;
            first.focus();
            this.desk.app.announce(text);
        });
    }

    /** Escape ends a question before it clears a selection. @returns {boolean} whether there was one */
    escape() {
        const { answer } = this;
        answer?.("");
        return answer !== null;
    }
}
