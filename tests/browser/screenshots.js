// Makes the pictures of docs/page.md: `node screenshots.js ADDRESS FOLDER`, with a server that runs a model
// that writes Korean and a tokenizer to compare it with. KOLLAMA_CHROMIUM names the browser.

import { statSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [address, folder] = process.argv.slice(2);
const DESK = { viewport: { width: 1280, height: 760 } };
const PHONE = { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true };
const TEXT = "이 영화는";
const SAMPLE =
  "안녕하세요, 오늘은 날씨가 좋네요. 훈민정음은 1443년에 창제되었다. 뷁, 햏 같은 글자도 쓸 수 있다.\nThe quick brown fox jumps over the lazy dog.";

async function write(page) {
  await page.fill("#text", TEXT);
  await page.click("#continue");
  await page.waitForSelector("#stop", { state: "visible" });
  await page.waitForSelector("#continue", { state: "visible", timeout: 120_000 });
}

async function choose(page) {
  await write(page);
  await page.click("#shade");
  await page.waitForFunction(() => /%/.test(document.querySelector("#legend").textContent));
  await page.waitForSelector("#continue", { state: "visible" });
  await page.evaluate(() => document.querySelector("#text").setSelectionRange(22, 22));
  await page.press("#text", "Alt+ArrowDown");
  await page.waitForSelector("#alternatives", { state: "visible" });
}

async function tokens(page) {
  await page.click('nav a[href="#tokens"]');
  await page.fill("#tokens-text", SAMPLE);
  await page.waitForFunction(() => /뷁/.test(document.querySelector("#comparison").textContent));
  await page.locator(".chip").nth(6).focus();
}

async function model(page) {
  await page.click('nav a[href="#model"]');
  await page.waitForSelector("#model-card td");
  for (let at = 0; at < 24; at++) {
    const body = JSON.stringify({ prompt: TEXT.repeat(1 + (at % 3)), max_tokens: 60 * (1 + (at % 4)) });
    await Promise.all(
      Array.from({ length: 1 + (at % 3) }, () =>
        fetch(new URL("v1/completions", address), {
          method: "POST",
          headers: { "content-type": "application/json" },
          body,
        }).then(answer => answer.text()),
      ),
    );
    await page.waitForTimeout(300);
  }
}

const PICTURES = [
  ["notebook-light", write, { ...DESK, colorScheme: "light", locale: "ko-KR" }],
  ["choices-dark", choose, { ...DESK, colorScheme: "dark", locale: "en-US" }],
  ["tokens-light", tokens, { ...DESK, colorScheme: "light", locale: "en-US" }],
  ["model-dark", model, { ...DESK, colorScheme: "dark", locale: "ko-KR" }],
  ["notebook-phone-dark", write, { ...PHONE, colorScheme: "dark", locale: "ko-KR" }],
  ["choices-phone-light", choose, { ...PHONE, colorScheme: "light", locale: "ko-KR" }],
  ["tokens-phone-dark", tokens, { ...PHONE, colorScheme: "dark", locale: "en-US" }],
];

const browser = await chromium.launch({ executablePath: process.env.KOLLAMA_CHROMIUM, args: ["--no-sandbox"] });
for (const [name, doing, options] of PICTURES) {
  const page = await (await browser.newContext(options)).newPage();
  await page.addInitScript(() =>
    localStorage.setItem("kollama.parameters", JSON.stringify({ seed: "2", temperature: 0.6, max_tokens: 90 })),
  );
  await page.goto(address);
  await page.waitForSelector("html[data-ready]");
  await page.waitForSelector("#connection[data-state=ready]");
  await doing(page);
  await page.waitForTimeout(500);
  const path = join(folder, `page-${name}.png`);
  await page.screenshot({ path });
  console.log(`${path}: ${Math.round(statSync(path).size / 1024)} KB`);
  await page.context().close();
}
await browser.close();
