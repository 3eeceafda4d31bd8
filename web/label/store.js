/** The samples as they will be: the device's answer with the changes that are on their way to it. */

/** @typedef {import("../columns.js").Samples} Samples */
/** @typedef {import("../labels.js").Change} Change */

/** What images are now that a change was refused because of. @param {Change} change @returns {Map<string, {label: string | null, source?: string, at?: string}>} */
export function conflictsOf(change) {
    const list = change.state === "failed" ? (change.error?.details.conflicts ?? []) : [];
    return new Map(list.map((/** @type {any} */ conflict) => [conflict.image.slice(0, 16), conflict]));
}

/**
 * Shows a change in the samples, or takes it out of them.
 * @param {Samples} samples @param {Change} change @param {Map<string, Change>} underWay the latest change of each image that is under way
 */
export function apply(samples, change, underWay) {
    const stands = change.state !== "failed" && change.state !== "undone";
    // A part of it that the device took stays; the index says which.
    if (change.state === "failed" && change.numbers.length) return;
    const conflicts = conflictsOf(change);
    for (const item of change.items) {
        const row = samples.row(item.image);
        if (row < 0) continue;
        if (stands) {
            samples.setLabel(row, item.label);
        } else if (!underWay.has(item.image)) {
            const conflict = conflicts.get(item.image.slice(0, 16));
            if (conflict) samples.setLabel(row, conflict.label);
            else if (item.was !== undefined) samples.setLabel(row, item.was);
        }
    }
}

export class Store {
    /** @param {import("../main.js").App} app */
    constructor(app) {
        this.app = app;
        /** Changes that the answer under way may not have. @type {Set<Change>} */
        this.since = new Set();
        /** @type {Promise<unknown>} */
        this.loading = Promise.resolve();
        this.ends = app.labels.on((change) => {
            this.since.add(change);
            if (this.app.index.samples) apply(this.app.index.samples, change, this.app.labels.underWay);
        });
    }

    /** @returns {Samples} */
    get samples() {
        return /** @type {Samples} */ (this.app.index.samples);
    }

    /** Reads the index anew where it has changed. */
    load() {
        this.loading = this.loading.catch(() => {}).then(async () => {
            this.since.clear();
            await this.app.index.load(this.app.task);
            const { underWay } = this.app.labels;
            for (const change of new Set([...this.since, ...underWay.values()])) apply(this.samples, change, underWay);
        });
        return this.loading;
    }

    /** The label of an image; undefined where it is not on the device. @param {string} image */
    labelOf(image) {
        const row = this.samples.row(image);
        return row < 0 ? undefined : this.samples.labelOf(row);
    }

    close() {
        this.ends();
    }
}
