/** Overview: is it well, and what should be done now. */

import { read, thumbnail } from "../api.js";
import { button, el, keyed, say } from "../dom.js";
import { listFigures, megabytes, percent } from "../figures.js";
import { statePanel } from "../system/states.js";

/** Predictions that are shown. */
const SHOWN = 8;

/**
 * What a person should do now, the first that applies.
 * @param {{classes: Map<string, number>, samples: number, alerts: string[], review: number, head: any, phase: string,
 *     advice: {class: string, labels: number, gain: number} | null}} now
 * @returns {{text: string, more: string, act: {label: string, place: string, args?: Record<string, string>} | null}}
 */
export function next({ classes, samples, alerts, review, head, phase, advice }) {
    const used = [...classes].filter(([, count]) => count > 0);
    const label = (/** @type {string} */ queue) => ({ label: "Label", place: "label", args: { queue } });
    if (samples === 0) {
        return { text: "No image has arrived yet.", more: "Copy some into a watched folder, or let a camera bring them.", act: null };
    }
    if (used.length === 0) {
        return { text: "Name the first class.", more: "Two classes and a few images of each are enough to begin.", act: { ...label("start"), label: "Begin" } };
    }
    if (used.length === 1) {
        return { text: "A second class is needed.", more: `All labels are ${used[0][0]} so far.`, act: { ...label("start"), label: "Go on" } };
    }
    if (!head && phase === "idle" && used.reduce((sum, [, count]) => sum + count, 0) >= 4) {
        return { text: "There are labels, and no head yet.", more: "Training takes less than a second once it begins.", act: { label: "Train now", place: "train" } };
    }
    if (alerts.length) return { text: `Look at ${alerts.join(", ")}.`, more: "It stands at the top of the page.", act: { label: "System", place: "system" } };
    if (review) {
        const gain = advice ? ` Most is to be gained from ${advice.class} (+${(advice.gain * 100).toFixed(1)} points).` : "";
        return {
            text: `${review} ${review === 1 ? "image is" : "images are"} worth a label.`,
            more: `The device chose them because they teach most.${gain}`,
            act: { ...label("review"), label: `Label ${review}` },
        };
    }
    if (advice) {
        return {
            text: `${advice.labels} more labels of ${advice.class} are expected to gain ${(advice.gain * 100).toFixed(1)} points.`,
            more: "The other classes gain less.",
            act: { ...label("unlabelled"), label: "Label" },
        };
    }
    return { text: "Nothing to do.", more: "More labels would hardly change the answers now.", act: null };
}

/** @param {import("../main.js").App} app @param {HTMLElement} root */
export async function open(app, root) {
    const sentence = el("p.next");
    const more = el("p.faint");
    const doing = el("p");
    const strip = el("div.strip");
    const rate = el("small");
    const headline = el("p");
    const reason = el("p.faint");
    const phase = el("p");
    const bar = el("span");
    const live = el("dl.figures");
    const counts = el("dl.figures");
    const classes = el("p.row");
    root.append(
        el("h1.unseen", {}, "Overview"),
        el("div.panels", {},
            el("section.panel", { "aria-label": "What to do next" }, el("h2", {}, "Next"), sentence, more, doing),
            el("section.panel.wide", { "aria-label": "Latest images" }, el("div.row.spread", {}, el("h2", {}, "Latest"), rate), strip),
            el("section.panel", { "aria-label": "Head in service" }, el("h2", {}, "Head in service"), headline, reason, classes,
                phase, el("div.bar", { "aria-hidden": "true" }, bar),
                el("p.row.end", {}, button("Train now", () => app.train()), button("Training and heads", () => app.go("training")))),
            el("section.panel", { "aria-label": "Right on live images" }, el("h2", {}, "Right on live images"), live),
            el("section.panel", { "aria-label": "Store" }, el("h2", {}, "Store"), counts)),
    );
    const states = statePanel(app);
    root.querySelector(".panels")?.append(states.element);

    /** @type {any[]} the latest predictions, the newest first */
    let latest = [];
    /** @type {number[]} */
    let times = [];
    let isHeld = false;
    strip.addEventListener("pointerenter", () => (isHeld = true));
    strip.addEventListener("pointerleave", () => ((isHeld = false), drawStrip()));
    let heads = [];

    function drawStrip() {
        if (isHeld) return;
        keyed(strip, latest, ({ image }) => image.slice(0, 16), tile, redraw);
        const minute = times.filter((time) => time > Date.now() - 60_000).length;
        say(rate, times.length ? `${minute} ${minute === 1 ? "image" : "images"} in the last minute` : "");
    }

    /** @param {any} prediction */
    function tile(prediction) {
        const link = el("a.tile", { href: "#/label" }, el("img", { src: thumbnail(prediction.image), alt: "", loading: "lazy", width: 160, height: 120 }),
            el("span.caption"));
        redraw(link, prediction);
        return link;
    }

    /** @param {Element} link @param {any} prediction */
    function redraw(link, prediction) {
        const { image, given, label, probability, unknown, set } = prediction;
        const words = unknown ? "unknown" : label !== null ? `${label} ${percent(probability)}` : given ? `labelled ${given}` : "no answer";
        const doubt = set && set.length !== 1 ? ` (${set.length ? set.join(" or ") : "none"})` : "";
        say(/** @type {Element} */ (link.lastElementChild), words + doubt);
        link.setAttribute("href", `#/label?${new URLSearchParams({ queue: "one", image: image.slice(0, 16), ...app.about })}`);
        link.setAttribute("aria-label", `Label this image: ${words}${doubt}`);
    }

    function drawNext() {
        const samples = app.index.samples;
        const review = app.live.latest.get(app.topic("review"));
        const found = next({
            classes: samples?.counts() ?? new Map(),
            samples: samples?.n ?? 0,
            alerts: [...app.live.latest.keys()].filter((topic) => topic.startsWith("alert/")).map((topic) => topic.slice(6)),
            review: review?.items.length ?? 0,
            head: app.status?.head ?? null,
            phase: app.status?.phase ?? "idle",
            advice: review?.advice ?? null,
        });
        say(sentence, found.text);
        say(more, found.more);
        const { act } = found;
        keyed(doing, act ? [act] : [], ({ label, place }) => `${label} ${place}`, ({ label, place, args }) =>
            button(label, () => (place === "train" ? app.train() : app.go(place, args)), { class: "primary" }));
    }

    function drawHead() {
        const champion = heads.find(({ status }) => status === "champion");
        say(headline, champion
            ? `Version ${champion.version}, ${champion.classes.length} classes, ${champion.accuracy === null ? "too little held out to measure it" : `${percent(champion.accuracy)} right on what it had not seen`}`
            : "None yet: images get no answer until one was trained.");
        say(reason, champion?.reason ?? "");
        keyed(classes, champion?.classes ?? [], (name) => name, (name) => el("span.tag", {}, name));
    }

    /** @param {any} state */
    function drawPhase(state) {
        if (!state) return;
        say(phase, state.phase === "idle" ? `Idle. ${state.reason}` : `${state.phase}: ${state.reason}`);
        bar.style.width = `${Math.round(state.progress * 100)}%`;
    }

    function drawFigures() {
        const { status } = app;
        if (!status) return;
        listFigures(live, [
            ["Drawn at random (audit)", accuracy(status.live?.audit)],
            ["Before their label came", accuracy(status.live?.prequential)],
        ]);
        const task = app.task === null ? null : status.tasks?.[app.task];
        listFigures(counts, [
            ["Images", `${(task ?? status).samples}, ${(task ?? status).labelled} with a label`],
            ["Waiting to be read", status.queue],
            ["Put aside", status.quarantined],
            ["On the disk", megabytes(status.store_bytes)],
            ["Broker", status.broker === "off" ? "none configured" : status.broker],
        ]);
    }

    async function reload() {
        const [, { samples }, list] = await Promise.all([app.refresh(), app.index.load(app.task), read("heads", app.about)]);
        heads = list;
        if (!latest.length) {
            for (let row = samples.n - 1; row >= Math.max(0, samples.n - SHOWN); row -= 1) {
                const given = samples.labelOf(row);
                latest.push({ image: samples.image(row), given, label: samples.predictedOf(row), probability: samples.probabilityOf(row) });
            }
        }
        drawStrip();
        drawNext();
        drawHead();
        drawFigures();
    }

    // Counts change in bursts; they are read once for each.
    let timer = 0;
    const soon = () => {
        clearTimeout(timer);
        timer = setTimeout(() => reload().catch(() => {}), 300);
    };
    const ends = [
        app.live.on(app.topic("prediction"), (prediction) => {
            latest = [prediction, ...latest.filter(({ image }) => image.slice(0, 16) !== prediction.image.slice(0, 16))].slice(0, SHOWN);
            times = [...times.filter((time) => time > Date.now() - 60_000), Date.now()];
            drawStrip();
        }),
        app.live.on(app.topic("train/state"), drawPhase),
        app.live.on(app.topic("train/result"), soon),
        app.live.on(app.topic("review"), soon),
        app.live.on("health", () => (drawFigures(), soon())),
        app.live.on("alert/", drawNext),
        app.live.on("link", (state) => state === "open" && soon()),
        app.labels.on(({ state }) => state === "confirmed" && soon()),
    ];
    drawPhase(app.live.latest.get(app.topic("train/state")));
    await reload();
    return {
        close() {
            clearTimeout(timer);
            ends.forEach((end) => end());
            states.close();
        },
    };
}

/** @param {{n: number, accuracy: number | null, accuracy_interval: [number, number] | null} | undefined} figure */
function accuracy(figure) {
    if (!figure || figure.accuracy === null || !figure.accuracy_interval) return "nothing measured yet";
    const [low, high] = figure.accuracy_interval;
    return `${percent(figure.accuracy)} of ${figure.n} (95 %: ${percent(low)} to ${percent(high)})`;
}
