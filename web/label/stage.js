/** The picture that is labelled: loaded ahead, at 100 % where one wants, and swiped on a phone. */

import { picture, thumbnail } from "../api.js";
import { el, say } from "../dom.js";
import { swipe } from "./words.js";

/** Pictures that are kept loaded. */
const KEPT = 8;

/**
 * @typedef {object} Stage
 * @property {HTMLElement} root
 * @property {(image: string, name: string) => void} show
 * @property {(images: string[]) => void} preload
 * @property {() => void} zoom
 * @property {(x: number, y: number) => void} pan
 * @property {() => void} clear
 */

/** @param {(direction: "right" | "left" | "up") => void} swiped @returns {Stage} */
export function stage(swiped) {
    const words = el("p.no-picture", { hidden: true });
    const frame = el("div.picture-frame");
    const root = el("div.stage", {}, frame, words);
    /**
     * Elements, not addresses: a browser need not keep what it has loaded. `img` is undefined while it loads, null where there is none.
     * @type {Map<string, ReturnType<typeof begin>>}
     */
    const loaded = new Map();
    let current = "";
    let isFull = false;

    /** @param {string} image */
    function load(image) {
        const there = loaded.get(image);
        if (there) return there;
        const entry = begin(image);
        loaded.set(image, entry);
        for (const [old, { stop }] of loaded) {
            if (loaded.size <= KEPT) break;
            if (old === current) continue;
            stop();
            loaded.delete(old);
        }
        return entry;
    }

    /** @param {HTMLImageElement | null} img @param {string} name */
    function put(img, name) {
        words.hidden = img !== null;
        if (img) {
            img.alt = name;
            frame.replaceChildren(img);
        } else {
            frame.replaceChildren();
            say(words, "There is no picture of this image: the device keeps none, or its file has gone.");
        }
    }

    /** @param {boolean} full */
    function become(full) {
        isFull = full;
        root.classList.toggle("at-full", full);
        // What scrolls can be scrolled by keys.
        if (full) frame.setAttribute("tabindex", "0");
        else frame.removeAttribute("tabindex");
        if (full) {
            frame.setAttribute("role", "group");
            frame.setAttribute("aria-label", "Picture at 100 %");
        } else {
            frame.removeAttribute("role");
            frame.removeAttribute("aria-label");
        }
    }

    follow(root, frame, () => isFull, swiped);
    return {
        root,
        show(image, name) {
            if (image === current) return;
            current = image;
            become(false);
            const entry = load(image);
            if (entry.img !== undefined) return put(entry.img, name);
            // The small picture stands in for the large one.
            frame.replaceChildren(el("img", { src: thumbnail(image), alt: name, draggable: "false", onerror: hideBroken }));
            words.hidden = true;
            entry.done.then(() => current === image && put(entry.img ?? null, name));
        },
        preload(images) {
            images.forEach(load);
        },
        zoom() {
            become(!isFull);
            if (isFull) frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
        },
        pan(x, y) {
            if (isFull) frame.scrollBy(x, y);
        },
        clear() {
            current = "";
            frame.replaceChildren();
            words.hidden = true;
        },
    };
}

/** Loads a picture: the large one, or the small one. @param {string} image */
function begin(image) {
    let isWanted = true;
    const img = /** @type {HTMLImageElement} */ (el("img", { alt: "", draggable: "false" }));
    const from = (/** @type {string} */ src) => new Promise((resolve) => {
        img.onload = () => resolve(true);
        img.onerror = () => resolve(false);
        img.src = src;
    });
    const entry = {
        img: /** @type {HTMLImageElement | null | undefined} */ (undefined),
        /** Whoever goes on quickly does not wait for what was left behind. */
        stop() {
            isWanted = false;
            if (entry.img === undefined) img.removeAttribute("src");
        },
        done: (async () => {
            const isThere = (await from(picture(image))) || (isWanted && (await from(thumbnail(image))));
            entry.img = isThere ? img : null;
        })(),
    };
    return entry;
}

/** @param {Event} event */
function hideBroken({ target }) {
    /** @type {HTMLElement} */ (target).hidden = true;
}

/**
 * Drags move a picture that is larger than its frame; otherwise a finger's are swipes.
 * @param {HTMLElement} root @param {HTMLElement} frame @param {() => boolean} isFull @param {(direction: "right" | "left" | "up") => void} swiped
 */
function follow(root, frame, isFull, swiped) {
    /** @type {{id: number, x: number, y: number, left: number, top: number} | null} */
    let from = null;
    root.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || (!isFull() && event.pointerType === "mouse")) return;
        // A second finger is no swipe.
        if (from || !event.isPrimary) return void (from = null);
        from = { id: event.pointerId, x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop };
        root.setPointerCapture(event.pointerId);
    });
    root.addEventListener("pointermove", (event) => {
        if (!from || event.pointerId !== from.id) return;
        const [x, y] = [event.clientX - from.x, event.clientY - from.y];
        if (isFull()) frame.scrollTo(from.left - x, from.top - y);
        else frame.style.transform = `translate(${x}px, ${Math.min(0, y)}px)`;
    });
    const end = (/** @type {PointerEvent} */ event) => {
        if (!from || event.pointerId !== from.id) return;
        const [x, y] = [event.clientX - from.x, event.clientY - from.y];
        from = null;
        frame.style.transform = "";
        const direction = event.type === "pointerup" && !isFull() ? swipe(x, y) : null;
        if (direction) swiped(direction);
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", end);
}
