// Light, dark, or as the system has it.

import { byId } from "./element.js";
import { recall, remember } from "./remembered.js";

function show(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Lets the page's control choose the theme. */
export function startTheme() {
  const control = byId("theme");
  control.value = recall("theme", "system");
  show(control.value);
  control.addEventListener("change", () => {
    remember("theme", control.value);
    show(control.value);
  });
}
