/** Samples: many at once. */

import { Bar } from "../samples/bar.js";
import { Classes } from "../samples/classes.js";
import { Desk, empty } from "../samples/desk.js";
import { details } from "../samples/details.js";
import { button, el, say } from "../dom.js";
import { csv, read, rows, stacked, write } from "../samples/filter.js";
import { FilterBar } from "../samples/filterbar.js";
import { Grid } from "../samples/grid.js";
import { count } from "../samples/plan.js";
import { Selection } from "../selection.js";
import { fillLine, fillTile, HEADS, makeLine, makeTile } from "../samples/tile.js";

/** @param {import("../main.js").App} app @param {HTMLElement} root @param {URLSearchParams} args */
export async function open(app, root, args) {
    const place = new Place(app, root, args);
    try {
        await place.desk.load();
    } catch (error) {
        place.close();
        throw error;
    }
    return place;
}

class Place {
    /** @param {import("../main.js").App} app @param {HTMLElement} root @param {URLSearchParams} args */
    constructor(app, root, args) {
        this.app = app;
        this.filter = read(args);
        this.selection = new Selection();
        /** The rows that each shown row stands for, where bursts are stacks. @type {Map<number, number[]> | null} */
        this.members = null;
        this.isStacked = false;
        this.shown = 0;
        /** @type {Map<string, string>} */
        this.reasons = new Map();
        this.desk = new Desk(app, { drawn: () => this.drawn(), loaded: (move) => this.loaded(move) });
        this.filters = new FilterBar(this.filter, (filter) => this.choose(filter));
        this.grid = new Grid("Samples", this.selection, this.look(), { changed: () => this.drawBar(), opened: () => this.details() });
        this.bar = new Bar(this.desk, {
            chosen: () => this.chosen(),
            selected: () => this.selected(),
            done: (images) => this.done(images),
            clear: () => this.clear(),
            details: () => this.details(),
            refocus: () => this.grid.focus(),
        });
        this.classes = new Classes(this.desk, (label) => app.go("samples", { label }));
        this.total = el("p.total");
        this.filterName = el("summary");
        this.none = empty("");
        const filters = el("details.filters-panel", { open: matchMedia("(width >= 40rem)").matches }, this.filterName, this.filters.element);
        root.append(
            el("h1.unseen", {}, "Samples"), filters, this.classes.element,
            el("div.row.spread", {}, this.total, el("span.row", {},
                button("Select all", () => this.all(), { title: "Ctrl+A" }),
                button("Export CSV", () => this.export()))),
            this.none, this.grid.element, this.bar.element);
        app.keys.bind("place", [
            { key: "Arrows / Home / End / Page Up / Page Down", does: "move in the samples", run: () => {} },
            { key: "Space", does: "select the sample with the focus; with Shift, arrows extend", run: () => {} },
            { key: "Ctrl+A", does: "select all that the filter leaves", run: () => this.all() },
            { key: "Escape", does: "select none", run: () => this.bar.escape() || this.clear() },
            { key: "Enter ", does: "details of the sample with the focus", run: () => {} },
            ...this.bar.keys(),
        ]);
    }

    close() {
        this.desk.close();
        this.grid.close();
        this.filters.close();
        this.bar.escape();
    }

    /** @returns {import("../samples/grid.js").Look} */
    look() {
        const more = (/** @type {number} */ row) => {
            const image = this.desk.samples.image(row);
            return {
                samples: this.desk.samples,
                members: this.members?.get(row) ?? [row],
                state: this.desk.state(image),
                reason: this.reasons.get(image) ?? "",
            };
        };
        return this.filter.view === "table"
            ? { view: "table", least: 0, extra: 48, heads: HEADS, make: makeLine, fill: (line, row, isStill) => fillLine(line, row, isStill, more(row)) }
            : { view: "tiles", least: 140, extra: 38, heads: [], make: makeTile, fill: (tile, row, isStill) => fillTile(tile, row, isStill, more(row)) };
    }

    /** The rows that shown rows stand for. @param {Iterable<number>} shown @returns {number[]} */
    covered(shown) {
        const { members } = this;
        return members ? Array.from(shown).flatMap((row) => members.get(row) ?? [row]) : Array.from(shown);
    }

    selected() {
        return this.covered(this.selection.rows);
    }

    /** What a key acts on: the selection, else the sample that has the focus. @returns {number[]} */
    chosen() {
        if (this.selection.size) return this.selected();
        const row = this.selection.list[this.selection.focus];
        return this.grid.hasFocus && row !== undefined ? this.covered([row]) : [];
    }

    /** The selection has served: the focus goes on where it stood alone. @param {Set<string>} images */
    done(images) {
        const { selection } = this;
        const wasAlone = selection.size === 0;
        const hadFocus = this.grid.hasFocus;
        selection.clear();
        this.sieve();
        const row = selection.list[selection.focus];
        if (wasAlone && row !== undefined && images.has(this.desk.samples.image(row))) selection.move(selection.focus + 1);
        if (hadFocus) this.grid.focus();
        else this.grid.draw();
        this.drawBar();
    }

    clear() {
        if (this.selection.size) this.app.announce("Nothing selected.");
        this.selection.clear();
        this.grid.draw();
        this.drawBar();
    }

    all() {
        this.selection.all();
        this.grid.draw();
        this.drawBar();
        this.app.announce(`All ${count(this.covered(this.selection.list).length, "image")} of the filter selected.`);
    }

    async details() {
        const row = this.selection.list[this.selection.focus];
        if (row === undefined) return;
        await details(this.desk, row);
        if (!this.desk.isClosed) this.grid.focus();
    }

    export() {
        const list = this.covered(this.selection.list);
        const url = URL.createObjectURL(new Blob([csv(this.desk.samples, list)], { type: "text/csv" }));
        const link = el("a", { href: url, download: `samples${this.app.task === null ? "" : `-${this.app.task}`}.csv` });
        link.click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000);
        this.app.toast(`${count(list.length, "image")} in the file.`);
    }

    /** Another filter: the address has it, so that it can be kept and sent. @param {import("../samples/filter.js").Filter} filter */
    choose(filter) {
        const isOther = filter.view !== this.filter.view;
        this.filter = filter;
        const query = new URLSearchParams({ ...write(filter), ...this.app.about }).toString();
        history.replaceState(null, "", `#/samples${query ? `?${query}` : ""}`);
        this.sieve();
        if (isOther) this.grid.setLook(this.look());
        this.drawBar();
        this.app.announce(this.total.textContent ?? "");
    }

    /** Applies the filter anew. @param {number} [topRow] */
    sieve(topRow) {
        const { samples } = this.desk;
        this.reasons = this.desk.reasons();
        const found = rows(samples, this.filter, this.reasons);
        const stacks = this.filter.stacks ? stacked(found, samples.burst) : null;
        const selected = this.selected();
        this.members = stacks?.members ?? null;
        this.selection.rows = stacks ? this.tops(stacks, new Set(selected)) : new Set(selected);
        this.isStacked = stacks !== null;
        this.selection.show(stacks?.list ?? found);
        this.shown = found.length;
        const isEmpty = !found.length;
        this.grid.element.hidden = isEmpty;
        this.none.hidden = !isEmpty;
        say(this.none, samples.n ? "No sample fits the filter." : "No image has arrived yet. Copy some into a watched folder, or let a camera bring them.");
        this.grid.show(topRow);
        const { sort, view, ...set } = write(this.filter);
        const active = Object.keys(set).length;
        say(this.filterName, active ? `Filter (${active} set)` : "Filter");
        say(this.total, `${this.shown.toLocaleString("en")} of ${samples.n.toLocaleString("en")}${stacks ? ` in ${count(stacks.list.length, "burst")}` : ""}`);
    }

    /**
     * The stacks of what was selected. One that was not a stack before is selected only if all of it was: a selection does not grow.
     * @param {{list: number[], members: Map<number, number[]>}} stacks @param {Set<number>} selected
     */
    tops({ list, members }, selected) {
        const is = (/** @type {number} */ row) => selected.has(row);
        const rows = (/** @type {number} */ top) => members.get(top) ?? [];
        return new Set(list.filter((top) => (this.isStacked ? rows(top).some(is) : rows(top).every(is))));
    }

    drawBar() {
        this.bar.draw();
    }

    /** Labels or states are others, and maybe what the filter leaves. */
    drawn() {
        this.sieve(this.grid.topRow);
        this.bar.draw();
        this.classes.draw();
    }

    /** @param {(rows: Iterable<number>) => number[]} move */
    loaded(move) {
        const { selection, grid } = this;
        const hadFocus = grid.hasFocus;
        const [top] = move([grid.topRow].filter((row) => row !== undefined));
        const [focused] = move([selection.list[selection.focus]].filter((row) => row !== undefined));
        selection.rows = new Set(move(this.selected()));
        this.members = null;
        if (focused !== undefined) selection.list = Object.assign([], { [selection.focus]: focused });
        this.filters.offer([...this.desk.samples.classes].sort());
        this.sieve(top);
        if (hadFocus) grid.item(selection.focus)?.focus({ preventScroll: true });
        this.bar.draw();
        this.classes.draw();
    }
}
