// The chosen theme and language, before anything is painted: the only script that the page waits for.
(() => {
  const kept = name => {
    try {
      return JSON.parse(localStorage.getItem("kollama." + name));
    } catch {
      return null;
    }
  };
  const root = document.documentElement;
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.lang = kept("language") ?? (navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en");
})();
