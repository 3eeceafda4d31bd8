/** Which images are worked through, in which order, and where one is in them. Pure, so that it is tested alone. */

/** @typedef {import("../columns.js").Samples} Samples */
/**
 * An item of the review list.
 * @typedef {object} Review
 * @property {string} image
 * @property {string} reason
 * @property {string | null} suggestion
 * @property {number | null} probability
 * @property {string | null} [label]
 * @property {string} [path]
 * @property {{image: string, label: string | null, distance: number}[]} [neighbours]
 */
/**
 * What lists are made of.
 * @typedef {object} Sources
 * @property {Samples} samples
 * @property {Review[]} review
 * @property {string[]} novel images that were like nothing known when they came
 * @property {string[]} selection images that another place handed over
 * @property {string | null} image the one image
 * @property {string | null} label the class
 */

export const QUEUES = [
    { id: "review", title: "Worth a label" },
    { id: "suspicious", title: "Suspicious labels" },
    { id: "unlabelled", title: "Without a label" },
    { id: "unknown", title: "Like nothing known" },
];

/** An image is named by its first 16 digits on this page. @param {string} image */
export const short = (image) => image.slice(0, 16);

/**
 * Images without a label, the newest first: one of each burst, then the rest, since a second one teaches little more.
 * @param {Samples} samples @returns {string[]}
 */
export function unlabelled(samples) {
    const known = new Set();
    for (let row = 0; row < samples.n; row += 1) if (samples.labelOf(row) !== null) known.add(samples.burst[row]);
    const first = [];
    const rest = [];
    for (let row = samples.n - 1; row >= 0; row -= 1) {
        if (samples.labelOf(row) !== null || samples.isExcluded(row)) continue;
        (known.has(samples.burst[row]) ? rest : first).push(samples.image(row));
        known.add(samples.burst[row]);
    }
    return [...first, ...rest];
}

/** The images of a queue. @param {string} queue @param {Sources} sources @returns {string[]} */
export function listOf(queue, { samples, review, novel, selection, image, label }) {
    const isBare = (/** @type {string} */ name) => {
        const row = samples.row(name);
        return row >= 0 && samples.labelOf(row) === null && !samples.isExcluded(row);
    };
    // The list on the screen is ahead of the device's: what has another label than the item says is done.
    const isDue = (/** @type {Review} */ item) => {
        const row = samples.row(item.image);
        return row < 0 || (samples.labelOf(row) === (item.label ?? null) && !samples.isExcluded(row));
    };
    const names = (/** @type {Review[]} */ items) => items.filter(isDue).map((item) => short(item.image));
    if (queue === "suspicious") return names(review.filter(({ reason }) => reason === "suspicious"));
    if (queue === "unlabelled") return unlabelled(samples);
    if (queue === "unknown") {
        const all = [...names(review.filter(({ reason }) => reason === "novel")), ...novel.map(short).filter(isBare)];
        return [...new Set(all)];
    }
    if (queue === "one") return image ? [short(image)] : [];
    if (queue === "selection") return selection.map(short).filter((name) => samples.row(name) >= 0);
    if (queue === "class") {
        const rows = [];
        for (let row = 0; row < samples.n; row += 1) {
            if (samples.labelOf(row) === label && !samples.isExcluded(row)) rows.push(samples.image(row));
        }
        return rows;
    }
    return names(review);
}

/** A walk through a list that changes meanwhile. */
export class Queue {
    constructor() {
        /** @type {string[]} */
        this.list = [];
        this.at = 0;
        /** What has been seen to here. @type {Set<string>} */
        this.done = new Set();
        /** What is still to be seen to. @type {Set<string>} */
        this.pending = new Set();
    }

    /** The list as it is now. What was shown stays where it was, the rest keeps its order, new ones go to its end. @param {string[]} wanted */
    update(wanted) {
        this.pending = new Set(wanted.filter((image) => !this.done.has(image)));
        const before = this.list.slice(0, this.at + 1);
        const ahead = this.list.slice(this.at + 1).filter((image) => this.pending.has(image));
        const known = new Set([...before, ...ahead]);
        this.list = [...before, ...ahead, ...wanted.filter((image) => this.pending.has(image) && !known.has(image))];
    }

    /** The image that is shown; null at the end. @returns {string | null} */
    get current() {
        return this.list[this.at] ?? null;
    }

    /** The images after it. @param {number} count */
    ahead(count) {
        return this.list.slice(this.at + 1, this.at + 1 + count);
    }

    /** How many are still to be seen to. */
    get left() {
        return this.pending.size;
    }

    /** These are seen to; the next one that is not is shown where the current one is among them. @param {string[]} images */
    finish(images) {
        for (const image of images) {
            this.done.add(image);
            this.pending.delete(image);
        }
        if (this.current === null || !this.done.has(this.current)) return;
        do this.at += 1;
        while (this.at < this.list.length && !this.pending.has(this.list[this.at]));
    }

    skip() {
        if (this.current !== null) this.at += 1;
    }

    /** @returns {boolean} whether there is one before */
    back() {
        if (this.at === 0) return false;
        this.at -= 1;
        return true;
    }

    /** Shows an image again that is to be seen to once more. @param {string} image */
    reopen(image) {
        this.done.delete(image);
        this.pending.add(image);
        this.show(image);
    }

    /** @param {string} image */
    show(image) {
        const at = this.list.lastIndexOf(image);
        if (at < 0) this.list.splice(this.at, 0, image);
        else this.at = at;
    }

    /** Begins again with what was skipped. */
    again() {
        this.list = [...this.list.filter((image) => this.done.has(image)), ...this.list.filter((image) => this.pending.has(image))];
        this.at = this.list.findIndex((image) => this.pending.has(image));
        if (this.at < 0) this.at = this.list.length;
    }
}
