import assert from "node:assert/strict";
import test from "node:test";
import { above } from "../label/accept.js";
import { Answers } from "../label/answers.js";
import { listOf, Queue, unlabelled } from "../label/queue.js";
import { chosen, stackOf, worthOf } from "../label/stack.js";
import { apply } from "../label/store.js";
import { disputed } from "../label/trail.js";
import { score } from "../label/trial.js";
import { advise } from "../label/wizard.js";
import { moved, said, swipe, today, vote } from "../label/words.js";

/** Samples as the columns have them: [image, label, burst, excluded]. */
function samples(rows) {
    const labels = rows.map(([, label]) => label);
    return {
        n: rows.length,
        burst: rows.map(([, , burst], row) => burst ?? row),
        excluded: rows.map(([, , , excluded]) => excluded ?? false),
        image: (row) => rows[row][0],
        row: (image) => rows.findIndex(([name]) => image.startsWith(name)),
        labelOf: (row) => labels[row],
        setLabel: (row, label) => (labels[row] = label),
        isExcluded(row) {
            return this.excluded[row];
        },
    };
}
const id = (letter) => letter.repeat(16);
const sources = { review: [], novel: [], selection: [], image: null, label: null };

test("one image of each burst comes before the others, the newest first", () => {
    const store = samples([[id("a"), null, 0], [id("b"), null, 0], [id("c"), "x", 2], [id("d"), null, 2], [id("e"), null, 4], [id("f"), null, 5, true]]);
    assert.deepEqual(unlabelled(store), ["e", "b", "d", "a"].map(id));
});

test("queues hold what is due", () => {
    const store = samples([[id("a"), null], [id("b"), "x"], [id("c"), "y"], [id("d"), null]]);
    const review = [
        { image: id("a").repeat(4), reason: "novel" }, { image: id("b").repeat(4), reason: "suspicious", label: "x" },
        { image: id("c").repeat(4), reason: "diverse" }, { image: id("e").repeat(4), reason: "audit" },
    ];
    const list = (queue, more = {}) => listOf(queue, { ...sources, samples: store, review, ...more });
    assert.deepEqual(list("review"), ["a", "b", "e"].map(id), "what got a label meanwhile is no longer due");
    assert.deepEqual(list("suspicious"), [id("b")]);
    assert.deepEqual(list("unknown", { novel: [id("d").repeat(4), id("b"), id("z")] }), [id("a"), id("d")]);
    assert.deepEqual(list("class", { label: "y" }), [id("c")]);
    assert.deepEqual(list("selection", { selection: [id("d").repeat(4), id("z")] }), [id("d")]);
    assert.deepEqual(list("one", { image: id("c").repeat(4) }), [id("c")]);
});

test("a queue goes on by itself, back, and again through what was skipped", () => {
    const queue = new Queue();
    queue.update(["a", "b", "c", "d"]);
    queue.finish(["a"]);
    queue.skip();
    assert.deepEqual([queue.current, queue.left, queue.ahead(2)], ["c", 3, ["d"]]);
    queue.back();
    queue.back();
    assert.equal(queue.current, "a");
    assert.equal(queue.back(), false);
    queue.finish(["a"]);
    assert.equal(queue.current, "b", "the next one that is not done");
    queue.skip();
    queue.finish(["c"]);
    queue.finish(["d"]);
    assert.deepEqual([queue.current, queue.left], [null, 1]);
    queue.again();
    assert.equal(queue.current, "b");
});

test("a list that changes moves nothing that is on the screen", () => {
    const queue = new Queue();
    queue.update(["a", "b", "c"]);
    queue.finish(["a"]);
    queue.update(["x", "c", "a"]);
    assert.deepEqual([queue.current, queue.list], ["b", ["a", "b", "c", "x"]], "what is shown stays, done ones do not come again");
    queue.finish(["b"]);
    queue.finish(["c"]);
    queue.finish(["x"]);
    assert.equal(queue.current, null);
    queue.update(["y"]);
    assert.equal(queue.current, "y", "what comes in appears");
    queue.reopen("b");
    assert.deepEqual([queue.current, queue.left], ["b", 2]);
});

test("a stack is labelled but for what has a label or was taken out", () => {
    const store = samples([[id("a"), null, 0], [id("b"), "x", 0], [id("c"), null, 0], [id("d"), null, 3], [id("e"), null, 0, true]]);
    const stack = stackOf(store, id("c"));
    assert.deepEqual(stack, { members: ["a", "b", "c"].map(id), bare: ["a", "c"].map(id) });
    assert.deepEqual(chosen(stack, false, new Set([id("c")])), [id("a")]);
    assert.deepEqual(chosen(stack, true, new Set()), ["a", "b", "c"].map(id));
    assert.equal(worthOf(stack), "3 images, 1 with a label, 1 burst: counts about as one");
    assert.deepEqual(stackOf(store, id("a"), new Set([id("a")])).members, [id("a")]);
});

test("a change is seen at once, and gone when it is refused or undone", () => {
    const store = samples([[id("a"), null], [id("b"), "x"]]);
    const change = { items: [{ image: id("a"), label: "y", was: null }, { image: id("b"), label: "y", was: "x" }], state: "pending", numbers: [], sent: 0, error: null };
    const now = () => [store.labelOf(0), store.labelOf(1)];
    apply(store, change, new Map());
    assert.deepEqual(now(), ["y", "y"]);
    apply(store, { ...change, state: "undone" }, new Map());
    assert.deepEqual(now(), [null, "x"]);
    apply(store, change, new Map());
    const refused = { ...change, state: "failed", error: { code: "conflict", details: { conflicts: [{ image: id("b").repeat(4), label: "z", source: "mqtt" }] } } };
    apply(store, refused, new Map([[id("a"), {}]]));
    assert.deepEqual(now(), ["y", "z"], "a later change of the image stands, and what another one said is shown");
    assert.deepEqual(disputed(refused), { theirs: [{ image: id("b"), label: "z", mine: "y" }], free: [change.items[0]] });
});

test("the head is asked a few at a time, once for an image", async () => {
    let running = 0;
    let most = 0;
    const asked = [];
    const answers = new Answers(async (image) => {
        asked.push(image);
        most = Math.max(most, (running += 1));
        await new Promise((resolve) => setTimeout(resolve, 1));
        running -= 1;
        if (image === "bad") throw new Error("gone");
        return { label: image };
    });
    await Promise.all(["a", "b", "c", "d", "e", "bad", "a"].map((image) => answers.want(image)));
    assert.deepEqual([asked.length, most, answers.get("bad"), answers.get("e").label, answers.get("f")], [6, 3, null, "e", undefined]);
    answers.clear();
    assert.equal(answers.get("a"), undefined);
});

test("suggestions above a bound, the most doubtful first", () => {
    const list = [{ image: "a", label: "x", probability: 0.99 }, { image: "b", label: "x", probability: 0.95 }, { image: "c", label: "y", probability: 0.9 }];
    assert.deepEqual(above(list, 95).map(({ image }) => image), ["b", "a"]);
});

test("the wizard says what is missing", () => {
    assert.match(advise(new Map()).text, /first class/);
    assert.match(advise(new Map([["a", 3], ["b", 0]])).text, /second class/);
    assert.deepEqual(advise(new Map([["a", 3], ["b", 9]])), { text: "You can train now, but more labels would help.", more: "a has 3: 10 of each are a good start.", trains: true });
    assert.equal(advise(new Map([["a", 5], ["b", 9]])).text, "Train now.");
});

test("words", () => {
    assert.equal(said([id("a")], "nut"), "aaaaaa: nut");
    assert.equal(said(["a", "b"], null), "2 images: no label");
    assert.equal(vote([{ label: "x" }, { label: "y" }, { label: "x" }]), "2 of 3 nearest are x.");
    assert.equal(moved({ training: 3, promoted: true, champion: { balanced_accuracy: 0.88 }, challenger: { balanced_accuracy: 0.91 } }),
        "training 3: balanced accuracy 88 % → 91 % (held out)");
    assert.match(moved({ training: 4, promoted: false, champion: null, challenger: null }), /too little held out .* not taken into service/);
    assert.equal(score([{ label: "a", verdict: "a" }, { label: "a", verdict: "b" }, { label: "a", verdict: null }]), "1 of 2 right so far.");
});

test("a day's labels are counted from its beginning", () => {
    const kept = new Map();
    const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const monday = new Date(2026, 2, 2);
    assert.equal(today(3, storage, monday), 3);
    assert.equal(today(-1, storage, monday), 2);
    assert.equal(today(0, storage, new Date(2026, 2, 3)), 0);
});

test("a swipe goes far enough and one way", () => {
    assert.deepEqual([swipe(90, 10), swipe(-90, 20), swipe(5, -90), swipe(5, 90), swipe(70, 60), swipe(30, 0)], ["right", "left", "up", null, null, null]);
});
