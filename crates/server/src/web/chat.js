// The chat, for a model that was taught to answer. A base model has no template for it, and the page says so.

import { sentenceAnnouncer } from "./announce.js";
import { stream } from "./api.js";
import { allDocuments, getDocument, keepDocument, newId, titleOf } from "./documents.js";
import { byId, element, isComposing } from "./element.js";
import { count, inEveryLanguage, say } from "./language.js";
import { requested } from "./parameters.js";
import { modelName, onNews, serverInformation } from "./server.js";
import { openShelf, tellNotKept } from "./shelf.js";
import { problemIsOver, tellActivity, tellError, tellFigures } from "./status.js";

const OPEN = "kollama.conversation";
const ROLES = ["user", "assistant"];

let messages = [];
let id = newId();
let underWay;
let speed = { tokens: 0, seconds: 0 };

const field = byId("say-something");
const list = byId("messages");
const scroll = byId("messages-scroll");
const instruction = byId("instruction");

/** Chat parameters: what the chat route of the API takes. */
function parameters() {
  const { max_tokens, ...others } = requested();
  return { max_tokens: Math.max(max_tokens, 16), ...others };
}

const seesEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
const toEnd = () => (scroll.scrollTop = scroll.scrollHeight);

function show() {
  list.replaceChildren(...messages.map(shownMessage));
  byId("send").hidden = Boolean(underWay);
  byId("stop-chat").hidden = !underWay;
  toEnd();
}

function shownMessage({ role, content }, at) {
  const button = (name, work) => element("button", { type: "button", class: "plain", onclick: work }, say(name));
  const own =
    role === "user"
      ? [button("edit", () => edit(at))]
      : [button("copy", () => navigator.clipboard?.writeText(content))];
  const last =
    at === messages.length - 1 && role === "assistant" ? [button("regenerate", () => answerAgain(at))] : [];
  const doings = underWay ? [] : [...own, ...last];
  return element(
    "li",
    { class: role },
    element("span", { class: "who" }, say(role)),
    element("div", { class: "words" }, content.trimStart()),
    element("div", { class: "doings" }, ...doings),
  );
}

function edit(at) {
  field.value = messages[at].content;
  messages = messages.slice(0, at);
  show();
  field.focus();
}

function answerAgain(at) {
  messages = messages.slice(0, at);
  answer();
}

function send() {
  const content = field.value.trim();
  if (content === "" || underWay) return;
  messages = [...messages, { role: "user", content }];
  field.value = "";
  field.focus();
  answer();
}

/** What a template takes: the instruction, if there is one, before the messages. */
function withInstruction(asked) {
  const content = instruction.value.trim();
  return content === "" ? asked : [{ role: "system", content }, ...asked];
}

/** Lets the model answer the conversation as it stands. */
async function answer() {
  const controller = (underWay = new AbortController());
  const asked = messages;
  const reply = { role: "assistant", content: "" };
  messages = [...asked, reply];
  tellActivity(() => say("writing"));
  show();
  let ended = "stopped";
  try {
    ended = await receive(asked, reply, controller.signal);
    problemIsOver();
  } catch (error) {
    if (error.name !== "AbortError") ended = "failed";
    tellError(error);
  } finally {
    if (reply.content === "") messages = messages.filter(message => message !== reply);
    if (underWay === controller) underWay = undefined;
    tellActivity(() => say(`ended-${ended}`));
    show();
    keep();
  }
}

async function receive(asked, reply, signal) {
  const sentences = sentenceAnnouncer();
  const words = list.lastElementChild.querySelector(".words");
  const began = performance.now();
  let [reason, usage] = ["stop", undefined];
  const body = {
    model: modelName(),
    messages: withInstruction(asked),
    stream_options: { include_usage: true },
    ...parameters(),
  };
  for await (const event of stream("v1/chat/completions", body, signal)) {
    usage = event.usage ?? usage;
    const choice = event.choices?.[0];
    const text = choice?.delta?.content ?? "";
    reason = choice?.finish_reason ?? reason;
    if (text === "") continue;
    const follows = seesEnd();
    reply.content += text;
    words.textContent = reply.content.trimStart();
    if (follows) toEnd();
    sentences.add(text);
  }
  sentences.end();
  speed = { tokens: usage?.completion_tokens ?? 0, seconds: (performance.now() - began) / 1000 };
  showChatFigures();
  return reason;
}

/** What the status line says of the chat. */
export function showChatFigures() {
  tellFigures(() =>
    speed.tokens === 0
      ? []
      : [
          `${say("written", { n: count(speed.tokens) })} · ${say("per-second", { n: count(speed.tokens / speed.seconds, 1) })}`,
        ],
  );
}

/** Ends the answer under way. */
export function stopChat() {
  underWay?.abort();
}

async function keep() {
  if (messages.length === 0) return;
  sessionStorage.setItem(OPEN, id);
  try {
    await keepDocument(id, "talk", titleOf(messages[0].content), {
      messages,
      instruction: instruction.value,
    });
  } catch (error) {
    tellNotKept(error);
  }
}

const isSound = body =>
  Array.isArray(body?.messages) &&
  ["undefined", "string"].includes(typeof body.instruction) &&
  body.messages.every(one => ROLES.includes(one?.role) && typeof one.content === "string");

function open(record) {
  if (!isSound(record.body)) return;
  begin(record.id, record.body.messages, record.body.instruction);
}

function begin(nextId, nextMessages, nextInstruction = "") {
  stopChat();
  [id, messages] = [nextId, nextMessages];
  instruction.value = nextInstruction;
  byId("instruction-box").open = nextInstruction !== "";
  speed = { tokens: 0, seconds: 0 };
  show();
}

function showWhetherItCan() {
  const can = serverInformation().chat !== false;
  byId("no-chat").hidden = can;
  for (const part of ["chat-bar", "messages-scroll", "composer"]) byId(part).hidden = !can;
  byId("chat-side").hidden = !can;
  byId("chat").classList.toggle("alone", !can);
  const link = element("a", { href: "#notebook" }, say("to-notebook"));
  byId("no-chat").replaceChildren(
    element("h2", {}, say("no-chat-title")),
    element("p", {}, say("no-chat", { name: modelName() ?? "" })),
    element("p", {}, link),
  );
}

/** Starts the chat. */
export function startChat() {
  byId("composer").addEventListener("submit", event => {
    event.preventDefault();
    send();
  });
  field.addEventListener("keydown", event => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    send();
  });
  instruction.addEventListener("change", keep);
  byId("stop-chat").addEventListener("click", stopChat);
  document.addEventListener("keydown", event => event.key === "Escape" && !isComposing(event) && stopChat());
  byId("new-conversation").addEventListener("click", () => {
    sessionStorage.removeItem(OPEN);
    begin(newId(), []);
    field.focus();
  });
  const shelf = {
    kind: "talk",
    current: () => id,
    open,
    removed: gone => (gone === undefined || gone === id) && begin(newId(), []),
    isSound,
  };
  byId("conversations").addEventListener("click", () => openShelf(shelf));
  onNews(showWhetherItCan);
  inEveryLanguage(() => {
    showWhetherItCan();
    if (!underWay) show();
  });
}

/** Finds the last conversation again. */
export async function restoreChat() {
  const last = sessionStorage.getItem(OPEN);
  const record = (last ? await getDocument(last) : undefined) ?? (await allDocuments("talk"))[0];
  if (record && messages.length === 0) open(record);
}
