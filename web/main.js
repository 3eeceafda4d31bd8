/** The shell around the places: which one is open, what all of them share, and what is always on the screen. */

import { act, read } from "./api.js";
import { Index } from "./columns.js";
import { ask, button, el, keyed, say } from "./dom.js";
import { Keys } from "./keys.js";
import { inOrder, Labels } from "./labels.js";
import { Live } from "./live.js";
import { applyTheme } from "./preferences.js";

/**
 * A place of the page: draws itself into `root` and says what ends it.
 * @typedef {{close: () => void, title?: string}} Open
 * @typedef {(app: App, root: HTMLElement, args: URLSearchParams) => Open | Promise<Open>} Opener
 */

const PLACES = [
    { id: "overview", title: "Overview", key: "o" },
    { id: "label", title: "Label", key: "l" },
    { id: "samples", title: "Samples", key: "s" },
    { id: "training", title: "Training", key: "t" },
    { id: "map", title: "Map", key: "m" },
    { id: "system", title: "System", key: "y" },
];

const LINK = {
    connecting: "connecting to the device",
    open: "connected to the device",
    lost: "the device does not answer; trying again",
    hidden: "paused while hidden",
};

/** @param {string} id @returns {HTMLElement} */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** What places share. */
export class App {
    constructor() {
        this.keys = new Keys();
        this.live = new Live();
        this.labels = new Labels();
        this.index = new Index();
        /** The answer of the last `status`. @type {any} */
        this.status = null;
        /** The task that is looked at; null where the device has one question only. @type {string | null} */
        this.task = null;
        /** @type {string[]} */
        this.tasks = [];
        /** @type {Open | null} */
        this.open = null;
        this.place = "";
        this.opening = 0;
        this.toastTimer = 0;
    }

    async start() {
        this.keys.start();
        this.keys.bind("shell", [
            ...PLACES.map(({ id, title, key }) => ({ key: `g ${key}`, does: `go to ${title}`, run: () => this.go(id) })),
            { key: "u, Ctrl+Z", does: "undo", run: () => this.undo() },
            { key: "Ctrl+Shift+Z", does: "redo", run: () => this.redo() },
            { key: "t", does: "train now", run: () => this.train() },
            { key: "?", does: "show all keys", run: () => this.help() },
        ]);
        byId("help").addEventListener("click", () => this.help());
        keyed(byId("places"), PLACES, ({ id }) => id, ({ id, title }) => el("a", { href: `#/${id}`, "data-place": id }, title));
        byId("task").addEventListener("change", ({ target }) => this.choose(/** @type {HTMLSelectElement} */ (target).value));
        addEventListener("hashchange", () => this.show());
        this.live.on("link", () => this.drawLink());
        this.live.on("alert/", () => this.drawAlerts());
        this.live.on("info", () => this.drawDevice());
        for (const topic of ["review", "task/"]) this.live.on(topic, () => this.drawCount());
        this.live.on("health", (health) => {
            if (this.status) Object.assign(this.status, health);
        });
        this.labels.on((change) => this.drawChange(change));
        this.drawLink();
        this.live.start();
        try {
            await this.refresh();
        } catch (error) {
            this.toast(`${error instanceof Error ? error.message : error}`);
        }
        await this.show();
    }

    /** Reads the status anew, and which tasks there are. */
    async refresh() {
        const wanted = this.params().get("task");
        const tasks = this.status ? this.tasks : [];
        const about = this.task ?? (wanted && (!this.status || tasks.includes(wanted)) ? wanted : null);
        try {
            this.status = await read("status", { task: about });
        } catch (error) {
            if (!about) throw error;
            this.status = await read("status");
        }
        this.tasks = Object.keys(this.status.tasks ?? {});
        if (this.task === null || !this.tasks.includes(this.task)) {
            this.task = this.tasks.includes(wanted ?? "") ? wanted : (this.status.task ?? this.tasks[0] ?? null);
        }
        this.drawTasks();
        this.drawAlerts();
        return this.status;
    }

    /** The topic of a message about the task that is looked at. @param {string} name */
    topic(name) {
        return this.task === null ? name : `task/${this.task}/${name}`;
    }

    /** Arguments of a request about the task. */
    get about() {
        return this.task === null ? {} : { task: this.task };
    }

    /** The classes in the order of their keys, which stays as it is on this screen. @returns {string[]} */
    classes() {
        const samples = this.index.samples;
        const labelled = samples ? [...samples.counts()].filter(([, count]) => count > 0).map(([label]) => label) : [];
        const key = `edgetuned.classes.${this.task ?? ""}`;
        const named = JSON.parse(localStorage.getItem(`${key}.named`) ?? "[]");
        const order = inOrder(JSON.parse(localStorage.getItem(key) ?? "[]"), [...new Set([...labelled, ...named])]);
        localStorage.setItem(key, JSON.stringify(order));
        return order;
    }

    /** A class that has no image yet keeps its key until it has one. @param {string} label */
    nameClass(label) {
        const key = `edgetuned.classes.${this.task ?? ""}.named`;
        localStorage.setItem(key, JSON.stringify([...new Set([...JSON.parse(localStorage.getItem(key) ?? "[]"), label])]));
        return this.classes();
    }

    /** A class that is renamed keeps its key. @param {string} from @param {string} to */
    renameClass(from, to) {
        const key = `edgetuned.classes.${this.task ?? ""}`;
        const order = JSON.parse(localStorage.getItem(key) ?? "[]");
        if (!order.includes(to)) localStorage.setItem(key, JSON.stringify(order.map((/** @type {string} */ name) => (name === from ? to : name))));
        return this.nameClass(to);
    }

    params() {
        return new URLSearchParams(location.hash.split("?")[1] ?? "");
    }

    /** @param {string} place @param {Record<string, string>} [args] */
    go(place, args = {}) {
        const query = new URLSearchParams({ ...args, ...this.about }).toString();
        location.hash = `#/${place}${query ? `?${query}` : ""}`;
    }

    /** @param {string} task */
    async choose(task) {
        this.task = task;
        const [place] = location.hash.slice(2).split("?");
        await this.refresh();
        this.go(place || "overview");
    }

    /** Opens the place that the address names. */
    async show() {
        const [name] = location.hash.slice(2).split("?");
        const place = PLACES.find(({ id }) => id === name) ?? PLACES[0];
        const turn = (this.opening += 1);
        const task = this.params().get("task");
        if (task && this.tasks.includes(task) && task !== this.task) {
            this.task = task;
            await this.refresh();
        }
        for (const link of byId("places").children) {
            const isHere = /** @type {HTMLElement} */ (link).dataset.place === place.id;
            if (isHere) link.setAttribute("aria-current", "page");
            else link.removeAttribute("aria-current");
        }
        const module = await import(`./places/${place.id}.js`);
        if (turn !== this.opening) return;
        this.open?.close();
        this.open = null;
        this.keys.release("place");
        const main = byId("main");
        const root = el("section", { class: `place ${place.id}`, "aria-label": place.title });
        main.replaceChildren(root);
        if (this.place && this.place !== place.id) main.focus({ preventScroll: true });
        this.place = place.id;
        document.title = `${place.title} · ${this.deviceName()}`;
        try {
            const open = await module.open(this, root, this.params());
            if (turn === this.opening) this.open = open;
            else open.close();
        } catch (error) {
            root.append(el("p.problem", { role: "alert" }, `${error instanceof Error ? error.message : error}`),
                button("Try again", () => this.show()));
        }
        root.dataset.ready = "true";
        this.drawCount();
    }

    deviceName() {
        return this.live.latest.get("info")?.configuration?.device?.name ?? this.status?.device?.name ?? "edgetuned";
    }

    /** Says something to a screen reader. @param {string} text */
    announce(text) {
        say(byId("said"), text);
    }

    /**
     * Shows a line at the bottom for a while, and says it.
     * @param {string} text @param {{label: string, run: () => unknown}[]} [acts] @param {number} [seconds] 0: until the next one
     */
    toast(text, acts = [], seconds = 6) {
        clearTimeout(this.toastTimer);
        const toast = byId("toast");
        const close = () => (toast.hidden = true);
        toast.replaceChildren(el("span", {}, text), ...acts.map(({ label, run }) => button(label, () => (close(), run()))),
            button("×", close, { class: "quiet", "aria-label": "Close" }));
        toast.hidden = false;
        this.announce(text);
        if (seconds) this.toastTimer = setTimeout(close, seconds * 1000);
    }

    /** Takes the last labels back. */
    async undo() {
        const last = this.labels.last;
        try {
            const result = await this.labels.undo(this.task);
            if (last) return;
            this.live.tell("undone", result);
            const { changed } = /** @type {{changed: number}} */ (result);
            this.toast(`Undone on the device: ${changed} ${changed === 1 ? "label" : "labels"} as before.`);
        } catch (error) {
            this.toast(error instanceof Error ? error.message : String(error));
        }
    }

    async redo() {
        if (!(await this.labels.redo())) this.toast("Nothing to do again.");
    }

    /** Asks, and trains. */
    async train() {
        const answer = await ask("Train now?", [el("p", {}, "The new head serves only if it is no worse on images that it has not seen.")], [
            { label: "Cancel", value: "" },
            { label: "Train", value: "train", primary: true },
        ]);
        if (answer !== "train") return;
        try {
            const { training } = await act("train", { ...this.about });
            this.toast(`Training ${training} begins.`);
        } catch (error) {
            this.toast(error instanceof Error ? error.message : String(error));
        }
    }

    /** All keys that work now. */
    async help() {
        const rows = this.keys.all().filter(({ hidden }) => !hidden);
        const off = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", checked: !this.keys.off }));
        off.addEventListener("change", () => this.keys.switch(!off.checked));
        await ask("Keys", [
            el("label.row", {}, off, "Single keys act"),
            el("table.keys", {}, el("tbody", {}, ...rows.map(({ key, does }) => el("tr", {},
                el("th", { scope: "row" }, ...key.split(", ").flatMap((one, at) => [at ? " or " : "", el("kbd", {}, one)])),
                el("td", {}, does))))),
        ], [{ label: "Close", value: "", primary: true }]);
    }

    drawLink() {
        const link = byId("link");
        link.dataset.state = this.live.state;
        for (const name of ["aria-label", "title"]) link.setAttribute(name, LINK[this.live.state]);
    }

    drawDevice() {
        say(byId("device"), this.deviceName());
    }

    drawTasks() {
        const select = /** @type {HTMLSelectElement} */ (byId("task"));
        select.hidden = this.tasks.length === 0;
        keyed(select, this.tasks, (task) => task, (task) => el("option", { value: task }, task));
        if (this.task !== null) select.value = this.task;
        const query = this.task === null ? "" : `?task=${encodeURIComponent(this.task)}`;
        for (const link of byId("places").children) {
            const place = /** @type {HTMLElement} */ (link).dataset.place;
            link.setAttribute("href", `#/${place}${query}`);
        }
        this.drawDevice();
    }

    /** How many images are worth a label, in the navigation. */
    drawCount() {
        const link = document.querySelector("[data-place=label]");
        const count = this.live.latest.get(this.topic("review"))?.items.length ?? 0;
        if (link) say(link, count ? `Label (${count})` : "Label");
    }

    /** What needs a person. */
    drawAlerts() {
        const live = [...this.live.latest].filter(([topic]) => topic.startsWith("alert/"));
        const ids = new Map(live.map(([topic, alert]) => [topic.slice("alert/".length), alert]));
        keyed(byId("alerts"), ids, ([id]) => id, ([id, alert]) =>
            el("p", { class: `alert ${alert.severity}` }, el("strong", {}, id), " ", el("span", {}, alert.text)),
        (element, [, alert]) => say(/** @type {Element} */ (element.lastElementChild), alert.text));
    }

    /** How a change of labels fares. @param {import("./labels.js").Change} change */
    drawChange(change) {
        if (change.state === "waiting") {
            const { open } = this.labels;
            this.toast(`The device does not answer: ${open} ${open === 1 ? "change waits" : "changes wait"} and will be sent again.`, [], 0);
        } else if (change.state === "failed") {
            this.toast(`Not taken: ${change.error?.message ?? ""} (${change.text})`,
                change.error?.code === "conflict" ? [] : [{ label: "Retry", run: () => this.labels.retry(change) }], 0);
        } else if (change.state === "undone") {
            this.toast(`Undone: ${change.text}`, [{ label: "Redo", run: () => this.redo() }]);
        } else if (change.state === "confirmed") {
            if (this.labels.open === 0) this.toast(change.text, [{ label: "Undo (U)", run: () => this.undo() }]);
        }
    }
}

applyTheme();
const app = new App();
Object.assign(globalThis, { edgetuned: app });
app.start();
