// The language of the page: Korean or English. Texts in `index.html` name their words with `data-say`.

import { byId } from "./element.js";
import { remember } from "./remembered.js";
import { ENGLISH } from "./words_english.js";
import { KOREAN } from "./words_korean.js";

const WORDS = { en: ENGLISH, ko: KOREAN };
const PLACES = { say: "textContent", sayLabel: "aria-label", sayTitle: "title", sayPlaceholder: "placeholder" };

// Keys have other names there.
const IS_MAC = /^(Mac|iP)/.test(globalThis.navigator?.platform ?? "");

/** The language now: "en" or "ko". */
export function language() {
  return document.documentElement.lang === "ko" ? "ko" : "en";
}

/** The words of a name, with values in the place of `{…}`. */
export function say(name, values = {}) {
  const words = WORDS[language()][name] ?? name;
  return (IS_MAC ? words.replaceAll("Ctrl", "⌘").replaceAll("Alt", "⌥") : words).replace(
    /\{(\w+)\}/g,
    (_, key) => values[key] ?? "",
  );
}

/** A number as the language writes it. */
export function count(number, digits = 0) {
  return number.toLocaleString(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Bytes as a person reads them. */
export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) [bytes, at] = [bytes / 1000, at + 1];
  return `${count(bytes, at > 0 && bytes < 100 ? 1 : 0)} ${units[at]}`;
}

/** Puts the words in their places below a node. */
function translate(root = document) {
  for (const [key, place] of Object.entries(PLACES)) {
    const name = `data-${key.replace(/[A-Z]/g, letter => "-" + letter.toLowerCase())}`;
    for (const found of root.querySelectorAll(`[${name}]`)) {
      if (place === "textContent") found.textContent = say(found.dataset[key]);
      else found.setAttribute(place, say(found.dataset[key]));
    }
  }
}

/** Calls `work` now and whenever the language changes. */
export function inEveryLanguage(work) {
  document.addEventListener("language", work);
  work();
}

function speak(chosen) {
  document.documentElement.lang = chosen;
  remember("language", chosen);
  translate();
  document.dispatchEvent(new Event("language"));
}

/** Translates the page and lets its button change the language. */
export function startLanguage() {
  byId("language").addEventListener("click", () => speak(language() === "ko" ? "en" : "ko"));
  translate();
}
