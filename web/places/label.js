/** Label: one image or one burst at a time, from a queue; and the way from an empty store to a first head. */

import { act, read } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { plural } from "../figures.js";
import { acceptAll } from "../label/accept.js";
import { Answers } from "../label/answers.js";
import { Bench } from "../label/bench.js";
import { listOf, QUEUES, short } from "../label/queue.js";
import { Store } from "../label/store.js";
import { wizard } from "../label/wizard.js";
import { moved, said, today } from "../label/words.js";

/** Where another place leaves the images that it hands over. */
const SELECTION = "edgetuned.selection";
/** Changes come in bursts; lists are made once for each. */
const SOON = 200;

/** @param {import("../main.js").App} app @returns {string[]} */
function handedOver(app) {
    const given = /** @type {any} */ (app).selection;
    if (Array.isArray(given) && given.length) return given;
    const kept = JSON.parse(sessionStorage.getItem(SELECTION) ?? "[]");
    return Array.isArray(kept) ? kept.filter((image) => typeof image === "string") : [];
}

/** @param {import("../main.js").App} app @param {HTMLElement} root @param {URLSearchParams} args */
export async function open(app, root, args) {
    const store = new Store(app);
    const answers = new Answers((image) => act("predict", { ...app.about, image }));
    /** @type {import("../label/queue.js").Sources} */
    const sources = {
        samples: /** @type {any} */ (null), review: [], novel: [], selection: handedOver(app), image: args.get("image"), label: args.get("class"),
    };
    /** @type {Map<string, import("../label/queue.js").Review>} */
    let items = new Map();
    /** @type {ReturnType<typeof acceptAll> | null} */
    let accepting = null;
    let isReady = false;
    const [latest, events] = await Promise.all([
        app.live.latest.get(app.topic("review")) ?? read("review", app.about).catch(() => ({ items: [] })),
        read("events", { limit: 200 }).catch(() => []),
        store.load(),
    ]);
    takeReview(latest);
    sources.novel = events.filter((/** @type {any} */ event) => event.event_type === "novel" && event.image).map(({ image }) => image);
    const isEmpty = ![...store.samples.counts().values()].some((count) => count > 0);
    const queue = args.get("queue") ?? (isEmpty ? "start" : "review");

    const select = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": "Queue", onchange: () => chooseQueue(select.value) }));
    const left = el("span.faint");
    const stacks = button("Bursts", () => bench.setStack(!bench.isStack), { title: "A key labels all images of a burst (B)" });
    const all = button("Accept all …", () => openAccept(), { title: "Accept suggestions above a bound (A)" });
    const line = el("p.faint.ledger");
    const other = el("div");
    const bench = new Bench(app, store, answers, {
        review: (image) => items.get(image),
        among: () => (queue === "selection" ? new Set(sources.selection.map(short)) : null),
        atEnd,
        drawn: drawTop,
        bind: () => isReady && bind(),
    });
    const begin = queue === "start" ? wizard(app, store, answers, () => isReady && bind()) : null;
    root.append(el("h1.unseen", {}, "Label"),
        el("div.row.queuebar", {}, select, left, all, stacks),
        bench.conflicts.root, begin ? begin.root : bench.root, other, line);
    bench.isIdle = begin !== null;
    if (args.get("mode") === "stack") bench.isStack = true;

    /** @param {any} message */
    function takeReview(message) {
        sources.review = message?.items ?? [];
        items = new Map(sources.review.map((item) => [short(item.image), item]));
    }

    /** @param {string} value */
    function chooseQueue(value) {
        const [id, label] = [value.split(":")[0], value.slice(value.indexOf(":") + 1)];
        app.go("label", id === "class" ? { queue: id, class: label } : { queue: id });
    }

    function drawTop() {
        say(left, begin ? "" : `${bench.queue.left} left`);
        stacks.setAttribute("aria-pressed", String(bench.isStack));
        stacks.hidden = begin !== null || accepting !== null;
        all.hidden = queue !== "unlabelled" || accepting !== null || bench.queue.left === 0;
        const given = today(0);
        say(line, [`labelled today in this browser ${given}`, begin ? "" : `${bench.queue.left} left in the queue`,
            moved(app.live.latest.get(app.topic("train/result")))].filter(Boolean).join(" · "));
    }

    function drawQueues() {
        // A list that is open is left alone.
        if (document.activeElement === select) return;
        const counts = store.samples.counts();
        const count = (/** @type {string} */ id) => listOf(id, sources).length;
        const options = [
            ...QUEUES.map(({ id, title }) => ({ value: id, text: `${title} (${count(id)})` })),
            ...(sources.selection.length ? [{ value: "selection", text: `Selection (${sources.selection.length})` }] : []),
            ...(queue === "one" ? [{ value: "one", text: "One image" }] : []),
            ...app.classes().map((label) => ({ value: `class:${label}`, text: `Class ${label} (${counts.get(label) ?? 0})` })),
            { value: "start", text: "Begin with new classes" },
        ];
        keyed(select, options, ({ value }) => value, ({ value, text }) => el("option", { value }, text), (element, { text }) => say(element, text));
        select.value = queue === "class" ? `class:${sources.label}` : queue;
    }

    /** @param {number} skipped @returns {Node[]} */
    function atEnd(skipped) {
        const go = (/** @type {string} */ label, /** @type {string} */ id, primary = false) => button(label, () => app.go("label", { queue: id }), { class: primary ? "primary" : "" });
        const acts = [];
        if (skipped) acts.push(button(`Show the ${plural(skipped, "skipped image", "skipped images")}`, () => (bench.queue.again(), bench.draw()), { class: "primary" }));
        const bare = queue === "unlabelled" ? 0 : listOf("unlabelled", sources).length;
        if (queue !== "review" && listOf("review", sources).length) acts.push(go("Go on with what is worth a label", "review", !skipped));
        if (bare) acts.push(go(`Label the ${bare} without a label`, "unlabelled", !acts.length));
        if (isEmpty && store.samples.n) acts.push(go("Begin with the first class", "start", true));
        acts.push(button("Train now", () => app.train()), button("Overview", () => app.go("overview")));
        const words = skipped ? `Through. ${plural(skipped, "image was", "images were")} skipped.` : bench.queue.list.length ? "All done here." : "Nothing is in this queue.";
        return [el("p.next", {}, words), el("p.faint", {}, "What comes in appears here at once."), el("div.row", {}, ...acts)];
    }

    function openAccept() {
        const images = listOf("unlabelled", sources);
        // Labels since then may have changed an answer.
        answers.clear();
        accepting = acceptAll(images, answers, {
            burstsOf: (names) => new Set(names.map((name) => store.samples.burst[store.samples.row(name)] ?? name)).size,
            accept(suggestions) {
                closeAccept();
                if (!suggestions.length) return;
                const names = suggestions.map(({ image }) => image);
                const labels = new Set(suggestions.map(({ label }) => label));
                app.labels.set(app.task, suggestions.map(({ image, label }) => ({ image, label, was: null })),
                    said(names, labels.size === 1 ? [...labels][0] : `suggestions of ${labels.size} classes`));
            },
            cancel: closeAccept,
        });
        bench.root.hidden = true;
        other.replaceChildren(accepting.root);
        bind();
        drawTop();
    }

    function closeAccept() {
        accepting?.close();
        accepting = null;
        other.replaceChildren();
        bench.root.hidden = false;
        bind();
        bench.draw();
    }

    function bind() {
        const more = queue === "unlabelled" ? [{ key: "a", does: "accept suggestions above a bound", run: openAccept }] : [];
        app.keys.bind("place", begin?.keys() ?? accepting?.keys() ?? [...bench.keys(), ...more]);
    }

    function sync() {
        sources.samples = store.samples;
        drawQueues();
        if (begin) {
            begin.draw();
            drawTop();
        } else {
            bench.update(listOf(queue, sources));
        }
    }

    let timer = 0;
    let isOpen = true;
    const soon = (/** @type {boolean} */ anew) => {
        clearTimeout(timer);
        timer = setTimeout(() => {
            if (anew) store.load().then(() => isOpen && sync(), () => {});
            else sync();
        }, SOON);
    };
    const ends = [
        app.live.on(app.topic("review"), (message) => (takeReview(message), soon(true))),
        app.live.on(app.topic("prediction"), ({ image, unknown }) => {
            if (unknown) sources.novel.push(image);
            soon(true);
        }),
        app.live.on("health", () => soon(true)),
        app.live.on("link", (state) => state === "open" && soon(true)),
        app.live.on(app.topic("train/result"), () => (answers.clear(), bench.draw())),
        app.live.on("undone", (/** @type {any} */ { restored }) => {
            if (restored?.length) store.load().then(() => isOpen && (bench.queue.reopen(short(restored[0].image)), sync()), () => {});
        }),
        app.labels.on((change) => {
            if (change.state === "confirmed") today(change.items.filter(({ label }) => label !== null).length);
            if (change.state === "undone") today(-change.items.filter(({ label }) => label !== null).length);
            if (change.state !== "pending") soon(true);
            if (begin) sync();
            else drawTop();
        }),
    ];
    sync();
    if (begin) begin.begin();
    isReady = true;
    bind();
    return {
        close() {
            isOpen = false;
            clearTimeout(timer);
            ends.forEach((end) => end());
            accepting?.close();
            begin?.close();
            bench.close();
            store.close();
        },
    };
}
