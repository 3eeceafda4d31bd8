import assert from "node:assert/strict";
import test from "node:test";
import { ApiError } from "../api.js";
import { inOrder, Labels } from "../labels.js";

/** A device that answers as `answers` say, in turn; an error is thrown. */
function device(answers) {
    const asked = [];
    const send = async (name, args) => {
        asked.push([name, args]);
        const answer = answers.shift() ?? { set: 1, kept: 0, change: asked.length };
        if (answer instanceof Error) throw answer;
        return answer;
    };
    return { asked, send };
}

const item = (image, label, was = null) => ({ image, label, was });

test("a label is under way until the device has confirmed it", async () => {
    const { send, asked } = device([{ set: 1, kept: 0, change: 7 }]);
    const labels = new Labels(send);
    const states = [];
    labels.on(({ state }) => states.push(state));
    const done = labels.set("door", [item("a", "open")], "1 open");
    assert.equal(labels.underWay.get("a").state, "pending");
    assert.deepEqual((await done).numbers, [7]);
    assert.equal(labels.open, 0);
    assert.deepEqual(states, ["pending", "confirmed"]);
    assert.deepEqual([asked[0][0], asked[0][1].task, asked[0][1].items], ["label", "door", [item("a", "open")]]);
});

test("a device that does not answer is asked again with the same transaction", async () => {
    const gone = new ApiError(0, {});
    const { send, asked } = device([gone, new ApiError(503, { code: "busy" }), { change: 1 }]);
    const pauses = [];
    const labels = new Labels(send, async (pause) => void pauses.push(pause));
    const states = [];
    labels.on(({ state }) => states.push(state));
    await labels.set(null, [item("a", "x")], "");
    assert.equal(new Set(asked.map(([, { transaction }]) => transaction)).size, 1);
    assert.deepEqual(pauses, [500, 1000]);
    assert.deepEqual(states, ["pending", "waiting", "pending", "confirmed"]);
});

test("many labels go in parts and are one change to undo", async () => {
    const { send, asked } = device([]);
    const labels = new Labels(send);
    await labels.set(null, Array.from({ length: 2500 }, (_, n) => item(`${n}`, "x")), "2500 x");
    assert.deepEqual(asked.map(([, { items }]) => items.length), [1000, 1000, 500]);
    const undone = await labels.undo(null);
    assert.equal(undone.state, "undone");
    assert.deepEqual(asked.slice(3).map(([name, { change }]) => [name, change]), [["undo", 3], ["undo", 2], ["undo", 1]]);
    await labels.redo();
    assert.equal(asked.at(-1)[1].items.length, 500);
    assert.equal(labels.last.text, "2500 x");
});

test("a conflict fails, is told, and leaves nothing to undo", async () => {
    const conflict = new ApiError(409, { code: "conflict", message: "changed", conflicts: [{ image: "a", label: "y" }] });
    const labels = new Labels(device([conflict]).send);
    const change = await labels.set(null, [item("a", "x")], "");
    assert.deepEqual([change.state, change.error.details.conflicts[0].label, labels.last], ["failed", "y", null]);
    const again = await labels.retry(change);
    assert.equal(again.state, "confirmed");
});

test("what was confirmed before a failure can be undone", async () => {
    const { send } = device([{ change: 1 }, new ApiError(400, { code: "bad_request" })]);
    const labels = new Labels(send);
    const change = await labels.set(null, Array.from({ length: 1500 }, (_, n) => item(`${n}`, "x")), "");
    assert.deepEqual([change.state, change.sent, labels.last], ["failed", 1000, change]);
});

test("undo of nothing asks the device for its own last change", async () => {
    const { send, asked } = device([{ changed: 3 }]);
    assert.equal((await new Labels(send).undo("door")).changed, 3);
    assert.deepEqual([asked[0][0], asked[0][1].task, asked[0][1].change], ["undo", "door", undefined]);
});

test("a change that another request made is undone and done again like labels", async () => {
    const { send, asked } = device([]);
    const labels = new Labels(send);
    labels.push("door", [], "nothing", async () => []);
    assert.equal(labels.last, null);
    labels.push("door", [7, 8], "nut renamed", async () => [9]);
    assert.equal((await labels.undo("door")).state, "undone");
    assert.deepEqual(asked.map(([name, { change }]) => [name, change]), [["undo", 8], ["undo", 7]]);
    assert.deepEqual((await labels.redo()).numbers, [9]);
    assert.deepEqual([labels.last.text, labels.last.state], ["nut renamed", "confirmed"]);
});

test("a class keeps its key when others come and go", () => {
    assert.deepEqual(inOrder(["nut", "gear", "old"], ["bolt", "gear", "nut"]), ["nut", "gear", "bolt"]);
});
