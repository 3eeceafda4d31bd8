/** Curves as pictures with a table beside them: nothing in them is to be had by sight or by pointer alone. */

import { el, svg } from "../dom.js";
import { scrollTable } from "../tables.js";

/** @typedef {{x: number, y: number, low?: number, high?: number}} Point `low` and `high` bound its interval */
/** @typedef {{name: string, kind: "first" | "second", points: Point[]}} Series */
/**
 * @typedef {object} Plan
 * @property {string} title
 * @property {string} xName what is counted along the picture
 * @property {boolean} [isLog] whether equal steps along it are equal factors
 * @property {Series[]} series
 * @property {(y: number) => string} words a value in words
 */

/** Where there is room for it; letters keep their size in less. */
const WIDTH = 560;
const LEAST_WIDTH = 260;
const HEIGHT = 260;
const EDGE = { left: 52, right: 12, top: 10, bottom: 42 };

/**
 * From values to places.
 * @param {number} low @param {number} high @param {number} from @param {number} to @param {boolean} [isLog]
 * @returns {(value: number) => number}
 */
export function scale(low, high, from, to, isLog = false) {
    const bend = isLog ? Math.log : (/** @type {number} */ value) => value;
    const span = bend(high) - bend(low);
    return (value) => (span === 0 ? (from + to) / 2 : from + ((bend(value) - bend(low)) / span) * (to - from));
}

/**
 * Round values from `low` to `high`, about `wanted` of them.
 * @param {number} low @param {number} high @param {number} wanted
 */
export function ticks(low, high, wanted) {
    const rough = (high - low) / wanted;
    if (!(rough > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
    return found;
}

/** Round values whose factors are alike. @param {number} low @param {number} high */
export function logTicks(low, high) {
    for (const factors of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
        const found = [];
        for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
            for (const factor of factors) {
                const value = Number((factor * 10 ** power).toPrecision(12));
                if (value >= low && value <= high && Number.isInteger(value)) found.push(value);
            }
        }
        if (found.length >= 3) return found;
    }
    return low === high ? [low] : [low, high];
}

/** What the picture shows of the values: all intervals, and room around them. @param {Series[]} series */
export function range(series) {
    const points = series.flatMap(({ points }) => points);
    const low = Math.min(...points.map(({ y, low }) => low ?? y));
    const high = Math.max(...points.map(({ y, high }) => high ?? y));
    const room = Math.max(0.02, (high - low) * 0.05);
    const xs = points.map(({ x }) => x);
    return { x: [Math.min(...xs), Math.max(...xs)], y: [Math.max(0, low - room), Math.min(1, high + room)] };
}

/** What the picture says, for who does not see it. @param {Plan} plan */
export function summary({ title, series, words, xName }) {
    const said = series.filter(({ points }) => points.length).map(({ name, points }) => {
        const [first, last] = [points[0], points[points.length - 1]];
        if (points.length === 1) return `${name} ${words(first.y)} at ${xName} ${first.x}`;
        return `${name} from ${words(first.y)} at ${xName} ${first.x} to ${words(last.y)} at ${xName} ${last.x}`;
    });
    return `${title}: ${said.join("; ")}`;
}

/** Draws it. @param {Plan} plan @param {number} room its width in pixels @returns {HTMLElement} */
export function chart(plan, room) {
    const { title, xName, isLog = false, words } = plan;
    const width = Math.max(LEAST_WIDTH, Math.min(WIDTH, room));
    const series = plan.series.filter(({ points }) => points.length);
    const { x: [first, last], y: [low, high] } = range(series);
    const across = scale(first, last, EDGE.left, width - EDGE.right, isLog);
    const up = scale(low, high, HEIGHT - EDGE.bottom, EDGE.top);
    const foot = HEIGHT - EDGE.bottom;
    const rows = ticks(low, high, 5).flatMap((value) => [
        svg("line.rule", { x1: EDGE.left, x2: width - EDGE.right, y1: up(value), y2: up(value) }),
        svg("text.tick.before", { x: EDGE.left - 6, y: up(value) + 4 }, words(value)),
    ]);
    const marks = isLog ? logTicks(first, last) : ticks(first, last, Math.min(6, width / 60)).filter(Number.isInteger);
    const columns = marks.flatMap((value) => [
        svg("line.mark-at", { x1: across(value), x2: across(value), y1: foot, y2: foot + 5 }),
        svg("text.tick.under", { x: across(value), y: foot + 18 }, String(value)),
    ]);
    const middle = (EDGE.left + width - EDGE.right) / 2;
    const name = svg("text.tick.under", { x: middle, y: HEIGHT - 6 }, isLog ? `${xName} (log)` : xName);
    const says = summary({ ...plan, series });
    const picture = svg("svg.curve", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": says },
        ...rows, ...columns, name, ...series.map((one) => draw(one, across, up)));
    return el("figure.chart", {}, el("figcaption", {}, el("strong", {}, title), " ", ...series.map(legend)), picture, tableOf(plan));
}

/** @param {Series} series @param {(x: number) => number} across @param {(y: number) => number} up */
function draw({ kind, points }, across, up) {
    const at = (/** @type {Point} */ { x }) => across(x);
    const band = [...points.map((point) => `${at(point)},${up(point.high ?? point.y)}`),
        ...[...points].reverse().map((point) => `${at(point)},${up(point.low ?? point.y)}`)];
    return svg(`g.${kind}`, {},
        points.length > 1 && svg("polygon.band", { points: band.join(" ") }),
        points.length === 1 && whisker(points[0], at(points[0]), up),
        svg("polyline.trace", { points: points.map((point) => `${at(point)},${up(point.y)}`).join(" ") }),
        ...points.map((point) => (kind === "first"
            ? svg("circle.dot", { cx: at(point), cy: up(point.y), r: 3.5 })
            : svg("rect.dot", { x: at(point) - 3.2, y: up(point.y) - 3.2, width: 6.4, height: 6.4 }))));
}

/**
 * The interval of a point that stands alone.
 * @param {Point} point @param {number} x @param {(y: number) => number} up
 */
const whisker = ({ y, low, high }, x, up) => svg("line.whisker", { x1: x, x2: x, y1: up(low ?? y), y2: up(high ?? y) });

/** @param {Series} series */
const legend = ({ name, kind }) => el("span.series", {},
    svg(`svg.swatch.${kind}`, { viewBox: "0 0 24 10", "aria-hidden": "true" },
        svg("line.trace", { x1: 0, x2: 24, y1: 5, y2: 5 }),
        kind === "first" ? svg("circle.dot", { cx: 12, cy: 5, r: 3.5 }) : svg("rect.dot", { x: 8.8, y: 1.8, width: 6.4, height: 6.4 })),
    " ", name);

/** The same as a table, closed at first. @param {Plan} plan */
function tableOf({ title, xName, series, words }) {
    const xs = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
    const cell = (/** @type {Series} */ { points }, /** @type {number} */ x) => {
        const said = points.filter((point) => point.x === x).map(({ y, low, high }) =>
            low === undefined || high === undefined ? words(y) : `${words(y)} (${words(low)} to ${words(high)})`);
        return el("td", {}, said.join(", ") || "–");
    };
    const body = el("tbody", {}, ...xs.map((x) => el("tr", {}, el("th", { scope: "row" }, String(x)),
        ...series.map((one) => cell(one, x)))));
    return el("details", {}, el("summary", {}, "As a table"), scrollTable(title, [xName, ...series.map(({ name }) => name)], body));
}
