// The sheet: a text field that one writes in, and behind it a mirror of the text on which tokens are painted
// (as ranges of one text node, so that painting never moves a letter).

import { byId } from "./element.js";
import { chanceOf } from "./manuscript.js";

const paints = typeof Highlight === "function" && CSS.highlights;
/** Names of the colours: `heat-1` to `heat-4` for ever less likely tokens. */
const COLOURS = ["written", "heat-1", "heat-2", "heat-3", "heat-4", "chosen"];
/** Probabilities below which a token is painted hotter. */
export const HEATS = [0.5, 0.1, 0.01, 0.001];

/** The heat of a part: 0 for a likely one to 4, undefined where nothing is known. */
function heatOf(part) {
  const chance = chanceOf(part);
  return chance === undefined ? undefined : HEATS.filter(limit => Math.exp(chance) < limit).length;
}

/** The sheet of the page. */
export function openPaper() {
  const [field, mirror, scroll] = [byId("text"), byId("mirror"), byId("sheet-scroll")];
  const node = document.createTextNode("");
  // A last empty line has its height only if something stands in it.
  mirror.append(node, "\u200b");
  const colours = new Map(COLOURS.map(name => [name, paints ? new Highlight() : new Set()]));
  if (paints) colours.forEach((highlight, name) => CSS.highlights.set(name, highlight));
  colours.get("chosen").priority = 1;
  let byHeat = false;

  function paint(name, start, end) {
    const place = { startContainer: node, startOffset: start, endContainer: node, endOffset: end };
    colours.get(name)?.add(new StaticRange(place));
  }
  const paintHeat = part => paint(`heat-${heatOf(part)}`, part.start, part.end);
  function paintWritten(written) {
    colours.get("written").clear();
    if (!byHeat) written.forEach(([start, end]) => paint("written", start, end));
  }

  return {
    field,
    /** Shows a manuscript, its tokens by their heat or only what the model wrote. */
    show({ text, parts, written }, heats) {
      if (field.value !== text) field.value = text;
      if (node.data !== text) node.data = text;
      byHeat = heats;
      colours.forEach(colour => colour.clear());
      if (byHeat) parts.forEach(paintHeat);
      paintWritten(written);
    },
    /** Shows a manuscript that has grown at a place by `text`; caret and selection stay where they are. */
    grow({ parts, written }, place, text) {
      field.setRangeText(text, place, place, "preserve");
      node.insertData(place, text);
      if (byHeat) parts.filter(part => part.start >= place).forEach(paintHeat);
      paintWritten(written);
    },
    /** Marks one part, or none. */
    choose(part) {
      colours.get("chosen").clear();
      if (part) paint("chosen", part.start, part.end);
    },
    /** Where a part stands: its rectangles, in the coordinates of the window. */
    rectangles(part) {
      const live = document.createRange();
      live.setStart(node, part.start);
      live.setEnd(node, part.end);
      return [...live.getClientRects()];
    },
    /** Whether the end of the text is in sight, or nearly. */
    seesEnd: () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120,
    /** Goes to the end. */
    toEnd: () => (scroll.scrollTop = scroll.scrollHeight),
  };
}
