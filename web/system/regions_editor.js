/** Draws what a task sees on its latest picture, by mouse, finger or keys, and saves it in the configuration. */

import { picture, read } from "../api.js";
import { Index } from "../columns.js";
import { button, el, keyed, say, svg } from "../dom.js";
import {
    addCorner, become, bounds, box, firstTarget, moveCorner, parse, print, regionIn, regionOf, removeCorner, shapeOf, splitSide, targets,
    withRegion, wrong,
} from "./regions.js";
import { patchOf, same } from "./settings.js";
import { previewAndApply, rejections, settingsProblem, trialLine } from "./trial.js";

/** @typedef {import("./regions.js").Shape} Shape */
/** @typedef {import("./regions.js").Corner} Corner */

/** How far an arrow key moves a corner. */
const STEP = 0.01;
const ARROWS = /** @type {Record<string, Corner>} */ ({ ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] });
/** Where a task is made, for a device with one question. */
const ONLY = "default";

const HELP = {
    numbers: "Shares of width and height from the upper left: left, top, right, bottom for a box; x y; x y; x y … for a polygon; "
        + "empty for the whole picture.",
    corners: "Drag a box, or click the corners of a polygon. A corner with the focus moves by the arrow keys, with Shift ten times "
        + "as far, and goes by Delete.",
};

/** @param {number} share */
const words = (share) => `${Math.round(share * 1000) / 10} %`;

/** @param {import("../main.js").App} app @param {HTMLElement} root @param {string} wanted a task */
export async function openRegions(app, root, wanted) {
    const task = select("Task");
    const place = select("Pictures of");
    const kinds = /** @type {[Shape["kind"], string][]} */ ([["whole", "Whole picture"], ["box", "Box"], ["polygon", "Polygon"]]);
    const kind = el("div.row", { role: "group", "aria-label": "What it sees" }, ...kinds.map(([value, name]) =>
        button(name, () => change(become(shape, value)), { "data-kind": value })));
    const image = /** @type {HTMLImageElement} */ (el("img", { alt: "The latest picture", draggable: "false" }));
    const dim = svg("path.outside", { "fill-rule": "evenodd" });
    const line = svg("path.edge", {});
    const corners = el("div.corners");
    const overlay = svg("svg.overlay", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, dim, line);
    const field = el("div.scene", {}, image, overlay, corners);
    const sees = /** @type {HTMLCanvasElement} */ (el("canvas", { role: "img", "aria-label": "What the task sees" }));
    const none = el("p.faint", { hidden: true }, "No picture of this has arrived yet; numbers can be given all the same.");
    const text = /** @type {HTMLInputElement} */ (el("input", {
        type: "text", id: "region-numbers", autocomplete: "off", spellcheck: "false", "aria-describedby": "region-help region-problem",
    }));
    const trouble = el("p.problem", { id: "region-problem", role: "alert", hidden: true });
    const note = el("p.faint");
    const problems = el("div");
    const more = button("Add a corner", () => {
        if (shape.corners.length < 2) return change(addCorner(shape, [0.25 + shape.corners.length * 0.5, 0.25]));
        const after = focused >= 0 && focused < shape.corners.length ? focused : shape.corners.length - 1;
        change(shape.corners.length < 3 ? addCorner(shape, [0.5, 0.75]) : splitSide(shape, after));
        corner(Math.min(after + 1, shape.corners.length - 1))?.focus();
    });
    const reset = button("As it is now", () => change(shapeOf(stored())));
    const save = button("Preview", () => submit(), { class: "primary" });

    /** @type {import("./trial.js").Config} */
    let config;
    /** @type {Shape} */
    let shape = { kind: "whole", corners: [] };
    let focused = -1;
    let chosen = wanted;
    /** @type {import("./regions.js").Target} */
    let target = {};
    /** @type {ReturnType<typeof targets>} */
    let places = [];
    let shown = "";
    let asked = 0;

    const tasks = () => config.effective.tasks ?? [];
    const present = () => tasks().find((/** @type {any} */ one) => one.id === chosen);
    const stored = () => regionIn(present(), target) ?? null;
    const corner = (/** @type {number} */ index) => /** @type {HTMLElement | null} */ (corners.children[index] ?? null);

    const trial = trialLine(app, (fresh) => {
        const isUnchanged = !config || same(regionOf(shape), stored());
        config = fresh;
        drawChoices();
        if (isUnchanged) change(shapeOf(stored()));
        else draw();
    });
    root.append(trial.element, problems,
        el("div.row.choices", {}, el("label", {}, "Task ", task), el("label", {}, "Pictures of ", place), kind),
        el("div.editor", {}, el("div", {}, none, field), el("div.region-side", {},
            el("h2", {}, "What it sees"), sees,
            el("label", { for: "region-numbers" }, "Numbers"), text, el("p.faint", { id: "region-help" }, HELP.numbers), trouble,
            el("p.faint", {}, HELP.corners), note, el("div.row", {}, more, reset, save))));

    function drawChoices() {
        const ids = tasks().map((/** @type {any} */ { id }) => id);
        const all = ids.length ? ids : [ONLY];
        if (!all.includes(chosen)) chosen = all.includes(app.task) ? app.task : all[0];
        keyed(task, all, (id) => id, (id) => el("option", { value: id }, id));
        task.value = chosen;
        say(note, ids.length ? "" : "The device has one question about everything. Saved, it becomes the task default, which keeps its labels.");
        places = targets(config.effective);
        keyed(place, places, ({ name }) => name, ({ name }) => el("option", { value: name }, name));
        place.value = places.find((one) => same(one.target, target))?.name ?? places[0].name;
    }

    function choose() {
        target = firstTarget(present());
        drawChoices();
        change(shapeOf(stored()));
        drawPicture();
    }
    task.addEventListener("change", () => {
        chosen = task.value;
        choose();
    });
    place.addEventListener("change", () => {
        target = places.find(({ name }) => name === place.value)?.target ?? {};
        change(shapeOf(stored()));
        drawPicture();
    });

    async function drawPicture() {
        const turn = (asked += 1);
        const found = await latestPicture(app, tasks().length ? chosen : null, target).catch(() => null);
        if (turn !== asked) return;
        none.hidden = found !== null;
        if (found === shown) return;
        shown = found ?? "";
        field.classList.toggle("empty", !found);
        if (found) image.src = picture(found);
        else image.removeAttribute("src");
    }
    image.addEventListener("load", drawSight);
    image.addEventListener("error", () => {
        none.hidden = false;
        field.classList.add("empty");
    });

    /** @param {Shape} next */
    function change(next) {
        shape = next;
        draw();
    }

    function draw() {
        for (const one of kind.children) one.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (one).dataset.kind === shape.kind));
        const path = shape.corners.length ? `M${shape.corners.map((point) => point.join(" ")).join("L")}Z` : "";
        dim.setAttribute("d", shape.corners.length > 2 ? `M0 0H1V1H0Z${path}` : "");
        line.setAttribute("d", path);
        keyed(corners, shape.corners.map((at, index) => ({ at, index })), ({ index }) => String(index),
            ({ index, at }) => drawCorner(makeCorner(index), at, index), (element, { at, index }) => drawCorner(element, at, index));
        if (document.activeElement !== text) text.value = print(shape);
        complain(wrong(shape));
        more.hidden = shape.kind !== "polygon";
        drawSight();
    }

    /** @param {string | null} words */
    function complain(words) {
        say(trouble, words ?? "");
        trouble.hidden = !words;
        text.setAttribute("aria-invalid", String(Boolean(words)));
        save.disabled = Boolean(words) || !config || same(regionOf(shape), stored());
        reset.disabled = !config || same(regionOf(shape), stored());
    }

    /** @param {Element} element @param {Corner} at @param {number} index */
    function drawCorner(element, [x, y], index) {
        const { style } = /** @type {HTMLElement} */ (element);
        style.left = `${x * 100}%`;
        style.top = `${y * 100}%`;
        element.setAttribute("aria-label", `Corner ${index + 1}: ${words(x)} from the left, ${words(y)} from the top`);
        return element;
    }

    /** @param {number} index */
    function makeCorner(index) {
        const handle = el("button.corner", { type: "button", "aria-roledescription": "corner" });
        handle.addEventListener("focus", () => (focused = index));
        handle.addEventListener("keydown", (event) => pressed(event, index));
        handle.addEventListener("pointerdown", (event) => {
            event.stopPropagation();
            drag(event, handle, (to) => change(moveCorner(shape, index, to)));
        });
        return handle;
    }

    /** @param {KeyboardEvent} event @param {number} index */
    function pressed(event, index) {
        const way = ARROWS[event.key];
        if (!way && event.key !== "Delete" && event.key !== "Backspace") return;
        event.preventDefault();
        event.stopPropagation();
        if (way) {
            const far = event.shiftKey ? 10 : 1;
            const [x, y] = shape.corners[index];
            change(moveCorner(shape, index, [x + way[0] * far, y + way[1] * far]));
            app.announce(corner(index)?.getAttribute("aria-label") ?? "");
        } else {
            change(removeCorner(shape, index));
            app.announce(`Corner removed, ${shape.corners.length} left`);
            (corner(Math.min(index, shape.corners.length - 1)) ?? more).focus();
        }
    }

    /** @param {PointerEvent} event @returns {Corner} */
    function placeOf({ clientX, clientY }) {
        const { left, top, width, height } = field.getBoundingClientRect();
        return [(clientX - left) / width, (clientY - top) / height];
    }

    /**
     * Follows a pointer until it is lifted.
     * @param {PointerEvent} event @param {HTMLElement} holder @param {(to: Corner) => void} moved
     */
    function drag(event, holder, moved) {
        holder.setPointerCapture(event.pointerId);
        const move = (/** @type {PointerEvent} */ next) => moved(placeOf(next));
        const end = () => {
            holder.removeEventListener("pointermove", move);
            for (const name of ["pointerup", "pointercancel"]) holder.removeEventListener(name, end);
        };
        holder.addEventListener("pointermove", move);
        for (const name of ["pointerup", "pointercancel"]) holder.addEventListener(name, end);
    }

    field.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        const from = placeOf(event);
        if (shape.kind === "polygon") {
            change(addCorner(shape, from));
            const index = shape.corners.length - 1;
            return drag(event, field, (to) => change(moveCorner(shape, index, to)));
        }
        // A click is no box.
        let isBox = false;
        drag(event, field, (to) => {
            isBox ||= Math.hypot(to[0] - from[0], to[1] - from[1]) > STEP;
            if (isBox) change(box(from[0], from[1], to[0], to[1]));
        });
    });

    text.addEventListener("input", () => {
        const found = parse(text.value);
        if (found) change(found);
        else complain("These are no four numbers of a box, nor pairs of a polygon, from 0 to 1.");
    });

    text.addEventListener("blur", draw);

    function drawSight() {
        const context = sees.getContext("2d");
        if (!context) return;
        const { left, top, right, bottom } = bounds(shape);
        const [width, height] = [image.naturalWidth, image.naturalHeight];
        sees.hidden = !width || Boolean(wrong(shape));
        if (sees.hidden) return;
        const cut = [left * width, top * height, Math.max(1, (right - left) * width), Math.max(1, (bottom - top) * height)];
        const factor = Math.min(320 / cut[2], 240 / cut[3]);
        sees.width = Math.max(1, Math.round(cut[2] * factor));
        sees.height = Math.max(1, Math.round(cut[3] * factor));
        if (shape.kind === "polygon") {
            context.beginPath();
            for (const [x, y] of shape.corners) context.lineTo((x * width - cut[0]) * factor, (y * height - cut[1]) * factor);
            context.clip();
        }
        context.drawImage(image, cut[0], cut[1], cut[2], cut[3], 0, 0, sees.width, sees.height);
    }

    async function submit() {
        const next = withRegion(tasks(), chosen, target, regionOf(shape));
        problems.replaceChildren();
        const patch = patchOf(config, new Map([["tasks", next]]));
        const version = await previewAndApply(app, patch, (rejected) => problems.replaceChildren(rejections(rejected)));
        if (version !== null) trial.begin(version);
    }

    const ends = [
        app.live.on("prediction", () => !shown && drawPicture()),
        app.live.on("task/", (_, topic) => !shown && topic.endsWith("/prediction") && drawPicture()),
    ];
    try {
        await trial.reload();
        choose();
    } catch (error) {
        root.replaceChildren(el("p.problem", { role: "alert" }, settingsProblem(error)), button("Try again", () => app.show()));
    }
    return {
        close() {
            asked += 1;
            ends.forEach((end) => end());
            trial.close();
        },
    };
}

/** @param {string} name */
const select = (name) => /** @type {HTMLSelectElement} */ (el("select", { "aria-label": name }));

/**
 * The latest picture that shows what is looked at: of its predictions in this tab, else of the newest samples.
 * @param {import("../main.js").App} app @param {string | null} task @param {import("./regions.js").Target} target @returns {Promise<string | null>}
 */
async function latestPicture(app, task, target) {
    const isOf = (/** @type {any} */ { source, path }) =>
        target.source ? source === target.source : target.watch ? String(path ?? "").startsWith(`${target.watch}/`) : true;
    const live = app.live.latest.get(task === null ? "prediction" : `task/${task}/prediction`);
    if (live && isOf(live)) return live.image;
    // The shell's own columns are of the task that is looked at.
    const { samples } = await (task === app.task ? app.index : new Index()).load(task);
    if (samples.n === 0) return null;
    const about = task === null ? {} : { task };
    const after = samples.n > 100 ? samples.image(samples.n - 101) : null;
    const newest = (await read("samples", { limit: 1000, after, ...about })).filter(isOf).at(-1);
    return newest?.image ?? null;
}
