// Texts and conversations, kept in this browser and nowhere else (IndexedDB). A record is
// {id, kind, title, changed, size, body}; kinds are "text" and "talk".

const NAME = "kollama";
const STORE = "documents";
/** So many documents, and so many bytes of each, are kept. */
const MOST = 300;
const LARGEST = 4_000_000;

let opened;
// Where the browser keeps nothing, documents last as long as the page.
const here = new Map();

function database() {
  opened ??= new Promise(resolve => {
    if (!globalThis.indexedDB) return resolve(undefined);
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(undefined);
  });
  return opened;
}

async function ask(mode, question, otherwise) {
  const base = await database();
  if (!base) return otherwise();
  return new Promise((resolve, reject) => {
    const transaction = base.transaction(STORE, mode);
    const request = question(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(new StoreError("full"));
  });
}

/** Why a document was not kept: "full", "many" or "large". */
export class StoreError extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

/** All documents of a kind, the last changed first. */
export async function allDocuments(kind) {
  const all = await ask(
    "readonly",
    store => store.getAll(),
    () => [...here.values()],
  );
  return all.filter(one => one.kind === kind).sort((a, b) => b.changed - a.changed);
}

/** One document, or undefined. */
export function getDocument(id) {
  return ask(
    "readonly",
    store => store.get(id),
    () => here.get(id),
  );
}

/** Keeps a document under its id; gives the record. */
export async function keepDocument(id, kind, title, body) {
  const [size, changed] = [JSON.stringify(body).length, Date.now()];
  if (size > LARGEST) throw new StoreError("large");
  const known = await getDocument(id);
  if (
    !known &&
    (await ask(
      "readonly",
      store => store.count(),
      () => here.size,
    )) >= MOST
  )
    throw new StoreError("many");
  const record = { id, kind, title, changed, size, body };
  await ask(
    "readwrite",
    store => store.put(record),
    () => here.set(id, record),
  );
  return record;
}

/** Removes a document. */
export function removeDocument(id) {
  return ask(
    "readwrite",
    store => store.delete(id),
    () => here.delete(id),
  );
}

/** An id that no other document has. */
export const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** The first words of a text. */
export function titleOf(text) {
  return [...text.trim().split("\n")[0]].slice(0, 60).join("");
}

/** All documents of a kind as the text of a file. */
export async function exported(kind) {
  const documents = (await allDocuments(kind)).map(({ title, changed, body }) => ({ title, changed, body }));
  return JSON.stringify({ format: "kollama-documents", version: 1, kind, documents }, null, 1);
}

/** Takes documents out of the text of a file; gives their number, or undefined if it is no such file. */
export async function imported(text, kind, isSound) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    return undefined;
  }
  const right = file?.format === "kollama-documents" && file.kind === kind && Array.isArray(file.documents);
  if (!right || !file.documents.every(one => isSound(one?.body))) return undefined;
  for (const { title, body } of file.documents)
    await keepDocument(newId(), kind, titleOf(String(title ?? "")), body);
  return file.documents.length;
}
