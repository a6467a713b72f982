// A text, and what is known of its tokens. Values that never change: every edit gives a new one, so that
// undoing is going back to an old one.
//
// A run is one reading or writing of a `model`: `prompt`, the ids before it, and `steps`, its tokens:
// {id, token, chance, others: [{id, token, chance}]}, where a chance is the logarithm of a probability.
// `given` of its first steps were picked by hand. A part, {start, end, run, at, count}, is a stretch of text
// that `count` steps of a run from `at` on have written: several where byte tokens make one character. What
// is known of a token holds only as long as nothing before it changes. `written` are the stretches [start,
// end] that the model wrote, read again or not, and `last` is its last writing, {run, start, end}.

/** A text of which nothing is known. */
export function plain(text) {
  return { text, parts: [], written: [], last: undefined };
}

/** A run of a model that has no step yet but those that are given. */
export function newRun(model, prompt, given = []) {
  return { model, prompt, given: given.length, steps: [...given] };
}

/** The manuscript with another text: what stands before the first difference stays known. */
export function edited(manuscript, text) {
  const old = manuscript.text;
  if (text === old) return manuscript;
  const shorter = Math.min(old.length, text.length);
  let [before, behind] = [0, 0];
  while (before < shorter && old[before] === text[before]) before++;
  while (behind < shorter - before && old.at(-1 - behind) === text.at(-1 - behind)) behind++;
  return exchanged(manuscript, before, old.length - behind, text.slice(before, text.length - behind));
}

/** The manuscript with other text in the place of a stretch. */
export function exchanged({ text, parts, written, last }, start, end, other) {
  const shift = other.length - (end - start);
  const behind = written.filter(one => one[1] > end).map(one => [Math.max(one[0], end) + shift, one[1] + shift]);
  const before = written.filter(one => one[0] < start).map(one => [one[0], Math.min(one[1], start)]);
  return {
    text: text.slice(0, start) + other + text.slice(end),
    parts: parts.filter(part => part.end <= start),
    written: joined([...before, ...behind]),
    last: last && last.end <= start ? last : undefined,
  };
}

/** Stretches in order, those that touch as one. */
function joined(stretches) {
  const found = [];
  for (const [start, end] of stretches.sort((a, b) => a[0] - b[0])) {
    if (found.length > 0 && start <= found.at(-1)[1]) found.at(-1)[1] = Math.max(end, found.at(-1)[1]);
    else found.push([start, end]);
  }
  return found;
}

/** The manuscript up to a place. */
export function cut(manuscript, place) {
  return exchanged(manuscript, place, manuscript.text.length, "");
}

/** The manuscript with new pieces of a run, from its step `at` on, written at a place. */
export function grown(manuscript, place, run, at, pieces) {
  const text = pieces.map(piece => piece.text).join("");
  const next = exchanged(manuscript, place, place, text);
  const start = manuscript.last?.run === run ? manuscript.last.start : place;
  return {
    ...next,
    parts: [...next.parts, ...partsOf(place, run, at, pieces)],
    written: joined([...next.written, [place, place + text.length]]),
    last: { run, start, end: place + text.length },
  };
}

/** The same text, read by the model: its end, if not all of it was read. */
export function asRead(manuscript, run, at, pieces) {
  const length = pieces.reduce((sum, piece) => sum + piece.text.length, 0);
  return { ...manuscript, parts: partsOf(manuscript.text.length - length, run, at, pieces) };
}

function partsOf(start, run, at, pieces) {
  const parts = [];
  for (const { text, count } of pieces) {
    const end = start + text.length;
    // Text without a token of its own is there, but nothing is known of it.
    if (count > 0) parts.push({ start, end, run, at, count });
    [start, at] = [end, at + count];
  }
  return parts;
}

/** The part that a place lies in or behind; at a border, the one before it. */
export function partAt({ parts }, place) {
  return parts.find(part => part.start < place && place <= part.end) ?? parts.find(part => part.start === place);
}

/** The steps of a part. */
export function stepsOf(part) {
  return part.run.steps.slice(part.at, part.at + part.count);
}

/** The chance of a part: of all its tokens together. Undefined where the model never gave one. */
export function chanceOf(part) {
  const chances = stepsOf(part).map(step => step.chance);
  return chances.some(chance => typeof chance !== "number")
    ? undefined
    : chances.reduce((sum, one) => sum + one, 0);
}

/** The ids that stood before a step of a run. */
export function idsBefore(run, at) {
  return [...run.prompt, ...run.steps.slice(0, at).map(step => step.id)];
}

/** The ids of a model that wrote the text up to a place, where they are known to the last one; or undefined. */
export function idsUpTo({ parts }, place, model) {
  const last = parts.findLast(part => part.end <= place);
  const isKnown = last?.end === place && last.run.model === model;
  return isKnown ? idsBefore(last.run, last.at + last.count) : undefined;
}

/** As JSON, in which a run is named by its number. */
export function packed({ text, parts, written, last }) {
  const runs = [...new Set([...parts.map(part => part.run), ...(last ? [last.run] : [])])];
  return {
    text,
    runs,
    parts: parts.map(({ start, end, run, at, count }) => [start, end, runs.indexOf(run), at, count]),
    written,
    last: last && [runs.indexOf(last.run), last.start, last.end],
  };
}

/** Out of JSON; undefined if it is no manuscript. What is not sound of what was known is forgotten. */
export function unpacked(value) {
  if (typeof value?.text !== "string") return undefined;
  try {
    return known(value);
  } catch {
    return plain(value.text);
  }
}

function known({ text, runs, parts, written, last }) {
  const isRun = run =>
    run.prompt.every(Number.isInteger) &&
    run.steps.every(step => Number.isInteger(step.id) && Array.isArray(step.others));
  const isStretch = (start, end) => 0 <= start && start <= end && end <= text.length;
  const found = parts.map(([start, end, run, at, count]) => ({ start, end, run: runs[run], at, count }));
  const isPart = ({ start, end, run, at, count }) =>
    isStretch(start, end) && 0 <= at && 0 < count && at + count <= run.steps.length;
  const lastRun = last && { run: runs[last[0]], start: last[1], end: last[2] };
  const isSound =
    runs.every(isRun) &&
    found.every(isPart) &&
    written.every(one => isStretch(...one)) &&
    (!lastRun || (lastRun.run.prompt && isStretch(lastRun.start, lastRun.end)));
  return isSound ? { text, parts: found, written, last: lastRun ?? undefined } : plain(text);
}
