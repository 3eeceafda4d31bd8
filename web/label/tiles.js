/** Tiles of which some are chosen, by pointer and by keys. */

import { thumbnail } from "../api.js";
import { el, keyed, say } from "../dom.js";
import { Selection } from "../selection.js";

/** @typedef {{image: string, caption?: string, name?: string}} Tile */

export class Tiles {
    /** @param {string} name @param {() => void} changed */
    constructor(name, changed) {
        this.changed = changed;
        this.selection = new Selection();
        /** @type {Tile[]} */
        this.tiles = [];
        this.root = el("div.picks", { role: "listbox", "aria-multiselectable": "true", "aria-label": name });
        this.root.addEventListener("click", (event) => this.clicked(event));
        // A press must not move the focus before the click knows where a range begins.
        this.root.addEventListener("mousedown", (event) => event.preventDefault());
        this.root.addEventListener("focusin", (event) => {
            const at = this.positionOf(event.target);
            if (at >= 0 && at !== this.selection.focus) {
                this.selection.move(at);
                this.draw();
            }
        });
    }

    /** @param {Tile[]} tiles @param {boolean} [all] whether they are chosen */
    show(tiles, all = false) {
        const before = this.chosen;
        this.tiles = tiles;
        this.selection.list = tiles.map((_, at) => at);
        this.selection.rows = new Set();
        this.selection.focus = Math.max(0, Math.min(this.selection.focus, tiles.length - 1));
        tiles.forEach(({ image }, at) => (all || before.has(image)) && this.selection.rows.add(at));
        this.selection.begin(this.selection.focus);
        keyed(this.root, tiles, ({ image }) => image, (tile) => this.make(tile), (element, tile) => this.redraw(element, tile));
        this.draw();
    }

    /** @param {Tile} tile */
    make(tile) {
        const element = el("div.tile", { role: "option" },
            el("img", { src: thumbnail(tile.image), alt: "", loading: "lazy", width: 160, height: 120 }), el("span.caption"));
        this.redraw(element, tile);
        return element;
    }

    /** @param {Element} element @param {Tile} tile */
    redraw(element, { image, caption, name }) {
        say(/** @type {Element} */ (element.lastElementChild), caption ?? "");
        element.setAttribute("aria-label", name ?? `Image ${image.slice(0, 6)}${caption ? `, ${caption}` : ""}`);
    }

    draw() {
        const { rows, focus } = this.selection;
        [...this.root.children].forEach((element, at) => {
            element.setAttribute("aria-selected", String(rows.has(at)));
            element.setAttribute("tabindex", at === focus ? "0" : "-1");
        });
        this.changed();
    }

    /** The chosen images. @returns {Set<string>} */
    get chosen() {
        return new Set([...this.selection.rows].sort((one, other) => one - other).map((at) => this.tiles[at]?.image).filter(Boolean));
    }

    /** @param {EventTarget | null} target */
    positionOf(target) {
        const tile = target instanceof Element ? target.closest(".tile") : null;
        return tile ? [...this.root.children].indexOf(tile) : -1;
    }

    /** @param {MouseEvent} event */
    clicked(event) {
        const at = this.positionOf(event.target);
        if (at < 0) return;
        if (event.shiftKey) this.selection.move(at, true);
        else this.selection.toggle(at);
        this.draw();
        this.focus();
    }

    focus() {
        const tile = /** @type {HTMLElement | undefined} */ (this.root.children[this.selection.focus]);
        tile?.focus({ preventScroll: true });
        tile?.scrollIntoView({ block: "nearest" });
    }

    /** How many tiles a row has. */
    get columns() {
        const tiles = /** @type {HTMLElement[]} */ ([...this.root.children]);
        const second = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop);
        return second < 1 ? Math.max(1, tiles.length) : second;
    }

    /** The keys of the tiles. @returns {import("../keys.js").Binding[]} */
    keys() {
        const move = (/** @type {number} */ by, extend = false) => () => {
            this.selection.move(this.selection.focus + by, extend);
            this.draw();
            this.focus();
        };
        return [
            { key: "ArrowRight", does: "next tile", run: move(1) },
            { key: "ArrowLeft", does: "tile before", run: move(-1) },
            { key: "ArrowDown", does: "tile below", run: () => move(this.columns)() },
            { key: "ArrowUp", does: "tile above", run: () => move(-this.columns)() },
            { key: "Shift+ArrowRight", does: "choose to the right", run: move(1, true) },
            { key: "Shift+ArrowLeft", does: "choose to the left", run: move(-1, true) },
            { key: " ", does: "choose the tile, or not (space)", run: () => (this.selection.toggle(this.selection.focus), this.draw()) },
            { key: "Ctrl+A", does: "choose all", run: () => (this.selection.all(), this.draw()) },
            { key: "Escape", does: "choose none", run: () => (this.selection.clear(), this.draw()) },
        ];
    }
}
