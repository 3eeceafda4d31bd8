/** From an empty store to a device that answers: name a class, choose what is it, again, train, see. */

import { act } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { percent, plural } from "../figures.js";
import { problem as wrongWith } from "../samples/classbox.js";
import { unlabelled } from "./queue.js";
import { Tiles } from "./tiles.js";
import { trial } from "./trial.js";
import { moved, said } from "./words.js";

/** Tiles that are shown at once. */
const SHOWN = 48;
/** Labels of a class that are enough to begin, and those that are good to have. */
const ENOUGH = 5;
const GOOD = 10;
const ORDER = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];

/**
 * What comes next, in words.
 * @param {Map<string, number>} counts labels of each class @returns {{text: string, more: string, trains: boolean}}
 */
export function advise(counts) {
    const used = [...counts].filter(([, count]) => count > 0);
    const few = used.filter(([, count]) => count < ENOUGH);
    if (used.length < 2) {
        const more = used.length ? `${used[0][0]} has ${plural(used[0][1], "label")}. The device learns by difference, so it needs a second class.`
            : "A class is what an image may show: a part, a state, “good” or “broken”.";
        return { text: `Name the ${ORDER[used.length]} class.`, more, trains: false };
    }
    const more = few.length ? `${few.map(([label, count]) => `${label} has ${count}`).join(", ")}: ${GOOD} of each are a good start.`
        : "Or name another class.";
    return { text: few.length ? "You can train now, but more labels would help." : "Train now.", more, trains: true };
}

/**
 * @param {import("../main.js").App} app @param {import("./store.js").Store} store @param {import("./answers.js").Answers} answers
 * @param {() => void} rebind when other keys work
 */
export function wizard(app, store, answers, rebind) {
    /** @type {"name" | "choose" | "train" | "see"} */
    let step = "name";
    let label = "";
    let page = 0;
    /** @type {number | null} */
    let training = null;
    const heading = el("h2");
    const more = el("p");
    const classes = el("p.row", { role: "group", "aria-label": "Classes so far" });
    const problem = el("p.problem", { role: "alert" });
    const input = /** @type {HTMLInputElement} */ (el("input", { id: "class-name", type: "text", autocomplete: "off", autocapitalize: "off", maxlength: 128 }));
    const submit = el("button", { type: "submit" }, "Choose its images");
    const form = el("form.row", { onsubmit: named }, el("label", { for: "class-name" }, "Name"), input, submit);
    const train = button("Train now", () => begin());
    const look = button("See it answer", () => see(""));
    const tiles = new Tiles("Images without a label", () => drawChoice());
    const give = button("", () => chosen(), { class: "primary" });
    const others = button("Other images", () => ((page += 1), draw()));
    const choice = el("div.choosing", {}, el("div.row", {}, give, others, button("Back", () => become("name"))), tiles.root);
    const bar = el("span");
    const phase = el("p", { role: "status" });
    const progress = el("div", {}, phase, el("div.bar", { "aria-hidden": "true" }, bar),
        el("p.row.end", {}, button("Back", () => become("name"))));
    const seen = trial(app, store, answers, () => become("name"));
    const root = el("section.wizard", { "aria-label": "Begin" }, heading, more, classes, problem, form, el("p.row", {}, train, look), choice, progress, seen.root);

    /** @param {typeof step} to */
    function become(to) {
        step = to;
        say(problem, "");
        draw();
        rebind();
        if (to === "name") input.focus();
        if (to === "choose") tiles.focus();
    }

    /** @param {Event} event */
    function named(event) {
        event.preventDefault();
        const name = input.value.trim();
        const words = wrongWith(name);
        if (words) return say(problem, words);
        input.value = "";
        choose(name);
    }

    /** @param {string} name */
    function choose(name) {
        label = name;
        page = 0;
        app.nameClass(name);
        tiles.selection.clear();
        become("choose");
    }

    function chosen() {
        const images = [...tiles.chosen];
        if (!images.length) return app.announce("No tile is chosen.");
        tiles.selection.clear();
        app.labels.set(app.task, images.map((image) => ({ image, label, was: null })), said(images, label));
        become("name");
    }

    async function begin() {
        become("train");
        bar.style.width = "0";
        say(phase, "Asking the device to train …");
        try {
            await app.labels.queue;
            training = (await act("train", { ...app.about })).training;
        } catch (error) {
            become("name");
            say(problem, `No training: ${error instanceof Error ? error.message : error}`);
        }
    }

    function drawChoice() {
        const { size } = tiles.chosen;
        const hint = size === 0 ? "Choose all tiles that are it" : size < GOOD ? `Label ${size}; ${GOOD} are a good start` : `Label ${size}`;
        say(give, hint);
        give.disabled = size === 0;
    }

    function draw() {
        const { samples } = store;
        const counts = samples.counts();
        const advice = advise(counts);
        for (const [part, at] of /** @type {[HTMLElement, string][]} */ ([[form, "name"], [train, "name"], [choice, "choose"], [progress, "train"], [seen.root, "see"]])) {
            part.hidden = step !== at;
        }
        train.hidden = step !== "name" || !advice.trains;
        train.classList.toggle("primary", advice.trains);
        submit.classList.toggle("primary", !advice.trains);
        look.hidden = step !== "name" || !serves(app.live.latest.get(app.topic("train/result"))) || !advice.trains;
        const used = [...counts].filter(([, count]) => count > 0);
        classes.hidden = !used.length || step === "see";
        keyed(classes, used, ([name]) => name, ([name]) => button("", () => choose(name)));
        for (const [at, [name, count]] of used.entries()) nameTag(classes.children[at], name, count);
        if (step === "choose") return drawTiles();
        if (step === "see") seen.draw();
        const words = {
            name: [samples.n ? advice.text : "No image has arrived yet.", samples.n ? advice.more : "Copy some into a watched folder, or let a camera bring them. They appear here at once."],
            train: ["Training", "The new head serves only if it is no worse on images that it has not seen."],
            see: ["See it answer", "These images have no label yet, so it has not learned from them. Say whether it is right: that teaches it, too."],
        }[step];
        say(heading, words[0]);
        say(more, words[1]);
    }

    function drawTiles() {
        const free = unlabelled(store.samples);
        const pages = Math.max(1, Math.ceil(free.length / SHOWN));
        page %= pages;
        // A tile that is chosen stays, whatever arrives.
        const kept = [...tiles.chosen].filter((image) => free.includes(image));
        const shown = new Set([...kept, ...free.slice(page * SHOWN, (page + 1) * SHOWN)]);
        const before = tiles.tiles.map(({ image }) => image).filter((image) => shown.has(image));
        say(heading, `Choose all tiles that are “${label}”`);
        say(more, `${plural(free.length, "image")} without a label. Click, or arrows and space; Enter gives the label.`);
        others.hidden = pages < 2;
        tiles.show([...new Set([...before, ...shown])].map((image) => ({ image })));
        drawChoice();
    }

    /** @param {any} state */
    function drawPhase(state) {
        if (step !== "train" || !state) return;
        say(phase, state.phase === "idle" ? `Idle. ${state.reason}` : `${state.phase} … ${percent(state.progress)}`);
        bar.style.width = `${Math.round(state.progress * 100)}%`;
    }

    /** @param {any} result */
    function drawResult(result) {
        // Labels may have begun one by themselves.
        if (step === "name") return draw();
        if (step !== "train" || (training !== null && result.training < training)) return;
        app.toast(moved(result));
        if (serves(result)) return see(result.reason);
        become("name");
        say(problem, result.reason);
    }

    /** @param {string} reason */
    function see(reason) {
        answers.clear();
        become("see");
        seen.show(unlabelled(store.samples), reason);
    }
    const ends = [
        app.live.on(app.topic("train/state"), drawPhase),
        app.live.on(app.topic("train/result"), drawResult),
    ];
    return {
        root,
        draw,
        begin: () => become("name"),
        keys() {
            if (step === "choose") return [...tiles.keys(), { key: "Enter", does: "label the chosen tiles", run: chosen }];
            return step === "see" ? seen.keys() : [];
        },
        close: () => ends.forEach((end) => end()),
    };
}

/** Whether a head is in service after a training. @param {any} result */
const serves = (result) => Boolean(result?.promoted || result?.champion);

/** @param {Element} element @param {string} name @param {number} count */
function nameTag(element, name, count) {
    const words = `${name} ${count}`;
    say(element, words);
    element.setAttribute("aria-label", `${words}: choose more of it`);
}
