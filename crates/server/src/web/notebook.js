// The notebook: one text that the model goes on with. What it wrote is kept token by token, so that any of
// them can be exchanged and the text goes on from there.

import { announce } from "./announce.js";
import { cardIsOpen, closeCard, enterCard, openCard } from "./alternatives.js";
import { byId, element, isComposing, whenQuiet } from "./element.js";
import { inEveryLanguage, say } from "./language.js";
import { cut, edited, grown, idsBefore, idsUpTo, lastWriting, newRun, partAt, plain, without } from "./manuscript.js";
import { startDesk } from "./notebook_desk.js";
import { startLegend } from "./notebook_legend.js";
import { tellNotebookFigures } from "./notebook_figures.js";
import { openPaper } from "./paper.js";
import { requested } from "./parameters.js";
import { pieceMaker } from "./pieces.js";
import { recall, remember } from "./remembered.js";
import { revisions } from "./revisions.js";
import { problemIsOver, tellActivity, tellError } from "./status.js";
import { fitting, promptIds, read, write } from "./writing.js";
import { startWriter } from "./notebook_writer.js";

const OPENINGS = ["opening-1", "opening-2", "opening-3", "opening-4"];

/** Starts the notebook; gives what other parts of the page may ask of it. */
export function startNotebook() {
  const paper = openPaper();
  let history = revisions(plain(""));
  let shaded = recall("shaded", false);
  /** The request under way, an AbortController; or undefined. */
  let underWay;
  const speed = { tokens: 0, seconds: 0 };
  const now = () => history.now();

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
    byId("regenerate").disabled = writing || !lastWriting(now());
    byId("write-here").disabled = writing || caret() === now().text.length;
    byId("shade").setAttribute("aria-pressed", shaded);
    byId("openings").hidden = now().text !== "" || writing;
    legend.show(shaded, writing);
  }

  const caret = () => paper.field.selectionEnd;
  const showFigures = () => tellNotebookFigures(now(), speed);
  const countLater = whenQuiet(350, showFigures);

  /** Another document in the place of this one. */
  function replace(manuscript) {
    stop();
    closeCard();
    history = revisions(manuscript);
    [speed.tokens, speed.seconds] = [0, 0];
    tellActivity(() => "");
    show();
  }

  // ---- writing

  /** Does something with the server that Stop can end. */
  async function underway(activity, work) {
    closeCard();
    const controller = (underWay = new AbortController());
    tellActivity(() => say(activity));
    showState();
    let ended = "stopped";
    try {
      ended = await work(controller.signal);
      problemIsOver();
    } catch (error) {
      if (error.name !== "AbortError") ended = "failed";
      tellError(error);
    } finally {
      if (underWay === controller) underWay = undefined;
      tellActivity(() => say(`ended-${ended}`));
      show();
    }
  }

  function stop() {
    underWay?.abort();
    underWay = undefined;
  }

  /** Writes at a place, after the ids that `prompt` gives. */
  function writeAt(place, base, prompt, given = []) {
    return underway("writing", async signal => {
      const parameters = requested();
      const ids = fitting(await prompt(signal), parameters.max_tokens);
      const run = newRun(ids, given);
      const writer = startWriter({ history, paper, shaded, base, place, run, counted });
      try {
        return (await write(idsBefore(run, given.length), parameters, signal, writer.add)).reason || "stop";
      } finally {
        writer.end();
      }
    });
  }

  let shownAt = 0;
  function counted(tokens, seconds) {
    Object.assign(speed, { tokens, seconds });
    if (performance.now() - shownAt < 200) return;
    shownAt = performance.now();
    showFigures();
  }

  /** The ids of the text up to a place: those that wrote it, where they are known. */
  const idsOf = (manuscript, place) => async signal =>
    idsUpTo(manuscript, place) ?? promptIds(manuscript.text.slice(0, place), signal);

  function goOn() {
    if (underWay) return;
    const base = now();
    writeAt(base.text.length, base, idsOf(base, base.text.length));
    paper.toEnd();
  }

  function writeHere() {
    if (underWay) return;
    const [base, place] = [now(), caret()];
    writeAt(place, base, idsOf(base, place));
  }

  function regenerate() {
    const last = lastWriting(now());
    if (underWay || !last) return;
    const base = without(now(), last.start, last.end);
    writeAt(last.start, base, async () => last.run.prompt, last.run.steps.slice(0, last.run.given));
  }

  /** Goes on from a token with another in its place. */
  function pick(part, other) {
    const { run, at } = part;
    const base = cut(now(), part.start);
    const step = { ...run.steps[at], ...other };
    closeCard();
    paper.field.focus();
    paper.field.setSelectionRange(part.start, part.start);
    if (other.isEnd) {
      history.revise(base);
      return show();
    }
    writeAt(part.start, base, async () => idsBefore(run, at), [step]);
  }

  // ---- probabilities

  /** Asks for the probabilities of the whole text as it stands. */
  function readAll() {
    if (underWay || now().text === "") return;
    underway("reading", async signal => {
      const { text } = now();
      const ids = fitting(await promptIds(text, signal), 1);
      const answer = await read(ids, signal);
      const run = { ...newRun([]), read: true, steps: answer.steps };
      if (now().text === text) history.amend(asRead(text, run));
      return "read";
    });
  }

  /** A text with the parts that a reading of its end gives. */
  function asRead(text, run) {
    const pieces = pieceMaker();
    let at = 0;
    // The mark where a text begins has no place in it.
    while (run.steps[at] && /^<s>$/.test(run.steps[at].token)) at++;
    const whole = run.steps.slice(at).map(step => step.token);
    const found = [...pieces.add(whole, text), ...pieces.end()];
    return grown(plain(""), 0, run, at, found);
  }

  function shade() {
    shaded = !shaded;
    remember("shaded", shaded);
    show();
    if (shaded && legend.isMissing()) readAll();
  }

  // ---- the card

  function openCardAt(part) {
    if (underWay || !part) return false;
    paper.choose(part);
    openCard(part, paper.rectangles(part), other => pick(part, other), () => paper.choose(undefined));
    return true;
  }

  function clicked(event) {
    const { selectionStart, selectionEnd } = paper.field;
    if (selectionStart !== selectionEnd) return closeCard();
    const isHit = part => paper.rectangles(part).some(({ left, right, top, bottom }) =>
      left <= event.clientX && event.clientX <= right && top <= event.clientY && event.clientY <= bottom);
    const near = now().parts.filter(part => part.start <= selectionStart && selectionStart <= part.end);
    if (!openCardAt(near.find(isHit))) closeCard();
  }

  // ---- hands

  paper.field.addEventListener("beforeinput", event => {
    // Whoever touches the text stops the writing: the text under one's hands stays still.
    if (underWay) stop();
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault();
      event.inputType === "historyUndo" ? undo() : redo();
    }
  });
  paper.field.addEventListener("compositionstart", stop);
  paper.field.addEventListener("input", () => {
    closeCard();
    history.type(edited(now(), paper.field.value), performance.now());
    paper.show(now(), shaded);
    showState();
    desk.changed();
    countLater();
  });
  paper.field.addEventListener("click", clicked);
  document.addEventListener("selectionchange", () => {
    if (document.activeElement === paper.field) byId("write-here").disabled = Boolean(underWay) || caret() === now().text.length;
  });

  const undo = () => move(history.undo);
  const redo = () => move(history.redo);
  function move(step) {
    if (underWay) return;
    const before = now().text;
    step();
    show();
    const place = firstDifference(before, now().text);
    paper.field.setSelectionRange(place, place);
  }

  const buttons = { continue: goOn, stop, "write-here": writeHere, regenerate, undo, redo, shade };
  for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", work);

  byId("notebook").addEventListener("keydown", event => {
    if (isComposing(event)) return;
    const work = keyWork(event);
    if (!work) return;
    event.preventDefault();
    work();
  });

  function keyWork(event) {
    const { key, altKey, shiftKey } = event;
    const control = event.ctrlKey || event.metaKey;
    const inText = event.target === paper.field;
    if (key === "Escape") return cardIsOpen() ? closeCard : underWay ? stop : undefined;
    if (key === "Enter" && control) return shiftKey ? regenerate : goOn;
    if (key === "Enter" && altKey && inText) return writeHere;
    if (key === "ArrowDown" && altKey && inText) return () => openCardAt(partAt(now(), caret())) ? enterCard() : announce(say("no-token-here"));
    if (control && key.toLowerCase() === "z" && inText) return shiftKey ? redo : undo;
    if (control && key.toLowerCase() === "y" && inText) return redo;
    return undefined;
  }

  inEveryLanguage(() => {
    byId("openings").replaceChildren(...OPENINGS.map(name => element("button", { type: "button", onclick: () => open(say(name)) }, say(name))));
    showState();
    showFigures();
  });
  function open(text) {
    history.revise(plain(text));
    show();
    paper.field.focus();
    paper.field.setSelectionRange(text.length, text.length);
  }

  show();
  return { stop, showFigures, restore: desk.restore };
}

function firstDifference(before, after) {
  let end = 0;
  while (end < before.length && before.at(-1 - end) === after.at(-1 - end)) end++;
  return Math.max(0, after.length - end);
}
