// A stream of tokens and a stream of text, put together: which tokens wrote which stretch of the text. The
// text may come later than its tokens (half a character, what might become a stop text) and in other lengths.

import { isBytes, textOf } from "./token_bytes.js";

/**
 * Takes tokens and text as they come, gives back `[{text, count}]`: stretches of whole characters, each with
 * how many tokens wrote it. `given` are tokens that stand before the stream and are not in its text: bytes
 * that were picked by hand, of a character that the stream completes.
 */
export function pieceMaker(given = []) {
  let [tokens, text] = [[...given], ""];
  let completes = given.length > 0;
  let first = true;

  /** The next piece, or undefined while more has to come. */
  function next() {
    for (let count = 1; count <= tokens.length; count++) {
      const written = textOf(tokens.slice(0, count));
      if (written !== undefined) return fitted(written, count);
    }
    // Text has come although no characters are whole: these bytes never make any.
    return text && (!completes || tokens.length > 4) ? taken(text, tokens.length) : undefined;
  }

  function fitted(written, count) {
    if (completes && tokens.slice(0, count).every(isBytes)) {
      completes = false;
      if (!text.startsWith(written)) text = written + text.replace(/^\uFFFD+/, "");
    }
    // A text begins without the space that its first word has.
    if (first && written.startsWith(" ") && !text.startsWith(" ") && text !== "") written = written.slice(1);
    if (text.startsWith(written)) return taken(written, count);
    return written.startsWith(text) ? undefined : taken(text, tokens.length);
  }

  function taken(written, count) {
    [text, tokens, first] = [text.slice(written.length), tokens.slice(count), false];
    return { text: written, count };
  }

  function* whatIsCertain() {
    for (let piece; tokens.length > 0 && (piece = next());) yield piece;
  }

  return {
    /** The pieces that these complete. */
    add(moreTokens, moreText) {
      tokens.push(...moreTokens);
      text += moreText;
      return [...whatIsCertain()];
    },
    /** What is left: text without tokens of its own has a count of 0. */
    end() {
      const rest = text === "" ? [] : [{ text, count: tokens.length }];
      [tokens, text] = [[], ""];
      return rest;
    },
  };
}
