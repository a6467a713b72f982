// Small settings that this browser remembers. Where it remembers nothing, they last as long as the page.

const PREFIX = "kollama.";
const here = new Map();

/** What is remembered under a name, or `otherwise`. */
export function recall(name, otherwise) {
  try {
    const kept = localStorage.getItem(PREFIX + name);
    return kept === null ? (here.get(name) ?? otherwise) : JSON.parse(kept);
  } catch {
    return here.get(name) ?? otherwise;
  }
}

/** Remembers a value. */
export function remember(name, value) {
  here.set(name, value);
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing, or is full: the page goes on with what it holds itself.
  }
}
