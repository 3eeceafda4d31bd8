import assert from "node:assert/strict";
import test from "node:test";
import { logTicks, range, scale, summary, ticks } from "../training/charts.js";
import { cellArgs } from "../training/confusion.js";
import { between, duration, percent, plural, points } from "../figures.js";
import { advice, classes, curves, details, difference, former, gate, learning, shade } from "../training/reports.js";
import { empty, phaseWords } from "../places/training.js";

const figures = (balanced, recalls = { a: balanced }) => ({ balanced_accuracy: balanced, balanced_accuracy_interval: [balanced - 0.1, balanced + 0.05],
    per_class: Object.entries(recalls).map(([name, recall]) => ({ class: name, recall, support: 20 })) });
const report = (training, more = {}) => ({ training, head: { id: "abc", version: training }, trigger: "request", n_train: training * 10, promoted: true, provisional: false,
    code: "not_worse", reason: "as good", change: null, challenger: figures(0.9), champion: null, forgetting: [], ...more });

test("figures read alike everywhere", () => {
    assert.deepEqual([percent(0.9), percent(0.12345), percent(null), percent(1)], ["90 %", "12.3 %", "–", "100 %"]);
    assert.deepEqual([points(0.0125), points(-0.01), points(0), points(0.0004), points(null)], ["+1.3 points", "−1 point", "±0 points", "±0 points", "–"]);
    assert.equal(between(0.9, [0.8, 0.95]), "90 % (80 % to 95 %)");
    assert.deepEqual([duration(0.5), duration(59.6), duration(61), duration(3600), duration(90061)], ["0.50 s", "60 s", "1 min 1 s", "1 h", "1 d 1 h"]);
    assert.deepEqual([plural(1, "label"), plural(2, "class", "classes")], ["1 label", "2 classes"]);
});

test("curves have the order of what they are over, and leave out what was not measured", () => {
    const reports = [report(3, { champion: figures(0.8) }), report(1, { challenger: null }), report(2)];
    const [challenger, champion] = curves(reports, ({ training }) => training);
    assert.deepEqual(challenger.points.map(({ x, y }) => [x, y]), [[2, 0.9], [3, 0.9]]);
    assert.deepEqual(champion.points.map(({ x }) => x), [3]);
    const [learned] = learning([report(1, { n_train: 30 }), report(2, { n_train: 30, challenger: figures(0.7) }), report(3, { n_train: 20 })]);
    assert.deepEqual(learned.points.map(({ x, y }) => [x, y]), [[20, 0.9], [30, 0.7]]);
});

test("ticks are round and within", () => {
    assert.deepEqual(ticks(0.42, 0.98, 5), [0.6, 0.8]);
    assert.deepEqual(ticks(1, 12, 6), [2, 4, 6, 8, 10, 12]);
    assert.deepEqual(ticks(3, 3, 5), [3]);
    for (const [low, high] of [[20, 600], [4, 9], [1, 100000], [37, 41], [10, 10]]) {
        const found = logTicks(low, high);
        assert.ok(found.length > 0 && found.length < 12 && found.every((value) => value >= low && value <= high), `${low} ${high}: ${found}`);
    }
    assert.equal(scale(1, 100, 0, 2, true)(10), 1);
    assert.equal(scale(5, 5, 0, 10)(5), 5);
});

test("a picture of curves is said in words", () => {
    const series = curves([report(1), report(2, { challenger: figures(0.95), champion: figures(0.9) })], ({ training }) => training);
    assert.equal(summary({ title: "By training", xName: "training", series, words: percent }),
        "By training: new head from 90 % at training 1 to 95 % at training 2; head in service then 90 % at training 2");
    const { y } = range(series);
    assert.ok(y[0] < 0.8 && y[1] === 1);
});

test("the gate speaks in words", () => {
    const said = gate(report(3, { promoted: false, code: "class_recall_loss", reason: "nut fell", change: [-0.02, -0.05] }));
    assert.equal(said.verdict, "Training 3 (request; 30 images): head 3 does not serve, a class is recognised less often.");
    assert.match(said.change, /−2 points .* no less than −5 points/);
    assert.match(gate(report(1, { provisional: true, code: "some_new_code" })).verdict, /serves provisionally, some new code\./);
    assert.match(advice({ class: "nut", labels: 12, gain: 0.013 }, 12), /nut has 12 labels: 12 more are expected to gain 1.3 points/);
    assert.match(advice(null, 0), /cannot be told/);
});

test("classes that were lost or forgotten are marked", () => {
    const rows = classes(report(2, { challenger: figures(0.9, { a: 0.9, b: 0.5, c: 1 }), forgetting: [
        { class: "a", change: 0.1, forgotten: false, best: null, under_best: null },
        { class: "b", change: -0.4, forgotten: true, best: { recall: 0.9, version: 1 }, under_best: -0.4 }] }));
    assert.deepEqual(rows.map(({ name, change, isForgotten, isWorse }) => [name, change, isForgotten, isWorse]),
        [["a", "+10 points", false, false], ["b", "−40 points", true, true], ["c", "new", false, false]]);
    const [unseen] = classes(report(1, { challenger: { per_class: [{ class: "a", recall: 0, support: 0 }] } }));
    assert.deepEqual([unseen.recall, unseen.change], ["–", "–"], "no image of it was held out");
    assert.equal(rows[1].best, "90 % by head 1, −40 points since");
});

test("two heads are compared on the same images where a training did", () => {
    const reports = [report(1, { challenger: figures(0.8, { a: 0.8, old: 1 }) }), report(2, { promoted: false, reason: "kept head 1: head 2 may be worse", challenger: figures(0.9, { a: 0.9, b: 0.7 }), champion: figures(0.85, { a: 0.85, old: 1 }) })];
    const same = difference(reports, 2, 1);
    assert.equal(same.same, true);
    assert.deepEqual(same.rows.map(({ name, change }) => [name, change]), [["a", "+5 points"], ["b", "new"], ["old", "lost"]]);
    const other = difference([...reports, report(11)], 2, 11);
    assert.equal(other.same, false);
    assert.equal(difference(reports, 7, 1), null);
    assert.equal(difference(reports, 1, null), null);
});

test("a roll back names what it goes back to", () => {
    const head = (version, status, backbone = "x") => ({ version, status, backbone });
    assert.equal(former([head(1, "kept"), head(2, "kept"), head(3, "rejected"), head(4, "champion")]).version, 2);
    assert.equal(former([head(1, "kept", "y"), head(2, "champion")]), null);
    assert.equal(former([head(1, "kept")]), null);
});

test("a cell leads to its images", () => {
    const confusion = { classes: ["a", "b"], matrix: [[1, 2], [0, 3]], cells: [{ true: 0, predicted: 1, images: ["0123456789abcdef00", "f".repeat(64)] }] };
    assert.deepEqual(cellArgs(confusion, 0, 1), { images: `0123456789abcdef,${"f".repeat(16)}` });
    assert.deepEqual(cellArgs(confusion, 1, 1), { label: "b", predicted: "b" });
    assert.deepEqual([shade(0, 9), shade(1, 100), shade(5, 10), shade(9, 9), shade(0, 0)], [0, 1, 3, 6, 0]);
});

test("a training that runs, and none", () => {
    assert.equal(phaseWords({ phase: "fitting", progress: 0.5, reason: "schedule" }), "Fitting the new head, 50 % (schedule)");
    assert.equal(phaseWords({ phase: "idle", progress: 0, reason: "" }), "No training runs.");
    assert.equal(phaseWords(undefined), "");
    assert.match(empty(0, 0), /two classes/);
    assert.match(empty(3, 1), /second class/);
    assert.match(empty(9, 2), /by itself/);
});

test("a training with a second phase says how both did and which is kept", () => {
    const rows = Object.fromEntries(details(report(3, {
        phases: [{ phase: 1, accuracy: 0.8, log_loss: 0.61 }, { phase: 2, accuracy: 0.85, log_loss: 0.5 }],
        tuned: true, tune_reason: "the second phase is better than the first",
    })));
    assert.equal(rows["Phase 1"], "80 % right, log-loss 0.61");
    assert.equal(rows["Phase 2"], "85 % right, log-loss 0.5");
    assert.equal(rows["Last layers trained on"], "kept: the second phase is better than the first");
    assert.ok(!("Phase 1" in Object.fromEntries(details(report(4)))));
});
