// Requests to the server this page came from, and what can go wrong with them.

import { eventParser } from "./server_events.js";

/** Why the server gave no answer. `kind` has words in `words_*.js`; `detail` is what the server said. */
export class ServerError extends Error {
  constructor(kind, detail = "", seconds = 0) {
    super(detail || kind);
    this.kind = kind;
    this.detail = detail;
    this.seconds = seconds;
  }
}

const KINDS = { 401: "key", 404: "missing", 408: "slow", 413: "large", 429: "busy", 503: "loading" };

// Kept for this tab only.
let key = sessionStorage.getItem("kollama.key") ?? "";

/** Uses a key for all requests from now on. */
export function useKey(given) {
  key = given;
  sessionStorage.setItem("kollama.key", given);
}

async function send(path, body, signal) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const request = { method: body === undefined ? "GET" : "POST", headers, signal, cache: "no-store" };
  if (body !== undefined) request.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("gone");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const said = await response.text().catch(() => "");
  let detail = said;
  try {
    detail = JSON.parse(said).error?.message ?? said;
  } catch {
    // Not JSON: what was said is shown as it is.
  }
  const kind = KINDS[response.status] ?? (response.status < 500 ? "refused" : "failed");
  return new ServerError(kind, detail.trim().slice(0, 500), Number(response.headers.get("retry-after")) || 0);
}

/** GET, or POST where there is a body; gives the JSON of the answer. */
export async function ask(path, body, signal) {
  const response = await send(path, body, signal);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("broken");
  }
}

/** Posts a body and gives the events of the answer as they come. Ends properly or throws. */
export async function* stream(path, body, signal) {
  const response = await send(path, { ...body, stream: true }, signal);
  const reader = response.body.getReader();
  let isWhole = false;
  try {
    for await (const data of eventsOf(reader)) {
      isWhole = data === "[DONE]";
      if (isWhole) return;
      yield parsed(data);
      // Much may have come at once: what is stopped stops here, too.
      signal?.throwIfAborted();
    }
    // A stream that ends without its last word was cut off.
    throw new ServerError("broken");
  } finally {
    if (!isWhole) reader.cancel().catch(() => {});
  }
}

async function* eventsOf(reader) {
  const decoder = new TextDecoder();
  const parse = eventParser();
  for (;;) {
    const { done, value } = await read(reader);
    if (done) return;
    yield* parse(decoder.decode(value, { stream: true }));
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("gone");
  }
}

function parsed(data) {
  const event = JSON.parse(data);
  if (event.error) throw new ServerError("failed", event.error.message ?? "");
  return event;
}
