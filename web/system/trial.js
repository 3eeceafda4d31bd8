/** New settings: shown before they count, then on trial for a minute, then confirmed or taken back. */

import { act, ApiError, read } from "../api.js";
import { ask, el, say } from "../dom.js";
import { plural } from "../figures.js";
import { same } from "./settings.js";
import { plainTable } from "../tables.js";

/** How long a patch is on probation, in seconds. */
const TRIAL = 60;

/** @typedef {{key: string, error: string}} Rejected */
/** @typedef {{key: string, before: any, after: any}} Change */
/**
 * What `config` answers.
 * @typedef {object} Config
 * @property {number | null} version
 * @property {string[]} applied dotted keys that the last patch set
 * @property {Rejected[]} rejected
 * @property {string} state
 * @property {any} effective
 * @property {string[]} settable
 * @property {any} schema
 */

/** A value in a table. @param {any} value */
const printed = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "–"));

/**
 * How the last patch fares.
 * @param {{state?: string, version?: number | null, rejected?: Rejected[]}} answer
 * @param {number | null} left seconds of the trial, where known
 */
export function trialWords({ state, version, rejected = [] }, left) {
    const name = version === null || version === undefined ? "The settings" : `Version ${version} of the settings`;
    switch (state) {
        case "trial":
            if (left === null) return `${name} is on trial; within a minute it is confirmed or taken back.`;
            return `${name} is on trial: ${left > 0 ? `${plural(left, "second")} left` : "waiting for the device's verdict"}.`;
        case "confirmed": return version === null || version === undefined ? "" : `${name} is confirmed.`;
        case "reverted": return `${name} did not work and was taken back; the former ones count again.`;
        case "rejected": return `${name} was rejected: ${rejected.map(({ key, error }) => `${key} ${error}`).join("; ")}`;
        default: return "";
    }
}

/**
 * A change as its smallest parts: lists of things by their names.
 * @param {Change} change @returns {Change[]}
 */
export function parts({ key, before, after }) {
    if (same(before, after)) return [];
    const [former, next] = [byName(before), byName(after)];
    const isWhole = (!former && !next) || (!former && (before ?? null) !== null) || (!next && (after ?? null) !== null);
    if (isWhole) return [{ key, before, after }];
    const names = [...new Set([...Object.keys(former ?? {}), ...Object.keys(next ?? {})])];
    const found = names.flatMap((name) => parts({ key: `${key}.${name}`, before: former?.[name], after: next?.[name] }));
    // Another order, or emptiness, has no parts.
    return found.length ? found : [{ key, before, after }];
}

/** Fields of an object, or things of a list by what names them; null for what has no parts. @param {any} value */
function byName(value) {
    if (value === null || typeof value !== "object") return null;
    if (!Array.isArray(value)) return value;
    const names = value.map((one) => one?.id ?? one?.path);
    const isNamed = names.length > 0 && names.every((name) => typeof name === "string") && new Set(names).size === names.length;
    return isNamed ? Object.fromEntries(value.map((one, at) => [names[at], one])) : null;
}

/** Why settings cannot be read or sent. @param {unknown} error */
export function settingsProblem(error) {
    if (error instanceof ApiError && ["unknown_request", "not_found"].includes(error.code)) {
        return "This device takes no settings from the page. Change its configuration file, or publish config/desired over MQTT.";
    }
    return error instanceof Error ? error.message : String(error);
}

/** @param {Rejected[]} rejected */
export const rejections = (rejected) => el("ul.problem", { role: "alert" },
    ...rejected.map(({ key, error }) => el("li", {}, key ? `${key}: ${error}` : error)));

/** The patch that is on trial, for all places: the trial goes on while another place is open. */
const trial = { ends: 0 };

/**
 * A line about the patch on trial. `changed` is called with each new answer of the device about it.
 * @param {import("../main.js").App} app @param {(config: Config) => void} changed
 */
export function trialLine(app, changed) {
    const text = el("span");
    const element = el("p.trial", { role: "status", hidden: true }, text);
    /** @type {any} */
    let answer = {};
    let timer = 0;
    let clock = 0;

    function draw() {
        const left = trial.ends ? Math.max(0, Math.ceil((trial.ends - Date.now()) / 1000)) : null;
        const words = trialWords(answer, answer.state === "trial" ? left : null);
        element.hidden = words === "";
        element.dataset.state = answer.state ?? "";
        // A countdown is seen; said are its beginning and its end.
        element.setAttribute("aria-live", answer.state === "trial" ? "off" : "polite");
        say(text, words);
        clearTimeout(clock);
        if (answer.state === "trial" && left) clock = setTimeout(draw, 1000);
    }

    /** @param {any} next */
    function take(next) {
        const isNews = answer.state !== undefined && next.state !== answer.state;
        answer = next;
        if (next.state !== "trial") trial.ends = 0;
        draw();
        if (isNews && next.state !== "trial") app.toast(trialWords(next, null), [], next.state === "confirmed" ? 6 : 0);
    }

    async function reload() {
        const config = await read("config");
        take(config);
        changed(config);
    }
    const soon = () => {
        clearTimeout(timer);
        // Tasks may have come or gone.
        timer = setTimeout(() => reload().then(() => app.refresh()).catch(again), 300);
    };
    // While it restarts within, the device is busy.
    const again = (/** @type {unknown} */ error) => {
        if (error instanceof ApiError && error.passes) timer = setTimeout(soon, 2000);
    };
    const ends = [
        app.live.on("config/reported", (reported) => {
            take(reported);
            soon();
        }),
        app.live.on("event", (event) => event?.event_type === "config_changed" && soon()),
        // The device restarts within, so the connection ends and comes back.
        app.live.on("link", (state) => state === "open" && soon()),
    ];
    return {
        element,
        reload,
        /** A patch was taken: its minute begins. @param {number} version */
        begin(version) {
            trial.ends = Date.now() + TRIAL * 1000;
            take({ state: "trial", version });
        },
        close() {
            clearTimeout(timer);
            clearTimeout(clock);
            ends.forEach((end) => end());
        },
    };
}

/**
 * Shows what a patch would change, and applies it where a person says so.
 * @param {import("../main.js").App} app @param {Record<string, any>} patch
 * @param {(rejected: Rejected[]) => void} refused @returns {Promise<number | null>} the version that is on trial
 */
export async function previewAndApply(app, patch, refused) {
    try {
        const preview = await act("config", { patch, dry_run: true });
        if (preview.rejected.length) {
            refused(preview.rejected);
            return null;
        }
        if (!preview.changes.length) {
            app.toast("Nothing would change.");
            return null;
        }
        const row = (/** @type {Change} */ { key, before, after }) => el("tr", {},
            el("th", { scope: "row" }, key), ...[before, after].map((value) => el("td.mono", {}, printed(value))));
        const answer = await ask("Apply these settings?", [
            plainTable("Changes", ["Key", "Before", "After"], el("tbody", {}, ...preview.changes.flatMap(parts).map(row))),
            el("p", {}, "The device restarts within, which takes about a second. For a minute they are on trial: they are taken back "
                + "if it does not work with them."),
        ], [{ label: "Cancel", value: "" }, { label: "Apply", value: "yes", primary: true }]);
        if (answer !== "yes") return null;
        const { version } = await act("config", { patch });
        app.toast(`Version ${version} of the settings is on trial for a minute.`);
        return version;
    } catch (error) {
        if (error instanceof ApiError && error.details.rejected?.length) refused(error.details.rejected);
        else app.toast(settingsProblem(error), [], 0);
        return null;
    }
}
