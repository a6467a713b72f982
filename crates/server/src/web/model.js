// The view of the model: what it is, what it takes, how fast it is now.

import { byId, element } from "./element.js";
import { count, inEveryLanguage, say, size } from "./language.js";
import { askInformation, isModelKnown, onNews, serverInformation, serverState } from "./server.js";

const EVERY = 2000;
const KEPT = 60;
/** The rows of the configuration that are shown, by the names of config.json. */
const ROWS = [
  "num_hidden_layers",
  "hidden_size",
  "intermediate_size",
  "num_attention_heads",
  "num_key_value_heads",
  "vocab_size",
  "max_position_embeddings",
  "rope_theta",
  "tie_word_embeddings",
];

let timer;
let speeds = [];

function show() {
  const place = byId("model-card");
  if (!isModelKnown())
    return place.replaceChildren(element("p", { class: "quiet" }, say(`server-${serverState()}`)));
  const model = serverInformation();
  place.replaceChildren(
    element("h2", {}, model.model),
    element("p", { class: "quiet" }, say(model.chat ? "kind-chat" : "kind-base")),
    sizes(model),
    element("h3", {}, say("now")),
    now(model),
    element("h3", {}, say("configuration")),
    facts(model),
  );
}

function tile(words, value, ...more) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", {}, words), ...more);
}

function sizes({ parameters, memory, weights, context, vocabulary }) {
  return element(
    "div",
    { class: "tiles" },
    tile(say("parameter-count"), short(parameters)),
    tile(say("weights", { dtype: weights ?? "" }), size(memory?.weight_bytes ?? 0)),
    tile(say("context-length"), count(context ?? 0)),
    tile(say("vocabulary"), count(vocabulary)),
  );
}

/** A number of parameters in millions or billions. */
function short(number) {
  if (number >= 1e9) return say("billions", { n: count(number / 1e9, 2) });
  if (number >= 1e6) return say("millions", { n: count(number / 1e6, 1) });
  return count(number);
}

function now({ speed, memory, cache }) {
  const running = tile(say("running", { n: count(speed?.waiting ?? 0) }), count(speed?.running ?? 0));
  return element(
    "div",
    { class: "tiles" },
    tile(say("speed-now"), count(speedOf({ speed }), 1), spark()),
    running,
    ...(memory ? [cacheTile(memory, cache)] : []),
  );
}

const speedOf = ({ speed }) => speed?.written_tokens_per_second ?? 0;

/** Memory for keys and values: how much of it is lent to texts being written, or kept to be used again. */
function cacheTile({ cache_bytes, cache_rows, cache_rows_lent, cache_rows_kept }, dtype) {
  const share = (cache_rows_lent + cache_rows_kept) / Math.max(1, cache_rows);
  const fill = element("i");
  fill.style.width = `${Math.min(1, share) * 100}%`;
  return tile(
    say("cache", { dtype: dtype ?? "", share: count(share * 100) }),
    size(cache_bytes),
    element("div", { class: "meter" }, fill),
  );
}

/** The speeds of the last two minutes as a line. */
function spark() {
  const most = Math.max(...speeds, 1);
  const points = speeds
    .map((speed, at) => `${((KEPT - speeds.length + at) / (KEPT - 1)) * 100},${39 - (speed / most) * 38}`)
    .join(" ");
  const line = drawn("polyline", {
    points,
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.5",
    "vector-effect": "non-scaling-stroke",
  });
  const shape = { viewBox: "0 0 100 40", preserveAspectRatio: "none", class: "spark", role: "img" };
  return drawn("svg", { ...shape, "aria-label": say("speed-line") }, line);
}

/** An element of a drawing. */
function drawn(name, attributes, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function facts({ config = {} }) {
  const rows = ROWS.filter(name => config[name] !== undefined && config[name] !== null);
  const row = name =>
    element("tr", {}, element("th", { scope: "row" }, say(name)), element("td", {}, shown(config[name])));
  return element("table", { class: "facts" }, element("tbody", {}, ...rows.map(row)));
}

function shown(value) {
  if (typeof value === "number") return count(value);
  return typeof value === "boolean" ? say(value ? "yes" : "no") : String(value);
}

async function look() {
  if (byId("model").hidden || document.visibilityState === "hidden") return;
  if (serverState() === "ready") await askInformation().catch(() => {});
  speeds = [...speeds, speedOf(serverInformation())].slice(-KEPT);
  show();
}

/** Starts the view. */
export function startModel() {
  onNews(show);
  inEveryLanguage(show);
}

/** The view is being looked at, or no longer. */
export function watchModel(isShown) {
  clearInterval(timer);
  if (!isShown) return;
  look();
  timer = setInterval(look, EVERY);
}
