/** Samples and places on the map as the device would send them, any number, for tests and measurements. */

import { NONE, Samples } from "../columns.js";

/** A table as the device writes it. @param {object} header @param {[string, string, any][]} columns */
export function octetsOf(header, columns) {
    const parts = [];
    let at = 0;
    const described = columns.map(([name, type, array]) => {
        at = Math.ceil(at / 8) * 8;
        const column = { name, type, offset: at };
        parts.push([at, new Uint8Array(array.buffer)]);
        at += array.byteLength;
        return column;
    });
    let text = JSON.stringify({ ...header, columns: described });
    text = text.padEnd(Math.ceil((text.length + 4) / 8) * 8 - 4);
    const buffer = new ArrayBuffer(4 + text.length + at);
    new DataView(buffer).setUint32(0, text.length, true);
    new Uint8Array(buffer, 4).set(new TextEncoder().encode(text));
    for (const [offset, bytes] of parts) new Uint8Array(buffer, 4 + text.length + offset).set(bytes);
    return buffer;
}

/** The same numbers each time. @param {number} seed */
export function random(seed) {
    let state = seed;
    return () => {
        state = (state * 1664525 + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

/** `n` samples of `classes` classes in bursts of up to nine, a third of them labelled. @param {number} n @param {number} [classes] */
export function samples(n, classes = 5) {
    const next = random(7);
    const column = (/** @type {any} */ Type, /** @type {(row: number) => number} */ value) => Type.from({ length: n }, (_, row) => value(row));
    const images = new Uint8Array(n * 8);
    for (let row = 0; row < n; row += 1) {
        new DataView(images.buffer).setUint32(row * 8, Math.imul(row + 1, 2654435761) >>> 0);
        new DataView(images.buffer).setUint32(row * 8 + 4, row);
    }
    const kind = column(Uint16Array, (row) => Math.floor(row / 9) % classes);
    return new Samples(octetsOf({ revision: String(n), classes: Array.from({ length: classes }, (_, at) => `class ${at}`), n }, [
        ["image", "u8x8", images],
        ["label", "u16", column(Uint16Array, (row) => (next() < 0.33 ? kind[row] : NONE))],
        ["predicted", "u16", column(Uint16Array, (row) => (next() < 0.05 ? NONE : next() < 0.9 ? kind[row] : (kind[row] + 1) % classes))],
        ["probability", "u8", column(Uint8Array, () => Math.floor(next() * 256))],
        ["burst", "u32", column(Uint32Array, (row) => row - (row % 9))],
        ["arrived", "u32", column(Uint32Array, (row) => 1_790_000_000 + row)],
        ["fold", "u8", column(Uint8Array, (row) => (row % 3 ? 255 : row % 5))],
        ["flags", "u8", column(Uint8Array, (row) => Number(row % 50 === 49))],
    ]));
}

/** Where they lie: a heap for each class. @param {import("../columns.js").Samples} of */
export function places(of) {
    const next = random(11);
    const x = new Int16Array(of.n);
    const y = new Int16Array(of.n);
    for (let row = 0; row < of.n; row += 1) {
        const kind = Math.floor(row / 9) % 5;
        x[row] = Math.cos(kind * 1.3) * 18000 + (next() + next() - 1) * 9000;
        y[row] = Math.sin(kind * 1.3) * 18000 + (next() + next() - 1) * 9000;
    }
    return { x, y };
}
