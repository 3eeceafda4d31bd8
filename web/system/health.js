/** Is the device well: alerts, figures, sources, tasks, drift and updates, each as a panel that follows the device. */

import { el, keyed, say } from "../dom.js";
import { driftValue, latestDrift } from "./events.js";
import { duration, listFigures, megabytes, moment, NOTHING, plural } from "../figures.js";
import { stateWords } from "./states.js";
import { scrollTable } from "../tables.js";

/** @param {any} ignored what the last listing passed over */
export function ignoredWords(ignored) {
    const { other_pictures: pictures = {}, ...rest } = ignored ?? {};
    const words = Object.entries(rest).filter(([, value]) => value).map(([name, value]) => `${value} ${name.replaceAll("_", " ")}`);
    const kinds = Object.entries(pictures).map(([name, value]) => `${value} ${name}`);
    return [...words, ...kinds].join(", ") || "none";
}

/** Figures of the device. @param {any} status @returns {[string, string][]} */
export function figuresOf(status) {
    const known = (/** @type {unknown} */ value) => (value === null || value === undefined ? NOTHING : String(value));
    return [
        ["Running for", duration(status.uptime_s)],
        ["Images", `${status.samples}, ${status.labelled} with a label`],
        ["Seen since the start", known(status.images_total)],
        ["Waiting to be read", known(status.queue)],
        ["Put aside (quarantined)", known(status.quarantined)],
        ["Passed over in folders", ignoredWords(status.ignored)],
        ["Dropped to keep the quota", known(status.evicted)],
        ["Labels left out", known(status.disbelieved ?? 0)],
        ["On the disk", megabytes(status.store_bytes)],
        ["Memory", megabytes(status.rss_bytes)],
        ["Temperature", status.temperature_c === null || status.temperature_c === undefined ? "no sensor" : `${status.temperature_c} °C`],
        ["Clock", clockWords(status.time_synced)],
        ["Broker", status.broker === "off" ? "none configured" : known(status.broker)],
        ["Messages not sent", known(status.spooled)],
        ["Errors since the start", known(status.errors_total)],
        ["Last training", moment(status.last_train)],
        ["Backbone", known(status.backbone)],
        .../** @type {[string, string][]} */ (status.shadow ? [["Head in shadow", `head ${shadowOf(status.shadow)}`]] : []),
        .../** @type {[string, string][]} */ (status.switch ? [["Change of backbone", switchWords(status.switch)]] : []),
    ];
}

/** @param {boolean | null | undefined} isSynced */
function clockWords(isSynced) {
    if (isSynced === null || isSynced === undefined) return "not known";
    return isSynced ? "set by a time server" : "not set by a time server";
}

/** @param {any} shadow */
const shadowOf = (shadow) => shadow.head?.version ?? shadow.version ?? "";

/** @param {any} change */
const switchWords = ({ name, phase, embedded, of, reason }) =>
    `${name}: ${phase}${phase === "preparing" ? `, ${embedded} of ${of} images` : ""}${reason ? `, ${reason}` : ""}`;

/** What is in progress of an update. @param {any} state */
export function updateWords(state) {
    const { installed_version: installed, latest_version: latest, phase, update_percentage: share, error } = state;
    const working = `version ${latest}: ${phase}${share === null ? "" : `, ${share} %`}`;
    const progress = state.in_progress ? working : phase === "idle" ? "nothing in progress" : phase;
    return `${installed ? `version ${installed} installed` : "none installed"}; ${progress}${error ? `; refused: ${error.message}` : ""}`;
}

/** @param {string} title @param {string[]} columns @param {string} empty */
function tablePanel(title, columns, empty) {
    const id = `panel-${title.toLowerCase().replaceAll(" ", "-")}`;
    const body = el("tbody");
    const none = el("p.faint", {}, empty);
    const table = scrollTable(title, columns, body);
    const element = el("section.panel.wide", { "aria-labelledby": id }, el("h2", { id }, title), none, table);
    /** @param {[string, ...(string | Node)[]][]} rows each begins with its name */
    const draw = (rows) => {
        none.hidden = rows.length > 0;
        table.hidden = rows.length === 0;
        const make = (/** @type {[string, ...(string | Node)[]]} */ [name, ...cells]) =>
            el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((cell) => el("td", {}, cell)));
        keyed(body, rows, ([name]) => name, make,
            (row, [, ...cells]) => cells.forEach((cell, at) => {
                const place = row.children[at + 1];
                if (typeof cell === "string") say(place, cell);
                else if (place.textContent !== cell.textContent) place.replaceChildren(cell);
            }));
    };
    return { element, draw };
}

/**
 * Alerts by their id; those of the last status while nothing is heard.
 * @param {import("../live.js").Live} live @param {any} status
 */
function alertsUp(live, status) {
    const heard = [...live.latest].filter(([topic]) => topic.startsWith("alert/"));
    const kept = live.state === "open" ? [] : (status?.alerts ?? []);
    return new Map([...kept.map((/** @type {any} */ alert) => [alert.id, alert]),
        ...heard.map(([topic, alert]) => [topic.slice("alert/".length), alert])]);
}

/** @param {Element} row @param {{severity: string, since: string, text: string}} alert */
function drawAlert(row, { severity, since, text }) {
    const [tag, , at, words] = row.children;
    say(tag, severity);
    tag.classList.toggle("bad", severity === "error");
    tag.classList.toggle("warn", severity !== "error");
    say(at, `since ${moment(since)}`);
    say(words, text);
}

/**
 * All panels; `draw` shows what the device said last.
 * @param {import("../main.js").App} app
 */
export function healthPanels(app) {
    const figures = el("dl.figures.broad");
    const calm = el("p.faint", {}, "Nothing does.");
    const alerts = el("ul.alerts");
    const sources = tablePanel("Sources", ["Source", "Frames", "Skipped", "Frozen", "Failed", "Last new one"], "No sources are configured.");
    const tasks = tablePanel("Tasks", ["Task", "State", "Since", "Votes", "Confidence", "Images", "Head", "Region"], "No tasks are configured.");
    const drift = tablePanel("Drift", ["Signal", "Value", "Seen", "What it says"], "No drift was seen in the events that are kept.");
    const updates = tablePanel("Updates", ["What", "State"], "No updates have come.");
    const health = el("section.panel.wide", { "aria-labelledby": "panel-health" }, el("h2", { id: "panel-health" }, "Health"), figures);
    const driftNote = el("p", { hidden: true }, "Labels for images on the ", el("a", { href: "#/label" }, "review list"),
        " start a training by themselves; the alert goes when a head that learned from them serves.");
    drift.element.append(driftNote);

    /** @param {any[]} events the newest first */
    function draw(events) {
        const { live, status } = app;
        const up = alertsUp(live, status);
        calm.hidden = up.size > 0;
        keyed(alerts, up, ([id]) => id, ([id]) =>
            el("li", {}, el("span.tag", {}), " ", el("strong", {}, id), " ", el("small", {}), " ", el("span", {})));
        for (const row of alerts.children) drawAlert(row, up.get(/** @type {HTMLElement} */ (row).dataset.key));
        const isDrifting = [...up.keys()].some((id) => id.startsWith("drift"));
        driftNote.hidden = !isDrifting;
        drift.draw(latestDrift(events).map((event) =>
            [[event.task, event.kind].filter(Boolean).join(" "), driftValue(event), moment(event.ts), event.reason ?? ""]));
        updates.draw([...live.latest].filter(([topic]) => /^update\/[^/]+\/state$/.test(topic))
            .map(([topic, state]) => [topic.split("/")[1], updateWords(state)]));
        if (!status) return;
        listFigures(figures, figuresOf(status));
        sources.draw(Object.entries(status.sources ?? {}).map(([id, { frames, skipped, frozen, failed, last }]) =>
            [id, ...[frames, skipped, frozen, failed].map(String), moment(last)]));
        tasks.draw(Object.entries(status.tasks ?? {}).map(([id, task]) => {
            const state = live.latest.get(`task/${id}/state`);
            const { state: said, votes, confidence } = stateWords(state);
            const region = `#/system?${new URLSearchParams({ regions: id, task: id })}`;
            return [id, said, moment(state?.since ?? state?.ts), votes, confidence, `${task.samples}, ${plural(task.labelled, "label")}`,
                task.head ? `version ${task.head.version}` : "none", el("a", { href: region, "aria-label": `Region of ${id}` }, "Region")];
        }));
        tasks.element.hidden = Object.keys(status.tasks ?? {}).length === 0;
        sources.element.hidden = Object.keys(status.sources ?? {}).length === 0;
    }
    const needs = el("section.panel.wide", { "aria-labelledby": "panel-needs" },
        el("h2", { id: "panel-needs" }, "What needs a person"), calm, alerts);
    return { elements: [{ element: needs }, { element: health }, tasks, sources, drift, updates].map(({ element }) => element), draw };
}
