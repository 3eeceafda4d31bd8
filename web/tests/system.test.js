import assert from "node:assert/strict";
import test from "node:test";
import { driftValue, eventWords, latestDrift, MOST, typesOf, withEvent } from "../system/events.js";
import { figuresOf, ignoredWords, updateWords } from "../system/health.js";
import { stateWords } from "../system/states.js";
import { parts, settingsProblem, trialWords } from "../system/trial.js";
import { ApiError } from "../api.js";
import { viewOf } from "../places/system.js";

const event = (seq, type, more = {}) => ({ seq, boot: "b", ts: `2026-03-01T00:00:${String(seq % 60).padStart(2, "0")}Z`, event_type: type, ...more });

test("events are said in words", () => {
    const head = { id: "9f0214ab77c1", version: 7 };
    assert.equal(eventWords(event(1, "promoted", { head, reason: "better" })), "head 7 (9f0214ab): better");
    assert.equal(eventWords(event(1, "rolled_back", { from: head, head: null, reason: "request" })), "from head 7 (9f0214ab) to no head: request");
    assert.equal(eventWords(event(1, "error", { source: "outbox", reason: "full" })), "outbox: full");
    assert.equal(eventWords(event(1, "some_new", { what: 3 })), "what 3");
    assert.equal(driftValue({ p_value: 0.00212 }), "p = 0.00212");
    assert.equal(driftValue({ score: 0.25 }), "score 0.25");
});

test("the log keeps the newest, each once", () => {
    let events = [];
    for (let seq = 0; seq < MOST + 5; seq += 1) events = withEvent(events, event(seq, seq % 2 ? "novel" : "drift", { kind: "error" }));
    events = withEvent(events, events[0]);
    assert.equal(events.length, MOST);
    assert.deepEqual(typesOf(events), [["drift", 100], ["novel", 100]]);
    assert.equal(latestDrift(events).length, 1);
    assert.equal(latestDrift([event(2, "drift", { kind: "error", task: "a" })], "b").length, 0);
});

test("health is said in words, also where little is known", () => {
    assert.equal(ignoredWords({ other_names: 3, links: 0, other_pictures: { heic: 1 } }), "3 other names, 1 heic");
    assert.equal(ignoredWords(null), "none");
    const rows = new Map(figuresOf({ uptime_s: 30, samples: 4, labelled: 2, ignored: {}, temperature_c: null, time_synced: null, broker: "off" }));
    assert.equal(rows.get("Temperature"), "no sensor");
    assert.equal(rows.get("Broker"), "none configured");
    assert.ok(![...rows.values()].some((value) => /undefined|null|NaN/.test(value)));
    assert.deepEqual(stateWords({ state: "open", previous: "closed", votes: [2, 3], confidence: 0.75 }), { state: "open, before closed", votes: "2 of 3", confidence: "75 %" });
    assert.equal(stateWords({ label: "open", probability: 0.5, unknown: false }).state, "open");
    assert.equal(stateWords(undefined).state, "no answer yet");
    assert.match(updateWords({ installed_version: "4", latest_version: "5", in_progress: true, phase: "downloading", update_percentage: 39, error: null }), /version 5: downloading, 39 %/);
});

test("a trial is said from its beginning to its end", () => {
    assert.match(trialWords({ state: "trial", version: 3 }, 43), /Version 3 .* 43 seconds left/);
    assert.match(trialWords({ state: "trial", version: 3 }, 0), /waiting/);
    assert.match(trialWords({ state: "trial", version: 3 }, null), /within a minute/);
    assert.match(trialWords({ state: "confirmed", version: 3 }, null), /confirmed/);
    assert.equal(trialWords({ state: "confirmed", version: null }, null), "");
    assert.match(trialWords({ state: "reverted", version: 3 }, null), /taken back/);
    assert.match(trialWords({ state: "rejected", version: 3, rejected: [{ key: "a", error: "b" }] }, null), /a b/);
    assert.match(settingsProblem(new ApiError(404, { code: "unknown_request", message: "x" })), /takes no settings/);
    assert.equal(settingsProblem(new ApiError(500, { message: "x" })), "x");
});

test("a change of a list is shown by what changes in it", () => {
    const before = [{ id: "door", from: [{ region: [0, 0, 1, 1] }], state: { confirm: "2 of 3", hold: "0s" } }, { id: "bin" }];
    const after = [{ id: "door", from: [{ region: [0, 0, 1, 0.5] }], state: { confirm: "3 of 4", hold: "0s" } }, { id: "gate", label_from: "none" }];
    assert.deepEqual(parts({ key: "tasks", before, after }).map(({ key, before, after }) => [key, before ?? null, after ?? null]), [
        ["tasks.door.from", [{ region: [0, 0, 1, 1] }], [{ region: [0, 0, 1, 0.5] }]],
        ["tasks.door.state.confirm", "2 of 3", "3 of 4"],
        ["tasks.bin.id", "bin", null],
        ["tasks.gate.id", null, "gate"],
        ["tasks.gate.label_from", null, "none"],
    ]);
    assert.deepEqual(parts({ key: "a.b", before: 1, after: null }), [{ key: "a.b", before: 1, after: null }]);
    assert.deepEqual(parts({ key: "l", before: ["x"], after: ["y"] }), [{ key: "l", before: ["x"], after: ["y"] }]);
    const reordered = parts({ key: "tasks", before: [{ id: "a" }, { id: "b" }], after: [{ id: "b" }, { id: "a" }] });
    assert.equal(reordered.length, 1, "another order is a change, too");
});

test("an address names a view", () => {
    assert.equal(viewOf(new URLSearchParams("regions=door")), "regions");
    assert.equal(viewOf(new URLSearchParams("view=settings")), "settings");
    assert.equal(viewOf(new URLSearchParams("view=other")), "health");
});
