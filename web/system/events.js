/** What happened, in words. No elements are made here. */

/** A message of `event`. @typedef {any} Event */

/** The most that are shown. */
export const MOST = 200;

/** @param {any} head */
const named = (head) => (head ? `head ${head.version} (${String(head.id).slice(0, 8)})` : "no head");

/** @param {Event} event */
export function eventWords(event) {
    const { event_type: type, reason = "" } = event;
    switch (type) {
        case "started": return `version ${event.version}`;
        case "trained": return `training ${event.training} made ${named(event.head)}`;
        case "promoted":
        case "rejected": return `${named(event.head)}: ${reason}`;
        case "rolled_back": return `from ${named(event.from)} to ${named(event.head)}: ${reason}`;
        case "quarantined": return `${event.path}: ${reason}`;
        case "backbone_changed": return `${event.backbone?.name ?? ""}: ${reason}`;
        case "drift": return `${event.kind} (${driftValue(event)}): ${reason}`;
        case "novel": return `an image is unlike all that is known, novelty ${Number(event.novelty).toPrecision(3)}`;
        case "evicted": return `${event.count} samples: ${event.why}`;
        case "update_failed": return `${[event.kind, event.name, event.version].filter((part) => part ?? false).join(" ")}: ${reason}`;
        case "error": return `${event.topic ?? event.source ?? ""}: ${reason}`;
        default: return reason || rest(event);
    }
}

/** How much of drift there is. @param {Event} event */
export function driftValue(event) {
    if (typeof event.p_value === "number") return `p = ${Number(event.p_value.toPrecision(3))}`;
    return typeof event.score === "number" ? `score ${Number(event.score.toPrecision(3))}` : "–";
}

/** What an event of an unknown type has. @param {Event} event */
function rest(event) {
    const known = new Set(["v", "ts", "seq", "boot", "event_type", "task"]);
    return Object.entries(event).filter(([name]) => !known.has(name)).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ");
}

/** The image of an event, where it has one. @param {Event} event @returns {string | null} */
export const imageOf = ({ image }) => (typeof image === "string" ? image : null);

/** What tells events apart. @param {Event} event */
export const eventKey = ({ boot, seq, ts }) => `${boot}-${seq}-${ts}`;

/** One more event, the newest first. @param {Event[]} events @param {Event} event */
export const withEvent = (events, event) => [event, ...events.filter((other) => eventKey(other) !== eventKey(event))].slice(0, MOST);

/**
 * Which types there are, each with its number, in the order of their names.
 * @param {Event[]} events @returns {[string, number][]}
 */
export function typesOf(events) {
    const counts = new Map();
    for (const { event_type: type } of events) counts.set(type, (counts.get(type) ?? 0) + 1);
    return [...counts].sort(([a], [b]) => a.localeCompare(b));
}

/**
 * The latest drift of each kind.
 * @param {Event[]} events the newest first @param {string | null} [task] @returns {Event[]}
 */
export function latestDrift(events, task = null) {
    const found = new Map();
    for (const event of events) {
        if (event.event_type !== "drift" || (task !== null && event.task && event.task !== task)) continue;
        const key = `${event.task ?? ""} ${event.kind}`;
        if (!found.has(key)) found.set(key, event);
    }
    return [...found.values()];
}
