/** Training: how good the heads are, what the gate said of them, and which one serves. */

import { ApiError, read } from "../api.js";
import { chart } from "../training/charts.js";
import { confusionTable, confusionWords } from "../training/confusion.js";
import { button, el, keyed, say } from "../dom.js";
import { listFigures, moment, percent } from "../figures.js";
import { headsPanel } from "../training/heads.js";
import { advice, classes, curves, details, gate, learning } from "../training/reports.js";
import { scrolling, scrollTable } from "../tables.js";

/** Trainings that the device keeps. */
const KEPT = 50;

/** What a training is about. */
const PHASES = /** @type {Record<string, string>} */ ({
    idle: "No training runs.",
    collecting: "Collecting the images and their labels",
    fitting: "Fitting the new head",
    tuning: "Training the last layers of the backbone on",
    evaluating: "Measuring it on images that it has not seen",
    promoting: "Putting it in service",
});

/** How far a training is, in words. @param {{phase: string, progress: number, reason: string} | undefined} state */
export function phaseWords(state) {
    if (!state) return "";
    const words = PHASES[state.phase] ?? state.phase;
    if (state.phase === "idle") return state.reason ? `${words} The last one: ${state.reason}` : words;
    return `${words}, ${Math.round(state.progress * 100)} %${state.reason ? ` (${state.reason})` : ""}`;
}

/**
 * What is missing until there is something to see.
 * @param {number} labelled @param {number} used classes with labels
 */
export function empty(labelled, used) {
    if (labelled === 0) return "No training yet. Label a few images of two classes first.";
    if (used < 2) return "No training yet: a second class is needed.";
    return "No training yet. It begins by itself after some more labels, or now.";
}

/** @param {import("../main.js").App} app @param {HTMLElement} root */
export async function open(app, root) {
    const phase = el("p.phase");
    const bar = el("span");
    const progress = el("div.bar", { role: "progressbar", "aria-label": "Training", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const none = el("p.faint", { hidden: true });
    const charts = el("div.charts");
    const advised = el("p");
    const verdict = el("p");
    const reason = el("p");
    const change = el("p.faint");
    const pick = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": "Which training" }));
    const rows = el("tbody");
    const figures = el("dl.figures");
    const about = el("p.faint");
    const confusion = scrolling("What was taken for what");
    const heads = headsPanel(app, () => soon());
    const panel = (/** @type {string} */ id, /** @type {string} */ title, /** @type {Node | null} */ beside, /** @type {Node[]} */ ...children) =>
        el("section.panel.wide", { "aria-labelledby": id }, el("div.row.spread", {}, el("h2", { id }, title), beside), ...children);
    const recalls = scrollTable("Recall by class", ["Class", "Recall", "Change", "Held out", "Best ever"], rows, "recalls");
    const more = el("details", {}, el("summary", {}, "Solver, lambda and other figures"), figures);
    const measured = el("div.panels.wide", { hidden: true },
        panel("curves-title", "Balanced accuracy", null, charts, advised),
        panel("gate-title", "What the gate said", pick, verdict, reason, change, recalls, more),
        panel("confusion-title", "Taken for another", null, about, confusion));
    const train = button("Train now", () => app.train(), { class: "primary" });
    root.append(el("h1.unseen", {}, "Training"),
        el("div.panels", {}, panel("now-title", "Progress", train, phase, progress, none), measured, heads.element));

    /** @type {any[]} the newest first */
    let reports = [];
    /** The training that is looked at; null follows the latest. @type {number | null} */
    let chosen = null;
    let drawn = "";
    let isClosed = false;
    pick.addEventListener("change", () => {
        chosen = Number(pick.value) === reports[0]?.training ? null : Number(pick.value);
        drawReport();
    });

    /** @param {any} state */
    function drawPhase(state) {
        say(phase, phaseWords(state));
        const done = state && state.phase !== "idle" ? Math.round(state.progress * 100) : 0;
        progress.setAttribute("aria-valuenow", String(done));
        progress.setAttribute("aria-valuetext", phaseWords(state) || "unknown");
        bar.style.width = `${done}%`;
    }

    function drawAdvice() {
        const given = app.live.latest.get(app.topic("review"))?.advice;
        say(advised, advice(given, given ? app.index.samples?.counts().get(given.class) ?? 0 : 0));
    }

    function drawCurves() {
        const shared = { words: percent };
        const plans = [
            { ...shared, title: "By training", xName: "training", series: curves(reports, ({ training }) => training) },
            { ...shared, title: "By number of labels", xName: "labels", isLog: true, series: learning(reports) },
        ].filter(({ series }) => series.some(({ points }) => points.length));
        const open = [...charts.querySelectorAll("details")].map((details) => details.open);
        charts.replaceChildren(...plans.map((plan) => chart(plan, charts.clientWidth)));
        charts.querySelectorAll("details").forEach((details, at) => (details.open = open[at] ?? false));
        if (!plans.length) charts.append(el("p.faint", {}, "Too few images were held out to measure a head. More labels change that."));
    }

    function drawReport() {
        const report = reports.find(({ training }) => training === chosen) ?? reports[0];
        if (!report) return;
        if (document.activeElement !== pick) {
            keyed(pick, reports, ({ training }) => String(training), ({ training, ts }) =>
                el("option", { value: training }, `Training ${training}, ${moment(ts)}`));
            pick.value = String(report.training);
        }
        const words = gate(report);
        say(verdict, words.verdict);
        say(reason, words.reason);
        say(change, words.change);
        keyed(rows, classes(report), ({ name }) => name, classRow, (element, row) => {
            const made = classRow(row);
            element.replaceChildren(...made.childNodes);
        });
        listFigures(figures, details(report));
        drawConfusion(report).catch(() => {});
    }

    /** @param {any} report */
    async function drawConfusion(report) {
        const wanted = `${report.training} ${app.task}`;
        if (wanted === drawn) return;
        drawn = wanted;
        let found;
        let problem = "No images were held out in this training, so it is not known what it takes for what.";
        try {
            found = await read("confusion", { training: report.training, ...app.about });
        } catch (error) {
            if (!(error instanceof ApiError && error.code === "not_found")) drawn = "";
            problem = error instanceof Error ? error.message : problem;
        }
        // The report has the counts, though not the images behind them.
        const counts = report.challenger?.confusion;
        const { training, head, classes } = report;
        if (!found?.matrix && counts) found = { training, head, classes, matrix: counts, cells: [] };
        if (isClosed) return;
        say(about, found?.matrix ? confusionWords(found) : problem);
        confusion.hidden = !found?.matrix;
        confusion.replaceChildren(...(found?.matrix ? [confusionTable(found, app.about)] : []));
    }

    async function reload() {
        const trainings = read("trainings", { limit: KEPT, ...app.about });
        const served = read("heads", app.about);
        const [, { samples }, list, kept] = await Promise.all([app.refresh(), app.index.load(app.task), served, trainings]);
        if (isClosed) return;
        reports = kept;
        if (!app.live.latest.has(app.topic("train/state")) && app.status) drawPhase({ phase: app.status.phase, progress: 0, reason: "" });
        const counts = [...samples.counts().values()];
        say(none, empty(counts.reduce((sum, count) => sum + count, 0), counts.filter(Boolean).length));
        none.hidden = reports.length > 0;
        measured.hidden = reports.length === 0;
        drawCurves();
        drawReport();
        drawAdvice();
        heads.draw(list, reports);
    }

    let timer = 0;
    const soon = () => {
        clearTimeout(timer);
        timer = setTimeout(() => reload().catch((error) => app.announce(error.message)), 300);
    };
    const isAboutHeads = new Set(["trained", "promoted", "rejected", "rolled_back", "backbone_changed"]);
    const ends = [
        app.live.on(app.topic("train/state"), drawPhase),
        app.live.on(app.topic("train/result"), (report) => {
            app.announce(gate(report).verdict);
            soon();
        }),
        app.live.on("event", (event) => isAboutHeads.has(event?.event_type) && soon()),
        app.live.on(app.topic("review"), drawAdvice),
        app.live.on("link", (state) => state === "open" && soon()),
        app.labels.on(({ state }) => state === "confirmed" && reports.length === 0 && soon()),
    ];
    drawPhase(app.live.latest.get(app.topic("train/state")));
    await reload();
    return {
        close() {
            isClosed = true;
            clearTimeout(timer);
            ends.forEach((end) => end());
        },
    };
}

/** @param {import("../training/reports.js").ClassRow} row */
function classRow({ name, support, recall, change, best, isForgotten, isWorse }) {
    const mark = isForgotten ? el("span.tag.bad", {}, "forgotten") : isWorse ? el("span.tag.warn", {}, "worse") : null;
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, recall), el("td", {}, change, mark && " ", mark),
        el("td", {}, String(support)), el("td", {}, best));
}
