/** Stacks: the images of one burst, which are labelled together. Pure. */

import { plural } from "../figures.js";

/** @typedef {import("../columns.js").Samples} Samples */

/**
 * @typedef {object} Stack
 * @property {string[]} members all images of it, in the order of their arrival
 * @property {string[]} bare those without a label
 */

/**
 * The stack of an image.
 * @param {Samples} samples @param {string} image @param {Set<string> | null} [among] only these belong to it
 * @returns {Stack}
 */
export function stackOf(samples, image, among = null) {
    const own = samples.row(image);
    if (own < 0) return { members: [image], bare: [image] };
    const stack = /** @type {Stack} */ ({ members: [], bare: [] });
    for (let row = 0; row < samples.n; row += 1) {
        if (samples.burst[row] !== samples.burst[own] || samples.isExcluded(row)) continue;
        const name = samples.image(row);
        if (among && !among.has(name)) continue;
        stack.members.push(name);
        if (samples.labelOf(row) === null) stack.bare.push(name);
    }
    return stack.members.length ? stack : { members: [image], bare: samples.labelOf(own) === null ? [image] : [] };
}

/**
 * The images that a key labels.
 * @param {Stack} stack @param {boolean} withLabelled also those that have a label @param {Set<string>} without taken out by hand
 */
export function chosen(stack, withLabelled, without) {
    return (withLabelled ? stack.members : stack.bare).filter((image) => !without.has(image));
}

/** What a stack is worth, in words. @param {Stack} stack */
export function worthOf({ members, bare }) {
    const labelled = members.length - bare.length;
    const has = labelled ? `, ${labelled} with a label` : "";
    const worth = members.length > 1 ? ": counts about as one" : "";
    return `${plural(members.length, "image")}${has}, 1 burst${worth}`;
}
