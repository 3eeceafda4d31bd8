/**
 * Settings by their schema: which there are, what they may be, and what a patch has to say so that they become what a person
 * wrote. No elements are made here.
 */

/** A JSON Schema, as far as the configuration's uses it. @typedef {any} Schema */
/** @typedef {{path: (string | number)[], schema: Schema, isOptional: boolean}} Field a setting and where it stands */
/** @typedef {"boolean" | "choice" | "integer" | "number" | "duration" | "text" | "lines" | "items" | "loose"} Kind */

const DURATION = "(ms|s|m|h|d)";

/** Follows a reference within the document. @param {Schema} schema @param {Schema} root @returns {Schema} */
export function resolve(schema, root) {
    if (!schema?.$ref) return schema;
    const found = schema.$ref.slice(2).split("/").reduce((/** @type {any} */ at, /** @type {string} */ name) => at?.[name], root);
    return { ...found, ...schema, $ref: undefined };
}

/** @param {Schema} schema @returns {string[]} */
const types = (schema) => [schema.type ?? []].flat();

/** Whether it may be nothing. @param {Schema} schema */
const isNullable = (schema) =>
    types(schema).includes("null") || (schema.oneOf ?? []).some((/** @type {Schema} */ one) => one.type === "null");

/** How a person gives it. @param {Schema} schema @returns {Kind} */
export function kind(schema) {
    const [type] = types(schema).filter((type) => type !== "null");
    if (schema.enum) return "choice";
    if (schema.oneOf || schema.additionalProperties?.type) return "loose";
    if (type === "boolean" || type === "integer" || type === "number") return type;
    if (type === "array") {
        const { items } = schema;
        // A region is drawn, or written as it is.
        if (items?.type === "object" && !items.properties?.region) return "items";
        return items?.type === "string" || items?.pattern ? "lines" : "loose";
    }
    if (type === "object" && !schema.properties) return "loose";
    return (schema.pattern ?? "").includes(DURATION) ? "duration" : "text";
}

/** Whether it is a section with settings of its own. @param {Schema} schema */
export const isSection = (schema) => types(schema).includes("object") && Boolean(schema.properties);

/**
 * The settings of a section and of the sections in it, in the order of the schema.
 * @param {Schema} schema @param {Schema} root @param {(string | number)[]} path @param {boolean} isOptional whether each may be left out
 * @returns {Field[]}
 */
export function fields(schema, root, path = [], isOptional = false) {
    return Object.entries(schema.properties ?? {}).flatMap(([name, raw]) => {
        const found = resolve(raw, root);
        const at = [...path, name];
        if (isSection(found)) return fields(found, root, at, isOptional);
        return [{ path: at, schema: found, isOptional: isOptional && !(schema.required ?? []).includes(name) }];
    });
}

/** Whether a key may be set from afar. @param {string} key @param {string[]} settable */
export const isSettable = (key, settable) => settable.some((allowed) => key === allowed || key.startsWith(`${allowed}.`));

/** @param {any} value @param {(string | number)[]} path */
export const at = (value, path) => path.reduce((found, name) => found?.[name], value);

/**
 * Sets a value in a tree; undefined takes it out, and what is empty then.
 * @param {any} tree @param {(string | number)[]} path @param {any} value
 */
export function put(tree, [name, ...rest], value) {
    if (rest.length) {
        if (value === undefined && (tree[name] === undefined || tree[name] === null)) return;
        if (tree[name] === undefined || tree[name] === null) tree[name] = typeof rest[0] === "number" ? [] : {};
        put(tree[name], rest, value);
        if (value === undefined && !Array.isArray(tree[name]) && Object.keys(tree[name]).length === 0) delete tree[name];
    } else if (value === undefined) delete tree[name];
    else tree[name] = value;
}

/** @param {any} a @param {any} b whatever the order of keys */
export function same(a, b) {
    if (a === b) return true;
    if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
    const names = Object.keys(a);
    return names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
}

/**
 * The whole patch: a patch takes the place of the one before, so what that one had set is in it again.
 * @param {{applied: string[], effective: any}} now @param {Map<string, any>} edits by dotted key @param {Set<string>} [dropped] keys
 *     that are to be as the device's own files say
 */
export function patchOf({ applied, effective }, edits, dropped = new Set()) {
    const patch = {};
    for (const key of new Set([...applied, ...edits.keys()])) {
        if (dropped.has(key)) continue;
        const path = key.split(".");
        const value = edits.has(key) ? edits.get(key) : at(effective, path);
        if (value !== undefined) put(patch, path, value);
    }
    return patch;
}

/** A value as a person reads and writes it. @param {any} value @param {Schema} schema */
export function print(value, schema) {
    if (value === undefined || value === null) return "";
    if (kind(schema) === "lines") return value.join("\n");
    return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * What a person wrote as a value; what cannot be one stays text, for `problem` to name.
 * @param {string} text @param {Schema} schema
 */
export function parse(text, schema) {
    const found = kind(schema);
    if (found === "lines") return text.split("\n").map((line) => line.trim()).filter(Boolean);
    const trimmed = text.trim();
    if (trimmed === "" && isNullable(schema)) return null;
    if (found === "boolean") return trimmed === "true";
    if (found === "integer" || found === "number") {
        return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
    }
    if (found !== "loose") return found === "text" ? text : trimmed;
    try {
        return JSON.parse(trimmed);
    } catch {
        return trimmed;
    }
}

/**
 * What is wrong with a value, in words with the remedy; null where nothing is.
 * @param {any} value @param {Schema} schema @param {Schema} root @returns {string | null}
 */
export function problem(value, schema, root) {
    const { oneOf, enum: words, const: only, pattern, minimum, maximum } = schema;
    if (value === null && isNullable(schema)) return null;
    if (oneOf) {
        const fits = (/** @type {Schema} */ one) => problem(value, resolve(one, root), root) === null;
        return oneOf.some(fits) ? null : `it has to be ${expected(schema)}`;
    }
    if (only !== undefined) return value === only ? null : `it has to be ${only}`;
    if (words) return words.includes(value) ? null : `it has to be ${expected(schema)}`;
    const allowed = types(schema);
    if (allowed.length && !allowed.some((type) => isOf(value, type))) {
        return value === "" ? "it must not be empty" : `it has to be ${expected(schema)}`;
    }
    if (typeof value === "number" && ((minimum !== undefined && value < minimum) || (maximum !== undefined && value > maximum))) {
        return `it has to be ${expected(schema)}`;
    }
    if (typeof value === "string") {
        if (pattern && !new RegExp(pattern, "u").test(value)) return `it has to be ${expected(schema)}`;
        if (schema.minLength && value.length < schema.minLength) return "it must not be empty";
        if (schema.maxLength && value.length > schema.maxLength) return `it has more than ${schema.maxLength} characters`;
    }
    if (Array.isArray(value)) return problemInList(value, schema, root);
    if (value !== null && typeof value === "object") return problemInObject(value, schema, root);
    return null;
}

/** @param {any[]} value @param {Schema} schema @param {Schema} root */
function problemInList(value, schema, root) {
    if (value.length < (schema.minItems ?? 0)) return `it needs ${schema.minItems} entries or more`;
    if (value.length > (schema.maxItems ?? Infinity)) return `it has more than ${schema.maxItems} entries`;
    for (const [place, item] of value.entries()) {
        const found = schema.items ? problem(item, resolve(schema.items, root), root) : null;
        if (found) return `entry ${place + 1}: ${found}`;
    }
    return null;
}

/** @param {any} value @param {Schema} schema @param {Schema} root */
function problemInObject(value, schema, root) {
    for (const name of schema.required ?? []) if (value[name] === undefined || value[name] === "") return `${name} is missing`;
    for (const [name, item] of Object.entries(value)) {
        const others = typeof schema.additionalProperties === "object" ? schema.additionalProperties : null;
        const known = schema.properties?.[name] ?? others;
        if (!known && schema.additionalProperties === false) return `there is no ${name}`;
        const found = known ? problem(item, resolve(known, root), root) : null;
        if (found) return `${name}: ${found}`;
    }
    return null;
}

/** @param {any} value @param {string} type */
function isOf(value, type) {
    if (type === "null") return value === null;
    if (type === "integer") return Number.isInteger(value);
    if (type === "array") return Array.isArray(value);
    return type === "object" ? value !== null && typeof value === "object" && !Array.isArray(value) : typeof value === type;
}

/** What a setting may be, in words. @param {Schema} schema @returns {string} */
export function expected(schema) {
    const nothing = types(schema).includes("null") ? ", or empty for none" : "";
    const { minimum: low, maximum: high } = schema;
    const bounds = (low === undefined ? "" : ` from ${low}`) + (high === undefined ? "" : ` to ${high}`);
    if (schema.oneOf) return [...new Set(schema.oneOf.map(expected))].join(", or ");
    if (schema.const !== undefined) return String(schema.const);
    if (schema.enum) return schema.enum.join(", ") + nothing;
    if (schema.type === "null") return "empty for none";
    if (schema.type === "object") return objectWords(schema);
    switch (kind(schema)) {
        case "boolean": return "on or off";
        case "integer": return `a whole number${bounds}${nothing}`;
        case "number": return `a number${bounds}${nothing}`;
        case "duration": return `a whole number with ms, s, m, h or d, as 10m${nothing}`;
        case "lines": return "one on each line";
        case "items": return "a list";
        case "loose": return objectWords(schema);
        default: return `${schema.pattern ? `text that matches ${schema.pattern}` : "text"}${nothing}`;
    }
}

/** @param {Schema} schema */
function objectWords({ type, properties, items, minItems }) {
    if (type === "array" && items?.properties) return `a list, as [${objectWords(items)}]`;
    if (type === "array") return `a list${minItems ? ` of ${minItems} or more` : ""}, as [0.1, 0.2]`;
    const names = Object.keys(properties ?? { NAME: 0 });
    return `{${names.map((name) => `"${name}": …`).join(", ")}}`;
}
