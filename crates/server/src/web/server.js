// What is known of the server: whether it answers, its models and tokenizers, its speed now.

import { ask } from "./api.js";
import { recall, remember } from "./remembered.js";

const news = new EventTarget();
let information = { models: [], tokenizers: [] };
let state = "waiting";
let timer;

/** Calls `work` whenever something about the server has changed. */
export function onNews(work) {
  news.addEventListener("news", work);
}

/** "waiting" for the first answer, "ready", "loading" or "gone". */
export const serverState = () => state;
/** What the server told of itself and of the model in use. */
export const serverInformation = () => information;

/** Whether anything is known of the model in use. */
export const isModelKnown = () => information.model !== undefined;
/** The name of the model in use; undefined before the first answer. */
export const modelName = () => information.model;

/** Uses another model from now on. */
export async function useModel(name) {
  remember("model", name);
  await askInformation();
}

/** Asks again what the server has to tell of itself and of the model in use. */
export async function askInformation() {
  const wanted = recall("model", "");
  const name = information.models.length === 0 || information.models.includes(wanted) ? wanted : "";
  try {
    information = await ask(name ? `info?model=${encodeURIComponent(name)}` : "info");
  } catch (error) {
    // A model that was there once need not be there now.
    if (!name || !["missing", "refused"].includes(error.kind)) throw error;
    information = await ask("info");
  }
  news.dispatchEvent(new Event("news"));
}

function become(next) {
  if (state === next) return;
  state = next;
  news.dispatchEvent(new Event("news"));
}

/** Tells that a request found nobody: the page looks for the server until it is back. */
export function serverIsGone() {
  become("gone");
  watch(1000);
}

async function look(wait) {
  try {
    await ask("health");
    if (state !== "ready") await askInformation();
    become("ready");
    watch(15000);
  } catch (error) {
    if (error.kind === "key") news.dispatchEvent(new CustomEvent("key"));
    become(error.kind === "loading" ? "loading" : error.kind === "key" ? "key" : "gone");
    watch(Math.min(wait * 1.5, 8000));
  }
}

/** Looks for the server after some milliseconds, and from then on. */
export function watch(wait = 0) {
  clearTimeout(timer);
  timer = setTimeout(() => look(Math.max(wait, 700)), wait);
}

/** Calls `work` when the server asks for a key. */
export function onKey(work) {
  news.addEventListener("key", work);
}
