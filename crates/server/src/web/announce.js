// What is said to those who listen to the page: states at once, a stream sentence by sentence, never letter
// by letter.

import { byId } from "./element.js";

const SENTENCE = /^[\s\S]*[.!?。…\n]["'”’)]*(?=\s|$)/;
const LONGEST = 240;

/** Says a sentence politely, when the listener has a moment. */
export function announce(text) {
  const line = document.createElement("p");
  line.textContent = text;
  // The last few stay, so that a slow reader still finds them.
  const place = byId("announcer");
  place.append(line);
  while (place.children.length > 4) place.firstChild.remove();
}

/** Takes a stream of text and announces whole sentences of it; `end` says the rest. */
export function sentenceAnnouncer() {
  let waiting = "";
  const say = text => text.trim() && announce(text.trim());
  return {
    add(text) {
      waiting += text;
      const whole = waiting.length > LONGEST ? waiting : (SENTENCE.exec(waiting)?.[0] ?? "");
      say(whole);
      waiting = waiting.slice(whole.length);
    },
    end() {
      say(waiting);
      waiting = "";
    },
  };
}
