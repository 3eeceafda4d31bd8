/** The form of the settings, made from their schema. What has the focus, and what a person wrote, is never drawn anew. */

import { button, el, say } from "./dom.js";
import { at, expected, fields, isSection, isSettable, kind, parse, patchOf, print, problem, put, resolve, same } from "./settings.js";
import { previewAndApply, rejections, settingsProblem, trialLine } from "./trial.js";

/** @typedef {import("./trial.js").Config} Config */
/** @typedef {import("./settings.js").Field} Field */

/** What a person wrote and has not applied, by dotted key: it outlives the form. @type {Map<string, any>} */
const edits = new Map();
/** Keys that are to be as the device's own files say. @type {Set<string>} */
const dropped = new Set();

let numbers = 0;

/** @param {import("./main.js").App} app @param {HTMLElement} root */
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
    /** @type {Map<string, {show: (force?: boolean) => void, complain: (text: string | null) => void, problem: () => string | null}>} */
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
    root.append(trial.element, problems, form, el("div.row.acts", {}, apply, discard, said), rest);

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
            for (const { key, error } of rejected) [...controls].find(([name]) => key === name || key.startsWith(`${name}.`) || key.startsWith(`${name}[`))?.[1].complain(error);
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
        // What the device leaves out is as its default says.
        const present = () => at(config.effective, field.path) ?? (at(config.effective, field.path) === null ? null : (field.schema.default ?? null));
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
        rest.replaceChildren(/** @type {Node} */ (rest.firstChild), ...names.map((name) => el("details", { "data-key": name, open: open.has(name) }, el("summary", {}, name),
            el("dl.figures", {}, ...others.filter(({ path }) => path[0] === name).flatMap(({ path, schema: one }) => [
                el("dt", { title: one.description ?? "" }, path.slice(1).join(".") || name),
                el("dd", {}, el("span.mono", {}, print(at(effective, path), one) || "–"), " ", el("small", {}, one.description ?? "")),
            ])))));
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
        if ((!force && (document.activeElement === input || bound.isEdited()))) return;
        display(input, bound.value(), schema);
        complain(null);
    };
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
    const printed = preset === undefined ? null : preset === null ? "none" : typeof preset === "boolean" ? (preset ? "on" : "off") : print(preset, schema).replaceAll("\n", " ");
    const may = kind(schema) === "choice" || kind(schema) === "boolean" ? "" : `May be ${expected(schema)}.`;
    return [printed === null || printed === "" ? "" : `Default: ${printed}.`, may];
}

/** @param {Element} input @returns {input is HTMLInputElement} */
const isBox = (input) => input instanceof HTMLInputElement && input.type === "checkbox";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Input */

/** @param {any} schema @param {boolean} isOptional @param {Record<string, unknown>} attributes @returns {Input} */
function control(schema, isOptional, attributes) {
    const found = kind(schema);
    const unset = isOptional ? [el("option", { value: "" }, "as the default")] : [];
    if (found === "choice") return /** @type {Input} */ (el("select", attributes, ...unset, ...schema.enum.map((/** @type {string} */ word) => el("option", { value: word }, word))));
    if (found === "boolean" && isOptional) return /** @type {Input} */ (el("select", attributes, ...unset, el("option", { value: "true" }, "on"), el("option", { value: "false" }, "off")));
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
    const element = el("div.setting.list", { role: "group", "aria-label": name }, el("div.row.spread", {}, el("small", {}, schema.description ?? ""), extra), list,
        el("div.row", {}, button(`Add to ${name}`, () => {
            bound.set([...(bound.value() ?? []), { [title]: "" }]);
            draw();
            /** @type {HTMLDetailsElement} */ (list.lastElementChild).open = true;
            /** @type {HTMLElement | null} */ (list.lastElementChild?.querySelector("input, select") ?? null)?.focus();
        }), name === "tasks" && el("a", { href: "#/system?view=regions" }, "Draw regions")), complaint);
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
        const own = parts.filter(({ part }) => part.path.length === 1).sort((a, b) => Number(b.part.path[0] === title) - Number(a.part.path[0] === title));
        const sections = [...new Set(parts.map(({ part }) => part.path).filter((path) => path.length > 1).map(([section]) => String(section)))];
        return el("details", { open: isOpen }, summary, el("div.grid-of-settings", {}, ...own.map(({ element }) => element)),
            ...sections.map((section) => el("details.section", {}, el("summary", {}, section), el("div.grid-of-settings", {},
                ...parts.filter(({ part }) => part.path.length > 1 && part.path[0] === section).map(({ element }) => element)))), button("Remove", () => {
            bound.set((bound.value() ?? []).filter((/** @type {any} */ _, /** @type {number} */ place) => place !== index));
            draw();
        }, { class: "bad", "aria-label": `Remove ${one[title] || "this one"} from ${name}` }));
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
