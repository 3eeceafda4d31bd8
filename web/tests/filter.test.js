import assert from "node:assert/strict";
import test from "node:test";
import { csv, digits, everything, read, rows, stacked, write } from "../samples/filter.js";
import { samples } from "./generated.js";

const of = (change) => ({ ...everything(), excluded: "show", sort: "arrival", ...change });

test("an address says what differs from the usual, and gives the same filter back", () => {
    assert.deepEqual(write(everything()), {});
    const filters = [
        of({ label: "", predicted: "any", low: 5, differ: true, stacks: true, reason: "", view: "table" }),
        { ...everything(), images: ["0123456789abcdef", "ffff"], excluded: "hide" },
        { ...everything(), images: ["00"], excluded: "show", label: "none & <b>" },
    ];
    for (const filter of filters) assert.deepEqual(read(new URLSearchParams(write(filter))), filter);
});

test("what an address says wrongly is as usual", () => {
    assert.deepEqual(read(new URLSearchParams("low=x&high=900&sort=up&excluded=1&images=zz")), everything());
});

test("first digits of images are found in a text", () => {
    assert.deepEqual(digits("AB12, cd 34;cd"), ["ab12", "cd", "34"]);
    assert.equal(digits(" "), null);
});

test("a filter leaves what it says", () => {
    const all = samples(900);
    const none = new Map();
    const left = (change, reasons = none) => rows(all, of(change), reasons);
    assert.equal(left({}).length, 900);
    assert.ok(left({ label: "class 1" }).every((row) => all.labelOf(row) === "class 1"));
    assert.ok(left({ label: "" }).every((row) => all.labelOf(row) === null));
    assert.deepEqual(left({ label: "gone" }), []);
    assert.equal(left({ label: "" }).length + all.classes.reduce((sum, label) => sum + left({ label }).length, 0), 900);
    assert.ok(left({ predicted: "" }).every((row) => all.predictedOf(row) === null));
    assert.ok(left({ differ: true }).every((row) => all.labelOf(row) !== all.predictedOf(row)));
    assert.ok(left({ low: 50, high: 60 }).every((row) => Math.abs(all.probabilityOf(row) - 0.55) < 0.056));
    assert.equal(left({ excluded: "only" }).length, 18);
    assert.equal(left({ excluded: "hide" }).length, 882);
    assert.deepEqual(left({ images: [all.image(3), all.image(7).slice(0, 10)] }), [3, 7]);
    const reasons = new Map([[all.image(4), "audit"], [all.image(2), "novel"]]);
    assert.deepEqual(left({ reason: "" }, reasons), [2, 4]);
    assert.deepEqual(left({ reason: "novel" }, reasons), [2]);
});

test("what has no prediction comes last by doubt and by surety", () => {
    const all = samples(300);
    for (const sort of ["doubt", "sure"]) {
        const list = rows(all, of({ sort }), new Map());
        assert.equal(all.predictedOf(list.at(-1)), null);
        const sure = list.filter((row) => all.predictedOf(row) !== null).map((row) => all.probabilityOf(row));
        assert.deepEqual(sure, [...sure].sort((a, b) => (sort === "doubt" ? a - b : b - a)));
    }
    assert.deepEqual(rows(all, of({ sort: "latest" }), new Map()).slice(0, 2), [299, 298]);
});

test("a burst is one stack of those that are in the list", () => {
    const { list, members } = stacked([8, 7, 3, 4], [0, 1, 0, 1, 0, 0, 0, 0, 8]);
    assert.deepEqual(list, [8, 7, 3]);
    assert.deepEqual([...members], [[8, [8]], [7, [7, 4]], [3, [3]]]);
});

test("CSV quotes what needs it and begins as samples import reads it", () => {
    const all = samples(2);
    all.setLabel(0, 'a "b", c');
    const [head, first, , end] = csv(all, [0, 1]).split("\r\n");
    assert.match(head, /^image,label,/);
    assert.ok(first.startsWith(`${all.image(0)},"a ""b"", c",`));
    assert.equal(end, "");
});

test("10,000 samples are filtered and sorted within a frame or two", () => {
    const all = samples(10_000);
    rows(all, of({ label: "class 1" }), new Map());
    const start = performance.now();
    rows(all, of({ sort: "doubt", low: 1 }), new Map());
    assert.ok(performance.now() - start < 200);
});
