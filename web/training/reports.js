/** What reports of trainings say, in words and as curves. No elements are made here. */

import { between, NOTHING, percent, plural, points } from "../figures.js";

/** A message of `train/result`. @typedef {any} Report */
/** @typedef {import("./charts.js").Series} Series */

/** What the codes of the gate mean. */
const VERDICTS = /** @type {Record<string, string>} */ ({
    better: "surely better",
    not_worse: "no worse",
    first: "the first head",
    worse: "worse",
    class_lost: "a class is not known any more",
    class_recall_loss: "a class is recognised less often",
    log_loss: "its probabilities are worse",
    too_few_heldout: "too few images to measure it on",
    chance: "no better than guessing",
    no_labels: "nothing to learn from",
    labels_left_out: "too few labels are believed",
    not_better: "the second phase is not better",
});

/**
 * Balanced accuracy of challengers and champions over `by`.
 * @param {Report[]} reports in any order @param {(report: Report) => number} by @returns {Series[]}
 */
export function curves(reports, by) {
    const ordered = [...reports].sort((a, b) => by(a) - by(b) || a.training - b.training);
    const point = (/** @type {Report} */ report, /** @type {string} */ role) => {
        const [low, high] = report[role].balanced_accuracy_interval ?? [];
        return { x: by(report), y: report[role].balanced_accuracy, low, high };
    };
    const series = (/** @type {string} */ role) =>
        ordered.filter((report) => isMeasured(report[role])).map((report) => point(report, role));
    return [
        { name: "new head", kind: "first", points: series("challenger") },
        { name: "head in service then", kind: "second", points: series("champion") },
    ];
}

/** Over the number of labels: the latest training of each number. @param {Report[]} reports */
export function learning(reports) {
    const latest = new Map([...reports].sort((a, b) => a.training - b.training).map((report) => [report.n_train, report]));
    return curves([...latest.values()].filter(({ n_train: n }) => n > 0), ({ n_train: n }) => n).slice(0, 1);
}

/** @param {any} figures */
const isMeasured = (figures) => typeof figures?.balanced_accuracy === "number";

/**
 * What more labels would bring.
 * @param {{class: string, labels: number, gain: number} | null | undefined} advice
 * @param {number} labels given so far to that class
 */
export function advice(advice, labels) {
    if (!advice) return "What more labels would bring cannot be told yet, or it is less than chance.";
    const gain = points(advice.gain).replace("+", "");
    return `${advice.class} has ${plural(labels, "label")}: ${advice.labels} more are expected to gain ${gain}. The other classes gain less.`;
}

/** What the gate decided. @param {Report} report @returns {{verdict: string, reason: string, change: string}} */
export function gate(report) {
    const { promoted, provisional, code, reason, change, head, n_train: n, trigger } = report;
    const became = promoted ? `serves${provisional ? " provisionally" : ""}` : "does not serve";
    const why = VERDICTS[code] ?? String(code ?? "").replaceAll("_", " ");
    return {
        verdict: `Training ${report.training} (${trigger}; ${plural(n, "image")}): head ${head?.version ?? "–"} ${became}${why ? `, ${why}` : ""}.`,
        reason: reason ?? "",
        change: change ? changeWords(change) : "",
    };
}

/** @param {[number, number]} change and its lower bound */
const changeWords = ([change, bound]) =>
    `Balanced accuracy ${points(change)} on the same images, surely no less than ${points(bound)} (one-sided 5 % bound).`;

/**
 * @typedef {object} ClassRow
 * @property {string} name
 * @property {number} support
 * @property {string} recall
 * @property {string} change
 * @property {string} best
 * @property {boolean} isForgotten
 * @property {boolean} isWorse
 */

/** Recall of each class, and how it changed. @param {Report} report @returns {ClassRow[]} */
export function classes(report) {
    const changed = new Map((report.forgetting ?? []).map((/** @type {any} */ row) => [row.class, row]));
    return (report.challenger?.per_class ?? []).map((/** @type {any} */ { class: name, recall, support }) => {
        const row = changed.get(name);
        return {
            name, support, recall: support ? percent(recall) : NOTHING, change: row ? points(row.change) : support ? "new" : NOTHING,
            best: row?.best ? bestWords(row) : "–",
            isForgotten: Boolean(row?.forgotten), isWorse: Boolean(row && row.change < -0.001),
        };
    });
}

/** @param {any} row */
const bestWords = ({ best, under_best: under }) =>
    `${percent(best.recall)} by head ${best.version}${under < 0 ? `, ${points(under)} since` : ""}`;

/** What else is known of a training. @param {Report} report @returns {[string, string][]} */
export function details(report) {
    const { challenger, champion } = report;
    return [
        ["Accuracy", challenger ? between(challenger.accuracy, challenger.accuracy_interval) : "too few images to measure it"],
        ["Before, same images", champion ? between(champion.accuracy, champion.accuracy_interval) : "–"],
        ["Macro F1", challenger ? between(challenger.macro_f1, challenger.macro_f1_interval) : "–"],
        ["Log-loss", number(challenger?.log_loss)],
        ["Calibration error", percent(challenger?.ece)],
        ["Solver", `${report.solver ?? "–"}, ${plural(report.iterations ?? 0, "iteration")}${report.converged === false ? ", not converged" : ""}`],
        ["Lambda", number(report.lambda)],
        ["Fit", `${number(report.fit_seconds)} s`],
        ["Seed", String(report.seed ?? "–")],
        ["Labels that look wrong", String(report.suspicious_labels ?? 0)],
        ["Labels left out", String(report.disbelieved_labels ?? 0)],
        ["Dropped images replayed", String(report.hyper?.replayed ?? 0)],
        ...secondPhase(report),
    ];
}

/** Both phases of a training that had two. @param {Report} report @returns {[string, string][]} */
function secondPhase({ phases = [], tuned, tune_reason: reason }) {
    if (tuned === undefined) return [];
    const figures = phases.map((/** @type {any} */ { phase, accuracy, log_loss: loss }) =>
        /** @type {[string, string]} */ ([`Phase ${phase}`, `${percent(accuracy)} right, log-loss ${number(loss)}`]));
    return [...figures, ["Last layers trained on", `${tuned ? "kept" : "not kept"}: ${reason ?? ""}`]];
}

/** @param {number | null | undefined} value */
const number = (value) => (typeof value === "number" ? String(Number(value.toPrecision(3))) : "–");

/**
 * Each class's recall of one head and another, where the same training measured both or each has a report.
 * @param {Report[]} reports @param {number} version @param {number | null} served the version in service
 * @returns {{same: boolean, rows: {name: string, before: string, after: string, change: string}[]} | null}
 */
export function difference(reports, version, served) {
    const of = (/** @type {number | null} */ wanted) => reports.find(({ head }) => head?.version === wanted);
    const report = of(version);
    if (!report?.challenger) return null;
    // A report does not name its champion; the gate's words do.
    const isSame = Boolean(report.champion) && new RegExp(`\\bhead ${served}\\b`).test(report.reason);
    const before = isSame ? report.champion : of(served)?.challenger;
    if (!before) return null;
    const measured = (/** @type {any} */ { per_class: rows }) => rows.filter((/** @type {any} */ { support }) => support > 0);
    const recalls = new Map(measured(before).map((/** @type {any} */ row) => [row.class, row.recall]));
    const rows = measured(report.challenger).map((/** @type {any} */ { class: name, recall }) => ({
        name, before: percent(recalls.get(name)), after: percent(recall),
        change: recalls.has(name) ? points(recall - recalls.get(name)) : "new",
    }));
    for (const name of recalls.keys()) {
        const isKnown = rows.some((/** @type {any} */ row) => row.name === name);
        if (!isKnown) rows.push({ name, before: percent(recalls.get(name)), after: "–", change: "lost" });
    }
    return { same: isSame, rows };
}

/** The shade of a cell, 0 (none) to 6 (all of its row). @param {number} count @param {number} total of its row */
export const shade = (count, total) => (count === 0 || total === 0 ? 0 : Math.min(6, 1 + Math.floor((count / total) * 5.999)));

/**
 * The head that a roll back puts in service, as far as the list tells: when each served is known to the device alone.
 * @param {any[]} heads
 */
export function former(heads) {
    const served = heads.find(({ status }) => status === "champion");
    const kept = heads.filter(({ status, backbone }) => status === "kept" && backbone === served?.backbone);
    return served && kept.length ? kept.reduce((a, b) => (b.version > a.version ? b : a)) : null;
}
