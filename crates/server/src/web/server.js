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
/** What the server told of itself. */
export const serverInformation = () => information;

/** The model in use, as the server tells of it; undefined before the first answer. */
export function modelNow() {
  const { models } = information;
  return models.find(model => model.name === recall("model", "")) ?? models[0];
}
/** Its name, or nothing. */
export const modelName = () => modelNow()?.name;

/** Uses another model from now on. */
export function useModel(name) {
  remember("model", name);
  news.dispatchEvent(new Event("news"));
}

/** Asks again what the server has to tell. */
export async function askInformation() {
  information = { models: [], tokenizers: [], ...(await ask("info")) };
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
