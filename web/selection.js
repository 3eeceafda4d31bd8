/** A selection in a list, as in file managers: a focus, an anchor, and what is selected. Pure, so that it is tested alone. */

export class Selection {
    /** @param {number[]} list rows in the order in which they are shown */
    constructor(list = []) {
        this.list = list;
        /** Selected rows. @type {Set<number>} */
        this.rows = new Set();
        /** Position of the focus in the list. */
        this.focus = 0;
        /** Where a range begins. */
        this.anchor = 0;
        /** What was selected when the range began. @type {Set<number>} */
        this.before = new Set();
    }

    /** Another list; what is not in it is not selected any more. @param {number[]} list */
    show(list) {
        const focused = this.list[this.focus];
        this.list = list;
        const there = new Set(list);
        this.rows = new Set([...this.rows].filter((row) => there.has(row)));
        const at = list.indexOf(focused);
        this.focus = at >= 0 ? at : Math.max(0, Math.min(this.focus, list.length - 1));
        this.begin(this.focus);
    }

    /** @param {number} position */
    begin(position) {
        this.anchor = position;
        this.before = new Set(this.rows);
    }

    /** Moves the focus; with `extend`, everything from the anchor to it is selected. @param {number} position @param {boolean} [extend] */
    move(position, extend = false) {
        if (!this.list.length) return;
        this.focus = Math.max(0, Math.min(position, this.list.length - 1));
        if (extend) this.range();
        else this.begin(this.focus);
    }

    range() {
        const [low, high] = [Math.min(this.anchor, this.focus), Math.max(this.anchor, this.focus)];
        this.rows = new Set(this.before);
        for (let at = low; at <= high; at += 1) this.rows.add(this.list[at]);
    }

    /** @param {number} position */
    toggle(position) {
        const row = this.list[position];
        if (row === undefined) return;
        if (!this.rows.delete(row)) this.rows.add(row);
        this.focus = position;
        this.begin(position);
    }

    /** This one alone. @param {number} position */
    only(position) {
        const row = this.list[position];
        this.rows = new Set(row === undefined ? [] : [row]);
        this.focus = position;
        this.begin(position);
    }

    /** These beside what is selected, or instead. @param {Iterable<number>} rows @param {boolean} [beside] */
    take(rows, beside = false) {
        this.rows = new Set([...(beside ? this.rows : []), ...rows]);
        this.begin(this.focus);
    }

    all() {
        this.rows = new Set(this.list);
        this.begin(this.focus);
    }

    clear() {
        this.rows = new Set();
        this.begin(this.focus);
    }

    get size() {
        return this.rows.size;
    }
}

/**
 * What a selection is worth: images of one burst teach about as much as one of them.
 * @param {Iterable<number>} rows @param {ArrayLike<number>} burst the burst of each row @returns {{images: number, bursts: number}}
 */
export function worth(rows, burst) {
    let images = 0;
    const bursts = new Set();
    for (const row of rows) {
        images += 1;
        bursts.add(burst[row]);
    }
    return { images, bursts: bursts.size };
}
