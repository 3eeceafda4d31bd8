/** System: is the device well, what happened, and how it is set. */

import { picture, read } from "../api.js";
import { el, keyed, say } from "../dom.js";
import { eventKey, eventWords, imageOf, MOST, typesOf, withEvent } from "../system/events.js";
import { moment, plural } from "../figures.js";
import { healthPanels } from "../system/health.js";
import { pageSettings } from "../system/page_settings.js";
import { openRegions } from "../system/regions_editor.js";
import { openSettings } from "../system/settings_form.js";

/** Milliseconds between two looks at the figures. */
const FRESH = 5000;
const VIEWS = [
    { id: "health", title: "Health and events" },
    { id: "settings", title: "Settings" },
    { id: "regions", title: "Regions" },
];

/** Which view an address names. @param {URLSearchParams} args */
export function viewOf(args) {
    if (args.has("regions")) return "regions";
    return VIEWS.find(({ id }) => id === args.get("view"))?.id ?? "health";
}

/** @param {import("../main.js").App} app @param {HTMLElement} root @param {URLSearchParams} args */
export async function open(app, root, args) {
    const view = viewOf(args);
    const about = /** @type {Record<string, string>} */ (app.about);
    const link = (/** @type {string} */ id) => `#/system?${new URLSearchParams({ view: id, ...about })}`;
    const body = el("div");
    root.append(el("h1.unseen", {}, "System"), el("nav.views", { "aria-label": "System" },
        ...VIEWS.map(({ id, title }) => el("a", { href: link(id), "aria-current": id === view ? "page" : null }, title))), body);
    if (view === "settings") return openSettings(app, body);
    if (view === "regions") return openRegions(app, body, args.get("regions") || app.task || "");
    return openHealth(app, body);
}

/** How a type is marked. */
const MARKS = /** @type {Record<string, string>} */ ({
    error: "bad", update_failed: "bad", quarantined: "bad", drift: "warn", rejected: "warn", rolled_back: "warn",
});

/** @param {any} event */
function row(event) {
    const { ts, task, event_type: type } = event;
    const image = imageOf(event);
    const link = image && el("a", { href: picture(image), "aria-label": `Picture ${image.slice(0, 8)}` }, "picture");
    return el("li", {}, el("span.when", {}, moment(ts)), " ", el("span.tag", { class: MARKS[type] ?? "" }, type.replaceAll("_", " ")), " ",
        el("span", {}, task ? `${task}: ` : "", eventWords(event), link && " ", link));
}

/** @param {import("../main.js").App} app @param {HTMLElement} root */
async function openHealth(app, root) {
    const health = healthPanels(app);
    const type = /** @type {HTMLSelectElement} */ (el("select", { id: "event-type" }));
    const list = el("ol.log", { tabindex: 0, "aria-label": "Events, the newest first" });
    const none = el("p.faint");
    const log = el("section.panel.wide", { "aria-labelledby": "panel-events" }, el("div.row.spread", {},
        el("h2", { id: "panel-events" }, "Events"), el("span.row", {}, el("label", { for: "event-type" }, "Type"), type)), none, list);
    root.append(el("div.panels", {}, ...health.elements, log, pageSettings(app)));

    /** @type {any[]} the newest first */
    let events = [];
    type.addEventListener("change", drawEvents);

    function drawEvents() {
        const wanted = type.value;
        if (document.activeElement !== type) {
            const types = typesOf(events).map(([name, number]) => [name, `${name.replaceAll("_", " ")} (${number})`]);
            const options = [["", `all (${events.length})`], ...types];
            keyed(type, options, ([name]) => name, ([name, text]) => el("option", { value: name }, text), (option, [, text]) => say(option, text));
            type.value = options.some(([name]) => name === wanted) ? wanted : "";
        }
        const shown = events.filter((event) => !type.value || event.event_type === type.value);
        say(none, events.length ? plural(shown.length, "event") : "No event yet.");
        list.hidden = shown.length === 0;
        keyed(list, shown, eventKey, row);
    }

    const draw = () => health.draw(events);

    async function reload() {
        const [, kept] = await Promise.all([app.refresh(), read("events", { limit: MOST }).catch(() => [])]);
        // What came meanwhile is newer than what was kept when it was read.
        events = [...events].reverse().reduce((all, event) => withEvent(all, event), kept);
        events.sort((a, b) => (a.ts < b.ts ? 1 : a.ts > b.ts ? -1 : b.seq - a.seq));
        draw();
        drawEvents();
    }

    let timer = 0;
    const soon = () => {
        clearTimeout(timer);
        timer = setTimeout(() => reload().catch(() => {}), 300);
    };
    const ends = [
        app.live.on("event", (event) => {
            events = withEvent(events, event);
            drawEvents();
            draw();
        }),
        ...["health", "alert/", "update/"].map((topic) => app.live.on(topic, draw)),
        app.live.on("task/", (_, topic) => topic.endsWith("/state") && draw()),
        app.live.on("link", (state) => state === "open" && soon()),
    ];
    await reload();
    // Of most figures, such as whether the broker is connected, the device says nothing when they change.
    const clock = setInterval(() => document.hidden || app.refresh().then(draw, () => {}), FRESH);
    return {
        close() {
            clearTimeout(timer);
            clearInterval(clock);
            ends.forEach((end) => end());
        },
    };
}
