/** Parts of a picture: boxes and polygons in shares of its width and height. No elements are made here. */

/** @typedef {[number, number]} Corner */
/** @typedef {{kind: "whole" | "box" | "polygon", corners: Corner[]}} Shape a box has its four corners, clockwise from the upper left */
/** @typedef {{source?: string, watch?: string}} Target whose pictures; all of them where it names neither */

/** The least width and height that the device takes. */
const LEAST = 0.01;
const MOST_CORNERS = 64;

/** A tenth of a percent is finer than a hand. @param {number} value */
const tidy = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;

/** @param {number} x @param {number} y @param {number} right @param {number} bottom @returns {Shape} */
export function box(x, y, right, bottom) {
    const [left, top, far, low] = [Math.min(x, right), Math.min(y, bottom), Math.max(x, right), Math.max(y, bottom)].map(tidy);
    return { kind: "box", corners: [[left, top], [far, top], [far, low], [left, low]] };
}

/** From the configuration. @param {any} region @returns {Shape} */
export function shapeOf(region) {
    if (!Array.isArray(region) || region.length === 0) return { kind: "whole", corners: [] };
    if (typeof region[0] === "number") return box(region[0], region[1], region[2], region[3]);
    return { kind: "polygon", corners: region.map(([x, y]) => [x, y]) };
}

/** For the configuration. @param {Shape} shape @returns {number[] | Corner[] | null} */
export function regionOf({ kind, corners }) {
    if (kind === "whole") return null;
    return kind === "box" ? [...corners[0], ...corners[2]] : corners.map(([x, y]) => [x, y]);
}

/** @param {Shape} shape */
export function bounds({ kind, corners }) {
    if (kind === "whole" || !corners.length) return { left: 0, top: 0, right: 1, bottom: 1 };
    const xs = corners.map(([x]) => x);
    const ys = corners.map(([, y]) => y);
    return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/**
 * Moves a corner; those of a box that share its sides go along.
 * @param {Shape} shape @param {number} index @param {Corner} to @returns {Shape}
 */
export function moveCorner({ kind, corners }, index, [x, y]) {
    const to = /** @type {Corner} */ ([tidy(x), tidy(y)]);
    if (kind !== "box") return { kind, corners: corners.map((corner, at) => (at === index ? to : corner)) };
    const facing = corners[(index + 2) % 4];
    // A corner stops before the one that it faces, so that it stays the same corner.
    const stop = (/** @type {number} */ value, /** @type {number} */ other, /** @type {boolean} */ isBelow) =>
        tidy(isBelow ? Math.min(value, other - LEAST) : Math.max(value, other + LEAST));
    const moved = [stop(to[0], facing[0], index === 0 || index === 3), stop(to[1], facing[1], index < 2)];
    return box(moved[0], moved[1], facing[0], facing[1]);
}

/**
 * A polygon with one more corner, halfway to the next one.
 * @param {Shape} shape @param {number} after @returns {Shape}
 */
export function splitSide({ corners }, after) {
    const from = corners[after];
    const to = corners[(after + 1) % corners.length];
    const middle = /** @type {Corner} */ ([tidy((from[0] + to[0]) / 2), tidy((from[1] + to[1]) / 2)]);
    return { kind: "polygon", corners: [...corners.slice(0, after + 1), middle, ...corners.slice(after + 1)] };
}

/** A polygon with one more corner at its end. @param {Shape} shape @param {Corner} corner @returns {Shape} */
export const addCorner = ({ corners }, [x, y]) =>
    ({ kind: "polygon", corners: corners.length < MOST_CORNERS ? [...corners, [tidy(x), tidy(y)]] : corners });

/**
 * A box without a corner is a polygon of three; a polygon of one corner is none.
 * @param {Shape} shape @param {number} index @returns {Shape}
 */
export const removeCorner = ({ corners }, index) => ({ kind: "polygon", corners: corners.filter((_, at) => at !== index) });

/** The same as another kind, as near as can be. @param {Shape} shape @param {Shape["kind"]} kind @returns {Shape} */
export function become(shape, kind) {
    if (kind === shape.kind) return shape;
    if (kind === "whole") return { kind, corners: [] };
    if (shape.kind === "whole") return kind === "box" ? box(0.25, 0.25, 0.75, 0.75) : { kind, corners: [] };
    const { left, top, right, bottom } = bounds(shape);
    if (kind === "box") return shape.corners.length < 2 ? box(0.25, 0.25, 0.75, 0.75) : box(left, top, right, bottom);
    return { kind, corners: shape.corners };
}

/** What the device would not take, in words. @param {Shape} shape @returns {string | null} */
export function wrong(shape) {
    const { kind, corners } = shape;
    if (kind === "whole") return null;
    if (kind === "polygon" && corners.length < 3) return `A polygon needs three corners or more; this one has ${corners.length}.`;
    const { left, top, right, bottom } = bounds(shape);
    if (right - left < LEAST - 1e-9 || bottom - top < LEAST - 1e-9) return "It has to be 1 % of the picture or more in width and height.";
    return null;
}

/** As text: "0.1, 0.2, 0.5, 0.9", or corners apart by semicolons. @param {Shape} shape */
export function print({ kind, corners }) {
    if (kind === "whole") return "";
    return kind === "box" ? [...corners[0], ...corners[2]].join(", ") : corners.map((corner) => corner.join(" ")).join("; ");
}

/** Text as a shape; null where it is none. @param {string} text @returns {Shape | null} */
export function parse(text) {
    const numbers = (text.match(/-?\d*\.?\d+/g) ?? []).map(Number);
    if (text.trim() === "") return { kind: "whole", corners: [] };
    if (/[^\d\s.,;[\]-]/.test(text) || numbers.some((value) => value < 0 || value > 1)) return null;
    const isBox = numbers.length === 4 && !text.includes(";") && !text.includes("[[");
    if (isBox) return numbers[0] < numbers[2] && numbers[1] < numbers[3] ? box(numbers[0], numbers[1], numbers[2], numbers[3]) : null;
    if (numbers.length < 6 || numbers.length % 2) return null;
    /** @type {Corner[]} */
    const corners = [];
    for (let at = 0; at < numbers.length; at += 2) corners.push([tidy(numbers[at]), tidy(numbers[at + 1])]);
    return corners.length <= MOST_CORNERS ? { kind: "polygon", corners } : null;
}

/** What pictures come from. @param {any} configuration @returns {{name: string, target: Target}[]} */
export function targets({ sources = [], watch = [] }) {
    return [
        { name: "every picture", target: {} },
        ...sources.map((/** @type {any} */ { id }) => ({ name: `source ${id}`, target: { source: id } })),
        ...watch.map((/** @type {any} */ { path }) => ({ name: `folder ${path}`, target: { watch: path } })),
    ];
}

/** @param {any} entry @param {Target} target */
const isOf = (entry, target) => (entry.source ?? null) === (target.source ?? null) && (entry.watch ?? null) === (target.watch ?? null);

/**
 * The region of a task in the pictures of one place; undefined where it does not look at them by name.
 * @param {any} task @param {Target} target
 */
export function regionIn(task, target) {
    const entry = (task?.from ?? []).find((/** @type {any} */ one) => isOf(one, target));
    return entry ? (entry.region ?? null) : undefined;
}

/** The first place that a task names. @param {any} task @returns {Target} */
export function firstTarget(task) {
    const { source, watch } = task?.from?.[0] ?? {};
    return source ? { source } : watch ? { watch } : {};
}

/**
 * The tasks with another region for one of them.
 * @param {any[]} tasks @param {string} id made where there is no such task @param {Target} target @param {number[] | Corner[] | null} region
 */
export function withRegion(tasks, id, target, region) {
    const found = tasks.find((task) => task.id === id) ?? { id };
    const from = found.from ?? [];
    const entry = { ...target, ...(region === null ? {} : { region }) };
    const isThere = from.some((/** @type {any} */ one) => isOf(one, target));
    const next = isThere ? from.map((/** @type {any} */ one) => (isOf(one, target) ? entry : one)) : [...from, entry];
    // An entry that says nothing looks at everything, as no entry does.
    const task = { ...found, from: next.filter((/** @type {any} */ one) => Object.keys(one).length > 0) };
    return tasks.includes(found) ? tasks.map((one) => (one === found ? task : one)) : [...tasks, task];
}
