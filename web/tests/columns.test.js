import assert from "node:assert/strict";
import test from "node:test";
import { NONE, Samples, table } from "../columns.js";
import { octetsOf } from "./generated.js";

const three = () =>
    new Samples(octetsOf({ revision: "7", classes: ["gear", "nut"], n: 3 }, [
        ["image", "u8x8", Uint8Array.from({ length: 24 }, (_, n) => n)],
        ["label", "u16", Uint16Array.of(1, NONE, 0)],
        ["predicted", "u16", Uint16Array.of(0, NONE, 0)],
        ["probability", "u8", Uint8Array.of(255, 0, 51)],
        ["burst", "u32", Uint32Array.of(0, 0, 2)],
        ["arrived", "u32", Uint32Array.of(1, 2, 3)],
        ["fold", "u8", Uint8Array.of(0, 255, 1)],
        ["flags", "u8", Uint8Array.of(0, 1, 0)],
    ]));

test("columns are read as they were written", () => {
    const samples = three();
    assert.equal(samples.image(1), "08090a0b0c0d0e0f");
    assert.equal(samples.row("1011121314151617ffff"), 2);
    assert.equal(samples.row("ff"), -1);
    assert.deepEqual([0, 1, 2].map((row) => samples.labelOf(row)), ["nut", null, "gear"]);
    assert.deepEqual([samples.predictedOf(0), samples.probabilityOf(2), samples.isExcluded(1)], ["gear", 0.2, true]);
    assert.deepEqual([...samples.counts()], [["gear", 1], ["nut", 1]]);
});

test("a label and an exclusion show before the device has confirmed them", () => {
    const samples = three();
    samples.setLabel(1, "new class");
    samples.setExcluded(1, false);
    assert.deepEqual([samples.labelOf(1), samples.isExcluded(1), samples.classes.length], ["new class", false, 3]);
    samples.setLabel(1, null);
    assert.equal(samples.labelOf(1), null);
});

test("a narrow column has none where its largest number stands", () => {
    const samples = new Samples(octetsOf({ revision: "1", classes: ["a"], n: 2 }, [
        ["image", "u8x8", new Uint8Array(16)], ["label", "u8", Uint8Array.of(0, 255)], ["predicted", "u8", Uint8Array.of(255, 0)],
        ["probability", "u8", new Uint8Array(2)], ["burst", "u8", new Uint8Array(2)], ["arrived", "u32", new Uint32Array(2)],
        ["fold", "u8", new Uint8Array(2)], ["flags", "u8", new Uint8Array(2)],
    ]));
    assert.deepEqual([samples.labelOf(0), samples.labelOf(1), samples.predictedOf(0), samples.predictedOf(1)], ["a", null, null, "a"]);
});

test("a column that is not there is an error in words", () => {
    const buffer = octetsOf({ n: 0 }, []);
    assert.throws(() => table(buffer).column("x"), /sent no column x/);
});
