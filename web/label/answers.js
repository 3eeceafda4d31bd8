/** What the head in service says of stored images now: the index has what a head said when they came, if there was one. */

/** @typedef {{label: string | null, probability: number | null, top: {label: string, probability: number}[], set: string[] | null,
 *     unknown: boolean | null, novelty: number | null, path?: string}} Answer */

/** Requests at once. */
const AT_ONCE = 3;

export class Answers {
    /** @param {(image: string) => Promise<Answer>} ask */
    constructor(ask) {
        this.ask = ask;
        /** @type {Map<string, Promise<Answer | null>>} */
        this.wanted = new Map();
        /** @type {Map<string, Answer | null>} */
        this.known = new Map();
        /** @type {(() => void)[]} */
        this.waiting = [];
        this.running = 0;
        this.era = 0;
    }

    /** @param {string} image @returns {Answer | null | undefined} undefined while it is not known, null where there is none */
    get(image) {
        return this.known.get(image);
    }

    /** @param {string} image @returns {Promise<Answer | null>} */
    want(image) {
        const there = this.wanted.get(image);
        if (there) return there;
        const { era } = this;
        const answer = this.slot().then(() => this.ask(image)).catch(() => null).then((found) => {
            this.running -= 1;
            // The one asked last is the one on the screen.
            this.waiting.pop()?.();
            if (era === this.era) this.known.set(image, found);
            return found;
        });
        this.wanted.set(image, answer);
        return answer;
    }

    /** @returns {Promise<void>} */
    async slot() {
        if (this.running >= AT_ONCE) await new Promise((resolve) => this.waiting.push(() => resolve(undefined)));
        this.running += 1;
    }

    /** Another head serves. */
    clear() {
        this.era += 1;
        this.wanted.clear();
        this.known.clear();
    }
}
