// Light or dark: as the address asks, as chosen on the last visit, or as the system has it. Stands in the head, so that
// the colours are there before the page is drawn.
(() => {
  const root = document.documentElement;
  let theme = new URLSearchParams(location.search).get("theme");
  try { theme = theme || localStorage.getItem("theme"); } catch { /* no storage */ }
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.getElementById("theme");
    const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const label = () => { toggle.textContent = dark() ? "Light" : "Dark"; };
    toggle.hidden = false;
    label();
    toggle.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* no storage: this visit only */ }
      label();
    });
  });
})();
