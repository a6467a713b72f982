// What the colours of tokens mean, and how well the model foresaw the text.

import { byId, element } from "./element.js";
import { count, inEveryLanguage, say } from "./language.js";
import { chanceOf } from "./manuscript.js";
import { HEATS } from "./paper.js";

const ENCODER = new TextEncoder();

/** The line of the legend. */
export function startLegend({ now, readAll }) {
  const place = byId("legend");
  let [shown, busy] = [false, false];

  /** Whether there is text whose probabilities are not known, but could be: of a long one, the end is read. */
  function isMissing() {
    const { text, parts } = now();
    const first = parts[0]?.run.prompt.length === 0 ? parts[0].start : 0;
    return parts.reduce((sum, part) => sum + part.end - part.start, first) < text.length;
  }

  function fill() {
    place.hidden = !shown;
    if (!shown) return;
    const button = element("button", { type: "button", onclick: readAll, disabled: busy }, say("read-all"));
    place.replaceChildren(
      element("span", {}, say("heats")),
      element("ul", {}, ...steps()),
      foreseen(),
      isMissing() ? button : "",
    );
  }

  /** Bits per byte and per token of what is known. */
  function foreseen() {
    const { text, parts } = now();
    const known = parts.filter(part => chanceOf(part) !== undefined);
    if (known.length === 0) return "";
    const bits = -known.reduce((sum, part) => sum + chanceOf(part), 0) / Math.LN2;
    const bytes = known.reduce((sum, part) => sum + ENCODER.encode(text.slice(part.start, part.end)).length, 0);
    return element("span", { class: "figure" }, say("bits", { n: count(bits / Math.max(1, bytes), 2) }));
  }

  inEveryLanguage(fill);
  return {
    isMissing,
    show(isShown, isBusy) {
      [shown, busy] = [isShown, isBusy];
      fill();
    },
  };
}

function steps() {
  const percent = share => `${count(share * 100, share < 0.01 ? 1 : 0)} %`;
  const words = [`≥ ${percent(HEATS[0])}`, ...HEATS.map(limit => `< ${percent(limit)}`)];
  return words.map((text, heat) => element("li", { class: `heat-${heat}` }, text));
}
