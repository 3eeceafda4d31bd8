import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { at, expected, fields, isSettable, kind, parse, patchOf, print, problem, put, resolve, same } from "../system/settings.js";

const schema = JSON.parse(readFileSync(new URL("../../config/schema.json", import.meta.url), "utf8"));
const of = (path) => fields(schema, schema).find((field) => field.path.join(".") === path)?.schema;
const SETTABLE = ["training", "promotion", "prediction", "watch", "tasks", "device.name", "mqtt.home_assistant"];

test("every setting has a field that a person can give", () => {
    const all = fields(schema, schema).map(({ path }) => path.join("."));
    for (const key of ["training.cooldown", "prediction.abstain.alpha", "device.name", "watch", "tasks", "http.listen"]) assert.ok(all.includes(key), key);
    assert.deepEqual(all.filter((key) => key.startsWith("device") && isSettable(key, SETTABLE)), ["device.name"]);
    const kinds = { "training.cooldown": "duration", "training.head": "choice", "training.l2": "loose", "training.seed": "integer", "promotion.margin": "number",
        "promotion.instant": "boolean", watch: "items", tasks: "items", "device.name": "text", "http.allowed_hosts": "lines" };
    for (const [key, wanted] of Object.entries(kinds)) assert.equal(kind(of(key)), wanted, key);
});

test("a task's own sections are those of the device, and each key may be left out", () => {
    const task = fields(resolve(schema.properties.tasks.items, schema), schema, [], true);
    const found = (path) => task.find((field) => field.path.join(".") === path);
    assert.equal(kind(found("training.cooldown").schema), "duration");
    assert.equal(found("id").isOptional, false);
    assert.equal(found("state.confirm").isOptional, true);
    assert.equal(kind(found("from").schema), "loose");
    assert.equal(kind(found("state.thresholds").schema), "loose");
});

test("values go to text and back", () => {
    for (const [key, value] of [["training.cooldown", "5m"], ["training.l2", "auto"], ["training.l2", 0.5], ["training.seed", 7], ["promotion.instant", false],
        ["http.allowed_hosts", ["a", "b"]], ["training.schedule", null], ["training.pause_above_c", null]]) {
        assert.deepEqual(parse(print(value, of(key)), of(key)), value, key);
    }
    const labelFrom = resolve(schema.properties.watch.items, schema).properties.label_from;
    assert.deepEqual(parse('{"folder": 2}', labelFrom), { folder: 2 });
    assert.equal(parse("none", labelFrom), "none");
});

test("what is wrong is said with what it may be", () => {
    const wrong = (key, text) => problem(parse(text, of(key)), of(key), schema);
    assert.match(wrong("training.cooldown", "ten"), /as 10m/);
    assert.match(wrong("training.seed", "-1"), /from 0/);
    assert.match(wrong("training.seed", "1.5"), /whole number/);
    assert.match(wrong("training.seed", ""), /empty/);
    assert.match(wrong("training.head", "cnn"), /softmax/);
    assert.match(wrong("training.l2", "0"), /auto, or a number/);
    assert.match(problem([{ path: "relative" }], of("watch"), schema), /entry 1: path/);
    assert.match(problem([{}], of("watch"), schema), /path is missing/);
    assert.match(problem([{ id: "a", other: 1 }], of("tasks"), schema), /no other/);
    assert.match(problem([{ id: "a", from: [{ region: [0, 0, 2, 1] }] }], of("tasks"), schema), /region/);
    for (const [key, text] of [["training.cooldown", "10m"], ["training.l2", "auto"], ["training.pause_above_c", ""], ["device.name", "Line"]]) assert.equal(wrong(key, text), null, key);
    assert.equal(problem([{ id: "a", from: [{ source: "b", region: [0, 0, 1, 1] }], state: { thresholds: { open: 0.9 } } }], of("tasks"), schema), null);
    for (const { path, schema: one } of fields(schema, schema)) assert.ok(expected(one).length > 3, path.join("."));
});

test("defaults are valid", () => {
    for (const { path, schema: one } of fields(schema, schema)) if ("default" in one) assert.equal(problem(one.default, one, schema), null, path.join("."));
});

test("a patch says again what the former one set", () => {
    const effective = { training: { cooldown: "1h", head: "lda", seed: 0 }, watch: [{ path: "/a" }], device: { name: null } };
    const now = { applied: ["training.cooldown", "watch", "device.name"], effective };
    assert.deepEqual(patchOf(now, new Map([["training.head", "mlp"]])), { training: { cooldown: "1h", head: "mlp" }, watch: [{ path: "/a" }], device: { name: null } });
    assert.deepEqual(patchOf(now, new Map([["training.cooldown", "2h"]]), new Set(["watch", "device.name"])), { training: { cooldown: "2h" } });
    assert.deepEqual(patchOf({ applied: ["tasks"], effective: {} }, new Map()), {});
});

test("trees", () => {
    const tree = {};
    put(tree, ["a", "b"], 1);
    assert.deepEqual(tree, { a: { b: 1 } });
    put(tree, ["a", "b"], undefined);
    assert.deepEqual(tree, {});
    assert.equal(at({ a: [{ b: 2 }] }, ["a", 0, "b"]), 2);
    assert.equal(at(undefined, ["a"]), undefined);
    assert.ok(same({ a: [1, { b: null }], c: 2 }, { c: 2, a: [1, { b: null }] }));
    assert.ok(!same({ a: 1 }, { a: 1, b: undefined }) && !same([1], { 0: 1 }) && !same(null, {}));
});
