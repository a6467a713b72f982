// Puts the steps of a run into the text as they come. Nothing is a revision before the first piece is there,
// so a writing that fails at once leaves the text as it was.

import { sentenceAnnouncer } from "./announce.js";
import { grown } from "./manuscript.js";
import { pieceMaker } from "./pieces.js";
import { isBytes } from "./token_bytes.js";

/** A writer at a place of `base`; `counted(tokens, seconds)` hears how far it is. */
export function startWriter({ history, paper, shaded, base, place, run, counted }) {
  const picked = run.steps[0]?.token;
  const isByte = picked !== undefined && isBytes(picked);
  const pieces = pieceMaker(isByte ? [picked] : []);
  const sentences = sentenceAnnouncer();
  const began = performance.now();
  let [end, placed] = [place, 0];
  let mine = history.now();
  paper.show(base, shaded);

  function put(news) {
    // Once somebody else has changed the text, it is no longer written on.
    if (news.length === 0 || history.now() !== mine) return;
    if (placed === 0) history.revise(base);
    mine = grown(placed === 0 ? base : mine, end, run, placed, news);
    history.amend(mine);
    const text = news.map(piece => piece.text).join("");
    const follows = paper.seesEnd();
    paper.grow(mine, end, text);
    if (follows) paper.toEnd();
    placed += news.reduce((sum, piece) => sum + piece.count, 0);
    end += text.length;
    sentences.add(text);
  }

  if (picked !== undefined && !isByte) put([{ text: place === 0 ? picked.replace(/^ /, "") : picked, count: 1 }]);
  return {
    add(steps, text) {
      run.steps.push(...steps);
      put(
        pieces.add(
          steps.map(step => step.token),
          text,
        ),
      );
      counted(run.steps.length - run.given, (performance.now() - began) / 1000);
    },
    /** Half a character at the end is left out: it is written anew when the text goes on. */
    end() {
      put(pieces.end().filter(piece => !piece.text.includes("\uFFFD")));
      sentences.end();
    },
  };
}
