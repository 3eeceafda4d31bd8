/** The canvas of the map: what it shows, and how pointers and keys move it and select on it. */

import { el } from "../dom.js";
import { fit, mask, nearest, NOWHERE, paint, panned, pixel, rectangle, SHAPES, toMap, toScreen, within, zoomed } from "./points.js";

/** Radius of a shape, in CSS pixels. */
const RADIUS = 4.2;
/** How near a pointer has to be to a point, in CSS pixels. */
const NEAR = 12;
/** A pointer that moved less than this has clicked, in CSS pixels. */
const SLACK = 5;
/** How many colours there are. */
export const COLOURS = 8;
/** Directions of the arrow keys on the map. @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Kinds beside classes. */
export const PLAIN = -1;
export const UNKNOWN = -2;
export const ASIDE = -3;

/**
 * What the map shows of a sample.
 * @typedef {object} Scene
 * @property {import("./points.js").Places} places
 * @property {(row: number) => number} kind a class, or PLAIN, UNKNOWN, ASIDE
 * @property {(row: number) => boolean} isRinged predicted unlike given
 * @property {(row: number) => boolean} isSelected
 * @property {Set<number>} hidden kinds
 *
 * @typedef {object} Acts
 * @property {(rows: number[], how: "only" | "beside" | "toggle") => void} take
 * @property {(row: number, isKey: boolean) => void} pointed at a sample, -1 for none
 * @property {(row: number) => void} opened
 * @property {() => void} moded the mode is another one
 */

export class MapView {
    /** @param {Scene} scene @param {Acts} acts */
    constructor(scene, acts) {
        this.scene = scene;
        this.acts = acts;
        this.canvas = /** @type {HTMLCanvasElement} */ (el("canvas", { tabindex: "0", role: "application", "aria-label": "Map of the samples", "aria-describedby": "map-keys" }));
        this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
        /** @type {import("./points.js").View | null} */
        this.view = null;
        this.size = { width: 1, height: 1 };
        this.ratio = 1;
        /** @type {"move" | "lasso" | "rectangle"} */
        this.mode = "move";
        this.cursor = -1;
        this.order = new Uint32Array(0);
        /** How those of the order look. @type {import("./points.js").Style[][]} */
        this.looks = [];
        this.frame = 0;
        /** Pointers that are down. @type {Map<number, {x: number, y: number}>} */
        this.pointers = new Map();
        /** The line that is being drawn, on the map. @type {number[]} */
        this.line = [];
        /** The first corner of a rectangle, and where the pointer is. @type {[number, number] | null} */
        this.corner = null;
        this.hasMoved = false;
        this.observer = new ResizeObserver(() => this.resize());
        this.observer.observe(this.canvas);
        const { canvas } = this;
        canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
        canvas.addEventListener("pointerdown", (event) => this.down(event));
        canvas.addEventListener("pointermove", (event) => this.moved(event));
        canvas.addEventListener("pointerup", (event) => this.up(event));
        canvas.addEventListener("pointercancel", (event) => this.cancel(event));
        canvas.addEventListener("pointerleave", () => this.pointers.size === 0 && this.acts.pointed(this.cursor, false));
        canvas.addEventListener("dblclick", (event) => this.opened(event));
        canvas.addEventListener("keydown", (event) => this.pressed(event));
        this.recolour();
    }

    close() {
        this.observer.disconnect();
        cancelAnimationFrame(this.frame);
    }

    resize() {
        const { clientWidth: width, clientHeight: height } = this.canvas;
        if (!width || !height) return;
        const isFirst = this.size.width === 1;
        this.size = { width, height };
        this.ratio = Math.min(2, devicePixelRatio || 1);
        this.canvas.width = Math.round(width * this.ratio);
        this.canvas.height = Math.round(height * this.ratio);
        this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
        this.pixels = new Uint32Array(this.image.data.buffer);
        if (isFirst) this.view = null;
        this.recolour();
    }

    /** Reads the colours, which follow light and dark, and makes the shapes anew. */
    recolour() {
        const style = getComputedStyle(this.canvas);
        const probe = el("span", { hidden: true });
        this.canvas.after(probe);
        const colour = (/** @type {string} */ name) => {
            probe.className = name;
            return getComputedStyle(probe).color;
        };
        this.colours = Array.from({ length: COLOURS }, (_, at) => colour(`kind-${at}`));
        const [plain, warn, ink] = [colour("kind-plain"), colour("kind-ring"), colour("kind-ink")];
        this.accent = style.color;
        probe.remove();
        const radius = RADIUS * this.ratio;
        const halo = { shape: mask("halo", radius), colour: pixel(ink) };
        const ring = { shape: mask("ring", radius), colour: pixel(warn) };
        const shapes = SHAPES.map((shape) => mask(shape, radius));
        const other = {
            [PLAIN]: { shape: mask("dot", radius), colour: pixel(plain) },
            [UNKNOWN]: { shape: mask("cross", radius), colour: pixel(plain) },
            [ASIDE]: { shape: mask("cross", radius * 0.7), colour: pixel(plain) },
        };
        const pixels = this.colours.map(pixel);
        /** @type {Map<number, import("./points.js").Style[]>} by kind and what is around it */
        const made = new Map();
        this.styles = (/** @type {number} */ kind, /** @type {boolean} */ isRinged, /** @type {boolean} */ isSelected) => {
            const key = kind * 4 + Number(isRinged) * 2 + Number(isSelected);
            let found = made.get(key);
            if (!found) {
                const own = kind < 0 ? other[/** @type {-1 | -2 | -3} */ (kind)] : { shape: shapes[shapeOf(kind)], colour: pixels[kind % COLOURS] };
                found = [...(isSelected ? [halo] : []), own, ...(isRinged ? [ring] : [])];
                made.set(key, found);
            }
            return found;
        };
        this.changed();
    }

    /** @param {number} row */
    isSeen(row) {
        return !this.scene.hidden.has(this.scene.kind(row));
    }

    /** Other points, kinds or selection. */
    changed() {
        const { places, kind, isRinged, isSelected, hidden } = this.scene;
        /** @type {number[][]} what is below and above */
        const layers = [[], [], []];
        for (let row = 0; row < places.x.length; row += 1) {
            const is = kind(row);
            if (places.x[row] === NOWHERE || hidden.has(is)) continue;
            layers[isSelected(row) ? 2 : is < 0 ? 0 : 1].push(row);
        }
        this.order = Uint32Array.from(layers.flat());
        this.looks = Array.from(this.order, (row) => this.styles(kind(row), isRinged(row), isSelected(row)));
        this.soon();
    }

    fit() {
        this.view = fit(this.scene.places, this.size);
        this.soon();
    }

    /** @param {number} by */
    zoom(by) {
        if (!this.view) return;
        this.view = zoomed(this.view, this.size, by, this.size.width / 2, this.size.height / 2);
        this.soon();
    }

    /** @param {MapView["mode"]} mode */
    setMode(mode) {
        this.mode = mode;
        this.stop();
        this.canvas.dataset.mode = mode;
        this.acts.moded();
    }

    /** Ends a line or a rectangle that is being drawn. @returns {boolean} whether there was one */
    stop() {
        const was = this.line.length > 0 || this.corner !== null;
        this.line = [];
        this.corner = null;
        this.soon();
        return was;
    }

    soon() {
        this.frame ||= requestAnimationFrame(() => {
            this.frame = 0;
            this.draw();
        });
    }

    draw() {
        const { image, pixels, scene, ratio, canvas } = this;
        if (!image || !pixels) return;
        this.view ??= fit(scene.places, this.size);
        const { view } = this;
        pixels.fill(0);
        paint(pixels, { width: canvas.width, height: canvas.height }, { ...view, scale: view.scale * ratio }, scene.places, this.order, this.looks);
        this.context.putImageData(image, 0, 0);
        this.drawOver(view);
    }

    /** What is drawn over the points: the cursor, a line, a rectangle. @param {import("./points.js").View} view */
    drawOver(view) {
        const { context, size, ratio, scene } = this;
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.lineWidth = 2;
        context.strokeStyle = this.accent;
        context.setLineDash([]);
        if (this.cursor >= 0 && this.cursor < scene.places.x.length) {
            const [px, py] = toScreen(view, size, scene.places.x[this.cursor], scene.places.y[this.cursor]);
            context.strokeRect(px - 10, py - 10, 20, 20);
        }
        const line = this.corner && this.line.length === 2 ? [...rectangle(this.corner, [this.line[0], this.line[1]])] : this.line;
        if (line.length > 2) {
            context.setLineDash([6, 4]);
            context.beginPath();
            for (let at = 0; at < line.length; at += 2) context.lineTo(...toScreen(view, size, line[at], line[at + 1]));
            context.closePath();
            context.stroke();
        } else if (this.corner) {
            const [px, py] = toScreen(view, size, ...this.corner);
            context.strokeRect(px - 3, py - 3, 6, 6);
        }
        context.setTransform(1, 0, 0, 1, 0, 0);
    }

    /** @param {MouseEvent} event @returns {{x: number, y: number}} */
    place(event) {
        const frame = this.canvas.getBoundingClientRect();
        return { x: event.clientX - frame.left, y: event.clientY - frame.top };
    }

    /** @param {{x: number, y: number}} at @returns {[number, number]} */
    onMap({ x, y }) {
        return this.view ? toMap(this.view, this.size, x, y) : [0, 0];
    }

    /** The sample at a place of the screen, -1 without one. @param {{x: number, y: number}} at */
    at(at) {
        if (!this.view) return -1;
        return nearest(this.scene.places, ...this.onMap(at), NEAR / this.view.scale, (row) => this.isSeen(row));
    }

    /** @param {WheelEvent} event */
    wheeled(event) {
        event.preventDefault();
        if (!this.view) return;
        const { x, y } = this.place(event);
        const lines = event.deltaMode === 1 ? 30 : 1;
        this.view = zoomed(this.view, this.size, Math.exp(-event.deltaY * lines * 0.0015), x, y);
        this.soon();
    }

    /** @param {PointerEvent} event */
    down(event) {
        if (event.pointerType === "mouse" && event.button !== 0) return;
        const at = this.place(event);
        this.pointers.set(event.pointerId, at);
        this.canvas.setPointerCapture(event.pointerId);
        if (this.pointers.size > 1) {
            // Two fingers zoom whatever the mode.
            this.stop();
            this.hasMoved = true;
            return;
        }
        this.hasMoved = false;
        this.start = at;
        if (this.mode === "lasso") this.line = [...this.onMap(at)];
        if (this.mode === "rectangle" && !this.corner) {
            this.corner = this.onMap(at);
            this.isFirstCorner = true;
        } else {
            this.isFirstCorner = false;
        }
    }

    /** @param {PointerEvent} event */
    moved(event) {
        const at = this.place(event);
        const before = this.pointers.get(event.pointerId);
        if (this.mode === "rectangle" && this.corner) {
            this.line = [...this.onMap(at)];
            this.soon();
        }
        if (!before) {
            if (event.pointerType === "mouse") this.acts.pointed(this.at(at), false);
            return;
        }
        if (this.pointers.size > 1) this.pinch(event.pointerId, before, at);
        else if (Math.hypot(at.x - this.start.x, at.y - this.start.y) > SLACK) this.hasMoved = true;
        if (this.pointers.size === 1 && this.view) {
            if (this.mode === "move" && this.hasMoved) this.view = panned(this.view, at.x - before.x, at.y - before.y);
            if (this.mode === "lasso") this.line.push(...this.onMap(at));
        }
        this.pointers.set(event.pointerId, at);
        this.soon();
    }

    /** @param {number} id @param {{x: number, y: number}} before @param {{x: number, y: number}} at */
    pinch(id, before, at) {
        const other = [...this.pointers].find(([pointer]) => pointer !== id)?.[1];
        if (!other || !this.view) return;
        const by = Math.hypot(at.x - other.x, at.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
        this.view = zoomed(this.view, this.size, by, (at.x + other.x) / 2, (at.y + other.y) / 2);
        this.view = panned(this.view, (at.x - before.x) / 2, (at.y - before.y) / 2);
    }

    /** @param {PointerEvent} event */
    up(event) {
        if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
        const at = this.place(event);
        const isBeside = event.shiftKey || event.ctrlKey || event.metaKey;
        if (this.mode === "lasso" && this.hasMoved) this.enclose(Float64Array.from(this.line), isBeside);
        else if (this.mode === "rectangle" && this.corner && (!this.isFirstCorner || this.hasMoved)) {
            this.enclose(rectangle(this.corner, this.onMap(at)), isBeside);
        } else if (this.mode !== "rectangle" && !this.hasMoved) {
            this.line = [];
            const row = this.at(at);
            if (row >= 0) this.acts.take([row], isBeside || event.pointerType === "touch" ? "toggle" : "only");
            if (row >= 0) this.cursor = row;
            this.acts.pointed(row, false);
        }
        this.soon();
    }

    /** @param {PointerEvent} event */
    cancel(event) {
        this.pointers.delete(event.pointerId);
        this.stop();
    }

    /** Selects what a line holds; the mode stays, for the next one. @param {Float64Array} line @param {boolean} isBeside */
    enclose(line, isBeside) {
        this.stop();
        this.acts.take(within(this.scene.places, line, (row) => this.isSeen(row)), isBeside ? "beside" : "only");
    }

    /** @param {MouseEvent} event */
    opened(event) {
        const row = this.mode === "move" ? this.at(this.place(event)) : -1;
        if (row >= 0) this.acts.opened(row);
    }

    /** @param {KeyboardEvent} event */
    pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || !this.view) return;
        const arrow = ARROWS[event.key];
        if (arrow && event.shiftKey) this.view = panned(this.view, -arrow[0] * 60, arrow[1] * 60);
        else if (arrow) this.step(arrow);
        else if (event.key === "+" || event.key === "=") this.zoom(1.4);
        else if (event.key === "-") this.zoom(1 / 1.4);
        else if (event.key === " " && this.cursor >= 0) this.acts.take([this.cursor], "toggle");
        else if (event.key === "Enter" && this.cursor >= 0) this.acts.opened(this.cursor);
        else return;
        event.preventDefault();
        this.soon();
    }

    /** The cursor goes to the next sample in a direction, and the map goes with it. @param {[number, number]} direction */
    step(direction) {
        const { places } = this.scene;
        const { view, size } = this;
        if (!view) return;
        const isThere = this.cursor >= 0 && this.cursor < places.x.length;
        const [x, y] = isThere ? [places.x[this.cursor], places.y[this.cursor]] : [view.x, view.y];
        const next = nearest(places, x, y, Infinity, (row) => row !== this.cursor && this.isSeen(row), isThere ? direction : undefined);
        if (next < 0) return;
        this.cursor = next;
        const [px, py] = toScreen(view, size, places.x[next], places.y[next]);
        const out = (/** @type {number} */ at, /** @type {number} */ end) => (at < 20 ? 20 - at : at > end - 20 ? end - 20 - at : 0);
        this.view = panned(view, out(px, size.width), out(py, size.height));
        this.acts.pointed(next, true);
    }
}

/** The shape of a class, by its number: with each round of the colours another one. @param {number} kind */
export const shapeOf = (kind) => (kind + Math.floor(kind / COLOURS)) % SHAPES.length;

/** Draws the sign of a kind, for the legend. @param {HTMLCanvasElement} canvas @param {number} kind */
export function sign(canvas, kind) {
    const context = canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(canvas.width, canvas.height);
    const shape = kind >= 0 ? SHAPES[shapeOf(kind)] : kind === PLAIN ? "dot" : "cross";
    const style = { shape: mask(shape, canvas.width / 3.4), colour: pixel(getComputedStyle(canvas).color) };
    const middle = { x: [0], y: [0] };
    paint(new Uint32Array(image.data.buffer), canvas, { x: 0, y: 0, scale: 1 }, middle, Uint32Array.of(0), [[style]]);
    context.putImageData(image, 0, 0);
}
