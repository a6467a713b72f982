// Chat, tokens and the model in a browser, against the real server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { opened, serve } from "./served.js";

let served;
before(async () => (served = await serve("--model", "talking=talking")));
after(() => served.close());

test("two tokenizers are set side by side, and the extended one needs fewer tokens", async () => {
  const { page, complaints } = await opened(served, { view: "#tokens" });
  await page.fill("#tokens-text", "오늘은 날씨가 좋네요. 뷁");
  await page.waitForFunction(() => /뷁/.test(document.querySelector("#comparison").textContent));
  const counts = (await page.locator(".tokenizer .numbers b").allTextContents()).map(Number);
  const [long, longShare, short, shortShare] = counts;
  assert.ok(short < long && shortShare < longShare, counts.join());
  assert.ok((await page.locator(".chip.bytes").count()) > 0, "rare syllables are written with byte tokens");
  const whole = (
    await page
      .locator(".tokenizer")
      .nth(1)
      .locator(".chip")
      .evaluateAll(chips => chips.map(chip => [...chip.childNodes].map(node => node.textContent).join("")))
  ).join("");
  assert.equal(whole.replaceAll("␣", " ").trim(), "오늘은 날씨가 좋네요. 뷁");
  const ids = await page
    .locator(".tokenizer")
    .nth(0)
    .locator(".chip")
    .evaluateAll(chips => chips.reduce((sum, chip) => sum + Number(chip.dataset.count ?? 1), 0));
  assert.equal(ids, long, "every token has its chip");
  await page.locator(".chip").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.textContent("#token-detail"), /id \d+ · bytes [0-9A-F ]+|ids/);
  assert.deepEqual(complaints, []);
});

test("the model view tells the shape of the model and its speed", async () => {
  const { page, complaints } = await opened(served, { view: "#model" });
  await page.waitForSelector("#model-card td");
  const text = await page.textContent("#model-card");
  for (const part of ["Layers", "Vocabulary", "3,072", "tokens/s", "parameters"])
    assert.ok(text.includes(part), `${part} in ${text}`);
  assert.deepEqual(complaints, []);
});

test("a key is asked for, and a wrong one is told of", async () => {
  const guarded = await serve("--api-key-file", "key");
  try {
    const page = await guarded.browser.newPage({ locale: "en-US" });
    await page.goto(guarded.address);
    await page.waitForSelector("#key-dialog[open]");
    await page.fill("#key-field", "not this one");
    await page.press("#key-field", "Enter");
    await page.waitForFunction(
      () =>
        /did not accept/.test(document.querySelector("#key-words").textContent) &&
        document.querySelector("#key-dialog").open,
    );
    await page.fill("#key-field", "secret");
    await page.press("#key-field", "Enter");
    await page.waitForSelector("#connection[data-state=ready]");
    await page.fill("#text", "The old man ");
    await page.press("#text", "Control+Enter");
    await page.waitForFunction(() => document.querySelector("#text").value.length > 20);
  } finally {
    await guarded.close();
  }
});

test("a base model says that it cannot chat", async () => {
  const { page } = await opened(served, { view: "#chat" });
  await page.selectOption("#model-name", "korean");
  await page.waitForSelector("#no-chat", { state: "visible" });
  assert.ok(await page.isHidden("#composer"));
  await page.click("#no-chat a");
  await page.waitForSelector("#notebook", { state: "visible" });
});

test("a model with a template chats: Enter sends, but never in the midst of a syllable", async () => {
  const { page, context, complaints } = await opened(served, { view: "#chat" });
  await page.selectOption("#model-name", "talking");
  await page.waitForSelector("#composer", { state: "visible" });
  const devtools = await context.newCDPSession(page);
  await page.focus("#say-something");
  await devtools.send("Input.imeSetComposition", { text: "안녀", selectionStart: 2, selectionEnd: 2 });
  await devtools.send("Input.dispatchKeyEvent", {
    type: "rawKeyDown",
    windowsVirtualKeyCode: 229,
    key: "Enter",
    code: "Enter",
  });
  assert.equal(await page.locator("#messages li").count(), 0, "nothing was sent");
  await devtools.send("Input.insertText", { text: "안녕" });
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("?");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#send", { state: "visible" });
  const said = await page.locator("#messages .words").allTextContents();
  assert.equal(said[0], "안녕\n?");
  assert.ok(said[1].length > 0, said.join("|"));
  await page.click("#instruction-box summary");
  await page.fill("#instruction", "짧게 답하세요.");
  const asking = page.waitForRequest(request => request.url().endsWith("/v1/chat/completions"));
  await page.getByRole("button", { name: "Again" }).click();
  assert.deepEqual((await asking).postDataJSON().messages, [
    { role: "system", content: "짧게 답하세요." },
    { role: "user", content: "안녕\n?" },
  ]);
  await page.waitForSelector("#send", { state: "visible" });
  assert.equal(await page.locator("#messages li").count(), 2);
  await page.waitForTimeout(300);
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  assert.equal((await page.locator("#messages .words").allTextContents())[0], "안녕\n?");
  assert.equal(await page.inputValue("#instruction"), "짧게 답하세요.");
  assert.deepEqual(complaints, []);
});
