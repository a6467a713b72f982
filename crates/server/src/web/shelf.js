// The drawer of documents: open, delete, export and import.

import { allDocuments, exported, imported, removeDocument, StoreError } from "./documents.js";
import { byId, element } from "./element.js";
import { language, say, size } from "./language.js";
import { tellProblem } from "./status.js";

const drawer = byId("shelf");

/** Opens the drawer of a kind. `desk` is {kind, current(), open(record), removed(id), isSound(body)}. */
export async function openShelf(desk) {
  await fill(desk);
  if (!drawer.open) drawer.showModal();
}

async function fill(desk) {
  const records = await allDocuments(desk.kind);
  const close = element("button", { type: "button", class: "plain", onclick: () => drawer.close() }, say("close"));
  const empty = records.length === 0 ? [element("p", { class: "quiet" }, say("shelf-empty"))] : [];
  drawer.replaceChildren(
    element("div", { class: "side-head" }, element("h2", { id: "shelf-title" }, say(`shelf-${desk.kind}`)), close),
    element("ul", {}, ...empty, ...records.map(record => row(record, desk))),
    element("div", {}, element("p", { class: "quiet small" }, say("shelf-words")), doings(records, desk)),
  );
}

function row(record, desk) {
  const when = new Date(record.changed).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });
  const title = record.title || say("untitled");
  const open = async () => {
    await desk.open(record);
    drawer.close();
  };
  const remove = async () => {
    await removeDocument(record.id);
    await desk.removed(record.id);
    await fill(desk);
    drawer.querySelector("li button, .row button")?.focus();
  };
  return element(
    "li",
    { "aria-current": record.id === desk.current() ? "true" : undefined },
    element(
      "button",
      { type: "button", onclick: open },
      element("b", {}, title),
      element("span", { class: "quiet small" }, `${when} · ${size(record.size)}`),
    ),
    sure("delete", remove, `${say("delete")}: ${title}`),
  );
}

/** A button that acts at the second press. */
function sure(name, work, label) {
  const button = element("button", { type: "button", class: "plain danger", "aria-label": label }, say(name));
  let asked = false;
  button.addEventListener("click", () => {
    if (asked) return work();
    asked = true;
    button.textContent = say("really");
    button.setAttribute("aria-label", `${say("really")} ${label ?? say(name)}`);
  });
  button.addEventListener("blur", () => {
    asked = false;
    button.textContent = say(name);
  });
  return button;
}

function doings(records, desk) {
  const file = element("input", {
    type: "file",
    accept: "application/json,.json",
    class: "unseen",
    tabindex: "-1",
    "aria-label": say("import"),
  });
  file.addEventListener("change", () => take(file.files[0], desk));
  const removeAll = async () => {
    for (const record of records) await removeDocument(record.id);
    await desk.removed(undefined);
    await fill(desk);
  };
  return element(
    "p",
    { class: "row" },
    element(
      "button",
      { type: "button", onclick: () => save(desk.kind), disabled: records.length === 0 },
      say("export"),
    ),
    element("button", { type: "button", onclick: () => file.click() }, say("import")),
    file,
    records.length > 0 ? sure("delete-all", removeAll) : "",
  );
}

async function save(kind) {
  const address = URL.createObjectURL(new Blob([await exported(kind)], { type: "application/json" }));
  element("a", {
    href: address,
    download: `kollama-${kind}-${new Date().toISOString().slice(0, 10)}.json`,
  }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function take(file, desk) {
  if (!file) return;
  try {
    const number = await imported(await file.text(), desk.kind, desk.isSound);
    if (number === undefined) tellProblem(() => say("import-failed", { name: file.name }));
  } catch (error) {
    tellNotKept(error);
  }
  await fill(desk);
}

/** Says in words why a document was not kept. */
export function tellNotKept(error) {
  if (!(error instanceof StoreError)) throw error;
  tellProblem(() => say(`store-${error.kind}`));
}
