// What hands do in the notebook: keys, clicks, typing. While a syllable is being composed no key means
// anything but that syllable, and whoever touches the text stops the writing.

import { announce } from "./announce.js";
import { cardIsOpen, closeCard, enterCard } from "./alternatives.js";
import { byId, isComposing } from "./element.js";
import { say } from "./language.js";
import { edited, partAt } from "./manuscript.js";

/** Lets hands work on a notebook. */
export function startHands(notebook) {
  const { paper, now, caret, history, stop } = notebook;
  const { field } = paper;

  function move(step) {
    if (notebook.isWriting()) return;
    const before = now().text;
    step();
    notebook.show();
    const place = endOfDifference(before, now().text);
    field.setSelectionRange(place, place);
  }
  const undo = () => move(history().undo);
  const redo = () => move(history().redo);

  function showChoices() {
    if (notebook.openCardAt(partAt(now(), caret()))) enterCard();
    else announce(say("no-token-here"));
  }

  function workOf({ key, altKey, shiftKey, ctrlKey, metaKey, target }) {
    const control = ctrlKey || metaKey;
    const inText = target === field;
    if (key === "Escape") return cardIsOpen() ? closeCard : notebook.isWriting() ? stop : undefined;
    if (key === "Enter" && control) return shiftKey ? notebook.regenerate : notebook.goOn;
    if (!inText) return undefined;
    if (altKey) return { Enter: notebook.writeHere, ArrowDown: showChoices }[key];
    if (control) return { z: shiftKey ? redo : undo, y: redo }[key.toLowerCase()];
    return undefined;
  }

  function clicked({ clientX, clientY }) {
    const { selectionStart: place, selectionEnd } = field;
    const isHit = part =>
      paper
        .rectangles(part)
        .some(
          ({ left, right, top, bottom }) =>
            left <= clientX && clientX <= right && top <= clientY && clientY <= bottom,
        );
    const near = place === selectionEnd ? now().parts.filter(part => part.start <= place && place <= part.end) : [];
    if (!notebook.openCardAt(near.find(isHit))) closeCard();
  }

  document.addEventListener("keydown", event => {
    const isElsewhere = byId("notebook").hidden || document.querySelector("dialog[open]");
    const work = isElsewhere || isComposing(event) ? undefined : workOf(event);
    if (!work) return;
    event.preventDefault();
    work();
  });
  field.addEventListener("beforeinput", event => {
    stop();
    const work = { historyUndo: undo, historyRedo: redo }[event.inputType];
    if (!work) return;
    event.preventDefault();
    work();
  });
  let inSyllable = false;
  field.addEventListener("compositionstart", () => {
    inSyllable = false;
    stop();
  });
  field.addEventListener("input", ({ isComposing: composes }) => {
    stop();
    closeCard();
    // Half a syllable is never what undoing goes back to.
    history().type(edited(now(), field.value), performance.now(), composes && inSyllable);
    inSyllable = composes;
    notebook.typed();
  });
  field.addEventListener("click", clicked);
  document.addEventListener("selectionchange", () => document.activeElement === field && notebook.showCaret());

  const { goOn, writeHere, regenerate, shade } = notebook;
  const buttons = { continue: goOn, stop, "write-here": writeHere, regenerate, undo, redo, shade };
  for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", work);
}

/** Where the last difference to an earlier text ends. */
function endOfDifference(before, after) {
  let behind = 0;
  while (behind < before.length && behind < after.length && before.at(-1 - behind) === after.at(-1 - behind))
    behind++;
  return after.length - behind;
}
