// Comforts; the page is whole without them: the search for formulas, one verdict or kind at a time,
// each document's figures (copied from the ladder, where they are kept once), and folds that open when needed.
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Hide what is not wanted, then every group that has nothing left; says how many are left.
  const filter = (items, groups, wanted) => {
    let left = 0;
    for (const item of items) {
      item.hidden = !wanted(item);
      left += !item.hidden;
    }
    for (const group of groups) group.hidden = !all("[data-item]", group).some((item) => !item.hidden);
    return left;
  };

  const shelf = document.getElementById("shelf");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const formulas = all("[data-item]", shelf);
  const texts = new Map(formulas.map((item) => [item, item.textContent.toLowerCase()]));
  document.getElementById("searching").hidden = false;
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = filter(formulas, all("[data-group]", shelf), (item) => words.every((word) => texts.get(item).includes(word)));
    found.textContent = words.length ? `${left} of ${formulas.length} formulas` : `${formulas.length} formulas`;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input")) return;
    event.preventDefault();
    search.focus();
  });

  const documents = document.getElementById("documents");
  const choices = document.getElementById("choices");
  const rows = all("[data-item]", documents);
  choices.hidden = false;
  choices.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of all("button", choices)) button.setAttribute("aria-pressed", String(button === chosen));
    const counted = chosen.dataset.counted;
    filter(rows, all("[data-group]", documents), (row) => !counted || row.dataset.counted === counted);
    for (const fold of all("details[data-group]", documents)) fold.open = Boolean(counted);
  });

  for (const copy of all("[data-copy]")) {
    const sheet = document.getElementById(copy.dataset.copy)?.querySelector(".sheet");
    if (sheet) copy.prepend(sheet.cloneNode(true));
  }

  // A link to something folded unfolds it.
  const unfold = () => {
    let node = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!node) return;
    const target = node;
    target.hidden = false;
    for (; node; node = node.parentElement) {
      node.hidden = false;
      if (node.tagName === "DETAILS") node.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details.fold:not(.code):not([open])");
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
})();
