// A server of its own and a browser for one file of tests: what `tests/browser.rs` has prepared is named by
// KOLLAMA_PROGRAM (the built program) and KOLLAMA_PLACE (a folder with the quickstart's models in `first`).

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { chromium } from "playwright-core";

const { KOLLAMA_PROGRAM, KOLLAMA_PLACE, KOLLAMA_CHROMIUM } = process.env;

/** A port that nobody listens on. */
function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts the program; resolves once it answers. */
async function started(port, more) {
  const line = [
    "serve",
    "--model",
    "korean=first/train",
    "--compare-tokenizer",
    "first/base",
    "--port",
    port,
    ...more,
  ];
  const child = spawn(KOLLAMA_PROGRAM, line.map(String), {
    cwd: KOLLAMA_PLACE,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let talk = "";
  child.stderr.on("data", data => (talk += data));
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`the server ended: ${talk}`);
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (answer?.ok) return child;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`the server does not answer: ${talk}`);
}

function ended(child) {
  return new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", resolve);
    child.kill("SIGTERM");
  });
}

/** A server and a browser. `more` are further flags of `kollama serve`. */
export async function serve(...more) {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}/`;
  let child = await started(port, more);
  const browser = await chromium.launch({
    executablePath: KOLLAMA_CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  return {
    address,
    browser,
    stopServer: () => ended(child),
    async startServer() {
      child = await started(port, more);
    },
    async close() {
      await browser.close();
      await ended(child);
    },
  };
}

/** The page in a window of its own, with everything that it complained of and asked for. */
export async function opened(served, options = {}) {
  const context = await served.browser.newContext({
    locale: "en-US",
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  // Patient: the machine may have other things to do.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  page.on("console", message => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", error => complaints.push(String(error)));
  page.on("request", request => requests.push(request.url()));
  await page.goto(served.address + (options.view ?? ""));
  await page.waitForSelector("html[data-ready]");
  await page.waitForSelector("#connection[data-state=ready]");
  return { page, context, complaints, requests };
}

/** The text of the notebook. */
export const textOf = page => page.inputValue("#text");
