// The view of the model: what it is, what it takes, how fast it is now.

import { byId, element } from "./element.js";
import { count, inEveryLanguage, say, size } from "./language.js";
import { askInformation, modelNow, onNews, serverState } from "./server.js";

const EVERY = 2000;
const KEPT = 60;
/** The rows of the configuration that are shown, by the names of config.json. */
const ROWS = ["num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
  "vocab_size", "max_position_embeddings", "rope_theta", "tie_word_embeddings"];

let timer;
let speeds = [];

function show() {
  const model = modelNow();
  const place = byId("model-card");
  if (!model) return place.replaceChildren(element("p", { class: "quiet" }, say(`server-${serverState()}`)));
  place.replaceChildren(element("h2", {}, model.name), element("p", { class: "quiet" }, say(model.chat ? "kind-chat" : "kind-base")),
    tiles(model), ...now(model), element("h3", {}, say("configuration")), facts(model));
}

function tile(words, value) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", {}, words));
}

function tiles(model) {
  const all = [
    model.parameters && tile(say("parameter-count"), short(model.parameters)),
    model.weights_bytes && tile(say("weights", { dtype: model.dtype ?? "" }), size(model.weights_bytes)),
    model.context && tile(say("context-length"), count(model.context)),
    model.config?.vocab_size && tile(say("vocabulary"), count(model.config.vocab_size)),
  ];
  return element("div", { class: "tiles" }, ...all.filter(Boolean));
}

/** A number of parameters in millions or billions. */
function short(number) {
  if (number >= 1e9) return say("billions", { n: count(number / 1e9, 2) });
  if (number >= 1e6) return say("millions", { n: count(number / 1e6, 1) });
  return count(number);
}

function now(model) {
  const { speed, cache, running, waiting } = model;
  const tiles_ = [
    tile(say("speed-now"), count(speed?.tokens_per_second ?? 0, 1)),
    tile(say("running"), count(running ?? 0)),
    tile(say("queue"), count(waiting ?? 0)),
  ];
  if (cache) tiles_.push(cacheTile(cache));
  tiles_[0].append(spark());
  return [element("h3", {}, say("now")), element("div", { class: "tiles" }, ...tiles_)];
}

function cacheTile({ used_bytes, limit_bytes }) {
  const share = limit_bytes ? Math.min(1, used_bytes / limit_bytes) : 0;
  const fill = element("i");
  fill.style.width = `${share * 100}%`;
  const made = tile(say("cache", { most: size(limit_bytes ?? 0) }), size(used_bytes));
  made.append(element("div", { class: "meter" }, fill));
  return made;
}

/** The speeds of the last two minutes as a line. */
function spark() {
  const most = Math.max(...speeds, 1);
  const points = speeds.map((speed, at) => `${((KEPT - speeds.length + at) / (KEPT - 1)) * 100},${39 - (speed / most) * 38}`).join(" ");
  const namespace = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(namespace, "svg");
  const line = document.createElementNS(namespace, "polyline");
  const shape = { viewBox: "0 0 100 40", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": say("speed-line") };
  for (const [name, value] of Object.entries(shape)) drawing.setAttribute(name, value);
  for (const [name, value] of Object.entries({ points, fill: "none", stroke: "currentColor", "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" })) line.setAttribute(name, value);
  drawing.append(line);
  return drawing;
}

function facts({ config = {} }) {
  const rows = ROWS.filter(name => config[name] !== undefined && config[name] !== null);
  const value = given => (typeof given === "number" ? count(given) : typeof given === "boolean" ? say(given ? "yes" : "no") : String(given));
  return element("table", { class: "facts" }, element("tbody", {}, ...rows.map(name =>
    element("tr", {}, element("th", { scope: "row" }, say(name)), element("td", {}, value(config[name]))))));
}

async function look() {
  if (byId("model").hidden || document.visibilityState === "hidden") return;
  if (serverState() === "ready") await askInformation().catch(() => {});
  speeds = [...speeds, modelNow()?.speed?.tokens_per_second ?? 0].slice(-KEPT);
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
