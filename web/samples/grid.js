/** A grid of any length of which only the rows that are seen are in the document: tiles, or the lines of a table. */

import { el } from "../dom.js";
import { boxed, columnsFor, moves, windowOf } from "./gridmath.js";

/** Rows beyond the edges that are there before they are seen. */
const SPARE = 1;
/** Pictures are asked for when scrolling has paused this long, in milliseconds. */
const STILL = 90;
/** How far a pointer moves before it draws a box, in pixels. */
const SLACK = 6;
/** Below this width, in pixels, tiles are smaller. */
const NARROW = 500;

/**
 * How an item looks.
 * @typedef {object} Look
 * @property {"tiles" | "table"} view
 * @property {number} least width of a tile
 * @property {number} extra height of a tile below its picture, or of a line
 * @property {string[]} heads of the columns of a table
 * @property {() => HTMLElement} make an item, empty
 * @property {(element: HTMLElement, row: number, isStill: boolean) => void} fill
 *
 * @typedef {object} Acts
 * @property {() => void} changed the focus or what is selected
 * @property {() => void} opened the item with the focus
 */

export class Grid {
    /** @param {string} name @param {import("../selection.js").Selection} selection @param {Look} look @param {Acts} acts */
    constructor(name, selection, look, acts) {
        this.selection = selection;
        this.look = look;
        this.acts = acts;
        this.columns = 1;
        this.height = 1;
        this.top = 0;
        this.frame = 0;
        this.stillTimer = 0;
        this.isStill = true;
        this.isDragged = false;
        /** Of the pointer that was down last. */
        this.pointerType = "";
        this.headHeight = 0;
        this.width = 0;
        /** @type {Map<number, HTMLElement>} elements of lines, by line */
        this.lines = new Map();
        this.head = el("div.gridhead", { role: "row", hidden: true });
        this.space = el("div.gridspace", { role: "rowgroup" });
        this.box = el("div.box", { hidden: true, "aria-hidden": "true" });
        this.element = el("div.grid", { role: "grid", "aria-label": name, "aria-multiselectable": "true" },
            el("div", { role: "rowgroup" }, this.head), this.space, this.box);
        this.element.addEventListener("scroll", () => this.scrolled(), { passive: true });
        this.element.addEventListener("keydown", (event) => this.pressed(event));
        this.element.addEventListener("click", (event) => this.clicked(event));
        this.element.addEventListener("dblclick", (event) => this.at(event.target) >= 0 && this.acts.opened());
        this.element.addEventListener("pointerdown", (event) => this.dragged(event));
        // The browser would move the focus before the click, and with it where a range begins.
        this.element.addEventListener("mousedown", (event) => this.at(event.target) >= 0 && event.preventDefault());
        this.element.addEventListener("focusin", (event) => this.focused(event));
        this.observer = new ResizeObserver(() => this.measure());
        this.observer.observe(this.element);
        this.setLook(look);
    }

    close() {
        this.observer.disconnect();
        cancelAnimationFrame(this.frame);
        clearTimeout(this.stillTimer);
    }

    /** @param {Look} look */
    setLook(look) {
        this.look = look;
        this.element.classList.toggle("table", look.view === "table");
        this.head.hidden = look.view !== "table";
        this.head.replaceChildren(...look.heads.map((text) => el("span", { role: "columnheader" }, text)));
        for (const line of this.lines.values()) line.remove();
        this.lines.clear();
        this.measure();
    }

    /** Finds out how many items fit beside one another. */
    measure() {
        const width = (this.width = this.space.clientWidth);
        const isTable = this.look.view === "table";
        const columns = isTable ? 1 : columnsFor(width, width < NARROW ? this.look.least * 0.75 : this.look.least);
        const height = isTable ? this.look.extra : Math.floor((width / columns) * 0.75) + this.look.extra;
        this.headHeight = isTable ? this.head.offsetHeight : 0;
        if (columns === this.columns && height === this.height && this.lines.size) return this.draw();
        // The item at the top stays there.
        const first = Math.floor(this.top / this.height) * this.columns;
        this.columns = columns;
        this.height = height;
        this.size();
        this.element.scrollTop = this.top = Math.floor(first / columns) * height;
        this.element.setAttribute("aria-colcount", String(isTable ? this.look.heads.length : columns));
        for (const line of this.lines.values()) line.remove();
        this.lines.clear();
        this.draw();
    }

    get count() {
        return Math.ceil(this.selection.list.length / this.columns);
    }

    size() {
        this.space.style.height = `${this.count * this.height}px`;
        this.element.setAttribute("aria-rowcount", String(this.count + (this.look.view === "table" ? 1 : 0)));
    }

    /** Shows the selection's list, which is another one; what was at the top stays there. @param {number} [topRow] row to keep at the top */
    show(topRow) {
        const at = topRow === undefined || this.top === 0 ? -1 : this.selection.list.indexOf(topRow);
        const shift = this.top % this.height;
        // It may have been hidden until now.
        if (this.space.clientWidth !== this.width) this.measure();
        this.size();
        if (at >= 0) this.element.scrollTop = Math.floor(at / this.columns) * this.height + shift;
        this.top = this.element.scrollTop;
        this.draw();
    }

    /** The row of the first item that is seen. */
    get topRow() {
        return this.selection.list[Math.floor(this.top / this.height) * this.columns];
    }

    scrolled() {
        if (this.frame) return;
        this.frame = requestAnimationFrame(() => {
            this.frame = 0;
            const top = this.element.scrollTop;
            // Pictures that fly by are not asked for.
            this.isStill = Math.abs(top - this.top) < this.element.clientHeight / 2;
            this.top = top;
            this.draw();
            clearTimeout(this.stillTimer);
            this.stillTimer = setTimeout(() => ((this.isStill = true), this.draw()), STILL);
        });
    }

    /** Brings the document to what is seen now. */
    draw() {
        const { list, focus } = this.selection;
        const [first, end] = windowOf(this.top, this.element.clientHeight, this.height, this.count, SPARE);
        const wanted = new Set();
        for (let line = first; line < end; line += 1) wanted.add(line);
        // The line with the focus stays, wherever it is: a focus on nothing would be lost.
        if (list.length) wanted.add(Math.floor(focus / this.columns));
        const free = [];
        for (const [line, element] of this.lines) {
            if (!wanted.has(line)) {
                this.lines.delete(line);
                free.push(element);
            }
        }
        for (const line of wanted) {
            let element = this.lines.get(line);
            if (!element) {
                element = free.pop() ?? this.makeLine();
                element.style.transform = `translateY(${line * this.height}px)`;
                element.style.height = `${this.height}px`;
                element.dataset.line = String(line);
                this.lines.set(line, element);
            }
            this.fillLine(element, line);
        }
        for (const element of free) element.remove();
    }

    makeLine() {
        const line = this.look.view === "table" ? this.look.make() : el("div.line", { role: "row" });
        if (this.look.view === "table") line.classList.add("line");
        this.space.append(line);
        return line;
    }

    /** @param {HTMLElement} element @param {number} line */
    fillLine(element, line) {
        const isTable = this.look.view === "table";
        const from = line * this.columns;
        const width = Math.min(this.columns, this.selection.list.length - from);
        attribute(element, "aria-rowindex", String(line + (isTable ? 2 : 1)));
        if (isTable) return this.fillItem(element, from);
        while (element.childElementCount > width) element.lastElementChild?.remove();
        for (let column = 0; column < width; column += 1) {
            let item = /** @type {HTMLElement | undefined} */ (element.children[column]);
            if (!item) {
                item = this.look.make();
                item.setAttribute("aria-colindex", String(column + 1));
                item.style.width = `calc(${100 / this.columns}% - 0.4rem)`;
                element.append(item);
            }
            this.fillItem(item, from + column);
        }
    }

    /** @param {HTMLElement} item @param {number} position */
    fillItem(item, position) {
        const { list, rows, focus } = this.selection;
        const row = list[position];
        item.dataset.position = String(position);
        attribute(item, "tabindex", position === focus ? "0" : "-1");
        attribute(item, "aria-selected", String(rows.has(row)));
        this.look.fill(item, row, this.isStill);
    }

    /** The element of a position, where it is in the document. @param {number} position */
    item(position) {
        return /** @type {HTMLElement | null} */ (this.space.querySelector(`[data-position="${position}"]`));
    }

    /** The position of what was hit, -1 without one. @param {EventTarget | null} target */
    at(target) {
        const item = target instanceof Element ? target.closest("[data-position]") : null;
        return item ? Number(/** @type {HTMLElement} */ (item).dataset.position) : -1;
    }

    get hasFocus() {
        return this.space.contains(document.activeElement);
    }

    /** Puts the focus on the item that has it in the selection, and brings that into view. */
    focus() {
        const line = Math.floor(this.selection.focus / this.columns);
        const [top, seen] = [line * this.height, this.element.clientHeight - this.headHeight];
        if (top < this.top) this.element.scrollTop = top;
        else if (top + this.height > this.top + seen) this.element.scrollTop = top + this.height - seen;
        this.top = this.element.scrollTop;
        this.draw();
        this.item(this.selection.focus)?.focus({ preventScroll: true });
    }

    /** Where the reader put the focus is where it is. @param {FocusEvent} event */
    focused(event) {
        const position = this.at(event.target);
        if (position < 0 || position === this.selection.focus) return;
        this.selection.move(position);
        this.draw();
    }

    /** @param {KeyboardEvent} event */
    pressed(event) {
        if (this.at(event.target) < 0 || event.altKey) return;
        const { selection } = this;
        if (event.key === "Enter") {
            event.preventDefault();
            this.acts.opened();
            return;
        }
        if (event.key === " ") selection.toggle(selection.focus);
        else {
            const page = Math.max(1, Math.floor(this.element.clientHeight / this.height));
            const to = moves(event.key, selection.focus, selection.list.length, this.columns, page);
            if (to === null) return;
            selection.move(to, event.shiftKey);
        }
        event.preventDefault();
        this.focus();
        this.acts.changed();
    }

    /** @param {MouseEvent} event */
    clicked(event) {
        const position = this.at(event.target);
        if (position < 0 || this.isDragged) return;
        const { selection } = this;
        const isTouch = this.pointerType === "touch";
        const isCheck = event.target instanceof Element && event.target.closest(".check") !== null;
        if (event.shiftKey) selection.move(position, true);
        else if (event.ctrlKey || event.metaKey || isTouch || isCheck) selection.toggle(position);
        else selection.only(position);
        this.focus();
        this.acts.changed();
    }

    /** A mouse draws a box that selects; a finger scrolls. @param {PointerEvent} event */
    dragged(event) {
        this.isDragged = false;
        this.pointerType = event.pointerType;
        if (event.pointerType !== "mouse" || event.button !== 0) return;
        const { element, selection } = this;
        const inside = (/** @type {PointerEvent} */ { clientX, clientY }) => {
            const frame = this.space.getBoundingClientRect();
            return { x: clientX - frame.left, y: clientY - frame.top };
        };
        if (event.clientX > element.getBoundingClientRect().left + element.clientWidth) return;
        const from = inside(event);
        const before = event.ctrlKey || event.metaKey || event.shiftKey ? new Set(selection.rows) : new Set();
        const move = (/** @type {PointerEvent} */ now) => {
            const to = inside(now);
            if (!this.isDragged && Math.hypot(to.x - from.x, to.y - from.y) < SLACK) return;
            if (!this.isDragged) element.setPointerCapture(event.pointerId);
            this.isDragged = true;
            const seen = element.getBoundingClientRect();
            if (now.clientY > seen.bottom - 20) element.scrollTop += 24;
            if (now.clientY < seen.top + 20) element.scrollTop -= 24;
            this.drawBox(from, to);
            const found = boxed(from, to, this.space.clientWidth, this.height, this.columns, selection.list.length);
            selection.focus = found.at(-1) ?? selection.focus;
            selection.take([...before, ...found.map((position) => selection.list[position])]);
            this.draw();
            this.acts.changed();
        };
        const end = () => {
            element.removeEventListener("pointermove", move);
            this.box.hidden = true;
            if (this.isDragged) this.focus();
        };
        element.addEventListener("pointermove", move);
        for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, end, { once: true });
    }

    /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
    drawBox(from, to) {
        const { style } = this.box;
        this.box.hidden = false;
        style.left = `${Math.min(from.x, to.x)}px`;
        style.top = `${Math.min(from.y, to.y) + this.space.offsetTop}px`;
        style.width = `${Math.abs(to.x - from.x)}px`;
        style.height = `${Math.abs(to.y - from.y)}px`;
    }
}

/** Sets an attribute where it is another one. @param {Element} element @param {string} name @param {string} value */
function attribute(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
