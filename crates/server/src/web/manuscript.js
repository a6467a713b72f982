// A text, and what is known of its tokens. Values that never change: every edit gives a new one, so that
// undoing is going back to an old one.
//
// A run is one reading or writing of the model: `prompt`, the ids before it, and `steps`, its tokens:
// {id, token, chance, others: [{id, token, chance}]}, where a chance is the logarithm of a probability.
// `given` of its first steps were picked by hand. A part is a stretch of text that `count` steps of a run
// from `at` on have written: several where byte tokens make one character. What is known of a token holds
// only as long as nothing before it changes.

/** A text of which nothing is known. */
export function plain(text) {
  return { text, parts: [] };
}

/** A run that has no step yet. */
export function newRun(prompt, given = []) {
  return { prompt, given: given.length, steps: [...given] };
}

/** The manuscript with another text: what stands before the first difference stays known. */
export function edited(manuscript, text) {
  const old = manuscript.text;
  if (text === old) return manuscript;
  const shorter = Math.min(old.length, text.length);
  let same = 0;
  while (same < shorter && old[same] === text[same]) same++;
  return { text, parts: known(manuscript.parts, same) };
}

function known(parts, end) {
  return parts.filter(part => part.end <= end);
}

/** The manuscript up to a place. */
export function cut(manuscript, place) {
  return { text: manuscript.text.slice(0, place), parts: known(manuscript.parts, place) };
}

/** The manuscript with new parts of a run at a place; what stood behind it stays, but is no longer known. */
export function grown(manuscript, place, run, at, pieces) {
  const { text, parts } = manuscript;
  const added = [];
  let end = place;
  for (const piece of pieces) {
    if (piece.count > 0) added.push({ start: end, end: end + piece.text.length, run, at, count: piece.count });
    end += piece.text.length;
    at += piece.count;
  }
  const written = pieces.map(piece => piece.text).join("");
  return { text: text.slice(0, place) + written + text.slice(place), parts: [...known(parts, place), ...added] };
}

/** The part that a place lies in or behind; at a border, the one before it. */
export function partAt(manuscript, place) {
  const { parts } = manuscript;
  return parts.find(part => part.start < place && place <= part.end) ?? parts.find(part => part.start === place);
}

/** The steps of a part. */
export function stepsOf(part) {
  return part.run.steps.slice(part.at, part.at + part.count);
}

/** The chance of a part: of all its tokens together. Undefined where the model never gave one. */
export function chanceOf(part) {
  const chances = stepsOf(part).map(step => step.chance);
  return chances.some(chance => typeof chance !== "number") ? undefined : chances.reduce((sum, one) => sum + one, 0);
}

/** The ids that stood before a step of a run. */
export function idsBefore(run, at) {
  return [...run.prompt, ...run.steps.slice(0, at).map(step => step.id)];
}

/** The ids that wrote the text up to a place, where they are known to the last one; or undefined. */
export function idsUpTo(manuscript, place) {
  const last = manuscript.parts.findLast(part => part.end <= place);
  return last?.end === place ? idsBefore(last.run, last.at + last.count) : undefined;
}

/** The stretch of text that the model wrote last, {run, start, end}; or undefined. */
export function lastWriting(manuscript) {
  const last = manuscript.parts.findLast(part => !part.run.read);
  if (!last) return undefined;
  const own = manuscript.parts.filter(part => part.run === last.run);
  return { run: last.run, start: own[0].start, end: last.end };
}

/** The manuscript without a stretch of text. */
export function without(manuscript, start, end) {
  const { text, parts } = manuscript;
  return { text: text.slice(0, start) + text.slice(end), parts: known(parts, start) };
}

/** As JSON, in which parts name their run by its number. */
export function packed(manuscript) {
  const runs = [...new Set(manuscript.parts.map(part => part.run))];
  const parts = manuscript.parts.map(({ start, end, run, at, count }) => [start, end, runs.indexOf(run), at, count]);
  return { text: manuscript.text, runs, parts };
}

/** Out of JSON; undefined if it is no manuscript. */
export function unpacked(value) {
  if (typeof value?.text !== "string") return undefined;
  const runs = Array.isArray(value.runs) ? value.runs : [];
  const rows = Array.isArray(value.parts) ? value.parts : [];
  const parts = rows.map(([start, end, run, at, count]) => ({ start, end, run: runs[run], at, count }));
  return { text: value.text, parts: parts.every(part => isSound(part, value.text)) ? parts : [] };
}

function isSound({ start, end, run, at, count }, text) {
  const placed = Number.isInteger(start) && start >= 0 && start <= end && end <= text.length;
  const steps = Array.isArray(run?.prompt) && Array.isArray(run?.steps);
  const stepped = steps && at >= 0 && count > 0 && at + count <= run.steps.length;
  return placed && stepped && run.steps.every(step => Number.isInteger(step?.id) && Array.isArray(step?.others));
}
