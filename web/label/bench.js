/** The workbench: an image or a stack at a time, and everything that may be done with it. */

import { act, transaction } from "../api.js";
import { button, el, say } from "../dom.js";
import { percent, plural } from "../figures.js";
import { DIGITS } from "../labels.js";
import { card } from "./card.js";
import { chooseClass } from "../samples/classbox.js";
import { drawBar } from "./classes.js";
import { Queue } from "./queue.js";
import { stackView } from "./stackview.js";
import { chosen, stackOf, worthOf } from "./stack.js";
import { stage } from "./stage.js";
import { conflicts, trail } from "./trail.js";
import { whyPanel } from "./why.js";
import { said } from "./words.js";

/** @typedef {import("../labels.js").Change} Change */

const WHY = "edgetuned.why";
/** Images that are loaded ahead. */
const AHEAD = 2;
/** How far a key moves a picture that is larger than its frame. */
const STEP = 80;

export class Bench {
    /**
     * @param {import("../main.js").App} app @param {import("./store.js").Store} store @param {import("./answers.js").Answers} answers
     * @param {{review: (image: string) => import("./queue.js").Review | undefined, among: () => Set<string> | null,
     *     atEnd: (left: number) => Node[], drawn: () => void, bind: () => void}} place
     */
    constructor(app, store, answers, place) {
        this.app = app;
        this.store = store;
        this.answers = answers;
        this.place = place;
        this.queue = new Queue();
        this.isStack = false;
        /** Whether something else is on the screen. */
        this.isIdle = false;
        /** The image on the screen, and the label that a person sees on it. @type {{image: string, label: string | null, suggestion: any, note: string} | null} */
        this.shown = null;
        /** Labels that this page gave. @type {Map<string, string | null>} */
        this.own = new Map();
        /** Changes that are shown as done. @type {WeakSet<Change>} */
        this.taken = new WeakSet();
        /** What an exclusion was about, by what does it again. @type {WeakMap<Function, {images: string[], excluded: boolean}>} */
        this.exclusions = new WeakMap();
        this.bound = "";
        this.build();
        this.ends = app.labels.on((change) => this.changed(change));
    }

    build() {
        this.stage = stage((direction) => this.swiped(direction));
        this.card = card();
        this.stack = stackView(() => this.draw());
        this.why = whyPanel(this.app);
        this.why.root.hidden = localStorage.getItem(WHY) !== "open";
        this.trail = trail((image) => (this.queue.show(image), this.draw()));
        this.conflicts = conflicts(this.app, () => this.draw());
        this.bar = el("div.classbar", { role: "group", "aria-label": "Classes" });
        this.named = button("Other class", () => this.byName(), { class: "classkey", title: "/" });
        this.take = button("Accept", () => this.accept(), { class: "primary wide-deed", title: "Enter" });
        this.whyButton = button("Why", () => this.toggleWhy(), { title: "W", "aria-expanded": String(!this.why.root.hidden) });
        this.excludes = button("Exclude", () => this.exclude(), { title: "X" });
        this.bare = button("No label", () => this.give(null), { title: "0" });
        this.same = button("Keep", () => this.keep(), { class: "wide-deed", title: "K" });
        const acts = el("div.deeds", { role: "group", "aria-label": "This image" }, this.take, this.same,
            button("Skip", () => this.skip(), { title: "S" }), button("Back", () => this.back(), { title: "Left" }),
            button("Undo", () => this.app.undo(), { title: "U" }));
        const more = el("div.deeds.more-deeds", { role: "group", "aria-label": "More about this image" }, button("100 %", () => this.stage.zoom(), { title: "Z" }),
            this.whyButton, this.excludes, this.bare);
        this.end = el("div.ended", { hidden: true });
        this.work = el("div.workbench", {}, el("div.sight", {}, this.stage.root, this.stack.root), this.card.root,
            el("div.reach", {}, acts, el("div.classrow", {}, this.bar, this.named)), more, this.why.root);
        this.root = el("div.bench", {}, this.end, this.work, this.trail.root);
        // After a press by pointer, Enter is the key of the next image again and not of that button.
        this.root.addEventListener("click", ({ detail, target }) => {
            const pressed = target instanceof Element ? target.closest("button") : null;
            if (detail > 0 && pressed === document.activeElement) pressed?.blur();
        });
    }

    /** @param {string[]} wanted */
    update(wanted) {
        this.queue.update(wanted);
        this.draw();
    }

    /** The stack on the screen. */
    stackNow() {
        const image = this.queue.current;
        return image === null ? { members: [], bare: [] } : stackOf(this.store.samples, image, this.place.among());
    }

    /** The images that a key labels. @returns {string[]} */
    targets() {
        const image = this.queue.current;
        if (image === null) return [];
        return this.isStack ? chosen(this.stackNow(), this.stack.withLabelled, this.stack.without) : [image];
    }

    /** The label that is seen on an image; undefined where it is not on the device. @param {string} image @returns {string | null | undefined} */
    labelOf(image) {
        const known = this.store.labelOf(image);
        if (known !== undefined) return known;
        const item = this.place.review(image);
        return item ? (item.label ?? null) : undefined;
    }

    /** @param {string | null} label */
    give(label) {
        const images = this.targets();
        if (this.queue.current === null) return;
        if (!images.length) return this.app.announce("All of them have a label: choose “also those with a label” to replace it.");
        if (label === null && images.every((image) => this.labelOf(image) === null)) return this.app.announce("There is no label to take away.");
        if (label !== null) this.app.nameClass(label);
        const items = images.map((image) => {
            const was = this.labelOf(image);
            return { image, label, ...(was === undefined ? {} : { was }) };
        });
        this.app.labels.set(this.app.task, items, said(images, label));
    }

    accept() {
        const suggestion = this.shown?.suggestion;
        if (suggestion) this.give(suggestion.label);
        else this.app.announce("There is no suggestion to accept.");
    }

    /** The same label once more: that is what confirms it. */
    keep() {
        const label = this.shown?.label ?? null;
        if (label === null) return this.app.announce("There is no label to keep.");
        if (!this.isStack) return this.give(label);
        const image = /** @type {string} */ (this.queue.current);
        this.app.labels.set(this.app.task, [{ image, label, was: label }], said([image], label));
    }

    async byName() {
        const image = this.queue.current;
        if (image === null) return;
        const label = await chooseClass(this.app);
        if (label === null) return;
        // What was on the screen when the question came is what the answer is about.
        if (this.queue.current !== image) this.queue.show(image);
        this.give(label);
    }

    skip() {
        const { members } = this.isStack ? this.stackNow() : { members: [] };
        do this.queue.skip();
        while (this.queue.current !== null && members.includes(this.queue.current));
        this.draw();
        this.tell("skipped");
    }

    back() {
        const { members } = this.isStack ? this.stackNow() : { members: [] };
        let moved = this.queue.back();
        while (moved && this.queue.current !== null && members.includes(this.queue.current)) moved = this.queue.back();
        if (!moved) this.app.announce("This is the first one.");
        this.draw();
    }

    /** @param {"right" | "left" | "up"} direction */
    swiped(direction) {
        if (direction === "right") this.accept();
        else if (direction === "left") this.skip();
        else this.app.undo();
    }

    toggleWhy() {
        const isOpen = this.why.root.hidden;
        this.why.root.hidden = !isOpen;
        this.whyButton.setAttribute("aria-expanded", String(isOpen));
        localStorage.setItem(WHY, isOpen ? "open" : "");
        this.draw();
    }

    /** @param {boolean} on */
    setStack(on) {
        this.isStack = on;
        this.draw();
        this.app.announce(on ? "A key labels a burst." : "A key labels an image.");
    }

    /** Puts images aside: they keep their label, and nothing learns from them or asks about them. */
    async exclude() {
        const image = this.queue.current;
        if (image === null) return;
        const excluded = !this.isExcluded(image);
        const images = this.isStack ? this.stackNow().members.filter((name) => !this.stack.without.has(name)) : [image];
        const { app } = this;
        const again = async () => {
            const { change } = await act("exclude", { ...app.about, images, excluded, transaction: transaction() });
            return change === null || change === undefined ? [] : [change];
        };
        this.exclusions.set(again, { images, excluded });
        this.mark(images, excluded);
        const words = images.length === 1 ? images[0].slice(0, 6) : plural(images.length, "image");
        try {
            const numbers = await app.labels.later(again);
            app.labels.push(app.task, numbers, `${words}: ${excluded ? "excluded" : "no longer excluded"}`, again);
        } catch (error) {
            this.mark(images, !excluded);
            const unknown = error instanceof Error && /** @type {any} */ (error).code === "unknown_request";
            app.toast(unknown ? "This device cannot exclude images." : `Not excluded: ${error instanceof Error ? error.message : error}`);
        }
    }

    /** @param {string[]} images @param {boolean} excluded */
    mark(images, excluded) {
        for (const image of images) {
            const row = this.store.samples.row(image);
            if (row >= 0) this.store.samples.setExcluded(row, excluded);
        }
        if (excluded) this.queue.finish(images);
        else this.queue.reopen(images[0]);
        this.draw();
    }

    /** @param {string} image */
    isExcluded(image) {
        const row = this.store.samples.row(image);
        return row >= 0 && this.store.samples.isExcluded(row);
    }

    /** Follows labels on their way, and back. @param {Change} change */
    changed(change) {
        this.conflicts.take(change);
        if (this.isIdle) return;
        const images = change.items.map(({ image }) => image.slice(0, 16));
        const exclusion = change.again ? this.exclusions.get(change.again) : undefined;
        if (exclusion && change.state === "undone") return this.mark(exclusion.images, !exclusion.excluded);
        if (exclusion && change.state === "confirmed") return this.mark(exclusion.images, exclusion.excluded);
        if (!images.length) return;
        if (change.state === "pending" && !this.taken.has(change)) {
            this.taken.add(change);
            for (const { image, label } of change.items) this.own.set(image.slice(0, 16), label);
            this.queue.finish(images);
        } else if (change.state === "undone" || (change.state === "failed" && !change.numbers.length)) {
            this.taken.delete(change);
            images.forEach((image) => (this.own.delete(image), this.queue.done.delete(image), this.queue.pending.add(image)));
            if (change.state === "undone") this.queue.reopen(images[0]);
        }
        // A label that this page gave or took back is no news.
        if (this.shown && images.includes(this.shown.image)) this.shown.label = this.labelOf(this.shown.image) ?? null;
        this.trail.take(change);
        this.draw();
        if (change.state === "confirmed") this.tell(change.items[0].label ?? "no label");
    }

    /** Says what happened, and what is there now. @param {string} what */
    tell(what) {
        const suggestion = this.shown?.suggestion;
        const next = this.queue.current === null ? "" : suggestion ? ` Next: ${suggestion.label} ${percent(suggestion.probability)}?` : "";
        this.app.announce(`${what}, ${this.queue.left} left.${next}`);
    }

    draw() {
        if (this.isIdle) return;
        const image = this.queue.current;
        const classes = this.app.classes();
        this.bind(classes);
        this.end.hidden = image !== null;
        this.work.hidden = image === null;
        if (image === null) {
            this.shown = null;
            this.stage.clear();
            this.end.replaceChildren(...this.place.atEnd(this.queue.left));
        } else {
            this.drawImage(image);
        }
        drawBar(this.bar, classes, this.store.samples.counts(), this.shown?.suggestion?.label ?? null, (label) => this.give(label));
        this.place.drawn();
    }

    /** @param {string} image */
    drawImage(image) {
        const label = this.labelOf(image) ?? null;
        const isNew = this.shown?.image !== image;
        if (isNew || !this.shown) this.shown = { image, label, suggestion: null, note: "" };
        if (isNew) this.stack.reset();
        if (!isNew && label !== this.shown.label && this.own.get(image) !== label) {
            this.shown.note = label === null ? "Meanwhile another one took its label away." : `Meanwhile another one labelled it ${label}. Skip to go on.`;
            this.app.announce(this.shown.note);
        }
        this.shown.label = label;
        const item = this.place.review(image);
        const answer = this.answers.get(image);
        this.shown.suggestion ??= this.suggest(image, item, answer);
        const stack = this.stackNow();
        const onDevice = this.labelOf(image) !== undefined;
        this.card.draw({
            image, label, item, answer, suggestion: this.shown.suggestion, asking: answer === undefined,
            note: onDevice ? this.shown.note : "This image is not on the device any more.",
            burst: stack.members.length > 1 ? worthOf(stack) : "", excluded: this.isExcluded(image),
        });
        this.same.hidden = label === null || label === this.shown.suggestion?.label;
        say(this.same, `Keep ${label}`);
        say(this.take, this.shown.suggestion ? `Accept ${this.shown.suggestion.label}` : "Accept");
        this.take.disabled = !this.shown.suggestion;
        this.bare.disabled = label === null && !this.isStack;
        say(this.excludes, this.isExcluded(image) ? "Include" : "Exclude");
        this.stage.show(image, `Image ${image.slice(0, 6)}`);
        this.stack.draw(this.isStack ? stack : null, image);
        this.preload(new Set(this.isStack ? stack.members : []));
        if (answer === undefined) this.answers.want(image).then(() => this.queue.current === image && this.draw());
        if (!this.why.root.hidden) this.drawWhy(image, answer, item, stack);
    }

    /** @param {Set<string>} without */
    preload(without) {
        const ahead = this.queue.ahead(without.size + AHEAD).filter((name) => !without.has(name)).slice(0, AHEAD);
        this.stage.preload(ahead);
        ahead.forEach((name) => this.answers.want(name));
    }

    /**
     * The review list's suggestion first; then the head in service; what was said when it came only where the device does not answer.
     * @param {string} image @param {import("./queue.js").Review | undefined} item @param {import("./answers.js").Answer | null | undefined} answer
     */
    suggest(image, item, answer) {
        if (item?.suggestion) return { label: item.suggestion, probability: item.probability };
        if (answer) return answer.label !== null && !answer.unknown ? { label: answer.label, probability: answer.probability } : null;
        const row = this.store.samples.row(image);
        const predicted = answer === null && row >= 0 ? this.store.samples.predictedOf(row) : null;
        return predicted === null ? null : { label: predicted, probability: this.store.samples.probabilityOf(row) };
    }

    /** @param {string} image @param {any} answer @param {any} item @param {import("./stack.js").Stack} stack */
    drawWhy(image, answer, item, stack) {
        const row = this.store.samples.row(image);
        const arrived = row < 0 ? "" : new Date(this.store.samples.arrived[row] * 1000).toLocaleString();
        this.why.show(image, answer, { burst: worthOf(stack), arrived, path: item?.path ?? "" });
    }

    /** Binds the keys; those of classes have their names. @param {string[]} classes */
    bind(classes) {
        const state = JSON.stringify(classes.slice(0, DIGITS));
        if (state === this.bound) return;
        this.bound = state;
        this.place.bind();
    }

    /** @returns {import("../keys.js").Binding[]} */
    keys() {
        const pan = (/** @type {string} */ key, /** @type {number} */ x, /** @type {number} */ y) =>
            ({ key: `Shift+Arrow${key}`, does: `move the picture ${key.toLowerCase()}`, hidden: key !== "Left", run: () => this.stage.pan(x * STEP, y * STEP) });
        return [
            { key: "Enter", does: "accept the suggestion", run: () => this.accept() },
            ...this.app.classes().slice(0, DIGITS).map((label, at) => ({ key: `${at + 1}`, does: `label as ${label}`, run: () => this.give(label) })),
            { key: "/, n", does: "class by name, or a new one", run: () => this.byName() },
            { key: "0", does: "take the label away", run: () => this.give(null) },
            { key: "s, ArrowRight", does: "skip", run: () => this.skip() },
            { key: "ArrowLeft, Backspace", does: "back to the one before", run: () => this.back() },
            { key: "k", does: "keep the label: confirms it", run: () => this.keep() },
            { key: "b", does: "label bursts, or one by one", run: () => this.setStack(!this.isStack) },
            { key: "w", does: "why", run: () => this.toggleWhy() },
            { key: "z", does: "picture at 100 %, or whole", run: () => this.stage.zoom() },
            { key: "x", does: "exclude the image, or include it", run: () => this.exclude() },
            pan("Left", -1, 0), pan("Right", 1, 0), pan("Up", 0, -1), pan("Down", 0, 1),
        ];
    }

    close() {
        this.ends();
    }
}
