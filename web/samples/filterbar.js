/** The controls of a filter. They are made once: what changes is only their values, so that none loses the focus. */

import { button, el, keyed } from "../dom.js";
import { digits, everything } from "./filter.js";

/** Why an image is on the review list. */
const REASONS = ["novel", "uncertain", "diverse", "audit", "suspicious"];
/** How long typing pauses before it counts, in milliseconds. */
const PAUSE = 250;
/** Stands in a list for what an empty value would say: classes are never empty, so that both can be told apart. */
const ANY = "any";
const CLASS = "is ";

/** @typedef {import("./filter.js").Filter} Filter */

export class FilterBar {
    /** @param {Filter} filter @param {(filter: Filter) => void} changed */
    constructor(filter, changed) {
        this.filter = filter;
        this.changed = changed;
        this.timer = 0;
        this.label = this.choice("Label", (value) => ({ label: value }));
        this.predicted = this.choice("Predicted", (value) => ({ predicted: value }));
        this.low = this.percent("Least probability in percent", "low", 0);
        this.high = this.percent("Most probability in percent", "high", 100);
        this.differ = this.check("label ≠ predicted", "differ");
        this.stacks = this.check("bursts as stacks", "stacks");
        this.reason = this.select("Review", [["any", "any"], ["", "on the list"], ...REASONS.map((reason) => [reason, reason])],
            (value) => ({ reason: value === "any" ? null : value }));
        this.excluded = this.select("Excluded", [["hide", "hidden"], ["show", "shown"], ["only", "only these"]],
            (value) => ({ excluded: /** @type {Filter["excluded"]} */ (value) }));
        this.sort = this.select("Order", [["latest", "latest first"], ["arrival", "oldest first"], ["doubt", "most doubtful first"], ["sure", "surest first"]],
            (value) => ({ sort: /** @type {Filter["sort"]} */ (value) }));
        this.view = this.select("View", [["tiles", "tiles"], ["table", "table"]], (value) => ({ view: /** @type {Filter["view"]} */ (value) }));
        this.images = /** @type {HTMLInputElement} */ (el("input", { type: "search", placeholder: "first digits", spellcheck: "false", autocomplete: "off" }));
        this.images.addEventListener("input", () => this.later(() => ({ images: digits(this.images.value) })));
        const field = (/** @type {string} */ name, /** @type {HTMLElement[]} */ ...controls) => el("label.field", {}, el("span", {}, name), ...controls);
        this.element = el("form.filters", { "aria-label": "Filter", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
            field("Label", this.label), field("Predicted", this.predicted),
            el("span.field", { role: "group", "aria-label": "Probability" }, el("span", {}, "Probability %"), el("span.range", {}, this.low, "–", this.high)),
            field("Review", this.reason), field("Excluded", this.excluded), field("Image", this.images),
            field("Order", this.sort), field("View", this.view), this.differ.parentElement, this.stacks.parentElement,
            button("Reset", () => this.reset()));
        this.put();
    }

    /** @param {Partial<Filter>} change */
    set(change) {
        this.filter = { ...this.filter, ...change };
        this.changed(this.filter);
    }

    /** @param {() => Partial<Filter>} change */
    later(change) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.set(change()), PAUSE);
    }

    reset() {
        const { sort, view } = this.filter;
        this.filter = { ...everything(), sort, view };
        this.put();
        this.changed(this.filter);
    }

    /** Shows the filter in the controls. */
    put() {
        const { filter } = this;
        this.label.value = filter.label === null ? ANY : `${CLASS}${filter.label}`;
        this.predicted.value = filter.predicted === null ? ANY : `${CLASS}${filter.predicted}`;
        this.low.value = filter.low ? String(filter.low) : "";
        this.high.value = filter.high < 100 ? String(filter.high) : "";
        this.differ.checked = filter.differ;
        this.stacks.checked = filter.stacks;
        this.reason.value = filter.reason ?? "any";
        this.excluded.value = filter.excluded;
        this.sort.value = filter.sort;
        this.view.value = filter.view;
        this.images.value = filter.images?.join(" ") ?? "";
    }

    /** The classes that can be chosen. @param {string[]} classes */
    offer(classes) {
        for (const [select, wanted, none] of /** @type {const} */ ([[this.label, this.filter.label, "none"], [this.predicted, this.filter.predicted, "nothing"]])) {
            // One that the address names stays, whether a sample has it or not.
            const names = wanted && !classes.includes(wanted) ? [...classes, wanted] : classes;
            const options = [[ANY, "any"], [CLASS, none], ...names.map((name) => [`${CLASS}${name}`, name])];
            keyed(select, options, ([value]) => value, ([value, text]) => el("option", { value }, text));
            select.value = wanted === null ? ANY : `${CLASS}${wanted}`;
        }
    }

    /** @param {string} name @param {string[][]} options @param {(value: string) => Partial<Filter>} change */
    select(name, options, change) {
        const select = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": name }, ...options.map(([value, text]) => el("option", { value }, text))));
        select.addEventListener("change", () => this.set(change(select.value)));
        return select;
    }

    /** @param {string} name @param {(value: string | null) => Partial<Filter>} change */
    choice(name, change) {
        return this.select(name, [[ANY, "any"]], (value) => change(value === ANY ? null : value.slice(CLASS.length)));
    }

    /** @param {string} text @param {"differ" | "stacks"} key */
    check(text, key) {
        const input = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox" }));
        input.addEventListener("change", () => this.set({ [key]: input.checked }));
        el("label.row.check-field", {}, input, text);
        return input;
    }

    /** @param {string} name @param {"low" | "high"} key @param {number} otherwise */
    percent(name, key, otherwise) {
        const input = /** @type {HTMLInputElement} */ (el("input", { type: "number", min: "0", max: "100", placeholder: String(otherwise), "aria-label": name }));
        input.addEventListener("input", () => this.later(() => {
            const value = input.value === "" ? NaN : Number(input.value);
            return { [key]: Number.isFinite(value) ? Math.min(100, Math.max(0, value)) : otherwise };
        }));
        return input;
    }

    close() {
        clearTimeout(this.timer);
    }
}
