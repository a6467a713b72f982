// The page: starts its parts and shows one view at a time, the one that the address names.

import { useKey } from "./api.js";
import { restoreChat, showChatFigures, startChat, stopChat } from "./chat.js";
import { byId, element } from "./element.js";
import { inEveryLanguage, say, startLanguage } from "./language.js";
import { startModel, watchModel } from "./model.js";
import { restoreNotebook, showNotebookFigures, startNotebook, stopWriting } from "./notebook.js";
import { startParameters, startSides } from "./parameters.js";
import { modelName, onKey, onNews, serverInformation, useModel, watch } from "./server.js";
import { startStatus, tellActivity, tellError, tellFigures } from "./status.js";
import { startTheme } from "./theme.js";
import { showTokens, startTokens } from "./tokens.js";

const VIEWS = ["notebook", "chat", "tokens", "model"];

startLanguage();
startTheme();
startStatus();
startParameters(byId("notebook-side"));
startParameters(byId("chat-side"));
startSides();
startChat();
startTokens();
startModel();
startNotebook();

function show() {
  const wanted = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "notebook";
  for (const view of VIEWS) byId(view).hidden = view !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("skip").href = `#${wanted}`;
  document.title = `kollama · ${say(wanted)}`;
  if (wanted !== "notebook") stopWriting();
  if (wanted !== "chat") stopChat();
  byId("keys").hidden = wanted !== "notebook";
  watchModel(wanted === "model");
  ({ notebook: showNotebookFigures, chat: showChatFigures, tokens: showTokens })[wanted]?.();
  if (wanted === "tokens" || wanted === "model") tellFigures(() => []);
}
addEventListener("hashchange", () => {
  tellActivity(() => "");
  show();
});
byId("skip").addEventListener("click", event => {
  event.preventDefault();
  document.querySelector(".view:not([hidden])").focus();
});

function showModelNames() {
  const { models } = serverInformation();
  const select = byId("model-name");
  select.hidden = models.length < 2;
  select.replaceChildren(
    ...models.map(name => element("option", { value: name, selected: name === modelName() }, name)),
  );
}
byId("model-name").addEventListener("change", event => useModel(event.target.value).catch(tellError));
onNews(() => {
  showModelNames();
  if (!byId("notebook").hidden) showNotebookFigures();
});

onKey(() => byId("key-dialog").open || byId("key-dialog").showModal());
byId("key-form").addEventListener("submit", () => {
  useKey(byId("key-field").value.trim());
  byId("key-field").value = "";
  // Should the page ask again, this one was not accepted.
  byId("key-words").dataset.say = "key-wrong";
  byId("key-words").textContent = say("key-wrong");
  watch();
});

const KEYS = [
  ["Ctrl Enter", "continue-title"],
  ["Esc", "stop-title"],
  ["Ctrl Shift Enter", "regenerate-title"],
  ["Alt Enter", "write-here-title"],
  ["Alt ↓", "alternatives-title"],
  ["Ctrl Z", "undo-title"],
  ["Ctrl Shift Z", "redo-title"],
];
byId("keys").addEventListener("click", () => {
  const dialog = byId("keys-dialog");
  const rows = KEYS.flatMap(([keys, words]) => [
    element("dt", {}, ...keys.split(" ").flatMap(key => [element("kbd", {}, say(key)), " "])),
    element("dd", {}, say(words).replace(/ \([^)]*\)$/, "")),
  ]);
  dialog.replaceChildren(
    element("h2", { id: "keys-title" }, say("keys")),
    element("dl", { class: "keys" }, ...rows),
    element("button", { type: "button", onclick: () => dialog.close() }, say("close")),
  );
  dialog.showModal();
});

inEveryLanguage(show);
watch();
Promise.all([restoreNotebook(), restoreChat()]).finally(() => (document.documentElement.dataset.ready = "true"));
