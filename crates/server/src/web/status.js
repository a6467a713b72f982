// The line below: whether the server answers, what is going on, counts and speed; and the line above, which
// comes only when something went wrong.

import { announce } from "./announce.js";
import { ServerError } from "./api.js";
import { byId, element } from "./element.js";
import { inEveryLanguage, say } from "./language.js";
import { onNews, serverIsGone, serverState } from "./server.js";

let [activity, figures] = [() => "", () => []];

const showActivity = () => (byId("activity").textContent = activity());
const showFigures = () =>
  byId("figures").replaceChildren(
    ...figures()
      .filter(Boolean)
      .map(text => element("span", {}, text)),
  );

function showConnection() {
  const place = byId("connection");
  const state = serverState();
  const words = say(`server-${state}`);
  place.dataset.state = state;
  if (place.textContent !== words) place.textContent = words;
}

/** Shows what is going on; `words` is asked again when the language changes. Said aloud, too. */
export function tellActivity(words) {
  activity = words;
  showActivity();
  if (words()) announce(words());
}

/** Shows figures, a list of short texts that `words` gives. */
export function tellFigures(words) {
  figures = words;
  showFigures();
}

let shownProblem;

/** Shows a problem in words until it is closed, or another request goes well. */
export function tellProblem(words) {
  shownProblem = words;
  byId("notice").hidden = false;
  byId("notice-words").textContent = words();
}

/** Takes away what was said about a problem. */
export function problemIsOver() {
  shownProblem = undefined;
  byId("notice").hidden = true;
}

/** Shows an error of a request in words. What is no error of the server is a fault of the page: thrown on. */
export function tellError(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof ServerError)) throw error;
  if (["gone", "loading", "key"].includes(error.kind)) serverIsGone();
  const { kind, detail, seconds } = error;
  tellProblem(() => say(`error-${kind}`, { detail, seconds: seconds || 1 }));
}

/** Keeps both lines as they should be. */
export function startStatus() {
  byId("notice-close").addEventListener("click", problemIsOver);
  let before = serverState();
  onNews(() => {
    if (before === "gone" && serverState() === "ready") problemIsOver();
    before = serverState();
    showConnection();
  });
  inEveryLanguage(() => {
    showConnection();
    showActivity();
    showFigures();
    if (shownProblem) byId("notice-words").textContent = shownProblem();
  });
}
