import assert from "node:assert/strict";
import test from "node:test";
import { Selection, worth } from "../selection.js";

test("a range grows and shrinks from its anchor and keeps what was selected before", () => {
    const selection = new Selection([10, 11, 12, 13, 14]);
    selection.toggle(0);
    selection.move(2);
    selection.move(4, true);
    assert.deepEqual([...selection.rows].sort(), [10, 12, 13, 14]);
    selection.move(1, true);
    assert.deepEqual([...selection.rows].sort(), [10, 11, 12]);
    selection.move(99, true);
    assert.equal(selection.focus, 4);
});

test("another list keeps the focus on its row and what is still there", () => {
    const selection = new Selection([1, 2, 3, 4]);
    selection.take([2, 4]);
    selection.move(2);
    selection.show([4, 3, 9]);
    assert.deepEqual([...selection.rows], [4]);
    assert.equal(selection.list[selection.focus], 3);
    selection.show([]);
    selection.move(3);
    assert.equal(selection.size, 0);
});

test("images of one burst are worth about as much as one", () => {
    assert.deepEqual(worth([0, 1, 2, 5], [0, 0, 0, 3, 3, 5]), { images: 4, bursts: 2 });
});
