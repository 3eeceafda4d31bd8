import assert from "node:assert/strict";
import test from "node:test";
import { ApiError } from "../api.js";
import { Desk } from "../samples/desk.js";
import { Labels } from "../labels.js";
import { samples } from "./generated.js";

/** A desk before a device that answers as `send` does. */
async function desk(send) {
    const told = [];
    const app = {
        task: "door",
        about: { task: "door" },
        topic: (name) => `task/door/${name}`,
        live: { on: () => () => {}, latest: new Map([["task/door/review", { items: [{ image: `${samples(30).image(4)}ff`, reason: "novel" }] }]]) },
        labels: new Labels(send, async () => {}),
        index: { load: async () => ({ samples: app.index.samples ?? (app.index.samples = samples(30)) }) },
        toast: (text) => told.push(text),
    };
    const made = new Desk(app, { drawn: () => {}, loaded: (move) => told.push(move([1, 29])) });
    await made.load();
    for (let row = 0; row < 30; row += 1) made.samples.setLabel(row, row < 2 ? "gear" : null);
    return { app, desk: made, told };
}

test("labels show at once, and a question comes before labels are replaced", async () => {
    let answer = () => {};
    const { desk: made, app } = await desk(() => new Promise((resolve) => (answer = () => resolve({ change: 1 }))));
    assert.equal(await made.give([0, 5], "nut", async () => ""), false);
    assert.equal(made.samples.labelOf(5), null);
    assert.equal(await made.give([0, 5], "nut", async () => "without"), true);
    assert.deepEqual([made.samples.labelOf(0), made.samples.labelOf(5)], ["gear", "nut"]);
    assert.equal(made.state(made.samples.image(5)), "pending");
    await new Promise((resolve) => setTimeout(resolve));
    answer();
    await app.labels.queue;
    assert.equal(made.state(made.samples.image(5)), "");
    made.close();
});

test("what the device refuses is as it was, or as the device says", async () => {
    const all = samples(30);
    const conflict = new ApiError(409, { code: "conflict", conflicts: [{ image: `${all.image(6)}aa`, label: "bolt" }] });
    const { desk: made, app } = await desk(async () => { throw conflict; });
    await made.give([5, 6], "nut", async () => "all");
    await app.labels.queue;
    assert.deepEqual([made.samples.labelOf(5), made.samples.labelOf(6), made.state(all.image(5))], [null, "bolt", "failed"]);
    made.close();
});

test("an undone change shows the labels before", async () => {
    const { desk: made, app } = await desk(async () => ({ change: 3 }));
    await made.give([0, 1], "nut", async () => "all");
    await app.labels.queue;
    assert.equal(made.samples.labelOf(0), "nut");
    await app.labels.undo("door");
    assert.equal(made.samples.labelOf(0), "gear");
    made.close();
});

test("labels under way outlive reading the samples anew", async () => {
    const { desk: made, app, told } = await desk(() => new Promise(() => {}));
    await made.give([7], "nut", async () => "all");
    app.index.samples = samples(20);
    await made.load();
    assert.equal(made.samples.labelOf(7), "nut");
    assert.deepEqual(told, [[], [1]]);
    assert.deepEqual([...made.reasons()], [[made.samples.image(4), "novel"]]);
    made.close();
});
