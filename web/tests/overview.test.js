import assert from "node:assert/strict";
import test from "node:test";
import { next } from "../places/overview.js";

const well = { classes: new Map([["a", 9], ["b", 9]]), samples: 20, alerts: [], review: 0, head: { version: 1 }, phase: "idle", advice: null };

test("the first thing that applies is said", () => {
    const text = (change) => next({ ...well, ...change }).text;
    assert.match(text({ samples: 0, classes: new Map() }), /No image/);
    assert.match(text({ classes: new Map([["a", 0]]) }), /first class/);
    assert.match(text({ classes: new Map([["a", 2]]), alerts: ["drift"] }), /second class/);
    assert.match(text({ head: null }), /no head yet/);
    assert.match(text({ alerts: ["drift"], review: 3 }), /Look at drift/);
    assert.match(text({ review: 1 }), /1 image is worth/);
    assert.match(text({ advice: { class: "b", labels: 12, gain: 0.013 } }), /12 more labels of b .* 1.3 points/);
    assert.match(text({}), /Nothing to do/);
});
