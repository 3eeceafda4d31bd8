import assert from "node:assert/strict";
import test from "node:test";
import { agreement } from "../samples/details.js";
import { announced, isFed } from "../samples/classes.js";
import { fitting, problem } from "../samples/classbox.js";
import { boxed, moves, windowOf } from "../samples/gridmath.js";
import { moved, needsAnswer, parts, plan, question, told, worthInWords } from "../samples/plan.js";
import { samples } from "./generated.js";

test("a change is counted before it is done", () => {
    const all = samples(60);
    for (let row = 0; row < 60; row += 1) all.setLabel(row, row < 7 ? "gear" : row < 10 ? "nut" : null);
    const planned = plan(all, Array.from({ length: 46 }, (_, row) => row), "nut");
    assert.deepEqual([planned.items.length, planned.replaced, planned.without.length, planned.same], [43, 7, 36, 3]);
    assert.deepEqual(planned.items[0], { image: all.image(0), label: "nut", was: "gear" });
    assert.ok(needsAnswer(planned));
    assert.equal(question(planned, "nut"), "43 images as nut, replaces 7 labels.");
    assert.ok(!needsAnswer(plan(all, [20, 21], "nut")));
    assert.ok(needsAnswer(plan(all, [1], "nut")));
    assert.equal(question(plan(all, [1], null), null), "Takes 1 label away.");
    assert.equal(told(1204, null), "1,204 labels taken away");
});

test("what a selection is worth is said in bursts", () => {
    assert.equal(worthInWords({ images: 43, bursts: 3 }), "43 selected in 3 bursts: worth about 3 images.");
    assert.equal(worthInWords({ images: 2, bursts: 2 }), "2 selected.");
    assert.equal(worthInWords({ images: 0, bursts: 0 }), "Nothing selected.");
});

test("rows are found again by their image", () => {
    assert.deepEqual(moved(samples(20), samples(10), [3, 12, 9]), [3, 9]);
    assert.deepEqual(parts([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]);
});

test("only the lines that are seen are there", () => {
    assert.deepEqual(windowOf(0, 600, 150, 1250, 1), [0, 5]);
    assert.deepEqual(windowOf(1e6, 600, 150, 1250, 1), [1249, 1250]);
    assert.deepEqual(windowOf(0, 600, 150, 0, 1), [0, 0]);
});

test("keys move within the list", () => {
    const to = (key, focus) => moves(key, focus, 22, 5, 2);
    assert.deepEqual(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => to(key, 0)), [0, 1, 0, 5]);
    assert.deepEqual([to("ArrowDown", 18), to("ArrowDown", 21), to("PageDown", 20), to("PageUp", 7), to("PageUp", 21), to("End", 0), to("a", 0)],
        [21, 21, 21, 2, 11, 21, null]);
});

test("a box touches what it covers", () => {
    assert.deepEqual(boxed({ x: 190, y: 10 }, { x: 110, y: 260 }, 500, 150, 5, 7), [1, 6]);
    assert.deepEqual(boxed({ x: -5, y: -5 }, { x: 900, y: 10 }, 500, 150, 5, 3), [0, 1, 2]);
});

test("a class is found by how it begins, then by what is in it", () => {
    assert.deepEqual(fitting(["nutcracker", "peanut", "nut", "bolt"], " NUT"), ["nut", "nutcracker", "peanut"]);
    assert.equal(problem("ok"), null);
    assert.match(problem("a/b"), /slashes/);
    assert.match(problem("é".repeat(65)), /too long/);
    assert.match(problem(""), /Type/);
});

test("a change of a class is said with its count", () => {
    assert.equal(announced("nut", "bolt", { set: 31, kept: 0 }, true), "31 images of nut will be bolt, and no class is called nut any more.");
    assert.equal(announced("nut", "nuts", { set: 1, kept: 2 }, false), "1 image and 2 labels that wait for their image of nut will be called nuts.");
    assert.match(announced("nut", null, { set: 31, kept: 0 }, false), /no label/);
    assert.ok(isFed([{ label_source: "mqtt" }, { label_source: "folder" }]));
    assert.equal(agreement([{ label: "a" }, { label: "b" }, { label: "a" }]), "2 of the 3 nearest are a.");
});
