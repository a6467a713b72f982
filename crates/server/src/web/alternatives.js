// The card at a token: how likely it was, what else the model might have written there, and a choice among
// them. It takes no focus by itself, so that a click still just places the caret.

import { byId, element, walkable } from "./element.js";
import { count, say } from "./language.js";
import { chanceOf, stepsOf } from "./manuscript.js";
import { isSpecial, shownToken } from "./shown_token.js";

const card = byId("alternatives");
let onClose = () => {};

/** A logarithm of a probability as a percentage. */
function percentage(chance) {
  const share = Math.exp(chance) * 100;
  if (share < 0.01) return `< ${count(0.01, 2)} %`;
  return `${count(share, share < 1 ? 2 : share < 99.95 ? 1 : 0)} %`;
}

/** Whether the card is there to be seen. */
export const cardIsOpen = () => !card.hidden;

/** Takes the card away. */
export function closeCard() {
  if (card.hidden) return;
  card.hidden = true;
  onClose();
}

/** Shows the card of a part below its rectangles; `pick(other)` is called with what is chosen. */
export function openCard(part, rectangles, pick, closed) {
  closeCard();
  onClose = closed;
  const [step] = stepsOf(part);
  const list = element("ol", {}, ...choices(step, pick));
  card.setAttribute("aria-label", say("alternatives"));
  card.replaceChildren(head(part), list, element("p", { class: "hint" }, hint(step)));
  walkable(list, [...list.querySelectorAll("button:enabled")]);
  card.hidden = false;
  place(rectangles);
}

/** Moves the focus to the first choice. */
export function enterCard() {
  card.querySelector("li button:enabled")?.focus();
}

function head(part) {
  const steps = stepsOf(part);
  const chance = chanceOf(part);
  return element(
    "header",
    {},
    element("b", {}, ...steps.map(step => shownToken(step.token))),
    element("span", { class: "quiet small figure" }, say("id", { id: steps.map(step => step.id).join(" ") })),
    element("b", { class: "chance figure" }, chance === undefined ? "–" : percentage(chance)),
  );
}

function hint(step) {
  if (step.others.length === 0) return say("no-alternatives");
  return say("pick-hint");
}

/** The other choices, and the token itself among them. */
function choices(step, pick) {
  const own = step.others.some(other => other.id === step.id) ? [] : [step];
  const all = [...step.others, ...(typeof step.chance === "number" ? own : [])];
  return all.map(other => choice(other, other.id === step.id, pick));
}

function choice(other, isOwn, pick) {
  const bar = element("span", { class: "bar" });
  bar.style.width = `${Math.exp(other.chance) * 100}%`;
  const button = element(
    "button",
    {
      type: "button",
      disabled: isSpecial(other.token) && other.token !== "</s>",
      "aria-current": isOwn ? "true" : undefined,
      onclick: () => pick(other),
    },
    bar,
    shownToken(other.token),
    element("span", { class: "chance figure" }, percentage(other.chance)),
  );
  return element("li", {}, button);
}

function place(rectangles) {
  const last = rectangles.at(-1);
  const sheet = card.parentElement.getBoundingClientRect();
  if (!last) return;
  const left = Math.max(8, Math.min(last.left - sheet.left, sheet.width - card.offsetWidth - 8));
  const scroll = card.closest(".sheet-scroll").getBoundingClientRect();
  const below = last.bottom + 6;
  const fits = below + card.offsetHeight < scroll.bottom || last.top - card.offsetHeight - 6 < scroll.top;
  card.style.left = `${left}px`;
  card.style.top = `${(fits ? below : last.top - card.offsetHeight - 6) - sheet.top}px`;
}

card.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  event.stopPropagation();
  closeCard();
  byId("text").focus();
});
