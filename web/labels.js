/**
 * Labels on their way to the device: shown at once, sent behind in the order in which they were given, sent again with the
 * same transaction until the device answers, and undone by the number of their change.
 */

import { act, ApiError, transaction } from "./api.js";

/** The most labels in one request. */
const MOST = 1000;
/** Pauses before a request is sent again, in milliseconds. */
const PAUSES = [500, 1000, 2000, 4000, 8000];

/** @typedef {{image: string, label: string | null, was?: string | null}} Item `was` is the label that was seen */
/**
 * Labels that were given at once.
 * @typedef {object} Change
 * @property {string | null} task
 * @property {Item[]} items
 * @property {string} text what it did, in words
 * @property {"pending" | "waiting" | "confirmed" | "failed" | "undone"} state "waiting" for a device that does not answer
 * @property {number[]} numbers of the device's changes, one a request
 * @property {ApiError | null} error
 * @property {number} sent items that the device has confirmed
 * @property {(() => Promise<number[]>)} [again] does a change that is not made of labels again, and gives its numbers
 */

export class Labels {
    /** @param {typeof act} send @param {(milliseconds: number) => Promise<void>} pause */
    constructor(send = act, pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))) {
        this.send = send;
        this.pause = pause;
        /** @type {Change[]} those that can be undone, the latest last */
        this.done = [];
        /** @type {Change[]} those that can be done again, the latest last */
        this.undone = [];
        /** The label that an image will have, while that is under way. @type {Map<string, Change>} */
        this.underWay = new Map();
        /** @type {Set<(change: Change) => void>} */
        this.listeners = new Set();
        /** Requests follow one another. @type {Promise<void>} */
        this.queue = Promise.resolve();
    }

    /** Calls `listener` with each change whenever its state changes. @param {(change: Change) => void} listener */
    on(listener) {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
    }

    /** @param {Change} change @param {Change["state"]} state */
    become(change, state) {
        change.state = state;
        if (state !== "pending" && state !== "waiting") {
            for (const { image } of change.items) {
                if (this.underWay.get(image) === change) this.underWay.delete(image);
            }
        }
        for (const listener of [...this.listeners]) listener(change);
    }

    /** Changes that the device has not confirmed. */
    get open() {
        return new Set(this.underWay.values()).size;
    }

    /**
     * Gives labels.
     * @param {string | null} task @param {Item[]} items @param {string} text @returns {Promise<Change>} when it is confirmed or failed
     */
    set(task, items, text) {
        this.undone = [];
        return this.give({ task, items, text, state: "pending", numbers: [], error: null, sent: 0 });
    }

    /** @param {Change} change @returns {Promise<Change>} */
    give(change) {
        this.done.push(change);
        for (const { image } of change.items) this.underWay.set(image, change);
        this.become(change, "pending");
        return this.later(async () => {
            try {
                for (let from = change.sent; from < change.items.length; from += MOST) {
                    const items = change.items.slice(from, from + MOST);
                    const data = await this.insist(change, "label", { items });
                    change.sent = from + items.length;
                    if (data.change !== null && data.change !== undefined) change.numbers.push(data.change);
                    if (change.sent < change.items.length) this.become(change, "pending");
                }
                this.become(change, "confirmed");
            } catch (error) {
                this.fail(change, error);
            }
            return change;
        });
    }

    /**
     * Has a change that another request made undone like labels: a class renamed, images excluded. Without numbers nothing
     * changed, and there is nothing to undo.
     * @param {string | null} task @param {number[]} numbers of the device's changes @param {string} text
     * @param {() => Promise<number[]>} again does it once more
     */
    push(task, numbers, text, again) {
        if (!numbers.length) return;
        this.undone = [];
        this.keep({ task, items: [], text, state: "pending", numbers, error: null, sent: 0, again });
    }

    /** @param {Change} change */
    keep(change) {
        if (change.numbers.length) this.done.push(change);
        this.become(change, "confirmed");
        return change;
    }

    /** @param {Change} change @param {unknown} error */
    fail(change, error) {
        change.error = error instanceof ApiError ? error : new ApiError(0, { message: String(error) });
        if (!change.numbers.length) this.done = this.done.filter((other) => other !== change);
        this.become(change, "failed");
    }

    /** Gives labels again that failed. @param {Change} change */
    retry(change) {
        this.done = this.done.filter((other) => other !== change);
        change.error = null;
        return this.give(change);
    }

    /** The change that is undone next. */
    get last() {
        return this.done.at(-1) ?? null;
    }

    /**
     * Takes the last change back; the device's own last one where this page has made none.
     * @param {string | null} task @returns {Promise<Change | {restored: {image: string, label: string | null}[], changed: number}>}
     */
    undo(task) {
        const change = this.done.pop();
        if (!change) return this.later(() => this.send("undo", { ...about(task), transaction: transaction() }));
        return this.later(async () => {
            try {
                while (change.numbers.length) {
                    await this.insist(change, "undo", { change: change.numbers.at(-1) });
                    change.numbers.pop();
                }
                this.undone.push(change);
                this.become(change, "undone");
            } catch (error) {
                this.done.push(change);
                change.error = error instanceof ApiError ? error : new ApiError(0, { message: String(error) });
                this.become(change, "failed");
            }
            return change;
        });
    }

    /** Does again what was undone last. @returns {Promise<Change | null>} */
    async redo() {
        const change = this.undone.pop();
        const { again } = change ?? {};
        if (change && again) {
            return this.later(async () => {
                try {
                    return this.keep({ ...change, numbers: await again(), error: null });
                } catch (error) {
                    this.fail(change, error);
                    return change;
                }
            });
        }
        return change ? this.give({ ...change, numbers: [], error: null, sent: 0 }) : null;
    }

    /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
    later(work) {
        const result = this.queue.then(work);
        this.queue = result.then(
            () => {},
            () => {},
        );
        return result;
    }

    /** Sends a request until the device answers. @param {Change} change @param {string} name @param {object} args */
    async insist(change, name, args) {
        const body = { ...args, ...about(change.task), transaction: transaction() };
        for (let tries = 0; ; tries += 1) {
            try {
                const answer = await this.send(name, body);
                if (change.state === "waiting") this.become(change, "pending");
                return answer;
            } catch (error) {
                if (!(error instanceof ApiError && error.passes)) throw error;
                if (change.state !== "waiting") this.become(change, "waiting");
                await this.pause(PAUSES[Math.min(tries, PAUSES.length - 1)]);
            }
        }
    }
}

/** @param {string | null} task */
const about = (task) => (task === null ? {} : { task });

/** The most classes that a digit stands for. */
export const DIGITS = 9;

/**
 * The order of classes on this screen: as it was, new ones at its end, so that a key keeps its class.
 * @param {string[]} before @param {string[]} classes @returns {string[]}
 */
export function inOrder(before, classes) {
    const known = new Set(classes);
    const kept = before.filter((label) => known.has(label));
    const there = new Set(kept);
    return [...kept, ...classes.filter((label) => !there.has(label))];
}
