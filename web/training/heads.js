/** The heads that are kept, and what a person can do with them. */

import { act } from "../api.js";
import { ask, button, el, keyed, say } from "../dom.js";
import { megabytes, moment, percent } from "../figures.js";
import { difference, former } from "./reports.js";
import { plainTable, scrollTable } from "../tables.js";

/** How a status reads. */
const STATUS = /** @type {Record<string, string>} */ ({ champion: "in service", kept: "kept", rejected: "rejected" });

/**
 * @param {import("../main.js").App} app @param {() => void} changed called after a head went in or out of service
 * @returns {{element: HTMLElement, draw: (heads: any[], reports: any[]) => void}}
 */
export function headsPanel(app, changed) {
    const body = el("tbody");
    const none = el("p.faint", {}, "No head yet: the first training makes one.");
    const table = scrollTable("Heads, the newest first", ["Version", "Status", "Accuracy", "Act", "Created", "Reason"], body, "heads");
    const back = button("Roll back", () => rollBack());
    const out = button("Export", () => exportHead());
    const written = el("p.mono", { hidden: true });
    /** @type {any[]} */
    let heads = [];
    /** @type {any[]} */
    let reports = [];

    /** @param {string} request @param {Record<string, unknown>} args @param {(data: any) => string} words */
    async function carryOut(request, args, words) {
        try {
            const data = await act(request, { ...args, ...app.about });
            app.toast(words(data));
            return data;
        } catch (error) {
            app.toast(error instanceof Error ? error.message : String(error), [], 0);
            return null;
        }
    }

    const named = (/** @type {any} */ head) => `head ${head.version} (${String(head.id).slice(0, 8)})`;

    /** @param {any} head */
    async function promote(head) {
        const served = heads.find(({ status }) => status === "champion");
        const found = difference(reports, head.version, served?.version ?? null);
        const answer = await ask(`Put head ${head.version} in service?`, [
            el("p", {}, served ? `It takes the place of ${named(served)}, which is kept.` : "No head serves now."),
            head.status === "rejected" && el("p", {}, `The gate rejected it: ${head.reason}`),
            found ? differenceTable(found)
                : el("p.faint", {}, "No report has both of them, so what it changes by class is not known."),
        ], [{ label: "Cancel", value: "" }, { label: "Promote", value: "yes", primary: true }]);
        if (answer !== "yes") return;
        const words = (/** @type {any} */ { head, from }) =>
            `${capital(named(head))} serves now${from ? `; before it was ${named(from)}` : ""}.`;
        if (await carryOut("promote", { head: String(head.version) }, words)) changed();
    }

    async function rollBack() {
        const served = heads.find(({ status }) => status === "champion");
        const before = former(heads);
        const answer = await ask("Roll back?", [
            el("p", {}, `${capital(named(served))} leaves service and is rejected.`),
            el("p", {}, `The head that served before it does again${before ? `: ${named(before)}, by this list` : ""}.`),
        ], [{ label: "Cancel", value: "" }, { label: "Roll back", value: "yes", primary: true }]);
        if (answer !== "yes") return;
        const words = (/** @type {any} */ { head, from }) => `Rolled back from ${named(from)} to ${named(head)}.`;
        if (await carryOut("rollback", {}, words)) changed();
    }

    async function exportHead() {
        out.disabled = true;
        app.announce("The export takes a moment.");
        const data = await carryOut("export", {}, ({ path, bytes }) => `Exported: ${path} on the device, ${megabytes(bytes)}.`);
        out.disabled = false;
        if (!data) return;
        say(written, `${data.path} (head ${data.head.version}, SHA-256 ${data.sha256})`);
        written.hidden = false;
    }

    /** @param {any} head */
    function row(head) {
        return el("tr", {}, el("th", { scope: "row" }, String(head.version)), el("td", {}, el("span.tag", {})),
            el("td", {}, head.accuracy === null ? "not measured" : percent(head.accuracy)), el("td", {}),
            el("td", {}, moment(head.created)), el("td", {}, head.reason));
    }

    /** @param {Element} element @param {any} head */
    function redraw(element, head) {
        const [, status, , acts, , reason] = element.children;
        const tag = /** @type {Element} */ (status.firstElementChild);
        say(tag, STATUS[head.status] ?? head.status);
        tag.classList.toggle("good", head.status === "champion");
        tag.classList.toggle("bad", head.status === "rejected");
        say(reason, head.reason);
        keyed(acts, head.status === "champion" ? [] : [head], () => "promote", () =>
            button("Promote", () => promote(heads.find(({ version }) => version === head.version)),
                { "aria-label": `Promote head ${head.version}` }));
    }

    return {
        element: el("section.panel.wide", { "aria-labelledby": "heads-title" },
            el("div.row.spread", {}, el("h2", { id: "heads-title" }, "Heads"), el("div.row", {}, back, out)), none, table, written),
        draw(present, known) {
            heads = present;
            reports = known;
            const serves = heads.some(({ status }) => status === "champion");
            none.hidden = heads.length > 0;
            table.hidden = heads.length === 0;
            back.disabled = !serves || !former(heads);
            out.disabled = !serves;
            keyed(body, [...heads].reverse(), ({ version }) => String(version), (head) => {
                const made = row(head);
                redraw(made, head);
                return made;
            }, redraw);
        },
    };
}

/** @param {NonNullable<ReturnType<typeof difference>>} found */
function differenceTable({ same, rows }) {
    const how = same ? "on the same images" : "each as its own training measured it, on different images";
    const row = (/** @type {{name: string, before: string, after: string, change: string}} */ { name, before, after, change }) =>
        el("tr", {}, el("th", { scope: "row" }, name), ...[before, after, change].map((text) => el("td", {}, text)));
    return el("div", {}, el("p", {}, `Recall by class, ${how}:`),
        plainTable("Recall by class", ["Class", "Now", "With it", "Change"], el("tbody", {}, ...rows.map(row))));
}

/** @param {string} text */
const capital = (text) => text[0].toUpperCase() + text.slice(1);
