/** Where things are in a grid. Pure, so that it is tested alone. */

/** How many tiles of at least `least` fit in `width`. @param {number} width @param {number} least */
export const columnsFor = (width, least) => Math.max(1, Math.floor(width / least));

/**
 * The lines that are seen, and some more: the first, and the one after the last.
 * @param {number} top @param {number} seen @param {number} height of a line @param {number} count @param {number} spare
 * @returns {[number, number]}
 */
export function windowOf(top, seen, height, count, spare) {
    const first = Math.max(0, Math.floor(top / height) - spare);
    return [Math.min(first, Math.max(0, count - 1)), Math.min(count, Math.ceil((top + seen) / height) + spare)];
}

/**
 * Where a key moves the focus; null for a key that does not.
 * @param {string} key @param {number} focus @param {number} length @param {number} columns @param {number} page lines of a page
 * @returns {number | null}
 */
export function moves(key, focus, length, columns, page) {
    const inside = (/** @type {number} */ to) => (to < 0 || to >= length ? focus : to);
    switch (key) {
        case "ArrowLeft":
            return inside(focus - 1);
        case "ArrowRight":
            return inside(focus + 1);
        case "ArrowUp":
            return inside(focus - columns);
        case "ArrowDown":
            // Onto the last line, though that is shorter.
            return Math.floor((length - 1) / columns) > Math.floor(focus / columns) ? Math.min(focus + columns, length - 1) : focus;
        case "Home":
            return 0;
        case "End":
            return length - 1;
        case "PageUp":
            return Math.max(focus % columns, focus - page * columns);
        case "PageDown":
            return Math.min(length - 1, focus + page * columns);
        default:
            return null;
    }
}

/**
 * The positions that a box touches.
 * @param {{x: number, y: number}} a @param {{x: number, y: number}} b two corners
 * @param {number} width of all columns @param {number} height of a line @param {number} columns @param {number} length
 * @returns {number[]}
 */
export function boxed(a, b, width, height, columns, length) {
    const one = width / columns;
    const column = (/** @type {number} */ x) => Math.max(0, Math.min(columns - 1, Math.floor(x / one)));
    const line = (/** @type {number} */ y) => Math.max(0, Math.floor(y / height));
    const found = [];
    for (let y = line(Math.min(a.y, b.y)); y <= line(Math.max(a.y, b.y)); y += 1) {
        for (let x = column(Math.min(a.x, b.x)); x <= column(Math.max(a.x, b.x)); x += 1) {
            if (y * columns + x < length) found.push(y * columns + x);
        }
    }
    return found;
}
