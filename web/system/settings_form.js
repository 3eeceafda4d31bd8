/** The form of the settings, made from their schema. What has the focus, and what a person wrote, is never drawn anew. */

import { button, el, say } from "../dom.js";
import { at, expected, fields, isSection, isSettable, kind, parse, patchOf, print, problem, put, resolve, same } from "./settings.js";
import { previewAndApply, rejections, settingsProblem, trialLine } from "./trial.js";

/** @typedef {import("./trial.js").Config} Config */
/** @typedef {import("./settings.js").Field} Field */

/**
 * A field on the page.
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {(force?: boolean) => void} show shows the value that it has now
 * @property {(text: string | null) => void} complain
 * @property {() => string | null} problem
 */

/** What a person wrote and has not applied, by dotted key: it outlives the form. @type {Map<string, any>} */
const edits = new Map();
/** Keys that are to be as the device's own files say. @type {Set<string>} */
const dropped = new Set();

let numbers = 0;

/** @param {import("../main.js").App} app @param {HTMLElement} root */
export async function openSettings(app, root) {
    const problems = el("div");
    const rest = el("details.panel", {}, el("summary", {}, "All other settings, which the device's own files say"));
    const form = el("form.settings", { novalidate: true });
    const apply = button("Preview", () => submit(), { class: "primary" });
    const discard = button("Discard", () => {
        edits.clear();
        dropped.clear();
        problems.replaceChildren();
        for (const one of controls.values()) one.show(true);
        drawActs();
    });
    const said = el("span.faint");
    /** @type {Map<string, Control>} */
    const controls = new Map();
    /** @type {Config} */
    let config;
    const trial = trialLine(app, (fresh) => {
        config = fresh;
        for (const [key, value] of edits) if (same(value, at(config.effective, key.split(".")))) edits.delete(key);
        for (const key of dropped) if (!config.applied.includes(key)) dropped.delete(key);
        for (const control of controls.values()) control.show();
        drawRest();
        drawActs();
    });
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
    });
    root.append(trial.element, problems, form, el("div.row.applying", {}, apply, discard, said), rest);

    function drawActs() {
        const changed = edits.size + dropped.size;
        say(said, changed ? `${changed} not applied: ${[...edits.keys(), ...dropped].join(", ")}` : "Nothing changed yet.");
        discard.disabled = changed === 0;
        apply.disabled = changed === 0;
    }

    async function submit() {
        const wrong = [...edits.keys()].map((key) => ({ key, error: controls.get(key)?.problem() ?? "" })).filter(({ error }) => error);
        problems.replaceChildren(...(wrong.length ? [rejections(wrong)] : []));
        if (wrong.length || (!edits.size && !dropped.size)) return;
        const version = await previewAndApply(app, patchOf(config, edits, dropped), (rejected) => {
            problems.replaceChildren(rejections(rejected));
            for (const { key, error } of rejected) {
                const isOf = (/** @type {string} */ name) => key === name || [".", "["].some((next) => key.startsWith(name + next));
                [...controls].find(([name]) => isOf(name))?.[1].complain(error);
            }
        });
        if (version === null) return;
        edits.clear();
        dropped.clear();
        trial.begin(version);
        drawActs();
    }

    /** A setting at the top: its own key in a patch. @param {Field} field */
    function setting(field) {
        const key = field.path.join(".");
        const present = () => {
            const value = at(config.effective, field.path);
            // What the device leaves out is as its default says.
            return value === undefined ? (field.schema.default ?? null) : value;
        };
        const back = button("Take back", () => {
            edits.delete(key);
            if (dropped.has(key)) dropped.delete(key);
            else dropped.add(key);
            control.show(true);
            drawActs();
        });
        const mark = el("span.tag", {}, "set from afar");
        const control = make(field, key, config.schema, {
            value: () => (edits.has(key) ? edits.get(key) : present()),
            isEdited: () => edits.has(key),
            set(value) {
                dropped.delete(key);
                if (same(value, present())) edits.delete(key);
                else edits.set(key, value);
                drawMark();
                drawActs();
            },
        }, el("span.row", {}, mark, back));
        function drawMark() {
            mark.hidden = back.hidden = !config.applied.includes(key);
            say(back, dropped.has(key) ? "Keep" : "Take back");
            back.setAttribute("aria-label", `${back.textContent} ${key}`);
            back.title = "Take back: as the device's own file says";
            control.element.classList.toggle("edited", edits.has(key) || dropped.has(key));
        }
        const shown = control.show;
        control.show = (force) => {
            shown(force);
            drawMark();
        };
        drawMark();
        controls.set(key, control);
        return control.element;
    }

    function drawForm() {
        const { schema, settable } = config;
        const sections = Object.entries(schema.properties).map(([name, raw]) => {
            const found = resolve(raw, schema);
            const all = isSection(found) ? fields(found, schema, [name]) : [{ path: [name], schema: found, isOptional: false }];
            const wanted = all.filter(({ path }) => isSettable(path.join("."), settable));
            return wanted.length ? el("fieldset", {}, el("legend", {}, name), ...wanted.map(setting)) : null;
        });
        form.replaceChildren(...sections.filter((section) => section !== null));
    }

    function drawRest() {
        const open = new Set([...rest.querySelectorAll("details[open]")].map((one) => /** @type {HTMLElement} */ (one).dataset.key));
        const { schema, settable, effective } = config;
        const others = fields(schema, schema).filter(({ path }) => !isSettable(path.join("."), settable));
        const names = [...new Set(others.map(({ path }) => String(path[0])))];
        const row = (/** @type {Field} */ { path, schema: one }) => [
            el("dt", {}, path.slice(1).join(".") || String(path[0])),
            el("dd", {}, el("span.mono", {}, print(at(effective, path), one) || "–"), " ", el("small", {}, one.description ?? "")),
        ];
        rest.replaceChildren(/** @type {Node} */ (rest.firstChild), ...names.map((name) =>
            el("details", { "data-key": name, open: open.has(name) }, el("summary", {}, name),
                el("dl.figures", {}, ...others.filter(({ path }) => path[0] === name).flatMap(row)))));
    }

    try {
        await trial.reload();
        drawForm();
        drawRest();
        drawActs();
    } catch (error) {
        trial.element.hidden = true;
        root.replaceChildren(el("p.problem", { role: "alert" }, settingsProblem(error)), button("Try again", () => app.show()));
    }
    return trial;
}

/**
 * @typedef {object} Bound where a field's value is
 * @property {() => any} value
 * @property {(value: any) => void} set
 * @property {() => boolean} isEdited
 */

/**
 * A field with its name, description, default and complaint.
 * @param {Field} field @param {string} name @param {any} root @param {Bound} bound @param {Node} [extra]
 */
function make(field, name, root, bound, extra) {
    const { schema, isOptional } = field;
    const id = `setting-${(numbers += 1)}`;
    const complaint = el("p.problem", { id: `${id}-problem`, hidden: true });
    const described = `${id}-about ${id}-problem`;
    const complain = (/** @type {string | null} */ text) => {
        say(complaint, text ?? "");
        complaint.hidden = !text;
        input.setAttribute("aria-invalid", String(Boolean(text)));
    };
    const judge = () => {
        const value = bound.value();
        return value === undefined && isOptional ? null : problem(value, schema, root);
    };
    if (kind(schema) === "items") return itemsField(field, name, root, bound, extra);
    const input = control(schema, isOptional, { id, "aria-describedby": described });
    input.addEventListener(input instanceof HTMLSelectElement || isBox(input) ? "change" : "input", () => {
        bound.set(valueOf(input, schema, isOptional));
        complain(judge());
    });
    const show = (/** @type {boolean} */ force = false) => {
        if (!force && (document.activeElement === input || bound.isEdited())) return;
        display(input, bound.value(), schema);
        complain(null);
    };
    // What came while it had the focus.
    input.addEventListener("blur", () => show());
    display(input, bound.value(), schema);
    const isSwitch = isBox(input);
    const words = el("label", { for: id }, name);
    const about = [schema.description, ...hints(schema)].filter(Boolean).join(" ");
    const element = el("div.setting", { class: isSwitch ? "switch" : "" },
        el("div.row.spread", {}, isSwitch ? el("span.row", {}, input, words) : words, extra), isSwitch ? null : input,
        el("small", { id: `${id}-about` }, about), complaint);
    return { element, show, complain, problem: judge };
}

/** @param {any} schema */
function hints(schema) {
    const { default: preset } = schema;
    const may = kind(schema) === "choice" || kind(schema) === "boolean" ? "" : `May be ${expected(schema)}.`;
    const words = preset === undefined ? "" : presetWords(preset, schema);
    return [words ? `Default: ${words}.` : "", may];
}

/** @param {any} preset @param {any} schema */
function presetWords(preset, schema) {
    if (typeof preset === "boolean") return preset ? "on" : "off";
    return preset === null ? "none" : print(preset, schema).replaceAll("\n", " ");
}

/** @param {Element} input @returns {input is HTMLInputElement} */
const isBox = (input) => input instanceof HTMLInputElement && input.type === "checkbox";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Input */

/** @param {any} schema @param {boolean} isOptional @param {Record<string, unknown>} attributes @returns {Input} */
function control(schema, isOptional, attributes) {
    const found = kind(schema);
    const choices = (/** @type {[string, string][]} */ named) => /** @type {Input} */ (el("select", attributes,
        ...(isOptional ? [["", "as the default"], ...named] : named).map(([value, name]) => el("option", { value }, name))));
    if (found === "choice") return choices(schema.enum.map((/** @type {string} */ word) => [word, word]));
    if (found === "boolean" && isOptional) return choices([["true", "on"], ["false", "off"]]);
    if (found === "boolean") return /** @type {Input} */ (el("input", { type: "checkbox", ...attributes }));
    if (found === "lines") return /** @type {Input} */ (el("textarea", { rows: 4, spellcheck: "false", ...attributes }));
    const mode = found === "integer" ? "numeric" : found === "number" ? "decimal" : null;
    return /** @type {Input} */ (el("input", { type: "text", autocomplete: "off", spellcheck: "false", inputmode: mode, ...attributes }));
}

/** @param {Input} input @param {any} value @param {any} schema */
function display(input, value, schema) {
    if (isBox(input)) input.checked = value === true;
    else input.value = print(value, schema);
}

/** @param {Input} input @param {any} schema @param {boolean} isOptional */
function valueOf(input, schema, isOptional) {
    if (isBox(input)) return input.checked;
    if (isOptional && input.value.trim() === "") return undefined;
    return parse(input.value, schema);
}

/**
 * A list of things with settings of their own: watched folders, tasks. It counts as a whole.
 * @param {Field} field @param {string} name @param {any} root @param {Bound} bound @param {Node} [extra]
 */
function itemsField(field, name, root, bound, extra) {
    const { schema } = field;
    const item = resolve(schema.items, root);
    const [title] = item.required ?? Object.keys(item.properties);
    const list = el("div.items");
    const complaint = el("p.problem", { hidden: true });
    const add = button(`Add to ${name}`, () => {
        bound.set([...(bound.value() ?? []), { [title]: "" }]);
        draw();
        const last = /** @type {HTMLDetailsElement} */ (list.lastElementChild);
        last.open = true;
        last.querySelector("input")?.focus();
    });
    const element = el("div.setting.list", { role: "group", "aria-label": name },
        el("div.row.spread", {}, el("small", {}, schema.description ?? ""), extra), list,
        el("div.row", {}, add, name === "tasks" && el("a", { href: "#/system?view=regions" }, "Draw regions")), complaint);
    let drawn = "";

    function draw() {
        const value = bound.value() ?? [];
        const open = [...list.children].map((child) => /** @type {HTMLDetailsElement} */ (child).open);
        list.replaceChildren(...value.map((/** @type {any} */ one, /** @type {number} */ index) => entry(one, index, open[index] ?? false)));
        drawn = JSON.stringify(value);
    }

    /** @param {any} one @param {number} index @param {boolean} isOpen */
    function entry(one, index, isOpen) {
        const summary = el("summary", {}, String(one[title] || `new, ${index + 1}`));
        const parts = fields(item, root, [], true).map((part) => ({ part, element: make(part, part.path.join("."), root, {
            value: () => at(bound.value()?.[index], part.path),
            isEdited: bound.isEdited,
            set(value) {
                const next = structuredClone(bound.value() ?? []);
                put(next[index], part.path, value);
                bound.set(next);
                drawn = JSON.stringify(next);
                say(summary, String(next[index][title] || `new, ${index + 1}`));
            },
        }).element }));
        const rank = (/** @type {{part: Field}} */ { part }) => Number(part.path[0] !== title);
        const own = parts.filter(({ part }) => part.path.length === 1).sort((a, b) => rank(a) - rank(b));
        const below = parts.filter(({ part }) => part.path.length > 1);
        const sections = [...new Set(below.map(({ part }) => String(part.path[0])))];
        return el("details", { open: isOpen }, summary, el("div.grid-of-settings", {}, ...own.map(({ element }) => element)),
            ...sections.map((section) => el("details.section", {}, el("summary", {}, section), el("div.grid-of-settings", {},
                ...below.filter(({ part }) => part.path[0] === section).map(({ element }) => element)))),
            button("Remove", () => remove(index), { class: "bad", "aria-label": `Remove ${one[title] || "this one"} from ${name}` }));
    }

    /** @param {number} index */
    function remove(index) {
        bound.set((bound.value() ?? []).filter((/** @type {any} */ _, /** @type {number} */ place) => place !== index));
        draw();
        add.focus();
    }

    draw();
    return {
        element,
        show(force = false) {
            if (!force && (bound.isEdited() || list.contains(document.activeElement))) return;
            if (JSON.stringify(bound.value() ?? []) !== drawn) draw();
        },
        complain(/** @type {string | null} */ text) {
            say(complaint, text ?? "");
            complaint.hidden = !text;
        },
        problem: () => problem(bound.value() ?? [], schema, root),
    };
}
