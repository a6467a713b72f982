// The notebook: one text that the model goes on with. What it wrote is kept token by token, so that any of
// them can be exchanged and the text goes on from there. Hands are in `notebook_hands.js`.

import { closeCard, openCard } from "./alternatives.js";
import { byId, element, whenQuiet } from "./element.js";
import { inEveryLanguage, say } from "./language.js";
import { asRead, cut, edited, exchanged, idsBefore, idsUpTo, newRun, plain } from "./manuscript.js";
import { startDesk } from "./notebook_desk.js";
import { tellNotebookFigures } from "./notebook_figures.js";
import { startHands } from "./notebook_hands.js";
import { startLegend } from "./notebook_legend.js";
import { startWriter } from "./notebook_writer.js";
import { openPaper } from "./paper.js";
import { requested } from "./parameters.js";
import { pieceMaker } from "./pieces.js";
import { recall, remember } from "./remembered.js";
import { revisions } from "./revisions.js";
import { modelName } from "./server.js";
import { problemIsOver, tellActivity, tellError } from "./status.js";
import { textOf } from "./token_bytes.js";
import { fitting, promptIds, read, write } from "./writing.js";

const OPENINGS = ["opening-1", "opening-2", "opening-3", "opening-4"];

const paper = openPaper();
let history = revisions(plain(""));
const now = () => history.now();
let shaded = recall("shaded", false);
/** What ends the request under way; undefined when there is none. */
let underWay;
const speed = { tokens: 0, seconds: 0 };

const desk = startDesk({ now, replace });
const legend = startLegend({ now, readAll });

// ---- showing

function show() {
  paper.show(now(), shaded);
  showState();
  desk.changed();
  countLater();
}

function showState() {
  const writing = Boolean(underWay);
  byId("continue").hidden = writing;
  byId("stop").hidden = !writing;
  byId("undo").disabled = writing || !history.canUndo();
  byId("redo").disabled = writing || !history.canRedo();
  byId("regenerate").disabled = writing || !now().last;
  showCaret();
  byId("shade").setAttribute("aria-pressed", shaded);
  byId("openings").hidden = now().text !== "" || writing;
  legend.show(shaded, writing);
  keepFocus();
}

const caret = () => paper.field.selectionEnd;
const showCaret = () => (byId("write-here").disabled = Boolean(underWay) || caret() === now().text.length);

/** A button that has gone hands its focus to the one in its place. */
function keepFocus() {
  const { activeElement: focused } = document;
  const isLost = focused?.closest(".actions") && (focused.hidden || focused.disabled);
  if (isLost) byId(underWay ? "stop" : "continue").focus();
}

/** What the status line says of the notebook. */
export const showNotebookFigures = () => tellNotebookFigures(now(), speed, Boolean(underWay));
const countLater = whenQuiet(350, showNotebookFigures);

let shownAt = 0;
function counted(tokens, seconds) {
  Object.assign(speed, { tokens, seconds });
  if (performance.now() - shownAt < 200) return;
  shownAt = performance.now();
  showNotebookFigures();
}

/** Another document in the place of this one. */
function replace(manuscript) {
  stopWriting();
  closeCard();
  history = revisions(manuscript);
  Object.assign(speed, { tokens: 0, seconds: 0 });
  tellActivity(() => "");
  show();
}

/** Another text as a revision, with the caret at a place. */
function revise(manuscript, place) {
  history.revise(manuscript);
  show();
  paper.field.focus();
  paper.field.setSelectionRange(place, place);
}

// ---- the model

/** Does something with the server that Stop can end; `work` gives how it ended. */
async function underway(activity, work) {
  closeCard();
  const mine = (underWay = new AbortController());
  tellActivity(() => say(activity));
  showState();
  let ended = "stopped";
  try {
    ended = await work(mine.signal);
    problemIsOver();
  } catch (error) {
    if (error.name !== "AbortError") ended = "failed";
    tellError(error);
  } finally {
    if (underWay === mine) underWay = undefined;
    if (!underWay) finished(ended);
  }
}

function finished(ended) {
  tellActivity(() => say(`ended-${ended}`));
  show();
  showNotebookFigures();
}

/** Ends what is under way. */
export function stopWriting() {
  underWay?.abort();
  underWay = undefined;
}

/** Writes at a place of a manuscript, after the ids that `prompt` gives and the steps picked by hand. */
function writeAt(base, place, prompt, given = []) {
  return underway("writing", async signal => {
    const parameters = requested();
    const run = newRun(modelName(), fitting(await prompt(signal), parameters.max_tokens), given);
    const writer = startWriter({ history, paper, shaded, base, place, run, counted });
    try {
      return (await write(idsBefore(run, given.length), parameters, signal, writer.add)).reason || "stop";
    } finally {
      writer.end();
    }
  });
}

/** The ids of the text up to a place: those that wrote it, where they are known. */
const idsOf = (manuscript, place) => async signal =>
  idsUpTo(manuscript, place, modelName()) ?? promptIds(manuscript.text.slice(0, place), signal);

function goOn() {
  const base = now();
  writeAt(base, base.text.length, idsOf(base, base.text.length));
  paper.toEnd();
}

function writeHere() {
  writeAt(now(), caret(), idsOf(now(), caret()));
}

function regenerate() {
  const { last } = now();
  if (!last) return;
  const { run, start, end } = last;
  const base = exchanged(now(), start, end, "");
  if (!isOurs(run)) return writeAt(base, start, idsOf(base, start));
  writeAt(base, start, async () => run.prompt, run.steps.slice(0, run.given));
}

/** Whether the ids of a run are those of the model in use. */
const isOurs = run => run.model === modelName();

function goOnWith(text) {
  revise(edited(now(), text), text.length);
  goOn();
}

/** Goes on from a token with another in its place. */
function pick({ run, at, start }, other) {
  const base = cut(now(), start);
  paper.field.focus();
  closeCard();
  if (other.token === "</s>") return revise(base, start);
  if (!isOurs(run)) return goOnWith(base.text + (textOf([other.token]) ?? ""));
  writeAt(base, start, async () => idsBefore(run, at), [{ ...run.steps[at], ...other }]);
}

/** Asks for the probabilities of the whole text as it stands. */
function readAll() {
  if (underWay || now().text === "") return;
  underway("reading", async signal => {
    const { text } = now();
    const answer = await read(fitting(await promptIds(text, signal), 1), signal);
    if (now().text === text)
      history.amend(readBy({ ...newRun(modelName(), []), steps: answer.steps }, answer.text));
    return "read";
  });
}

/** The manuscript as a run has read it: a long one only from some place on. */
function readBy(run, text) {
  // The mark where a text begins has no place in it.
  const first = run.steps[0]?.token === "<s>" ? 1 : 0;
  const pieces = pieceMaker();
  const tokens = run.steps.slice(first).map(step => step.token);
  const found = [...pieces.add(tokens, text), ...pieces.end()];
  return now().text.endsWith(text) ? asRead(now(), run, first, found) : now();
}

function shade() {
  shaded = !shaded;
  remember("shaded", shaded);
  show();
  if (shaded && legend.isMissing()) readAll();
}

/** Shows the choices for a part; whether there is anything to show. */
function openCardAt(part) {
  if (underWay || !part) return false;
  paper.choose(part);
  openCard(
    part,
    paper.rectangles(part),
    other => pick(part, other),
    () => paper.choose(undefined),
  );
  return true;
}

/** Work that waits until nothing is under way. */
const idle = work => () => underWay || work();

/** Starts the notebook. */
export function startNotebook() {
  startHands({
    paper,
    now,
    caret,
    openCardAt,
    showCaret,
    stop: stopWriting,
    shade,
    history: () => history,
    isWriting: () => Boolean(underWay),
    typed() {
      paper.show(now(), shaded);
      showState();
      desk.changed();
      countLater();
    },
    goOn: idle(goOn),
    writeHere: idle(writeHere),
    regenerate: idle(regenerate),
    show,
  });
  inEveryLanguage(() => {
    const opening = text =>
      element("button", { type: "button", onclick: () => revise(plain(text), text.length) }, text);
    byId("openings").replaceChildren(...OPENINGS.map(name => opening(say(name))));
    showState();
    showNotebookFigures();
  });
  show();
}

/** Finds the last document again. */
export const restoreNotebook = () => desk.restore();
