import assert from "node:assert/strict";
import test from "node:test";
import { fit, isInside, mask, nearest, NOWHERE, paint, panned, pixel, rectangle, SHAPES, toMap, toScreen, within, zoomed } from "../map/points.js";
import { places, samples } from "./generated.js";

const size = { width: 400, height: 300 };
const seen = () => true;

test("all places fit, those that are nowhere do not count", () => {
    const spots = { x: Int16Array.of(-100, 300, NOWHERE), y: Int16Array.of(0, 100, NOWHERE) };
    const view = fit(spots, size);
    assert.deepEqual([view.x, view.y], [100, 50]);
    const [px, py] = toScreen(view, size, 300, 100);
    assert.ok(px > 300 && px <= 400 && py >= 0 && py < 150);
    assert.deepEqual(fit({ x: [], y: [] }, size), { x: 0, y: 0, scale: 0.01 });
});

test("what is below the pointer stays there", () => {
    const view = { x: 5, y: -3, scale: 2 };
    const near = zoomed(view, size, 1.5, 40, 250);
    for (const [got, wanted] of toMap(near, size, 40, 250).map((value, at) => [value, toMap(view, size, 40, 250)[at]])) assert.ok(Math.abs(got - wanted) < 1e-9);
    const [x, y] = toScreen(panned(view, 10, -4), size, 0, 0);
    const [x0, y0] = toScreen(view, size, 0, 0);
    assert.deepEqual([x - x0, y - y0], [10, -4]);
});

test("a line holds what is inside, also where it bends inwards", () => {
    const line = Float64Array.of(0, 0, 10, 0, 10, 10, 5, 5, 0, 10);
    assert.ok(isInside(2, 5, line) && !isInside(5, 8, line) && !isInside(11, 1, line));
    const spots = { x: [2, 5, 9, NOWHERE], y: [5, 8, 1, NOWHERE] };
    assert.deepEqual(within(spots, line, seen), [0, 2]);
    assert.deepEqual(within(spots, rectangle([10, 0], [0, 6]), (row) => row !== 2), [0]);
});

test("the nearest is found, in a direction too", () => {
    const spots = { x: [0, 10, 10, -4], y: [0, 0, 9, 0] };
    assert.equal(nearest(spots, 1, 1, 5, seen), 0);
    assert.equal(nearest(spots, 50, 50, 5, seen), -1);
    assert.equal(nearest(spots, 0, 0, Infinity, seen, [1, 0]), 1);
    assert.equal(nearest(spots, 0, 0, Infinity, seen, [-1, 0]), 3);
    assert.equal(nearest(spots, 0, 0, Infinity, seen, [0, -1]), -1);
});

test("shapes are told apart, and nothing is painted beside the picture", () => {
    const masks = SHAPES.map((shape) => mask(shape, 4).join());
    assert.equal(new Set(masks).size, SHAPES.length);
    const pixels = new Uint32Array(400 * 300);
    const spots = { x: [-200, 200, 0], y: [150, -150, 0] };
    paint(pixels, size, { x: 0, y: 0, scale: 1 }, spots, Uint32Array.of(0, 1, 2), Array(3).fill([{ shape: mask("square", 3), colour: 7 }]));
    const painted = pixels.filter(Boolean).length;
    assert.ok(painted > 25 && painted < 100);
    assert.equal(pixels[150 * 400 + 200], 7);
});

test("a colour is a pixel", () => {
    assert.equal(pixel("rgb(1, 2, 3)"), 0xff030201);
    assert.equal(pixel("color(srgb 1 0 0.2)"), 0xff3300ff);
});

test("20,000 places are painted, and a line of 60 corners drawn around some, in time", () => {
    const spots = places(samples(20_000));
    const big = { width: 1200, height: 700 };
    const view = fit(spots, big);
    const order = Uint32Array.from({ length: 20_000 }, (_, row) => row);
    const looks = Array(20_000).fill([{ shape: mask("circle", 4), colour: 9 }]);
    const pixels = new Uint32Array(1200 * 700);
    paint(pixels, big, view, spots, order, looks);
    let start = performance.now();
    paint(pixels, big, view, spots, order, looks);
    assert.ok(performance.now() - start < 200);
    const line = Float64Array.from({ length: 120 }, (_, at) => (at % 2 ? Math.sin : Math.cos)((Math.floor(at / 2) / 60) * 2 * Math.PI) * 20000);
    start = performance.now();
    assert.ok(within(spots, line, seen).length > 1000);
    assert.ok(performance.now() - start < 200);
});
