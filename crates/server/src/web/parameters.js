// How the next token is chosen: the parameters beside the text, with their words, and remembered.

import { element } from "./element.js";
import { inEveryLanguage, say } from "./language.js";
import { recall, remember } from "./remembered.js";

// name in the API; least, most, step and start of a number; `more` are shown when asked for.
const NUMBERS = [
  { name: "max_tokens", least: 1, most: 2048, step: 1, start: 128, widest: 512 },
  { name: "temperature", least: 0, most: 2, step: 0.05, start: 0.8 },
  { name: "top_p", least: 0.05, most: 1, step: 0.01, start: 0.95 },
  { name: "repetition_penalty", least: 1, most: 2, step: 0.01, start: 1.1 },
  { name: "top_k", least: 0, most: 1000, step: 1, start: 0, widest: 100, more: true },
  { name: "min_p", least: 0, most: 1, step: 0.01, start: 0, widest: 0.5, more: true },
  { name: "presence_penalty", least: -2, most: 2, step: 0.1, start: 0, more: true },
  { name: "frequency_penalty", least: -2, most: 2, step: 0.1, start: 0, more: true },
];
const START = { ...Object.fromEntries(NUMBERS.map(({ name, start }) => [name, start])), stop: "", seed: "" };
const PRESETS = {
  exact: { temperature: 0, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1 },
  balanced: { temperature: 0.8, top_p: 0.95, top_k: 0, min_p: 0, repetition_penalty: 1.1 },
  free: { temperature: 1.1, top_p: 1, top_k: 0, min_p: 0.05, repetition_penalty: 1.05 },
};

const values = { ...START };
for (const [name, value] of Object.entries(recall("parameters", {}))) {
  if (typeof value === typeof START[name]) values[name] = value;
}
const changed = new EventTarget();

function set(more) {
  Object.assign(values, more);
  remember("parameters", values);
  changed.dispatchEvent(new Event("change"));
}

/** The parameters as fields of a request. `stop` holds one text a line, in which \n is a line end. */
export function requested() {
  const { stop, seed, ...numbers } = values;
  const stops = stop
    .split("\n")
    .filter(Boolean)
    .map(line => line.replaceAll("\\n", "\n"));
  const fields = { ...numbers };
  if (stops.length > 0) fields.stop = stops;
  fields.seed = seed === "" ? Math.floor(Math.random() * 2 ** 31) : Number(seed);
  return fields;
}

/** Fills a place with controls for all parameters. */
export function startParameters(place) {
  inEveryLanguage(() => place.replaceChildren(head(place), presets(), ...main(place), more(place)));
}

function head(place) {
  const close = element(
    "button",
    { type: "button", class: "plain close-side", onclick: () => place.dispatchEvent(new Event("close")) },
    say("close"),
  );
  const reset = element("button", { type: "button", class: "plain", onclick: () => set(START) }, say("reset"));
  return element(
    "div",
    { class: "side-head" },
    element("h2", {}, say("parameters")),
    element("span", {}, reset, close),
  );
}

function presets() {
  const isSet = preset => Object.entries(preset).every(([name, value]) => values[name] === value);
  const buttons = Object.entries(PRESETS).map(([name, preset]) => {
    const button = element(
      "button",
      { type: "button", title: say(`preset-${name}-title`), onclick: () => set(preset) },
      say(`preset-${name}`),
    );
    follow(button, () => button.setAttribute("aria-pressed", isSet(preset)));
    return button;
  });
  return element("div", { class: "presets", role: "group", "aria-label": say("presets") }, ...buttons);
}

const main = place => NUMBERS.filter(one => !one.more).map(one => number(one, place));

function more(place) {
  const open = place.querySelector("details")?.open;
  return element(
    "details",
    { open },
    element("summary", {}, say("more")),
    ...NUMBERS.filter(one => one.more).map(one => number(one, place)),
    words("stop", "textarea", place),
    words("seed", "input", place),
  );
}

/** Keeps a control as the values are, for as long as it is in the page. */
function follow(control, show) {
  const listen = () => (control.isConnected ? show() : changed.removeEventListener("change", listen));
  changed.addEventListener("change", listen);
  show();
}

function number({ name, least, most, step, widest }, place) {
  const id = `${place.id}-${name}`;
  const put = value => set({ [name]: Math.min(most, Math.max(least, value)) });
  const field = element("input", {
    id,
    type: "number",
    min: least,
    max: most,
    step,
    "aria-describedby": `${id}-words`,
    onchange: () =>
      field.value === "" || isNaN(field.valueAsNumber) ? (field.value = values[name]) : put(field.valueAsNumber),
  });
  const slider = element("input", {
    type: "range",
    min: least,
    max: widest ?? most,
    step,
    "aria-label": say(name),
    "aria-describedby": `${id}-words`,
    oninput: () => put(slider.valueAsNumber),
  });
  follow(field, () => ([field.value, slider.value] = [values[name], values[name]]));
  return element(
    "div",
    { class: "parameter" },
    element("div", { class: "line" }, element("label", { for: id }, say(name)), field),
    slider,
    element("p", { id: `${id}-words` }, say(`${name}-words`)),
  );
}

function words(name, kind, place) {
  const id = `${place.id}-${name}`;
  const shape = kind === "textarea" ? { rows: 2 } : { inputmode: "numeric", autocomplete: "off" };
  const field = element(kind, {
    id,
    class: "words",
    "aria-describedby": `${id}-words`,
    ...shape,
    onchange: () => set({ [name]: name === "seed" ? field.value.replace(/\D/g, "").slice(0, 9) : field.value }),
  });
  follow(field, () => (field.value = values[name]));
  return element(
    "div",
    { class: "parameter" },
    element("label", { for: id }, say(name === "stop" ? "stop_texts" : name)),
    field,
    element("p", { id: `${id}-words` }, say(`${name}-words`)),
  );
}

/** The button of a view that shows its side where the window is narrow. */
export function startSides() {
  for (const button of document.querySelectorAll(".for-side")) {
    const side = document.getElementById(button.dataset.side);
    const show = open => {
      side.classList.toggle("open", open);
      button.setAttribute("aria-expanded", open);
      (open ? side.querySelector("button, input") : button).focus();
    };
    button.addEventListener("click", () => show(!side.classList.contains("open")));
    side.addEventListener("close", () => show(false));
    side.addEventListener("keydown", event => {
      if (event.key === "Escape" && side.classList.contains("open")) show(false);
    });
  }
}
