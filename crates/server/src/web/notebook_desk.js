// Which document lies on the desk: it is kept while one writes, and found again after a reload.

import { allDocuments, getDocument, keepDocument, newId, titleOf } from "./documents.js";
import { byId, whenQuiet } from "./element.js";
import { packed, plain, unpacked } from "./manuscript.js";
import { openShelf, tellNotKept } from "./shelf.js";

const OPEN = "kollama.document";

/** The desk of the notebook: `now()` is its manuscript, `replace(manuscript)` puts another there. */
export function startDesk({ now, replace }) {
  let id = newId();
  let kept = false;

  const keepSoon = whenQuiet(500, keep);

  async function keep() {
    const { text } = now();
    if (text === "" && !kept) return;
    kept = true;
    sessionStorage.setItem(OPEN, id);
    try {
      await keepDocument(id, "text", titleOf(text), packed(now()));
    } catch (error) {
      tellNotKept(error);
    }
  }

  /** Puts a record on the desk. */
  function open(record) {
    const manuscript = unpacked(record.body);
    if (!manuscript) return;
    keepSoon.cancel();
    [id, kept] = [record.id, true];
    sessionStorage.setItem(OPEN, id);
    replace(manuscript);
  }

  /** At once: who types on while the last text is still being kept types in the new one. */
  function openNew() {
    keepSoon.cancel();
    keep();
    [id, kept] = [newId(), false];
    sessionStorage.removeItem(OPEN);
    replace(plain(""));
    byId("text").focus();
  }

  async function restore() {
    const last = sessionStorage.getItem(OPEN);
    const record = (last ? await getDocument(last) : undefined) ?? (await allDocuments("text"))[0];
    if (record && now().text === "") open(record);
  }

  const shelf = {
    kind: "text",
    current: () => id,
    open,
    async removed(removed) {
      if (removed !== undefined && removed !== id) return;
      [id, kept] = [newId(), false];
      replace(plain(""));
    },
    isSound: body => unpacked(body) !== undefined,
  };
  byId("documents").addEventListener("click", async () => {
    keepSoon.cancel();
    await keep();
    await openShelf(shelf);
  });
  byId("new-document").addEventListener("click", openNew);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && keep());
  return {
    /** The manuscript is another now. */
    changed: keepSoon,
    restore,
  };
}
