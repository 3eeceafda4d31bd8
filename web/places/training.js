/** Training: how good the heads are, what the gate said of them, and which one serves. */

import { ApiError, read } from "../api.js";
import { chart } from "../charts.js";
import { confusionTable } from "../confusion.js";
import { button, el, keyed, say } from "../dom.js";
import { listFigures, moment, percent } from "../figures.js";
import { headsPanel } from "../heads.js";
import { advice, classes, curves, details, gate, learning } from "../reports.js";

/** Trainings that the device keeps. */
const KEPT = 50;

/** What a training is about. */
const PHASES = /** @type {Record<string, string>} */ ({
    idle: "No training runs.",
    collecting: "Collecting the images and their labels",
    fitting: "Fitting the new head",
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

/** What is missing until there is something to see. @param {number} labelled @param {number} used classes with labels */
export function empty(labelled, used) {
    if (labelled === 0) return "No training yet. Label a few images of two classes first.";
    if (used < 2) return "No training yet: a second class is needed.";
    return "No training yet. It begins by itself after some more labels, or now.";
}

/** @param {import("../main.js").App} app @param {HTMLElement} root */
export async function open(app, root) {
    const phase = el("p", { role: "status" });
    const bar = el("span");
    const progress = el("div.bar", { role: "progressbar", "aria-label": "Training", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, bar);
    const none = el("p.faint", { hidden: true });
    const charts = el("div.charts");
    const advised = el("p");
    const verdict = el("p");
    const reason = el("p");
    const change = el("p.faint");
    const pick = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": "Which training" }));
    const rows = el("tbody");
    const figures = el("dl.figures");
    const confusion = el("div.scroll", { tabindex: 0, role: "region", "aria-label": "What was taken for what" });
    const heads = headsPanel(app, () => soon());
    const measured = el("div.panels.wide", { hidden: true },
        el("section.panel.wide", { "aria-labelledby": "curves-title" }, el("h2", { id: "curves-title" }, "Balanced accuracy"), charts, advised),
        el("section.panel.wide", { "aria-labelledby": "gate-title" }, el("div.row.spread", {}, el("h2", { id: "gate-title" }, "What the gate said"), pick),
            verdict, reason, change,
            el("div.scroll", { tabindex: 0, role: "region", "aria-label": "Recall by class, table" }, el("table", {}, el("caption.unseen", {}, "Recall by class"),
                el("thead", {}, el("tr", {}, ...["Class", "Held out", "Recall", "Change", "Best ever"].map((name) => el("th", { scope: "col" }, name)))), rows)),
            el("details", {}, el("summary", {}, "Solver, lambda and other figures"), figures)),
        el("section.panel.wide", { "aria-labelledby": "confusion-title" }, el("h2", { id: "confusion-title" }, "Taken for another"), confusion));
    root.append(el("h1.unseen", {}, "Training"), el("div.panels", {},
        el("section.panel.wide", { "aria-labelledby": "now-title" }, el("div.row.spread", {}, el("h2", { id: "now-title" }, "Progress"),
            button("Train now", () => app.train(), { class: "primary" })), phase, progress, none),
        measured, heads.element));

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
        charts.replaceChildren(...plans.map(chart));
        charts.querySelectorAll("details").forEach((details, at) => (details.open = open[at] ?? false));
        if (!plans.length) charts.append(el("p.faint", {}, "Too few images were held out to measure any head. More labels change that."));
    }

    function drawReport() {
        const report = reports.find(({ training }) => training === chosen) ?? reports[0];
        if (!report) return;
        if (document.activeElement !== pick) {
            keyed(pick, reports, ({ training }) => String(training), ({ training, ts }) => el("option", { value: training }, `Training ${training}, ${moment(ts)}`));
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
        if (!found?.matrix && counts) found = { training: report.training, head: report.head, classes: report.classes, matrix: counts, cells: [] };
        if (isClosed) return;
        confusion.replaceChildren(found?.matrix ? confusionTable(found, app.about) : el("p.faint", {}, problem));
    }

    async function reload() {
        const trainings = read("trainings", { limit: KEPT, ...app.about });
        const [, { samples }, list, kept] = await Promise.all([app.refresh(), app.index.load(app.task), read("heads", app.about), trainings]);
        if (isClosed) return;
        reports = kept;
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

/** @param {import("../reports.js").ClassRow} row */
function classRow({ name, support, recall, change, best, isForgotten, isWorse }) {
    const mark = isForgotten ? el("span.tag.bad", {}, "forgotten") : isWorse ? el("span.tag.warn", {}, "worse") : null;
    return el("tr", {}, el("th", { scope: "row" }, name), el("td.number", {}, String(support)), el("td.number", {}, recall),
        el("td", {}, change, mark && " ", mark), el("td", {}, best));
}
