// What can be measured of a page: contrasts, names of controls, the way of the focus, widths.

/** Every visible text with its contrast and the one that WCAG AA asks for. What is disabled is exempt. */
export function contrasts(page) {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const colour = css => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, ground) => [0, 1, 2].map(at => top[at] * top[3] + ground[at] * (1 - top[3])).concat(1);
    const groundOf = node => {
      const above = node.parentElement ? groundOf(node.parentElement) : [255, 255, 255, 1];
      const own = colour(getComputedStyle(node).backgroundColor);
      return own[3] === 0 ? above : over(own, above);
    };
    const light = ([r, g, b]) =>
      [r, g, b]
        .map(value => value / 255)
        .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
    const contrast = (one, other) => {
      const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
      return (high + 0.05) / (low + 0.05);
    };
    const isSeen = node =>
      node.checkVisibility({ visibilityProperty: true }) &&
      node.getClientRects().length > 0 &&
      !node.closest(".unseen, .mirror, .skip, :disabled");
    const found = [];
    const measure = (what, ink, ground, style) => {
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      found.push({ what, contrast: contrast(over(ink, ground), ground), needed: isLarge ? 3 : 4.5 });
    };
    for (const node of document.querySelectorAll("body *")) {
      const hasText =
        [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim() !== "") || "value" in node;
      if (!hasText || !isSeen(node) || node.matches("option, script, input[type=range]")) continue;
      const style = getComputedStyle(node);
      const name = `${node.tagName}#${node.id}.${node.className} ${node.textContent.trim().slice(0, 30)}`;
      measure(name, colour(style.color), groundOf(node), style);
      if (node.placeholder)
        measure(name, colour(getComputedStyle(node, "::placeholder").color), groundOf(node), style);
    }
    // Tokens are painted behind the ink of the sheet, bars behind the words of the card.
    const root = getComputedStyle(document.documentElement);
    const probe = document.body.appendChild(document.createElement("i"));
    const painted = name => ((probe.style.color = `var(--${name})`), colour(getComputedStyle(probe).color));
    for (const name of ["written", "chosen", "heat-1", "heat-2", "heat-3", "heat-4", "accent-soft"])
      measure(name, painted("ink"), painted(name), root);
    probe.remove();
    return found;
  });
}

const NAMED = [
  "button",
  "link",
  "textbox",
  "combobox",
  "slider",
  "spinbutton",
  "dialog",
  "list",
  "navigation",
  "region",
  "toolbar",
  "img",
];

/** Roles of controls without a name, as a reader of the screen would be told of them. */
export async function controlsWithoutName(page) {
  const devtools = await page.context().newCDPSession(page);
  const { nodes } = await devtools.send("Accessibility.getFullAXTree");
  const needed = nodes.filter(
    node => !node.ignored && NAMED.includes(node.role?.value) && node.role.value !== "list",
  );
  return needed.filter(node => !node.name?.value).map(node => `${node.role.value} ${node.backendDOMNodeId}`);
}

/** Goes through the page with Tab: controls that were not reached, and such whose focus is not to be seen. */
export async function focusWalk(page) {
  // The walk begins at the first control, which the keyboard reaches from behind.
  await page.focus("#skip");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Shift+Tab");
  const unmarked = [];
  for (let steps = 0; steps < 150; steps++) {
    const { path, marked, isBody } = await page.evaluate(() => {
      const node = document.activeElement;
      node.dataset.reached = "true";
      const marks = [node, node.parentElement ?? node].map(one => getComputedStyle(one));
      const { bottom, top, width } = node.getBoundingClientRect();
      const marked =
        marks.some(style => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) &&
        width > 0 &&
        bottom > 0 &&
        top < innerHeight;
      return {
        path: `${node.tagName}#${node.id} ${node.textContent.slice(0, 20)}`,
        marked,
        isBody: node === document.body,
      };
    });
    if (isBody || (steps > 0 && path.includes("#skip"))) break;
    if (!marked) unmarked.push(path);
    await page.keyboard.press("Tab");
  }
  const missed = await page.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
    const missing = all.filter(
      node =>
        node.checkVisibility() &&
        !node.disabled &&
        node.tabIndex >= 0 &&
        !node.dataset.reached &&
        !node.closest("dialog:not([open])"),
    );
    all.forEach(node => delete node.dataset.reached);
    return missing.map(node => node.outerHTML.slice(0, 120));
  });
  return { missed, unmarked };
}

/** What reaches out of the window sideways. */
export function tooWide(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll("body *")]
      .filter(node => node.checkVisibility() && !node.closest(".unseen"))
      .filter(node => node.getBoundingClientRect().right > width + 0.5 || node.getBoundingClientRect().left < -0.5);
    const scrolls = document.documentElement.scrollWidth > width ? ["the page scrolls sideways"] : [];
    return [...scrolls, ...wide.map(node => node.outerHTML.slice(0, 120))];
  });
}
