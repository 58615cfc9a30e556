// Light or dark: the system's, until the reader chooses; the choice is kept where the browser allows it.
(() => {
  "use strict";
  const root = document.documentElement;
  const key = "readpath-theme";
  const stored = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const keep = (value) => { try { localStorage.setItem(key, value); } catch { /* a file may not keep it */ } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = stored();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Dark";
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();
  document.getElementById("theme").append(button);
})();
