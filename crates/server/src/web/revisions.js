// What was, and what was undone. Typing in one go counts as one revision.

const KEPT = 300;
const ONE_GO = 1200;

/** Revisions of a value that begins as `first`. */
export function revisions(first) {
  let [past, present, future] = [[], first, []];
  let typedAt = -Infinity;
  const keep = value => {
    past = [...past, present].slice(-KEPT);
    [present, future] = [value, []];
  };
  return {
    /** What is there now. */
    now: () => present,
    /** Another value, as a revision of its own. */
    revise(value) {
      keep(value);
      typedAt = -Infinity;
    },
    /** Another value by typing, at a time in milliseconds; `goesOn` where it is the same syllable still. */
    type(value, time, goesOn = false) {
      if ((goesOn || time - typedAt < ONE_GO) && past.length > 0) [present, future] = [value, []];
      else keep(value);
      typedAt = time;
    },
    /** Another value in the place of the present one: the same revision goes on. */
    amend(value) {
      present = value;
    },
    undo() {
      if (past.length === 0) return;
      future = [present, ...future];
      present = past.at(-1);
      past = past.slice(0, -1);
      typedAt = -Infinity;
    },
    redo() {
      if (future.length === 0) return;
      past = [...past, present];
      [present, ...future] = future;
      typedAt = -Infinity;
    },
    canUndo: () => past.length > 0,
    canRedo: () => future.length > 0,
  };
}
