/** All samples of a task as columns: filters, order and selection are then local and at once. */

import { octets, read } from "./api.js";

/** No label, no prediction. */
export const NONE = 0xffff;
/** Bits of `flags`. */
const EXCLUDED = 1;

/** @typedef {Uint8Array | Uint16Array | Int16Array | Uint32Array} Column */
/** What numbers are in, and how many of them a row has. @type {Record<string, [any, number]>} */
const TYPES = { u8: [Uint8Array, 1], u8x8: [Uint8Array, 8], u16: [Uint16Array, 1], i16: [Int16Array, 1], u32: [Uint32Array, 1] };

/**
 * Reads a header and its columns.
 * @param {ArrayBuffer} buffer @returns {{header: any, column: (name: string) => Column}}
 */
export function table(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const column = (/** @type {string} */ name) => {
        const found = header.columns.find((/** @type {{name: string}} */ candidate) => candidate.name === name);
        if (!found) throw new Error(`the device sent no column ${name}`);
        // Offsets are from the end of the header.
        const [Numbers, width] = TYPES[found.type];
        return new Numbers(buffer, 4 + length + found.offset, header.n * width);
    };
    return { header, column };
}

/** Classes in two octets each, whatever they came in; the largest number of the type that they came in is none. @param {Column} column */
function classColumn(column) {
    const none = 2 ** (8 * column.BYTES_PER_ELEMENT) - 1;
    return Uint16Array.from(column, (value) => (value === none ? NONE : value));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The samples of a task, in the order of their arrival. */
export class Samples {
    /** @param {ArrayBuffer} buffer */
    constructor(buffer) {
        const { header, column } = table(buffer);
        /** @type {string} */
        this.revision = header.revision;
        /** @type {string[]} */
        this.classes = header.classes;
        /** @type {number} */
        this.n = header.n;
        this.images = column("image");
        this.label = classColumn(column("label"));
        this.predicted = classColumn(column("predicted"));
        this.probability = column("probability");
        this.burst = column("burst");
        this.arrived = column("arrived");
        this.fold = column("fold");
        this.flags = column("flags");
        /** @type {Map<string, number> | null} */
        this.rows = null;
    }

    /** The name of a row's image: its first 16 digits. @param {number} row */
    image(row) {
        let text = "";
        for (let at = row * 8; at < row * 8 + 8; at += 1) text += HEX[this.images[at]];
        return text;
    }

    /** The row of an image, -1 without one. @param {string} image its digits, 16 or all of them */
    row(image) {
        if (!this.rows) {
            this.rows = new Map();
            for (let row = 0; row < this.n; row += 1) this.rows.set(this.image(row), row);
        }
        return this.rows.get(image.slice(0, 16)) ?? -1;
    }

    /** @param {number} row @returns {string | null} */
    labelOf(row) {
        return this.label[row] === NONE ? null : this.classes[this.label[row]];
    }

    /** @param {number} row @returns {string | null} */
    predictedOf(row) {
        return this.predicted[row] === NONE ? null : this.classes[this.predicted[row]];
    }

    /** The probability of the prediction, 0..1. @param {number} row */
    probabilityOf(row) {
        return this.probability[row] / 255;
    }

    /** @param {number} row */
    isExcluded(row) {
        return (this.flags[row] & EXCLUDED) !== 0;
    }

    /** Shows a label before the device has confirmed it. @param {number} row @param {string | null} label */
    setLabel(row, label) {
        if (label !== null && !this.classes.includes(label)) this.classes.push(label);
        this.label[row] = label === null ? NONE : this.classes.indexOf(label);
    }

    /** @param {number} row @param {boolean} excluded */
    setExcluded(row, excluded) {
        this.flags[row] = excluded ? this.flags[row] | EXCLUDED : this.flags[row] & ~EXCLUDED;
    }

    /** How many labels each class has. @returns {Map<string, number>} */
    counts() {
        const counts = new Uint32Array(this.classes.length);
        for (let row = 0; row < this.n; row += 1) if (this.label[row] !== NONE) counts[this.label[row]] += 1;
        return new Map(this.classes.map((label, index) => [label, counts[index]]));
    }
}

/** Loads the samples of a task, anew where they have changed. */
export class Index {
    constructor() {
        /** @type {Samples | null} */
        this.samples = null;
        this.etag = "";
        this.task = "";
    }

    /** @param {string | null} task @returns {Promise<{samples: Samples, changed: boolean}>} */
    async load(task) {
        const isSame = this.task === (task ?? "") && this.samples;
        const answer = await octets("index", { task }, isSame ? this.etag : undefined);
        if (!answer && this.samples) return { samples: this.samples, changed: false };
        if (!answer) throw new Error("the device sent nothing");
        this.task = task ?? "";
        this.etag = answer.etag;
        this.samples = new Samples(answer.octets);
        return { samples: this.samples, changed: true };
    }
}

/** The details of a sample that the columns do not have. @param {string} image @param {string | null} task */
export async function neighbours(image, task) {
    return read(`neighbours/${image}`, { task, k: 8 });
}
