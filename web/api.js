/** Requests to the daemon. URLs are relative, so that the page works below any prefix. */

/** Why a request failed. */
export class ApiError extends Error {
    /** @param {number} status 0 where nobody answered @param {{code?: string, message?: string}} error */
    constructor(status, error) {
        super(error.message ?? `the device answered ${status}`);
        this.status = status;
        this.code = error.code ?? "failed";
        /** All that the device said of it: `conflicts`, `rejected`. @type {Record<string, any>} */
        this.details = error;
    }

    /** Whether the same request may succeed later: nobody answered, or the device is busy. */
    get passes() {
        return this.status === 0 || this.status === 429 || this.status >= 502 || this.code === "busy";
    }
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} */
async function send(path, options) {
    let response;
    try {
        response = await fetch(path, { credentials: "same-origin", redirect: "error", ...options });
    } catch (error) {
        throw new ApiError(0, { code: "unreachable", message: "the device does not answer" });
    }
    if (response.status === 401) {
        location.assign("login");
        throw new ApiError(401, { code: "unauthorized", message: "signed out" });
    }
    return response;
}

/** @param {Response} response @returns {Promise<any>} */
async function data(response) {
    let body;
    try {
        body = await response.json();
    } catch {
        throw new ApiError(response.status, { message: `the device answered ${response.status} without words` });
    }
    if (!response.ok || body.status === "error") throw new ApiError(response.status, body.error ?? {});
    return body.data;
}

/** @param {Record<string, unknown>} args @returns {string} */
function query(args) {
    const pairs = Object.entries(args).filter(([, value]) => value !== null && value !== undefined);
    const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
    return text ? `?${text}` : "";
}

/** Reads something. @param {string} name @param {Record<string, unknown>} [args] @returns {Promise<any>} */
export async function read(name, args = {}) {
    return data(await send(`api/v1/${name}${query(args)}`, { headers: { Accept: "application/json" } }));
}

/**
 * Reads octets; null where they are as `etag` says.
 * @param {string} name @param {Record<string, unknown>} args @param {string} [etag]
 * @returns {Promise<{octets: ArrayBuffer, etag: string} | null>}
 */
export async function octets(name, args, etag) {
    const headers = { Accept: "application/octet-stream", ...(etag ? { "If-None-Match": etag } : {}) };
    const response = await send(`api/v1/${name}${query(args)}`, { headers });
    if (response.status === 304) return null;
    if (!response.ok) await data(response);
    return { octets: await response.arrayBuffer(), etag: response.headers.get("ETag") ?? "" };
}

/** Has something done. @param {string} name @param {Record<string, unknown>} [args] @returns {Promise<any>} */
export async function act(name, args = {}) {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    return data(await send(`api/v1/${name}`, { method: "POST", headers, body: JSON.stringify(args) }));
}

/** A name for a request that has its effect once, however often it is sent. */
export function transaction() {
    // randomUUID is there in secure contexts only.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {string} image @returns {string} where its thumbnail is */
export const thumbnail = (image) => `api/v1/thumbnails/${image}`;
/** @param {string} image @returns {string} where it is in large */
export const picture = (image) => `api/v1/images/${image}`;
