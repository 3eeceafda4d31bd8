/**
 * What the device publishes, as it does over MQTT, by server-sent events. One connection a tab, and none while the tab is
 * hidden: a browser has six to one host, and the device eight watchers.
 */

/** @typedef {(payload: any, topic: string) => void} Listener */

/** How long until a connection that broke is tried again, in milliseconds. */
const AGAIN = 2000;

export class Live {
    /** @param {string} url */
    constructor(url = "api/v1/watch") {
        this.url = url;
        /** The latest message of each topic. @type {Map<string, any>} */
        this.latest = new Map();
        /** @type {Set<{topic: string, listener: Listener}>} */
        this.listeners = new Set();
        /** @type {"connecting" | "open" | "lost" | "hidden"} */
        this.state = "connecting";
        /** @type {EventSource | null} */
        this.source = null;
        this.timer = 0;
    }

    /** Begins, and follows the tab's visibility. */
    start() {
        document.addEventListener("visibilitychange", () => (document.hidden ? this.close("hidden") : this.open()));
        addEventListener("pagehide", () => this.close("hidden"));
        addEventListener("pageshow", () => this.open());
        this.open();
    }

    open() {
        if (this.source || document.hidden) return;
        clearTimeout(this.timer);
        this.become(this.state === "lost" ? "lost" : "connecting");
        const source = new EventSource(this.url);
        this.source = source;
        source.onopen = () => this.become("open");
        source.onmessage = ({ data }) => {
            const { topic, payload } = JSON.parse(data);
            this.take(topic, payload);
        };
        source.addEventListener("skipped", ({ data }) => this.take("skipped", Number(data)));
        source.onerror = () => {
            this.close("lost");
            this.timer = setTimeout(() => this.open(), AGAIN);
        };
    }

    /** @param {"lost" | "hidden"} state */
    close(state) {
        this.source?.close();
        this.source = null;
        clearTimeout(this.timer);
        this.become(state);
    }

    /** @param {Live["state"]} state */
    become(state) {
        if (state === this.state) return;
        this.state = state;
        this.tell("link", state);
    }

    /** @param {string} topic @param {any} payload */
    take(topic, payload) {
        if (payload === null) this.latest.delete(topic);
        else this.latest.set(topic, payload);
        this.tell(topic, payload);
    }

    /** @param {string} topic @param {any} payload */
    tell(topic, payload) {
        for (const { topic: wanted, listener } of [...this.listeners]) {
            if (wanted === topic || (wanted.endsWith("/") && topic.startsWith(wanted))) listener(payload, topic);
        }
    }

    /**
     * Calls `listener` with every message of `topic`, or below it where it ends with "/"; "link" tells of the connection itself.
     * @param {string} topic @param {Listener} listener @returns {() => void} ends that
     */
    on(topic, listener) {
        const entry = { topic, listener };
        this.listeners.add(entry);
        return () => this.listeners.delete(entry);
    }
}
