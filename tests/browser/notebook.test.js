// The notebook in a browser, against the real server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { opened, serve, textOf } from "./served.js";

const START = "The old man ";
let served;
before(async () => (served = await serve()));
after(() => served.close());

/** The page with a text and a length that is written in one go. */
async function started(length = 24, text = START) {
  const all = await opened(served);
  const { page } = all;
  await page.fill("#notebook-side-max_tokens", String(length));
  await page.press("#notebook-side-max_tokens", "Tab");
  await page.fill("#text", text);
  return all;
}

/** Does something that makes the model write, and waits for the end. */
async function written(page, doing) {
  await doing();
  await page.waitForSelector("#continue", { state: "visible" });
  return textOf(page);
}

/** Presses Escape, or types a letter before the text, in the midst of the stream: once there are some characters. */
function interrupt(page, how) {
  return page.evaluate(
    ([length, isTyped]) => {
      const text = document.querySelector("#text");
      const watcher = new MutationObserver(() => {
        if (text.value.length < length) return;
        watcher.disconnect();
        if (!isTyped) return document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
        text.focus();
        text.setSelectionRange(0, 0);
        document.execCommand("insertText", false, "X");
      });
      watcher.observe(document.querySelector("#mirror"), { characterData: true, subtree: true });
    },
    [START.length + 10, how === "type"],
  );
}

test("the text goes on from what was typed, and undo and redo go through it", async () => {
  const { page, complaints } = await started();
  const first = await written(page, () => page.press("#text", "Control+Enter"));
  assert.ok(first.startsWith(START) && first.length > START.length + 10, first);
  assert.match(await page.textContent("#figures"), /^24 tokens/);
  const second = await written(page, () => page.click("#continue"));
  assert.ok(second.startsWith(first) && second.length > first.length, second);
  await page.click("#undo");
  assert.equal(await textOf(page), first);
  await page.press("#text", "Control+z");
  assert.equal(await textOf(page), START);
  await page.press("#text", "Control+Shift+z");
  assert.equal(await textOf(page), first);
  await page.click("#redo");
  assert.equal(await textOf(page), second);
  assert.deepEqual(complaints, []);
});

test("writing again gives another text in the place of the last one", async () => {
  const { page } = await started();
  const first = await written(page, () => page.click("#continue"));
  const again = await written(page, () => page.click("#regenerate"));
  assert.ok(again.startsWith(START) && again !== first, again);
  await page.click("#undo");
  assert.equal(await textOf(page), first);
});

test("a seed gives the same text again", async () => {
  const { page } = await started();
  await page.click("#notebook-side summary");
  await page.fill("#notebook-side-seed", "7");
  await page.press("#notebook-side-seed", "Tab");
  const first = await written(page, () => page.click("#continue"));
  assert.equal(await written(page, () => page.click("#regenerate")), first);
});

test("Escape stops the stream, and what has come stays", async () => {
  const { page } = await started(512);
  await interrupt(page, "press Escape");
  await page.click("#continue");
  await page.waitForFunction(() => document.querySelector("#activity").textContent === "Stopped");
  const stopped = await textOf(page);
  assert.ok(stopped.length < START.length + 40, stopped);
  const isIdle = async () => (await (await fetch(served.address + "info")).json()).speed.running === 0;
  while (!(await isIdle())) await page.waitForTimeout(20);
  assert.equal(await textOf(page), stopped);
});

test("typing stops the stream and is not written over", async () => {
  const { page } = await started(512);
  await interrupt(page, "type");
  await page.click("#continue");
  await page.waitForFunction(() => document.querySelector("#activity").textContent === "Stopped");
  const typed = await textOf(page);
  assert.ok(typed.startsWith("X" + START) && typed.length < START.length + 40, typed);
  await page.waitForTimeout(200);
  assert.equal(await textOf(page), typed);
});

test("a token is clicked, another is chosen, and the text goes on from there", async () => {
  const { page } = await started();
  const first = await written(page, () => page.click("#continue"));
  await page.evaluate(place => document.querySelector("#text").setSelectionRange(place, place), START.length + 6);
  await page.press("#text", "Alt+ArrowDown");
  const choices = page.locator("#alternatives li button");
  assert.ok((await choices.count()) >= 8);
  assert.equal(await page.locator("#alternatives li button[aria-current]").count(), 1);
  const chances = await page.locator("#alternatives li .chance").allTextContents();
  assert.ok(
    chances.every(chance => /^(< )?\d+(\.\d+)? %$/.test(chance)),
    chances.join(),
  );
  const other = page.locator("#alternatives li button:not([aria-current]):has(.token:not(.byte))").first();
  const token = (await other.locator(".token").textContent()).replaceAll("␣", " ").replaceAll("⏎", "\n");
  const next = await written(page, () => other.press("Enter"));
  const kept = commonStart(first, next);
  assert.ok(kept >= START.length, "what stood before the token stays");
  assert.ok(next.slice(kept - token.length, kept + token.length).includes(token.trim()), `${token} in ${next}`);
  await page.click("#undo");
  assert.equal(await textOf(page), first);
});

test("a click on a token shows its choices, a click elsewhere takes them away", async () => {
  const { page } = await started();
  await written(page, () => page.click("#continue"));
  const middle = await page.evaluate(place => {
    const range = document.createRange();
    range.setStart(document.querySelector("#mirror").firstChild, place);
    range.setEnd(document.querySelector("#mirror").firstChild, place + 1);
    const { left, top, width, height } = range.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  }, START.length + 5);
  await page.mouse.click(...middle);
  await page.waitForSelector("#alternatives", { state: "visible" });
  await page.keyboard.press("Escape");
  await page.waitForSelector("#alternatives", { state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "text", "the caret stays in the text");
});

test("the probabilities of any text can be seen", async () => {
  const { page, complaints } = await started(24, "오늘은 날씨가 좋네요.");
  await page.click("#shade");
  await page.waitForFunction(() => /bits per byte/.test(document.querySelector("#legend").textContent));
  const painted = await page.evaluate(() =>
    [1, 2, 3, 4].reduce((sum, heat) => sum + CSS.highlights.get(`heat-${heat}`).size, 0),
  );
  assert.ok(painted > 3, String(painted));
  await page.press("#text", "Control+End");
  await page.press("#text", "Alt+ArrowDown");
  await page.waitForSelector("#alternatives", { state: "visible" });
  assert.deepEqual(complaints, []);
});

test("the mirror lays every letter where the text field has it", async () => {
  const { page } = await started(64, "한국어 문장과 English words, \n\n둘이 섞인 글 ".repeat(6));
  await written(page, () => page.click("#continue"));
  const [field, mirror] = await page.evaluate(() => {
    const text = document.querySelector("#text");
    const height = text.style.height;
    text.style.height = "0";
    const needed = text.scrollHeight;
    text.style.height = height;
    return [needed, document.querySelector("#mirror").offsetHeight];
  });
  assert.ok(Math.abs(field - mirror) <= 2, `${field} and ${mirror}`);
});

test("writing at the caret leaves what stands behind it", async () => {
  const { page } = await started(8, "Once upon a time. The end.");
  await page.evaluate(() => document.querySelector("#text").setSelectionRange(17, 17));
  const text = await written(page, () => page.press("#text", "Alt+Enter"));
  assert.ok(text.startsWith("Once upon a time.") && text.endsWith(" The end.") && text.length > 26, text);
});

test("Korean is composed syllable by syllable, and no key is taken for another meanwhile", async () => {
  const { page, context } = await started(16, "");
  const devtools = await context.newCDPSession(page);
  await page.focus("#text");
  const asked = [];
  page.on("request", request => request.url().endsWith("completions") && asked.push(request.url()));
  for (const text of ["ㅎ", "하", "한"]) {
    await devtools.send("Input.imeSetComposition", { text, selectionStart: 1, selectionEnd: 1 });
    await devtools.send("Input.dispatchKeyEvent", {
      type: "rawKeyDown",
      windowsVirtualKeyCode: 229,
      key: "Enter",
      code: "Enter",
      modifiers: 2,
    });
  }
  await devtools.send("Input.insertText", { text: "한" });
  assert.equal(await textOf(page), "한");
  assert.deepEqual(asked, []);
  const text = await written(page, () => page.press("#text", "Control+Enter"));
  assert.ok(text.startsWith("한") && text.length > 1, text);
});

test("what was written is there after a reload, with its tokens", async () => {
  const { page } = await started();
  const text = await written(page, () => page.click("#continue"));
  await page.waitForTimeout(900);
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  assert.equal(await textOf(page), text);
  await page.evaluate(place => document.querySelector("#text").setSelectionRange(place, place), START.length + 4);
  await page.press("#text", "Alt+ArrowDown");
  assert.ok((await page.locator("#alternatives li button").count()) >= 8);
});

test("documents are listed, opened, exported, imported and deleted", async () => {
  const { page } = await started(8, "First document");
  await page.waitForTimeout(700);
  await page.click("#new-document");
  await page.fill("#text", "Second document");
  await page.click("#documents");
  await page.waitForSelector("#shelf[open]");
  assert.deepEqual(await page.locator("#shelf li b").allTextContents(), ["Second document", "First document"]);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const file = await (await download).path();
  await page.locator("#shelf li").nth(1).getByRole("button").first().click();
  assert.equal(await textOf(page), "First document");
  await page.click("#documents");
  await page.waitForSelector("#shelf[open]");
  const remove = page.locator("#shelf li").nth(1).getByRole("button").nth(1);
  await remove.click();
  await remove.click();
  await page.waitForFunction(() => document.querySelectorAll("#shelf li").length === 1);
  await page.setInputFiles("#shelf input[type=file]", file);
  await page.waitForFunction(() => document.querySelectorAll("#shelf li").length === 3);
});

test("an error of the server is told in words, and nothing is lost", async () => {
  const { page } = await started();
  await page.route("**/v1/completions", route =>
    route.fulfill({ status: 429, headers: { "retry-after": "3" }, body: "{}" }),
  );
  await page.click("#continue");
  await page.waitForSelector("#notice", { state: "visible" });
  assert.match(await page.textContent("#notice-words"), /busy.*3 s/);
  assert.equal(await textOf(page), START);
});

test("the page finds the server again after a restart", async () => {
  const { page } = await started();
  await served.stopServer();
  await page.click("#continue");
  await page.waitForSelector("#connection[data-state=gone]");
  assert.match(await page.textContent("#notice-words"), /does not answer/);
  await served.startServer();
  await page.waitForSelector("#connection[data-state=ready]");
  const text = await written(page, () => page.click("#continue"));
  assert.ok(text.length > START.length);
  assert.ok(await page.isHidden("#notice"));
});

function commonStart(one, other) {
  let same = 0;
  while (same < one.length && one[same] === other[same]) same++;
  return same;
}
