/** Points on a map: where they are, which lie inside a line, and how they are painted. Pure, so that it is tested alone. */

/** A place of a sample without an embedding. */
export const NOWHERE = -32768;

/**
 * What of the map is seen: the point in the middle, and pixels a unit.
 * @typedef {{x: number, y: number, scale: number}} View
 * @typedef {{x: ArrayLike<number>, y: ArrayLike<number>}} Places
 * @typedef {{width: number, height: number}} Size
 */

/** The view that shows all. @param {Places} places @param {Size} size @returns {View} */
export function fit({ x, y }, { width, height }) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let row = 0; row < x.length; row += 1) {
        if (x[row] === NOWHERE) continue;
        left = Math.min(left, x[row]);
        right = Math.max(right, x[row]);
        low = Math.min(low, y[row]);
        high = Math.max(high, y[row]);
    }
    if (left > right) return { x: 0, y: 0, scale: 0.01 };
    const scale = 0.9 * Math.min(width / Math.max(1, right - left), height / Math.max(1, high - low));
    return { x: (left + right) / 2, y: (low + high) / 2, scale: Math.max(scale, 1e-6) };
}

/** Where a place is on the screen. @param {View} view @param {Size} size @param {number} x @param {number} y @returns {[number, number]} */
export const toScreen = (view, size, x, y) => [(x - view.x) * view.scale + size.width / 2, (view.y - y) * view.scale + size.height / 2];

/** @param {View} view @param {Size} size @param {number} px @param {number} py @returns {[number, number]} */
export const toMap = (view, size, px, py) => [(px - size.width / 2) / view.scale + view.x, view.y - (py - size.height / 2) / view.scale];

/** Nearer or farther, while what is below the pointer stays there. @param {View} view @param {Size} size @param {number} by @param {number} px @param {number} py @returns {View} */
export function zoomed(view, size, by, px, py) {
    const [x, y] = toMap(view, size, px, py);
    const scale = Math.min(10, Math.max(1e-4, view.scale * by));
    const ratio = view.scale / scale;
    return { x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, scale };
}

/** @param {View} view @param {number} dx pixels @param {number} dy @returns {View} */
export const panned = (view, dx, dy) => ({ ...view, x: view.x - dx / view.scale, y: view.y + dy / view.scale });

/**
 * The rows inside a closed line.
 * @param {Places} places @param {Float64Array} line x0, y0, x1, y1, … on the map @param {(row: number) => boolean} isSeen
 * @returns {number[]}
 */
export function within({ x, y }, line, isSeen) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < line.length; at += 2) {
        left = Math.min(left, line[at]);
        right = Math.max(right, line[at]);
        low = Math.min(low, line[at + 1]);
        high = Math.max(high, line[at + 1]);
    }
    const found = [];
    for (let row = 0; row < x.length; row += 1) {
        const px = x[row];
        const py = y[row];
        if (px === NOWHERE || px < left || px > right || py < low || py > high || !isSeen(row)) continue;
        if (isInside(px, py, line)) found.push(row);
    }
    return found;
}

/** Whether a place is inside: a ray from it crosses the line an odd number of times. @param {number} px @param {number} py @param {Float64Array} line */
export function isInside(px, py, line) {
    let inside = false;
    for (let at = 0, before = line.length - 2; at < line.length; before = at, at += 2) {
        const ay = line[at + 1];
        const by = line[before + 1];
        if (ay > py !== by > py && px < ((line[before] - line[at]) * (py - ay)) / (by - ay) + line[at]) inside = !inside;
    }
    return inside;
}

/** The corners of a rectangle as a line. @param {[number, number]} a @param {[number, number]} b */
export const rectangle = (a, b) => Float64Array.of(a[0], a[1], b[0], a[1], b[0], b[1], a[0], b[1]);

/**
 * The row that is nearest to a place, -1 without one nearer than `most`; with a direction, only what lies there.
 * @param {Places} places @param {number} px @param {number} py @param {number} most @param {(row: number) => boolean} isSeen
 * @param {[number, number]} [direction]
 */
export function nearest({ x, y }, px, py, most, isSeen, direction) {
    let [best, found] = [most * most, -1];
    for (let row = 0; row < x.length; row += 1) {
        if (x[row] === NOWHERE) continue;
        const dx = x[row] - px;
        const dy = y[row] - py;
        let far = dx * dx + dy * dy;
        if (direction) {
            const along = dx * direction[0] + dy * direction[1];
            const aside = Math.abs(dx * direction[1] - dy * direction[0]);
            if (along <= 0 || aside > along) continue;
            // What lies straight ahead is nearer than what lies aside.
            far = (along + 2 * aside) ** 2;
        }
        if (far < best && isSeen(row)) [best, found] = [far, row];
    }
    return found;
}

/** Shapes that can be told apart without colours. */
export const SHAPES = ["circle", "square", "triangle", "diamond", "down", "flat", "tall", "plus"];

/** @param {string} shape @param {number} dx @param {number} dy @param {number} r whether a pixel belongs to a shape of radius r */
function covers(shape, dx, dy, r) {
    const [ax, ay] = [Math.abs(dx), Math.abs(dy)];
    switch (shape) {
        case "circle":
            return dx * dx + dy * dy <= r * r + 0.5;
        case "square":
            return ax <= r * 0.85 && ay <= r * 0.85;
        case "triangle":
            return dy <= r * 0.8 && ax <= (dy + r) * 0.62;
        case "down":
            return dy >= -r * 0.8 && ax <= (r - dy) * 0.62;
        case "diamond":
            return ax + ay <= r * 1.2;
        case "flat":
            return ax <= r * 1.25 && ay <= r * 0.45;
        case "tall":
            return ay <= r * 1.25 && ax <= r * 0.45;
        case "plus":
            return Math.min(ax, ay) <= r * 0.35 && Math.max(ax, ay) <= r * 1.1;
        case "dot":
            return dx * dx + dy * dy <= r * r * 0.2 + 0.5;
        case "cross":
            return Math.abs(ax - ay) <= Math.max(0.6, r * 0.2) && ax <= r && ay <= r;
        case "halo":
            return isOnRing(dx, dy, r * 2, Math.max(1.4, r * 0.35));
        default:
            // A ring around a shape of this radius.
            return isOnRing(dx, dy, r * 1.45, Math.max(1.2, r * 0.3));
    }
}

/** @param {number} dx @param {number} dy @param {number} from @param {number} wide */
function isOnRing(dx, dy, from, wide) {
    const far = Math.sqrt(dx * dx + dy * dy);
    return far >= from && far <= from + wide;
}

/** The pixels of a shape: offsets x, y from its middle. @param {string} shape @param {number} r @returns {Int16Array} */
export function mask(shape, r) {
    const pixels = [];
    const edge = Math.ceil(r * 2.4) + 2;
    for (let dy = -edge; dy <= edge; dy += 1) {
        for (let dx = -edge; dx <= edge; dx += 1) if (covers(shape, dx, dy, r)) pixels.push(dx, dy);
    }
    return Int16Array.from(pixels);
}

/** A shape and its colour, as a pixel has it. @typedef {{shape: Int16Array, colour: number}} Style */

/**
 * Paints points into pixels.
 * @param {Uint32Array} pixels @param {Size} size in pixels @param {View} view in pixels
 * @param {Places} places @param {Uint32Array} order rows, the last on top @param {Style[][]} looks of these rows, drawn one over the other
 */
export function paint(pixels, size, view, { x, y }, order, looks) {
    const { width, height } = size;
    for (let at = 0; at < order.length; at += 1) {
        const row = order[at];
        const cx = Math.round((x[row] - view.x) * view.scale + width / 2);
        const cy = Math.round((view.y - y[row]) * view.scale + height / 2);
        if (cx < -20 || cy < -20 || cx > width + 20 || cy > height + 20) continue;
        const styles = looks[at];
        for (let layer = 0; layer < styles.length; layer += 1) {
            stamp(pixels, width, height, cx, cy, styles[layer].shape, styles[layer].colour);
        }
    }
}

/** @param {Uint32Array} pixels @param {number} width @param {number} height @param {number} cx @param {number} cy @param {Int16Array} shape @param {number} colour */
function stamp(pixels, width, height, cx, cy, shape, colour) {
    for (let at = 0; at < shape.length; at += 2) {
        const px = cx + shape[at];
        const py = cy + shape[at + 1];
        if (px >= 0 && py >= 0 && px < width && py < height) pixels[py * width + px] = colour;
    }
}

/** A pixel of a colour as the browser computes it: "rgb(1, 2, 3)" or "color(srgb …)". @param {string} text */
export function pixel(text) {
    const numbers = (text.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
    const [red, green, blue] = text.startsWith("color(") ? numbers.slice(0, 3).map((part) => Math.round(part * 255)) : numbers;
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
