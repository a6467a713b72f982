// How a token is shown where its letters alone would not show it: spaces, line ends, bytes.

import { element } from "./element.js";
import { bytesOf, hexadecimal, isBytes } from "./token_bytes.js";

const SIGNS = { " ": "␣", "▁": "␣", "\n": "⏎", "\t": "⇥" };
const SPECIAL = /^<(s|\/s|unk|pad)>$/;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\u00a0\u3000]/u;

/** A character that shows itself, or a sign for one that does not. */
export function visible(character) {
  const sign = SIGNS[character] ?? (HIDDEN.test(character) ? codePoint(character) : undefined);
  return sign ? element("span", { class: "mark" }, sign) : character;
}

function codePoint(character) {
  return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** Whether a token is a mark of the model and not text. */
export const isSpecial = token => SPECIAL.test(token);

/** A token in letters and signs. */
export function shownToken(token) {
  if (isBytes(token)) return element("span", { class: "token byte" }, hexadecimal(bytesOf(token)));
  if (isSpecial(token)) return element("span", { class: "token mark" }, token);
  return element("span", { class: "token" }, ...[...token].map(visible));
}
