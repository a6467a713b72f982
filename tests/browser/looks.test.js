// How the page looks and can be used: contrast, labels, keys, widths, languages, themes; nothing from elsewhere.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { contrasts, controlsWithoutName, focusWalk, tooWide } from "./measured.js";
import { opened, serve, textOf } from "./served.js";

const VIEWS = ["#notebook", "#chat", "#tokens", "#model"];
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
let served;
before(async () => (served = await serve()));
after(() => served.close());

/** A view with something in it. */
async function filled(page, view) {
  await page.click(`nav a[href="${view}"]`);
  await page.waitForSelector(view, { state: "visible" });
  if (view === "#notebook" && (await textOf(page)) === "") {
    await page.fill("#text", "The old man ");
    await page.click("#continue");
    await page.waitForSelector("#continue", { state: "visible" });
    await page.click("#shade");
    await page.waitForFunction(() => /%/.test(document.querySelector("#legend").textContent));
    await page.press("#text", "Alt+ArrowDown");
  }
  if (view === "#tokens") await page.waitForSelector("#comparison .chip >> nth=3");
  if (view === "#model") await page.waitForSelector("#model-card td >> nth=3");
}

for (const theme of ["light", "dark"]) {
  test(`every text can be read in the ${theme} theme`, async () => {
    const { page } = await opened(served, { colorScheme: theme });
    for (const view of VIEWS) {
      await filled(page, view);
      const found = await contrasts(page);
      assert.ok(found.length > 10, `${view} has ${found.length} texts`);
      const low = found.filter(({ contrast, needed }) => contrast < needed);
      assert.deepEqual(low, [], view);
    }
  });
}

test("every control has a name, in both languages", async () => {
  for (const locale of ["ko-KR", "en-US"]) {
    const { page } = await opened(served, { locale });
    for (const view of VIEWS) {
      await filled(page, view);
      assert.deepEqual(await controlsWithoutName(page), [], view);
    }
  }
});

test("everything is reached with Tab, in sight and with a visible focus", async () => {
  const { page } = await opened(served);
  for (const view of VIEWS) {
    await filled(page, view);
    const { missed, unmarked } = await focusWalk(page);
    assert.deepEqual({ missed, unmarked }, { missed: [], unmarked: [] }, view);
  }
});

test("a phone shows everything without scrolling sideways, in both languages", async () => {
  for (const locale of ["ko-KR", "en-US"]) {
    const { page } = await opened(served, { ...PHONE, locale });
    for (const view of VIEWS) {
      await filled(page, view);
      assert.deepEqual(await tooWide(page), [], `${view} in ${locale}`);
    }
    await page.click('nav a[href="#notebook"]');
    await page.keyboard.press("Escape");
    await page.click("#notebook .for-side");
    await page.waitForSelector("#notebook-side", { state: "visible" });
    assert.deepEqual(await tooWide(page), []);
  }
});

test("the language is the browser's until it is switched, and remembered", async () => {
  const { page } = await opened(served, { locale: "ko-KR" });
  assert.equal(await page.textContent("#continue"), "이어 쓰기");
  assert.equal(await page.getAttribute("html", "lang"), "ko");
  await page.click("#language");
  assert.equal(await page.textContent("#continue"), "Continue");
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  assert.equal(await page.textContent("#continue"), "Continue");
  const untranslated = await page.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .filter(
        one =>
          one.children.length === 0 &&
          /[가-힣]/.test(one.textContent) &&
          one.id !== "language" &&
          !one.closest("noscript, .openings, textarea, .mirror"),
      )
      .map(one => one.outerHTML),
  );
  assert.deepEqual(untranslated, []);
});

test("both languages have the same words", async () => {
  const { ENGLISH } = await import("../../crates/server/src/web/words_english.js");
  const { KOREAN } = await import("../../crates/server/src/web/words_korean.js");
  assert.deepEqual(Object.keys(KOREAN), Object.keys(ENGLISH));
  const places = words => [...words.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [name, words] of Object.entries(ENGLISH)) assert.deepEqual(places(KOREAN[name]), places(words), name);
});

test("the theme follows the system until it is chosen, and is remembered", async () => {
  const ground = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const { page } = await opened(served, { colorScheme: "dark" });
  const dark = await ground(page);
  await page.selectOption("#theme", "light");
  const light = await ground(page);
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await ground(page), light);
  await page.selectOption("#theme", "system");
  assert.equal(await ground(page), dark);
});

test("parameters are remembered, and limits hold", async () => {
  const { page } = await opened(served);
  await page.fill("#notebook-side-temperature", "9");
  await page.press("#notebook-side-temperature", "Tab");
  assert.equal(await page.inputValue("#notebook-side-temperature"), "2");
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  assert.equal(await page.inputValue("#chat-side-temperature"), "2");
  await page.getByRole("button", { name: "Exact" }).first().click();
  assert.equal(await page.inputValue("#notebook-side-temperature"), "0");
});

test("nothing comes from elsewhere, and nobody complains", async () => {
  const { page, complaints, requests } = await opened(served);
  for (const view of VIEWS) await filled(page, view);
  const foreign = requests.filter(
    url => !url.startsWith(served.address) && !url.startsWith("data:") && !url.startsWith("blob:"),
  );
  assert.deepEqual(foreign, []);
  assert.deepEqual(complaints, []);
  const answer = await fetch(served.address);
  assert.match(answer.headers.get("content-security-policy"), /default-src 'none'/);
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
});

test("a page that has not changed is not sent again", async () => {
  const first = await fetch(served.address + "page/main.js");
  const again = await fetch(served.address + "page/main.js", {
    headers: { "if-none-match": first.headers.get("etag") },
  });
  assert.equal(first.status, 200);
  assert.equal(again.status, 304);
  assert.equal((await fetch(served.address + "page/../lib.rs")).status, 404);
  assert.equal((await fetch(served.address + "page/%2e%2e/page.rs")).status, 404);
});

test("what is going on is said politely, the stream by sentences", async () => {
  const { page } = await opened(served);
  await page.fill("#text", "The old man ");
  await page.evaluate(() => {
    globalThis.said = [];
    new MutationObserver(changes =>
      changes.forEach(change => change.addedNodes.forEach(node => said.push(node.textContent))),
    ).observe(document.querySelector("#announcer"), { childList: true });
  });
  await page.click("#continue");
  await page.waitForSelector("#continue", { state: "visible" });
  const said = await page.evaluate(() => globalThis.said);
  assert.equal(await page.getAttribute("#announcer", "aria-live"), "polite");
  assert.equal(said[0], "Writing …");
  assert.ok(said.length < 24, `${said.length} announcements for 128 tokens`);
});
