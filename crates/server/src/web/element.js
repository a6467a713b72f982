// Elements and the places that hold them. Text is only ever put in as text, never as markup.

/** An element with attributes and, inside, text or elements. `on…` are listeners, `undefined` is left out. */
export function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...inside);
  return made;
}

/** The element with an id. The page is ours: one that is missing is a fault of the page. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Whether a key belongs to a syllable that is still being composed. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Calls `work` once, when nothing has asked for it during `wait` milliseconds. */
export function whenQuiet(wait, work) {
  let timer;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/** Lets the arrow keys, Home and End go along the items; one of them can be reached with Tab. */
export function walkable(row, items) {
  items.forEach((item, at) => (item.tabIndex = at === 0 ? 0 : -1));
  row.addEventListener("keydown", event => {
    const at = items.indexOf(event.target);
    if (at < 0) return;
    const steps = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: items.length - 1,
    };
    const next = items[steps[event.key]];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
