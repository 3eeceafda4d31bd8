/** What the tasks say now, for places that have room for it only. */

import { el, keyed, say } from "../dom.js";
import { moment, NOTHING, percent } from "../figures.js";

/** The state of a task in words. @param {any} state @returns {{state: string, votes: string, confidence: string}} */
export function stateWords(state) {
    if (!state) return { state: "no answer yet", votes: NOTHING, confidence: NOTHING };
    const isState = "state" in state;
    const said = isState ? state.state : state.unknown ? "unknown" : (state.label ?? "no answer");
    return {
        state: said + (isState && state.previous ? `, before ${state.previous}` : ""),
        votes: state.votes ? `${state.votes[0]} of ${state.votes[1]}` : NOTHING,
        confidence: percent(isState ? state.confidence : state.probability),
    };
}

/**
 * A panel with each task's state; hidden without tasks.
 * @param {import("../main.js").App} app @returns {{element: HTMLElement, close: () => void}}
 */
export function statePanel(app) {
    const body = el("dl.figures");
    const element = el("section.panel", { "aria-label": "States" }, el("h2", {}, "States"), body);

    function draw() {
        element.hidden = app.tasks.length === 0;
        const rows = app.tasks.flatMap((task) => {
            const message = app.live.latest.get(`task/${task}/state`);
            const { state, votes, confidence } = stateWords(message);
            // Without votes each answer is the state, as old as its message.
            const more = message ? [`since ${moment(message.since ?? message.ts)}`, message.votes && `${votes} votes`, confidence] : [];
            const text = [state, ...more.filter((words) => words && words !== NOTHING)].join(", ");
            return [{ key: `${task}?`, tag: "dt", text: task }, { key: task, tag: "dd", text }];
        });
        keyed(body, rows, ({ key }) => key, ({ tag, text }) => el(tag, {}, text), (child, { text }) => say(child, text));
    }

    const ends = [
        app.live.on("task/", (_, topic) => topic.endsWith("/state") && !topic.endsWith("train/state") && draw()),
        app.live.on("link", draw),
    ];
    draw();
    return { element, close: () => ends.forEach((end) => end()) };
}
