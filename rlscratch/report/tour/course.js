// Comforts; a page is whole without them: search, tips, the current section, one verdict at a time, folds that open
// when something in them is asked for.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const node = (name, text, attributes = {}) => {
    const made = Object.assign(document.createElement(name), { textContent: text });
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };

  // ---- search: every word must begin somewhere in an entry, else some; first those with all in the title, by kind
  const KINDS = ["chapter", "word", "section", "exercise", "example", "finding", "formula", "document"];
  const STOP = new Set("a an and are can do does for how i in is it my of on the to what why with".split(" "));
  const GREEK = { α: "alpha", β: "beta", γ: "gamma", δ: "delta", ε: "epsilon", θ: "theta", λ: "lambda", μ: "mu", π: "pi", σ: "sigma", τ: "tau" };
  const lower = (text) => text.toLowerCase().replace(/iz/g, "is").replace(/[α-ω]/g, (letter) => ` ${GREEK[letter] ?? letter} `);  // -ize and -ise are one
  const plain = (text) => lower(` ${text}`).replace(/[^\p{L}\p{N}]/gu, " ");
  const stem = (word) => word.length > 4 ? word.replace(/(?:([bdgmnprt])\1ing|ing|ies|s)$/, "$1") : word;
  const entries = data("index").flatMap(([file, list]) => list.map(([kind, title, anchor, words]) => ({
    title, kind, address: file + (anchor && `#${anchor}`), called: plain(title), name: plain(kind > 1 ? title : `${title} ${words}`), text: plain(`${title} ${words}`),
  })));
  const search = document.getElementById("search"), found = document.getElementById("found");
  let chosen = -1;
  const held = (text, words) => words.filter((word) => text.includes(` ${word}`)).length;
  const rank = (entry, words) => held(entry.name, words) === words.length ? 0 : held(entry.text, words) === words.length ? 1
    : held(entry.name, words) ? 2 : 9;
  const show = (wanted) => {
    found.hidden = !wanted;
    search.setAttribute("aria-expanded", String(wanted));
    if (!wanted) search.removeAttribute("aria-activedescendant");
  };
  const choose = (place) => {
    const options = all("[role=option]", found);
    chosen = (place + options.length) % options.length;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === chosen)));
    options[chosen]?.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", options[chosen]?.id ?? "");
  };
  const look = () => {
    const asked = plain(search.value).split(" ").filter(Boolean), telling = asked.filter((word) => !STOP.has(word));
    const words = (telling.length ? telling : asked).map(stem), count = {};
    const ranked = words.length ? entries.map((entry) => [rank(entry, words), entry]).filter(([r]) => r < 9) : [];
    const whole = ranked.filter(([r]) => r < 2);
    const hits = (whole.length ? whole : ranked).sort(([a, one], [b, other]) => a - b || one.kind - other.kind || held(other.called, words) - held(one.called, words))
      .filter(([, { kind }]) => (count[kind] = (count[kind] ?? 0) + 1) <= 4).slice(0, 12);
    found.replaceChildren(...hits.map(([, entry], i) => {
      const option = node("li", "", { role: "option", id: `found-${i}`, "data-address": entry.address, "aria-selected": "false" });
      option.append(node("span", entry.title), node("span", KINDS[entry.kind], { class: "soft small" }));
      return option;
    }));
    if (words.length && !hits.length) found.append(node("li", "Nothing found", { role: "option", "aria-selected": "false" }));
    chosen = -1;
    show(words.length > 0);
  };
  const go = (option) => {
    if (!option?.dataset.address) return;
    show(false);
    location.href = option.dataset.address;
  };
  document.getElementById("searching").hidden = false;
  search.addEventListener("input", look);
  search.addEventListener("focus", () => { if (search.value) look(); });
  search.addEventListener("blur", () => setTimeout(() => show(false), 200));
  found.addEventListener("mousedown", (event) => { event.preventDefault(); go(event.target.closest("[role=option]")); });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? chosen + 1 : Math.max(chosen, 0) - 1);
    } else if (event.key === "Enter") go(all("[role=option]", found)[Math.max(chosen, 0)]);
    else if (event.key === "Escape") { search.value = ""; show(false); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    search.focus();
  });

  // ---- tips: what a letter of an equation stands for
  const tips = data("tips"), tip = document.getElementById("tip");
  const tell = (letter) => {
    tip.hidden = !letter;
    if (!letter) return;
    tip.textContent = tips[letter.dataset.tip];
    const at = letter.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(8, Math.min(at.left, wide - tip.offsetWidth - 8))}px`;
    tip.style.top = `${at.bottom + 6 + tip.offsetHeight > innerHeight ? at.top - tip.offsetHeight - 6 : at.bottom + 6}px`;
  };
  const letter = (event) => event.target instanceof Element ? event.target.closest("[data-tip]") : null;
  for (const each of all("[data-tip][tabindex]")) each.setAttribute("aria-label", tips[each.dataset.tip]);
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, (event) => tell(letter(event)));
  document.addEventListener("focusout", () => tell(null));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tell(null); });
  addEventListener("scroll", () => tell(null), { passive: true });

  // ---- the current section is marked in the contents
  const links = new Map();
  for (const link of all('nav a[href^="#"]')) {
    const id = link.hash.slice(1);
    links.set(id, [...(links.get(id) ?? []), link]);
  }
  const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const current = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3).pop();
    for (const [id, list] of links)
      for (const link of list) id === current?.id ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current");
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
  const menu = document.querySelector(".menu");
  menu.addEventListener("click", (event) => { if (event.target.closest("a")) menu.open = false; });
  document.addEventListener("click", (event) => { if (!event.target.closest(".menu")) menu.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); } });

  // ---- a document's entries, one verdict or kind at a time
  const choices = document.getElementById("choices");
  if (choices) {
    const rows = all("#documents [data-item]"), groups = all("#documents [data-group]");
    choices.hidden = false;
    choices.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      for (const each of all("button", choices)) each.setAttribute("aria-pressed", String(each === button));
      const counted = button.dataset.counted;
      for (const row of rows) row.hidden = Boolean(counted) && row.dataset.counted !== counted;
      for (const group of groups) group.hidden = !all("[data-item]", group).some((row) => !row.hidden);
      for (const fold of groups) if (fold.tagName === "DETAILS") fold.open = Boolean(counted);
    });
  }

  // ---- a link to something folded unfolds it
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let each = target; each; each = each.parentElement) {
      each.hidden = false;
      if (each.tagName === "DETAILS") each.open = true;
    }
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details.fold:not(.code):not(.rung):not([open])");
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
})();
