/** What Samples and Map share: the samples, what is under way with them, and what is done to a selection. */

import { act, ApiError, transaction } from "../api.js";
import { button, el } from "../dom.js";
import { count, moved, needsAnswer, parts, plan, told } from "./plan.js";

/** The most images in one request. */
const MOST = 1000;
/** Messages come in bursts; the samples are read once for each, after this pause in milliseconds. */
const PAUSE = 300;

/**
 * What a place does with what the desk tells it.
 * @typedef {object} Host
 * @property {() => void} drawn labels or states of samples are others; rows are the same
 * @property {(move: (rows: Iterable<number>) => number[]) => void} loaded the samples are others; `move` says where rows are now
 */

export class Desk {
    /** @param {import("../main.js").App} app @param {Host} host */
    constructor(app, host) {
        this.app = app;
        this.host = host;
        this.samples = /** @type {import("../columns.js").Samples} */ (/** @type {unknown} */ (null));
        /** Images whose label the device did not take. @type {Set<string>} */
        this.failed = new Set();
        /** Images that are being excluded or taken back in. @type {Map<string, boolean>} */
        this.excluding = new Map();
        this.timer = 0;
        this.isClosed = false;
        this.ends = [
            app.live.on("health", () => this.soon()),
            app.live.on(app.topic("review"), () => this.soon()),
            app.live.on("link", (state) => state === "open" && this.soon()),
            app.labels.on((change) => this.follow(change)),
        ];
    }

    close() {
        this.isClosed = true;
        clearTimeout(this.timer);
        for (const end of this.ends) end();
    }

    soon() {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.load().catch(() => {}), PAUSE);
    }

    /** Reads the samples where they have changed. */
    async load() {
        const { samples } = await this.app.index.load(this.app.task);
        if (this.isClosed || samples === this.samples) return;
        const before = this.samples;
        this.samples = samples;
        // Labels that are under way are newer than what was read.
        for (const [image, change] of this.app.labels.underWay) {
            const item = change.items.find((candidate) => candidate.image === image);
            const row = samples.row(image);
            if (item && row >= 0) samples.setLabel(row, item.label);
        }
        for (const [image, excluded] of this.excluding) {
            const row = samples.row(image);
            if (row >= 0) samples.setExcluded(row, excluded);
        }
        this.host.loaded((rows) => (before ? moved(before, samples, rows) : []));
    }

    /** Why an image is on the review list. @returns {Map<string, string>} */
    reasons() {
        const items = this.app.live.latest.get(this.app.topic("review"))?.items ?? [];
        return new Map(items.map((/** @type {any} */ { image, reason }) => [image.slice(0, 16), reason]));
    }

    /** How an image's change fares. @param {string} image @returns {"" | "pending" | "failed"} */
    state(image) {
        if (this.app.labels.underWay.has(image) || this.excluding.has(image)) return "pending";
        return this.failed.has(image) ? "failed" : "";
    }

    /** Shows what became of labels, whoever gave them. @param {import("../labels.js").Change} change */
    follow(change) {
        const { samples } = this;
        if (!samples || change.task !== this.app.task) return;
        const put = (/** @type {string} */ image, /** @type {string | null | undefined} */ label) => {
            const row = samples.row(image);
            if (row >= 0 && label !== undefined) samples.setLabel(row, label);
        };
        if (change.state === "pending") {
            for (const { image, label } of change.items) {
                put(image, label);
                this.failed.delete(image);
            }
            const { sent, items } = change;
            if (sent) this.app.toast(`${sent.toLocaleString("en")} of ${items.length.toLocaleString("en")} labels saved…`, [], 0);
        } else if (change.state === "failed") {
            for (const { image, was } of change.items.slice(change.sent)) {
                put(image, was);
                this.failed.add(image.slice(0, 16));
            }
            for (const { image, label } of change.error?.details.conflicts ?? []) put(image, label);
        } else if (change.state === "undone") {
            for (const { image, was } of change.items) put(image, was);
        }
        this.host.drawn();
        if (change.state !== "pending" && change.state !== "waiting") this.soon();
    }

    /**
     * Labels rows; `confirm` shows the question where there is one.
     * @param {Iterable<number>} rows @param {string | null} label
     * @param {(plan: import("./plan.js").Plan) => Promise<"all" | "without" | "">} confirm
     * @returns {Promise<boolean>} whether it was done
     */
    async give(rows, label, confirm) {
        const planned = plan(this.samples, rows, label);
        if (!planned.items.length) {
            this.app.toast(label === null ? "No label to take away." : `${planned.same === 1 ? "It is" : "All are"} ${label} already.`);
            return false;
        }
        const answer = needsAnswer(planned) ? await confirm(planned) : "all";
        const items = answer === "all" ? planned.items : answer === "without" ? planned.without : [];
        if (!items.length || this.isClosed) return false;
        this.app.labels.set(this.app.task, items, told(items.length, label));
        return true;
    }

    /** Has images take no part any more, or again. @param {number[]} rows @param {boolean} excluded @returns {Promise<boolean>} */
    async exclude(rows, excluded) {
        const { app, samples } = this;
        const images = rows.filter((row) => samples.isExcluded(row) !== excluded).map((row) => samples.image(row));
        if (!images.length) return false;
        const put = (/** @type {boolean} */ to) => {
            for (const image of images) {
                const row = this.samples.row(image);
                if (row >= 0) this.samples.setExcluded(row, to);
            }
        };
        /** @type {number[]} */
        const numbers = [];
        const about = app.about;
        const send = async () => {
            /** @type {number[]} */
            const made = [];
            for (const part of parts(images, MOST)) {
                const { change } = await act("exclude", { images: part, excluded, ...about, transaction: transaction() });
                if (change !== null && change !== undefined) made.push(change);
                numbers.push(...made.slice(-1));
            }
            return made;
        };
        for (const image of images) this.excluding.set(image, excluded);
        put(excluded);
        this.host.drawn();
        const words = excluded ? `${count(images.length, "image")} excluded` : `${count(images.length, "image")} taken back in`;
        try {
            const made = await app.labels.later(send);
            if (!made.length) app.toast(words);
            app.labels.push(app.task, made, words, send);
            this.soon();
            return true;
        } catch (error) {
            put(!excluded);
            // Parts that were taken before can be undone.
            if (numbers.length) app.labels.push(app.task, numbers, "A part was excluded", send);
            app.toast(inWords(error, "exclude images"));
            this.soon();
            return false;
        } finally {
            for (const image of images) this.excluding.delete(image);
            if (!this.isClosed) this.host.drawn();
        }
    }

    /** Hands rows to the place Label. @param {Iterable<number>} rows */
    oneByOne(rows) {
        const images = Array.from(rows, (row) => this.samples.image(row));
        Object.assign(this.app, { selection: images });
        this.app.go("label", { queue: "selection" });
    }
}

/** Why something failed, for a person. @param {unknown} error @param {string} what */
export function inWords(error, what) {
    if (error instanceof ApiError && error.code === "unknown_request") return `This device cannot ${what} yet: its daemon is older than this page.`;
    return error instanceof Error ? error.message : String(error);
}

/** The buttons of a question. @param {string} label @param {() => void} run @param {boolean} [isFirst] */
export const choice = (label, run, isFirst = false) => button(label, run, isFirst ? { class: "primary" } : {});

/** A line that says that there is nothing. @param {string} text */
export const empty = (text) => el("p.empty.faint", {}, text);
