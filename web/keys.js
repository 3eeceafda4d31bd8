/** Keys: one table of what is bound now, shown by "?", off where a person says so (WCAG 2.1.4). */

/** @typedef {{key: string, does: string, run: (event: KeyboardEvent) => void, hidden?: boolean}} Binding */

const OFF = "edgetuned.keys";

/**
 * The name of a pressed key with its modifiers: "Ctrl+Shift+Z", "a", "ArrowLeft".
 * @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">} event
 */
export function name(event) {
    const { key } = event;
    const held = [];
    if (event.ctrlKey || event.metaKey) held.push("Ctrl");
    if (event.altKey) held.push("Alt");
    // Shift is part of a character that it makes.
    if (event.shiftKey && (key.length > 1 || held.length)) held.push("Shift");
    return [...held, held.length && key.length === 1 ? key.toUpperCase() : key].join("+");
}

/** @param {EventTarget | null} target whether what is typed there is text */
function isTyping(target) {
    if (!(target instanceof HTMLElement)) return false;
    if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
    return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
}

export class Keys {
    constructor() {
        /** @type {Map<string, Binding[]>} by who bound them; the last one goes first */
        this.bound = new Map();
        /** The key before a second one: "g". */
        this.prefix = "";
        this.off = localStorage.getItem(OFF) === "off";
    }

    start() {
        addEventListener("keydown", (event) => this.pressed(event));
    }

    /** @param {string} owner @param {Binding[]} bindings replaces what the owner bound before */
    bind(owner, bindings) {
        this.bound.delete(owner);
        this.bound.set(owner, bindings);
    }

    /** @param {string} owner */
    release(owner) {
        this.bound.delete(owner);
    }

    /** All that is bound now, the latest first. @returns {Binding[]} */
    all() {
        return [...this.bound.values()].reverse().flat();
    }

    /** @param {boolean} off */
    switch(off) {
        this.off = off;
        localStorage.setItem(OFF, off ? "off" : "on");
    }

    /** @param {KeyboardEvent} event */
    pressed(event) {
        if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
        const key = name(event);
        if (isTyping(event.target)) return;
        const isSingle = key.length === 1;
        if (isSingle && this.off) return;
        // Enter and space press the button that has the focus.
        if ((key === "Enter" || key === " ") && event.target instanceof Element && event.target.closest("button, a, summary")) return;
        const full = this.prefix ? `${this.prefix} ${key}` : key;
        this.prefix = "";
        const bindings = this.all();
        const found = bindings.find((binding) => binding.key.split(", ").includes(full));
        if (found) {
            event.preventDefault();
            found.run(event);
        } else if (isSingle && bindings.some((binding) => binding.key.startsWith(`${key} `))) {
            this.prefix = key;
            setTimeout(() => (this.prefix = ""), 1500);
        }
    }
}
