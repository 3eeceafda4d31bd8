/** Sentences of the Label place. Pure. */

import { percent, plural } from "../figures.js";

/** Why an image is in the review list. @param {string} reason @param {{set?: string[] | null}} [answer] */
export function why(reason, answer) {
    const set = answer?.set ?? [];
    if (reason === "uncertain") return set.length > 1 ? `uncertain between ${set.slice(0, 3).join(" and ")}` : "uncertain";
    return {
        novel: "like nothing known",
        diverse: "unlike everything that has a label",
        audit: "drawn at random: it measures how often the device is right",
        suspicious: "its label contradicts images like it",
    }[reason] ?? reason;
}

/** What neighbours say together. @param {{label: string | null}[]} near */
export function vote(near) {
    const counts = new Map();
    for (const { label } of near) if (label !== null) counts.set(label, (counts.get(label) ?? 0) + 1);
    const [best] = [...counts].sort((one, other) => other[1] - one[1]);
    return best ? `${best[1]} of ${near.length} nearest are ${best[0]}.` : "No image like it has a label.";
}

/** What the last training moved. @param {any} result @returns {string} */
export function moved(result) {
    if (!result) return "no training yet";
    const after = result.challenger?.balanced_accuracy;
    const before = result.champion?.balanced_accuracy;
    const verdict = result.promoted ? "" : ", not taken into service";
    if (after === null || after === undefined) return `training ${result.training}: too little held out to measure it${verdict}`;
    const figures = before === null || before === undefined ? percent(after) : `${percent(before)} → ${percent(after)}`;
    return `training ${result.training}: balanced accuracy ${figures} (held out)${verdict}`;
}

/** What a change of labels did. @param {string[]} images @param {string | null} label */
export function said(images, label) {
    const what = label === null ? "no label" : label;
    return images.length === 1 ? `${images[0].slice(0, 6)}: ${what}` : `${plural(images.length, "image")}: ${what}`;
}

const DAY = "edgetuned.today";

/**
 * Counts labels that were given in this browser today.
 * @param {number} more @param {Pick<Storage, "getItem" | "setItem">} [storage] @param {Date} [now] @returns {number}
 */
export function today(more, storage = localStorage, now = new Date()) {
    const day = `${now.getFullYear()}-${now.getMonth() + 1}-${now.getDate()}`;
    const [known, count] = (storage.getItem(DAY) ?? "").split(" ");
    const sum = Math.max(0, (known === day ? Number(count) : 0) + more);
    if (more) storage.setItem(DAY, `${day} ${sum}`);
    return sum;
}

/** How far a finger goes until it means something, in pixels. */
const FAR = 60;

/** What a swipe means. @param {number} x @param {number} y @returns {"right" | "left" | "up" | null} */
export function swipe(x, y) {
    if (Math.abs(x) > FAR && Math.abs(x) > 1.5 * Math.abs(y)) return x > 0 ? "right" : "left";
    if (y < -FAR && -y > 1.5 * Math.abs(x)) return "up";
    return null;
}
