// A text as chips, one a token; the byte tokens of one character are one chip with their number.

import { element, walkable } from "./element.js";
import { count, say } from "./language.js";
import { visible } from "./shown_token.js";
import { bytesOf, hexadecimal, textOf } from "./token_bytes.js";

/** More chips than this are not shown. */
const MOST = 3000;

/** Tokens, {id, text, isByte}, as chips: {text, ids, isBytes, bytes}. */
export function grouped(tokens) {
  const chips = [];
  for (let at = 0; at < tokens.length; at++) {
    const end = tokens[at].isByte ? endOfCharacter(tokens, at) : at + 1;
    const group = tokens.slice(at, end);
    const bytes = hexadecimal(group.flatMap(token => [...bytesOf(token.text)]));
    const text = textOf(group.map(token => token.text)) ?? bytes;
    chips.push({ text, ids: group.map(token => token.id), isBytes: tokens[at].isByte, bytes });
    at = end - 1;
  }
  return chips;
}

/** Where the byte tokens from `at` on make a character; right behind the first where they never do. */
function endOfCharacter(tokens, at) {
  for (let end = at + 1; end <= Math.min(at + 4, tokens.length); end++) {
    if (!tokens[end - 1].isByte) break;
    if (textOf(tokens.slice(at, end).map(token => token.text)) !== undefined) return end;
  }
  return at + 1;
}

/** Chips as a row; `tell(words)` hears of the chip that is pointed at or walked to. */
export function chipRow(chips, label, tell) {
  const items = chips.slice(0, MOST).map(chip => item(chip, tell));
  const withLineEnds = items.flatMap((made, at) =>
    chips[at].text.endsWith("\n") ? [made, element("li", { class: "line-end", "aria-hidden": "true" })] : [made],
  );
  const rest =
    chips.length > MOST
      ? [element("li", { class: "quiet" }, say("more-chips", { n: count(chips.length - MOST) }))]
      : [];
  const row = element("ol", { class: "chips", "aria-label": label }, ...withLineEnds, ...rest);
  walkable(row, items);
  return row;
}

function item(chip, tell) {
  const several = chip.ids.length > 1;
  const made = element(
    "li",
    { class: chip.isBytes ? "chip bytes" : "chip", "data-count": several ? chip.ids.length : undefined },
    ...[...chip.text].map(visible),
  );
  const words = () =>
    tell(
      say(several ? "chip-bytes" : "chip", {
        text: made.firstChild ? made.textContent : "",
        ids: chip.ids.join(" "),
        bytes: chip.bytes,
        n: chip.ids.length,
      }),
    );
  made.addEventListener("focus", words);
  made.addEventListener("pointerenter", words);
  return made;
}
