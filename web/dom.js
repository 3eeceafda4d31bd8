/** Elements made of plain values. Text is always text: nothing here parses HTML. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Makes an element.
 * @param {string} what a tag with classes: "button.primary.wide"
 * @param {Record<string, unknown>} [attributes] functions are listeners ("onclick"), true is an empty attribute, false and
 *     null leave it out, "class" adds to the classes of `what`
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function el(what, attributes = {}, ...children) {
    const [tag, ...classes] = what.split(".");
    const element = document.createElement(tag);
    decorate(element, classes, attributes);
    element.append(...nodes(children));
    return element;
}

/**
 * Makes an element of an SVG picture.
 * @param {string} what as in `el`
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(what, attributes = {}, ...children) {
    const [tag, ...classes] = what.split(".");
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    decorate(element, classes, attributes);
    element.append(...nodes(children));
    return element;
}

/** @param {Element} element @param {string[]} classes @param {Record<string, unknown>} attributes */
function decorate(element, classes, attributes) {
    if (classes.length) element.classList.add(...classes);
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function") {
            element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
        } else if (name === "class") {
            element.classList.add(...String(value || "").split(" ").filter(Boolean));
        } else if (value !== false && value !== null && value !== undefined) {
            element.setAttribute(name, value === true ? "" : String(value));
        }
    }
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
    return children
        .filter((child) => child !== null && child !== undefined && child !== false)
        .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Sets a text where it is another one, so that a selection and a screen reader are left in peace.
 * @param {Element} element @param {unknown} text
 */
export function say(element, text) {
    const wanted = String(text ?? "");
    if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Makes the children of `parent` one for each item, in their order; those that stay are moved, not made anew.
 * @template T
 * @param {Element} parent
 * @param {Iterable<T>} items
 * @param {(item: T) => string} key what tells items apart
 * @param {(item: T) => Element} make
 * @param {(element: Element, item: T) => void} [update] for an element that was there before
 */
export function keyed(parent, items, key, make, update) {
    const before = new Map();
    for (const child of parent.children) before.set(/** @type {HTMLElement} */ (child).dataset.key, child);
    let place = parent.firstElementChild;
    for (const item of items) {
        const name = key(item);
        let child = before.get(name);
        if (child) {
            before.delete(name);
            update?.(child, item);
        } else {
            child = make(item);
            child.dataset.key = name;
        }
        if (child === place) place = place.nextElementSibling;
        else parent.insertBefore(child, place);
    }
    for (const child of before.values()) child.remove();
}

/** A button. @param {string} label @param {() => unknown} act @param {Record<string, unknown>} [attributes] */
export function button(label, act, attributes = {}) {
    return /** @type {HTMLButtonElement} */ (el("button", { type: "button", onclick: act, ...attributes }, label));
}

/**
 * A question over the page; resolves with the value of the button that ended it, "" for Escape.
 * @param {string} title
 * @param {Child[]} body
 * @param {{label: string, value: string, primary?: boolean}[]} choices
 * @returns {Promise<string>}
 */
export function ask(title, body, choices) {
    const buttons = choices.map(({ label, value, primary }) => el(primary ? "button.primary" : "button", { value }, label));
    const dialog = /** @type {HTMLDialogElement} */ (
        el("dialog", { "aria-label": title }, el("form", { method: "dialog" }, el("h2", {}, title), ...body,
            el("div.row.end", {}, ...buttons)))
    );
    document.body.append(dialog);
    dialog.showModal();
    return new Promise((resolve) => {
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog.returnValue);
        });
    });
}
