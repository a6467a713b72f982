// What the status line says of the notebook: tokens and speed of the last writing, how full the model is.

import { ask } from "./api.js";
import { byId } from "./element.js";
import { count, say } from "./language.js";
import { modelName, serverInformation, serverState } from "./server.js";
import { tellFigures } from "./status.js";

let [countedText, tokens] = ["", 0];

/** Shows the figures of a manuscript and of the last writing, {tokens, seconds}. */
export async function tellNotebookFigures({ text }, speed, isWriting) {
  const show = () =>
    byId("notebook").hidden ||
    tellFigures(() => [written(speed), context(), say("characters", { n: count([...text].length) })]);
  show();
  if (text === countedText || serverState() !== "ready" || isWriting) return;
  countedText = text;
  try {
    tokens = (await ask("tokenize", { model: modelName(), text, add_special: true })).ids.length;
    show();
  } catch {
    // Counting is a courtesy: what is wrong is told when something is asked for.
  }
}

function written({ tokens, seconds }) {
  if (tokens === 0) return "";
  const speed = seconds > 0.3 ? ` · ${say("per-second", { n: count(tokens / seconds, 1) })}` : "";
  return say(tokens === 1 ? "written-one" : "written", { n: count(tokens) }) + speed;
}

function context() {
  const most = serverInformation().context;
  return most ? say(tokens > most ? "context-over" : "context", { n: count(tokens), most: count(most) }) : "";
}
