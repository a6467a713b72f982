// The view of tokens: one text as two tokenizers write it, side by side.

import { ask } from "./api.js";
import { chipRow, grouped } from "./chips.js";
import { byId, element, whenQuiet } from "./element.js";
import { count, inEveryLanguage, say } from "./language.js";
import { recall, remember } from "./remembered.js";
import { onNews, serverInformation } from "./server.js";
import { problemIsOver, tellError } from "./status.js";
import { tokenOf } from "./token_bytes.js";

const SAMPLES = ["sample-1", "sample-2", "sample-3", "sample-4"];

const field = byId("tokens-text");
let chosen = recall("tokenizers", []);
let request;
let answers = [];

/** The tokenizers of the two sides: what was chosen, else the first two. */
function sides() {
  const names = serverInformation().tokenizers;
  const pick = (side, otherwise) => (names.includes(chosen[side]) ? chosen[side] : otherwise);
  return names.length < 2 ? names : [pick(0, names.at(-1)), pick(1, names[0])];
}

async function compare() {
  request?.abort();
  const { signal } = (request = new AbortController());
  const text = field.value;
  try {
    const all = await Promise.all(sides().map(model => ask("tokenize", { model, text }, signal)));
    answers = all.map(({ tokens, characters }) => ({
      chips: grouped(tokens.map(shown)),
      tokens: tokens.length,
      characters,
    }));
    problemIsOver();
    show();
  } catch (error) {
    tellError(error);
  }
}

/** A token as the API gives it: what is no text by itself has bytes. */
function shown({ id, text, bytes, is_byte }) {
  return { id, text: text ?? tokenOf(bytes), isByte: is_byte };
}

function show() {
  const most = Math.max(...answers.map(answer => answer.tokens), 1);
  byId("comparison").replaceChildren(
    ...answers.map((answer, side) => column(answer, side, most)),
    ...(sides().length === 1 ? [element("p", { class: "tokenizer quiet" }, say("one-tokenizer"))] : []),
  );
}

function column(answer, side, most) {
  const bar = element("div", { class: side === 1 ? "bar b" : "bar" });
  bar.style.width = `${Math.max(1, (100 * answer.tokens) / most)}%`;
  const ratio = count(answer.tokens / Math.max(1, answer.characters), 3);
  const name = sides()[side];
  return element(
    "article",
    { class: "tokenizer" },
    element(
      "header",
      {},
      element("span", { class: side === 1 ? "letter b" : "letter" }, "AB"[side]),
      choice(name, side),
    ),
    element(
      "p",
      { class: "numbers" },
      element("span", {}, element("b", { class: "figure" }, count(answer.tokens)), " ", say("tokens-count")),
      element("span", {}, element("b", { class: "figure" }, ratio), " ", say("per-character")),
      against(answer, side),
    ),
    bar,
    chipRow(answer.chips, say("tokens-of", { name }), words => (byId("token-detail").textContent = words)),
  );
}

/** How much shorter or longer the second side is. */
function against(answer, side) {
  if (side === 0 || answers[0].tokens === 0) return "";
  const share = answer.tokens / answers[0].tokens - 1;
  return element(
    "span",
    { class: "against" },
    element("b", { class: "figure" }, `${share > 0 ? "+" : "−"}${count(Math.abs(share) * 100)} %`),
  );
}

function choice(name, side) {
  const select = element(
    "select",
    { "aria-label": say("tokenizer", { side: "AB"[side] }) },
    ...serverInformation().tokenizers.map(one => element("option", { value: one, selected: one === name }, one)),
  );
  select.addEventListener("change", () => {
    chosen = sides();
    chosen[side] = select.value;
    remember("tokenizers", chosen);
    compare();
  });
  return select;
}

const compareSoon = whenQuiet(120, compare);

/** Starts the view. */
export function startTokens() {
  field.addEventListener("input", () => {
    remember("tokens-text", field.value.slice(0, 20_000));
    compareSoon();
  });
  onNews(() => !byId("tokens").hidden && compareSoon());
  inEveryLanguage(() => {
    byId("samples").replaceChildren(
      ...SAMPLES.map(name =>
        element("button", { type: "button", title: say(name), onclick: () => use(say(name)) }, say(`${name}-name`)),
      ),
    );
    byId("token-detail").textContent = "";
    show();
  });
}

function use(text) {
  field.value = text;
  remember("tokens-text", text);
  compare();
}

/** The view is being looked at. */
export function showTokens() {
  if (field.value === "") field.value = recall("tokens-text", "") || say("sample-1");
  compare();
}
