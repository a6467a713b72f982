// What the page does with texts and tokens, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped } from "../../crates/server/src/web/chips.js";
import {
  asRead,
  cut,
  edited,
  exchanged,
  grown,
  idsUpTo,
  newRun,
  packed,
  plain,
  unpacked,
} from "../../crates/server/src/web/manuscript.js";
import { pieceMaker } from "../../crates/server/src/web/pieces.js";
import { revisions } from "../../crates/server/src/web/revisions.js";
import { eventParser } from "../../crates/server/src/web/server_events.js";

const step = (id, token) => ({ id, token, chance: -1, others: [] });
const run = (...tokens) => ({ ...newRun("m", [1]), steps: tokens.map((token, at) => step(at + 10, token)) });

test("byte tokens make one piece, and no half character is ever shown", () => {
  const pieces = pieceMaker();
  assert.deepEqual(pieces.add(["bytes:\\xec"], ""), []);
  assert.deepEqual(pieces.add(["bytes:\\x95"], ""), []);
  assert.deepEqual(pieces.add(["bytes:\\x88"], "안"), [{ text: "안", count: 3 }]);
  assert.deepEqual(pieces.add(["녕"], "녕"), [{ text: "녕", count: 1 }]);
  assert.deepEqual(pieces.end(), []);
});

test("text that was held back finds its tokens", () => {
  const pieces = pieceMaker();
  assert.deepEqual(pieces.add([" 날", "씨"], ""), []);
  assert.deepEqual(pieces.add(["가"], " 날"), [{ text: " 날", count: 1 }]);
  assert.deepEqual(pieces.add([], "씨가"), [
    { text: "씨", count: 1 },
    { text: "가", count: 1 },
  ]);
});

test("bytes that are no character become what the server made of them", () => {
  const pieces = pieceMaker();
  assert.deepEqual(pieces.add(["bytes:\\xec", "bytes:\\xec"], ""), []);
  assert.deepEqual(pieces.add(["a"], "\uFFFD\uFFFDa"), [{ text: "\uFFFD\uFFFDa", count: 3 }]);
});

test("a byte picked by hand is completed by the stream, whatever the server made of its rest", () => {
  for (const text of ["\uFFFD\uFFFD", "", "안"]) {
    const pieces = pieceMaker(["bytes:\\xec"]);
    assert.deepEqual(pieces.add(["bytes:\\x95"], ""), []);
    assert.deepEqual(pieces.add(["bytes:\\x88"], text), [{ text: "안", count: 3 }]);
    assert.deepEqual(pieces.add([" x"], " x"), [{ text: " x", count: 1 }]);
  }
});

test("half a character at the end is known as such", () => {
  const pieces = pieceMaker();
  pieces.add(["a", "bytes:\\xec"], "a");
  assert.deepEqual(pieces.add([], "\uFFFD"), [{ text: "\uFFFD", count: 1 }]);
});

test("tokens are known only up to the first change", () => {
  const text = grown(plain("A "), 2, run("one ", "two ", "three"), 0, [
    { text: "one ", count: 1 },
    { text: "two ", count: 1 },
    { text: "three", count: 1 },
  ]);
  assert.equal(text.text, "A one two three");
  assert.deepEqual(idsUpTo(text, 15, "m"), [1, 10, 11, 12]);
  assert.deepEqual(idsUpTo(text, 6, "m"), [1, 10]);
  assert.equal(idsUpTo(text, 15, "another model"), undefined);
  const changed = edited(text, "A one 2 three");
  assert.deepEqual(
    changed.parts.map(part => [part.start, part.end]),
    [[2, 6]],
  );
  assert.equal(idsUpTo(changed, 13, "m"), undefined);
  assert.equal(changed.last, undefined);
  assert.deepEqual(edited(text, "A one two three, four").parts.length, 3);
});

test("what the model wrote stays marked where the text around it changes", () => {
  const text = grown(plain("A Z"), 2, run("bcd"), 0, [{ text: "bcd", count: 1 }]);
  assert.equal(text.text, "A bcdZ");
  assert.deepEqual(edited(text, "AAA bcdZ").written, [[4, 7]]);
  assert.deepEqual(edited(text, "A bXdZ").written, [
    [2, 3],
    [4, 5],
  ]);
  assert.deepEqual(cut(text, 3).written, [[2, 3]]);
  assert.deepEqual(exchanged(text, 2, 5, "").written, []);
});

test("reading gives chances to the text as it stands", () => {
  const whole = run("<s>", "A", " b");
  const text = asRead(plain("xA b"), whole, 1, [
    { text: "A", count: 1 },
    { text: " b", count: 1 },
  ]);
  assert.deepEqual(
    text.parts.map(part => [part.start, part.end, part.at]),
    [
      [1, 2, 1],
      [2, 4, 2],
    ],
  );
  assert.deepEqual(text.written, []);
});

test("a manuscript comes back from JSON, and a damaged one as its text", () => {
  const text = grown(plain("A "), 2, run("one"), 0, [{ text: "one", count: 1 }]);
  const back = unpacked(JSON.parse(JSON.stringify(packed(text))));
  assert.deepEqual(back, text);
  assert.equal(back.parts[0].run, back.last.run);
  for (const damage of [
    { parts: [[0, 99, 0, 0, 1]] },
    { runs: null },
    { written: [[5, 1]] },
    { parts: [[0, 1, 7, 0, 1]] },
  ]) {
    assert.deepEqual(unpacked({ ...packed(text), ...damage }), plain("A one"));
  }
  assert.equal(unpacked({ text: 3 }), undefined);
});

test("typing in one go is undone in one go", () => {
  const history = revisions("");
  history.type("a", 0);
  history.type("ab", 300);
  history.revise("abc");
  history.type("abcd", 400);
  history.undo();
  assert.equal(history.now(), "abc");
  history.undo();
  assert.equal(history.now(), "ab");
  history.undo();
  assert.equal(history.now(), "");
  history.redo();
  assert.equal(history.now(), "ab");
  history.type("abX", 9000);
  assert.equal(history.canRedo(), false);
});

test("half a syllable is never what undoing goes back to", () => {
  const history = revisions("");
  history.type("ㅎ", 0);
  history.type("하", 5000, true);
  history.type("한", 10000, true);
  history.type("한ㄱ", 15000);
  history.undo();
  assert.equal(history.now(), "한");
  history.undo();
  assert.equal(history.now(), "");
});

test("events are found wherever the chunks are cut", () => {
  const whole = 'data: {"a":1}\n\n: a comment\n\ndata: one\r\ndata: two\r\n\r\ndata: [DONE]\n\n';
  for (let at = 0; at <= whole.length; at++) {
    const parse = eventParser();
    assert.deepEqual(
      [...parse(whole.slice(0, at)), ...parse(whole.slice(at))],
      ['{"a":1}', "one\ntwo", "[DONE]"],
      String(at),
    );
  }
});

test("chips hold whole characters, and bytes that are none stand alone", () => {
  const tokens = ["a", "bytes:\\xec", "bytes:\\x95", "bytes:\\x88", "bytes:\\xff", "b"].map((text, id) => ({
    id,
    text,
    isByte: text.startsWith("bytes"),
  }));
  const chips = grouped(tokens);
  assert.deepEqual(
    chips.map(chip => chip.ids),
    [[0], [1, 2, 3], [4], [5]],
  );
  assert.deepEqual(
    chips.map(chip => chip.text),
    ["a", "안", "FF", "b"],
  );
  assert.equal(chips[1].bytes, "EC 95 88");
});
