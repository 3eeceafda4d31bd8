import assert from "node:assert/strict";
import test from "node:test";
import { addCorner, become, box, firstTarget, moveCorner, parse, print, regionIn, regionOf, removeCorner, shapeOf, splitSide, targets, withRegion, wrong } from "../system/regions.js";

test("regions of the configuration stay as they are", () => {
    for (const region of [null, [0.1, 0.2, 0.5, 0.9], [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]]) {
        assert.deepEqual(regionOf(shapeOf(region)), region);
        assert.deepEqual(regionOf(parse(print(shapeOf(region)))), region);
    }
});

test("a box stays one, whichever corner is moved", () => {
    const start = box(0.8, 0.9, 0.2, 0.1);
    assert.deepEqual(regionOf(start), [0.2, 0.1, 0.8, 0.9]);
    assert.deepEqual(regionOf(moveCorner(start, 0, [0.3, 0.2])), [0.3, 0.2, 0.8, 0.9]);
    assert.deepEqual(regionOf(moveCorner(start, 1, [0.9, 0])), [0.2, 0, 0.9, 0.9]);
    assert.deepEqual(regionOf(moveCorner(start, 2, [2, 2])), [0.2, 0.1, 1, 1]);
    assert.deepEqual(regionOf(moveCorner(start, 3, [-1, 0.5])), [0, 0.1, 0.8, 0.5]);
    assert.deepEqual(regionOf(moveCorner(start, 0, [1, 1])), [0.79, 0.89, 0.8, 0.9], "it does not turn over");
});

test("polygons get and lose corners", () => {
    let shape = become({ kind: "whole", corners: [] }, "polygon");
    assert.match(wrong(shape), /three corners/);
    for (const corner of [[0.1, 0.1], [0.9, 0.1], [0.5, 1.4]]) shape = addCorner(shape, corner);
    assert.equal(wrong(shape), null);
    assert.deepEqual(shape.corners[2], [0.5, 1]);
    assert.deepEqual(splitSide(shape, 2).corners[3], [0.3, 0.55]);
    assert.equal(wrong(removeCorner(shape, 1)) === null, false);
    assert.deepEqual(regionOf(become(shape, "box")), [0.1, 0.1, 0.9, 1]);
    assert.equal(become(box(0, 0, 1, 1), "polygon").corners.length, 4);
    assert.match(wrong(box(0.5, 0.5, 0.505, 0.9)), /1 %/);
});

test("numbers are read as they are written", () => {
    assert.deepEqual(regionOf(parse("[0.1, 0.2, .5, 1]")), [0.1, 0.2, 0.5, 1]);
    assert.deepEqual(regionOf(parse("[[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]")), [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]);
    for (const text of ["0.1", "0.5, 0.5, 0.1, 0.9", "0 0; 1 1", "a, b", "0, 0, 2, 1", "1e3"]) assert.equal(parse(text), null, text);
    assert.equal(parse("  ").kind, "whole");
});

test("a task's region is put where it belongs", () => {
    const tasks = [{ id: "door", from: [{ source: "garage", region: [0, 0, 1, 0.5] }, { watch: "/a" }] }, { id: "bin" }];
    assert.deepEqual(firstTarget(tasks[0]), { source: "garage" });
    assert.deepEqual(regionIn(tasks[0], { source: "garage" }), [0, 0, 1, 0.5]);
    assert.equal(regionIn(tasks[0], { watch: "/a" }), null);
    assert.equal(regionIn(tasks[0], {}), undefined);
    const next = withRegion(tasks, "door", { watch: "/a" }, [0, 0, 0.5, 0.5]);
    assert.deepEqual(next[0].from, [{ source: "garage", region: [0, 0, 1, 0.5] }, { watch: "/a", region: [0, 0, 0.5, 0.5] }]);
    assert.equal(next[1], tasks[1]);
    assert.deepEqual(withRegion(tasks, "door", { source: "garage" }, null)[0].from[0], { source: "garage" });
    assert.deepEqual(withRegion(tasks, "bin", {}, [0, 0, 0.5, 0.5])[1], { id: "bin", from: [{ region: [0, 0, 0.5, 0.5] }] });
    assert.deepEqual(withRegion([{ id: "bin", from: [{ region: [0, 0, 1, 1] }] }], "bin", {}, null), [{ id: "bin", from: [] }]);
    assert.deepEqual(withRegion([], "default", {}, [0, 0, 0.5, 0.5]), [{ id: "default", from: [{ region: [0, 0, 0.5, 0.5] }] }]);
    assert.deepEqual(targets({ sources: [{ id: "garage" }], watch: [{ path: "/a" }] }).map(({ name }) => name), ["every picture", "source garage", "folder /a"]);
});
