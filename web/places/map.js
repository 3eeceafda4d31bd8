/** Map: samples that the backbone finds alike lie near one another; a line around them selects them. */

import { octets, thumbnail } from "../api.js";
import { Bar } from "../samples/bar.js";
import { NONE, table } from "../columns.js";
import { Desk, empty } from "../samples/desk.js";
import { details } from "../samples/details.js";
import { button, el, keyed, say } from "../dom.js";
import { isContradicted } from "../samples/filter.js";
import { Grid } from "../samples/grid.js";
import { ASIDE, COLOURS, MapView, PLAIN, sign, UNKNOWN } from "../map/mapview.js";
import { count } from "../samples/plan.js";
import { NOWHERE } from "../map/points.js";
import { Selection } from "../selection.js";
import { fillTile, makeTile, words } from "../samples/tile.js";

/** @param {import("../main.js").App} app @param {HTMLElement} root */
export async function open(app, root) {
    const place = new Place(app, root);
    try {
        await place.desk.load();
        await place.loading;
    } catch (error) {
        place.close();
        throw error;
    }
    return place;
}

class Place {
    /** @param {import("../main.js").App} app @param {HTMLElement} root */
    constructor(app, root) {
        this.app = app;
        /** What was picked on the map; of its list, rows may be taken out again. */
        this.selection = new Selection();
        this.places = { x: new Int16Array(0), y: new Int16Array(0) };
        /** @type {"label" | "predicted"} */
        this.by = "label";
        this.hidden = new Set([ASIDE]);
        /** @type {Promise<void>} */
        this.loading = Promise.resolve();
        /** The classes in the order of their colours. @type {string[]} */
        this.names = [];
        /** The place in that order of each class of the columns. @type {number[]} */
        this.numbers = [];
        /** @type {Map<string, string>} */
        this.reasons = new Map();
        this.desk = new Desk(app, { drawn: () => this.drawn(), loaded: (move) => this.loaded(move) });
        this.view = new MapView(this.scene(), {
            take: (rows, how) => this.take(rows, how),
            pointed: (row, isKey) => this.point(row, isKey),
            opened: (row) => this.details(row),
            moded: () => this.drawMode(),
        });
        this.grid = new Grid("Selected samples", this.selection, {
            view: "tiles", least: 130, extra: 38, heads: [], make: makeTile,
            fill: (tile, row, isStill) => fillTile(tile, row, isStill, this.more(row)),
        }, { changed: () => this.chosen(), opened: () => this.details(this.selection.list[this.selection.focus]) });
        this.bar = new Bar(this.desk, {
            chosen: () => this.rows(),
            selected: () => this.selection.rows,
            done: () => this.done(),
            clear: () => this.clear(),
            details: () => this.details(this.rows()[0]),
            refocus: () => (this.selection.list.length && !this.onMap ? this.grid.focus() : this.view.canvas.focus()),
        });
        this.draw(root);
        this.watchColours();
        app.keys.bind("place", [
            { key: "l", does: "draw a line around samples (L again: move)", run: () => this.mode("lasso") },
            { key: "r", does: "a rectangle by two clicks (R again: move)", run: () => this.mode("rectangle") },
            { key: "f", does: "show the whole map", run: () => this.view.fit() },
            { key: "+ / - ", does: "nearer, farther (on the map)", run: () => {} },
            { key: "Arrows / Space / Enter", does: "on the map: next sample, select it, its details; with Shift, arrows move the map", run: () => {} },
            { key: "Ctrl+A", does: "select all that is shown", run: () => this.all() },
            { key: "Escape", does: "end a line, then select none", run: () => this.bar.escape() || this.view.stop() || this.clear() },
            ...this.bar.keys(),
        ]);
        this.drawMode();
    }

    /** @param {HTMLElement} root */
    draw(root) {
        const by = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": "Colour by" }, el("option", { value: "label" }, "label"), el("option", { value: "predicted" }, "prediction")));
        by.addEventListener("change", () => {
            this.by = /** @type {"label" | "predicted"} */ (by.value);
            this.drawn();
        });
        const tool = (/** @type {string} */ text, /** @type {MapView["mode"]} */ mode) => button(text, () => this.view.setMode(mode), { "data-mode": mode });
        this.tools = el("div.row", { role: "toolbar", "aria-label": "Tools of the map" },
            tool("Move", "move"), tool("Lasso L", "lasso"), tool("Rectangle R", "rectangle"),
            button("+", () => this.view.zoom(1.4), { "aria-label": "Nearer" }), button("−", () => this.view.zoom(1 / 1.4), { "aria-label": "Farther" }),
            button("Fit F", () => this.view.fit()), el("label.row", {}, "Colour by", by));
        this.legend = el("ul.legend", { "aria-label": "Classes" });
        this.preview = el("figure.preview", { hidden: true }, el("img", { alt: "", width: 160, height: 120 }), el("figcaption"));
        this.share = el("p.faint");
        this.none = empty("");
        this.tray = el("div.tray", { hidden: true }, this.grid.element);
        root.append(el("h1.unseen", {}, "Map"), this.tools, this.none,
            el("div.mapping", {},
                el("div.sheet", {}, this.view.canvas, el("p.faint", { id: "map-keys" },
                    "Drag moves, the wheel or two fingers zoom, a click selects. By keyboard: arrows go from sample to sample, Space selects, Enter shows details; "
                    + "a row of the legend selects a class. What is selected is listed below.")),
                el("div.side", {}, this.legend, this.preview, this.share)),
            this.tray, this.bar.element);
    }

    close() {
        this.desk.close();
        this.view.close();
        this.grid.close();
        this.bar.escape();
        this.unwatch();
    }

    /** Colours follow light and dark. */
    watchColours() {
        const media = matchMedia("(prefers-color-scheme: dark)");
        const change = () => {
            this.view.recolour();
            this.drawLegend();
        };
        const observer = new MutationObserver(change);
        observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
        media.addEventListener("change", change);
        this.unwatch = () => {
            observer.disconnect();
            media.removeEventListener("change", change);
        };
    }

    /** @returns {import("../map/mapview.js").Scene} */
    scene() {
        const place = this;
        return {
            get places() {
                return place.places;
            },
            kind: (row) => this.kind(row),
            isRinged: (row) => isContradicted(this.desk.samples, row),
            isSelected: (row) => this.selection.rows.has(row),
            hidden: this.hidden,
        };
    }

    /** @param {number} row */
    kind(row) {
        const { samples } = this.desk;
        if (samples.isExcluded(row)) return ASIDE;
        const kind = samples[this.by][row];
        if (kind !== NONE) return this.numbers[kind];
        return samples.label[row] === NONE && samples.predicted[row] === NONE ? UNKNOWN : PLAIN;
    }

    /** Numbers the classes by their keys, so that a colour stays with its class when others come. */
    number() {
        const { classes } = this.desk.samples;
        this.names = [...new Set([...this.app.classes(), ...classes])];
        const places = new Map(this.names.map((name, at) => [name, at]));
        this.numbers = classes.map((name) => places.get(name) ?? 0);
    }

    /** @param {number} row @returns {import("../samples/tile.js").More} */
    more(row) {
        const image = this.desk.samples.image(row);
        return { samples: this.desk.samples, members: [row], state: this.desk.state(image), reason: this.reasons.get(image) ?? "" };
    }

    get onMap() {
        return document.activeElement === this.view.canvas;
    }

    /** What a key acts on. @returns {number[]} */
    rows() {
        const { selection, view } = this;
        if (selection.size) return [...selection.rows];
        if (this.grid.hasFocus) return selection.list.slice(selection.focus, selection.focus + 1);
        return this.onMap && view.cursor >= 0 ? [view.cursor] : [];
    }

    /** @param {number[]} rows @param {"only" | "beside" | "toggle"} how */
    take(rows, how) {
        const { selection } = this;
        const taken = new Set(how === "only" ? [] : selection.rows);
        for (const row of rows) {
            if (how === "toggle" && taken.has(row)) taken.delete(row);
            else taken.add(row);
        }
        selection.show([...taken].sort((a, b) => a - b));
        selection.take(taken);
        this.chosen();
        this.app.announce(this.bar.count.textContent ?? "");
    }

    all() {
        const { x } = this.places;
        const rows = [];
        for (let row = 0; row < x.length; row += 1) if (x[row] !== NOWHERE && this.view.isSeen(row)) rows.push(row);
        this.take(rows, "only");
    }

    clear() {
        if (this.selection.size) this.app.announce("Nothing selected.");
        this.done();
    }

    /** The selection has served. */
    done() {
        const hadFocus = this.grid.hasFocus;
        this.selection.show([]);
        this.selection.clear();
        if (hadFocus) this.view.canvas.focus();
        this.chosen();
    }

    /** @param {MapView["mode"]} mode */
    mode(mode) {
        this.view.setMode(this.view.mode === mode ? "move" : mode);
        this.app.announce(`${this.view.mode} on the map`);
    }

    drawMode() {
        for (const tool of this.tools.querySelectorAll("[data-mode]")) {
            tool.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (tool).dataset.mode === this.view.mode));
        }
    }

    /** @param {number | undefined} row */
    async details(row) {
        if (row === undefined || row < 0) return;
        const back = document.activeElement;
        await details(this.desk, row);
        if (back instanceof HTMLElement && back.isConnected) back.focus();
    }

    /** @param {number} row @param {boolean} isKey */
    point(row, isKey) {
        this.preview.hidden = row < 0;
        if (row < 0 || row >= this.desk.samples.n) return;
        const [img, caption] = this.preview.children;
        const image = this.desk.samples.image(row);
        const said = words(row, this.more(row));
        if (/** @type {HTMLElement} */ (img).dataset.image !== image) {
            /** @type {HTMLElement} */ (img).dataset.image = image;
            img.setAttribute("src", thumbnail(image));
        }
        say(caption, said);
        if (isKey) this.app.announce(said + (this.selection.rows.has(row) ? "; selected" : ""));
    }

    /** Another selection. */
    chosen() {
        this.tray.hidden = this.selection.list.length === 0;
        this.grid.show();
        this.view.changed();
        this.bar.draw();
        this.drawLegend();
    }

    /** Labels or states are others. */
    drawn() {
        this.reasons = this.desk.reasons();
        this.number();
        this.grid.draw();
        this.view.changed();
        this.bar.draw();
        this.drawLegend();
    }

    /** The kinds that there are, with how many of each there are and are selected. */
    kinds() {
        const total = new Map();
        const chosen = new Map();
        for (let row = 0; row < this.places.x.length; row += 1) {
            const kind = this.kind(row);
            total.set(kind, (total.get(kind) ?? 0) + 1);
            if (this.selection.rows.has(row)) chosen.set(kind, (chosen.get(kind) ?? 0) + 1);
        }
        const name = (/** @type {number} */ kind) =>
            kind >= 0 ? this.names[kind] : kind === PLAIN ? (this.by === "label" ? "without a label" : "not predicted") : kind === UNKNOWN ? "no label, no answer" : "excluded";
        return [...total.keys()].sort((a, b) => Number(a < 0) - Number(b < 0) || (a < 0 ? b - a : a - b))
            .map((kind) => ({ kind, name: name(kind), total: total.get(kind) ?? 0, chosen: chosen.get(kind) ?? 0 }));
    }

    drawLegend() {
        const update = (/** @type {Element} */ row, /** @type {any} */ { kind, name, total, chosen }) => {
            const [toggle, select] = row.children;
            toggle.setAttribute("aria-pressed", String(!this.hidden.has(kind)));
            const n = this.selection.size ? `${chosen.toLocaleString("en")} / ${total.toLocaleString("en")}` : total.toLocaleString("en");
            say(/** @type {Element} */ (toggle.lastElementChild), n);
            select.setAttribute("aria-label", `Select ${name}`);
            sign(/** @type {HTMLCanvasElement} */ (toggle.firstElementChild), kind);
        };
        const kinds = this.kinds();
        keyed(this.legend, kinds, ({ kind, name }) => `${kind} ${name}`, (item) => {
            const colour = item.kind >= 0 ? `kind-${item.kind % COLOURS}` : "kind-plain";
            return el("li", {},
                button("", () => this.toggle(item.kind), { class: "quiet", title: "Show or hide" }),
                button("Select", () => this.takeKind(item.kind), { class: "quiet" }),
                el("canvas", { class: colour, hidden: true }));
        });
        for (const [at, item] of kinds.entries()) {
            const row = this.legend.children[at];
            if (row.children.length === 3) {
                const swatch = /** @type {HTMLCanvasElement} */ (row.children[2]);
                swatch.width = swatch.height = 18;
                swatch.hidden = false;
                row.children[0].append(swatch, el("span.name", {}, item.name), el("span.count"));
            }
            update(row, item);
        }
    }

    /** @param {number} kind */
    toggle(kind) {
        if (!this.hidden.delete(kind)) this.hidden.add(kind);
        this.view.changed();
        this.drawLegend();
    }

    /** @param {number} kind */
    takeKind(kind) {
        const rows = [];
        for (let row = 0; row < this.places.x.length; row += 1) if (this.kind(row) === kind) rows.push(row);
        this.take(rows, "beside");
    }

    /** @param {(rows: Iterable<number>) => number[]} move */
    loaded(move) {
        const { selection, view, grid } = this;
        this.reasons = this.desk.reasons();
        this.number();
        const hadFocus = grid.hasFocus;
        const rows = move(selection.rows);
        const list = move(selection.list);
        [view.cursor = -1] = move(view.cursor < 0 ? [] : [view.cursor]);
        selection.rows = new Set(rows);
        selection.list = list;
        selection.show(list);
        // Rows and places go together: until the new places are there, only rows that had one are drawn.
        if (this.places.x.length > this.desk.samples.n) this.places = { x: new Int16Array(0), y: new Int16Array(0) };
        this.loading = this.read(true).catch((error) => {
            this.none.hidden = false;
            say(this.none, error instanceof Error ? error.message : String(error));
        });
        this.chosen();
        if (hadFocus) grid.item(selection.focus)?.focus({ preventScroll: true });
    }

    /** Reads where the samples lie. @param {boolean} isFirst whether to try again where samples came meanwhile */
    async read(isFirst) {
        const { desk, view } = this;
        const answer = await octets("map", { task: this.app.task });
        if (!answer || desk.isClosed) return;
        const { header, column } = table(answer.octets);
        if (header.n !== desk.samples.n) {
            if (isFirst) await desk.load();
            return;
        }
        const isNew = this.places.x.length === 0;
        this.places = { x: column("x"), y: column("y") };
        if (isNew) view.view = null;
        const lost = Array.from(this.places.x).filter((x) => x === NOWHERE).length;
        this.none.hidden = desk.samples.n > 0;
        say(this.none, "No image has arrived yet. Copy some into a watched folder, or let a camera bring them.");
        const percent = (header.share ?? []).map((/** @type {number} */ part) => `${Math.round(part * 100)} %`).join(" and ");
        say(this.share, `${count(desk.samples.n - lost, "sample")}${lost ? `, ${lost} more have no place yet` : ""}.`
            + `${percent ? ` The two directions (${String(header.method).toUpperCase()}) show ${percent} of how images differ: what lies near may still differ otherwise.` : ""}`);
        this.drawn();
    }
}
