// Tables that sort by a column and show only the rows that are asked for.
const readpathTables = (() => {
  "use strict";
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const numeric = (cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v));

  // Numbers by their value, texts as people order them ("4 KiB" before "16 KiB"); what is not there comes last.
  function compare(a, b, isNumber, up) {
    if (isNumber) {
      const [x, y] = [numeric(a), numeric(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return up ? x - y : y - x;
    }
    const order = a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    return up ? order : -order;
  }

  function sort(table, at, up) {
    const heads = table.tHead.rows[0].cells;
    const isNumber = heads[at].classList.contains("number");
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[at].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(a.cells[at], b.cells[at], isNumber, up));
    table.tBodies[0].append(...rows);
  }

  // The first press sorts numbers from the largest on, texts from the first; the next one turns it round.
  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const button = element("button", { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        sort(table, at, now ? now === "descending" : !head.classList.contains("number"));
      });
    });
  }

  // The sort in force, for a table whose rows are made anew.
  function resort(table) {
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const now = head.getAttribute("aria-sort");
      if (now) sort(table, at, now === "ascending");
    });
  }

  function filterable(box, table) {
    const caption = table.caption.textContent;
    const search = element("input", { type: "search", autocomplete: "off", spellcheck: false });
    const controls = element("div", { className: "controls" }, element("label", {}, "Rows with", search));
    const said = element("p");
    said.setAttribute("role", "status");
    search.setAttribute("aria-label", `Rows with these words: ${caption}`);
    const picks = [];
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const values = new Set([...table.tBodies[0].rows].map((row) => row.cells[at].textContent));
      if (head.dataset.pick === undefined || values.size < 2) return;
      const select = element("select", {}, new Option("all", ""));
      for (const value of values) select.add(new Option(value, `=${value}`));
      controls.append(element("label", {}, head.textContent, select));
      picks.push({ at, select });
      select.addEventListener("change", apply);
    });
    controls.append(said);
    box.before(controls);
    search.addEventListener("input", apply);

    function apply() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      const rows = table.tBodies[0].rows;
      for (const row of rows) {
        const text = [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(" ");
        const hit = words.every((word) => text.includes(word))
          && picks.every(({ at, select }) => !select.value || select.value === `=${row.cells[at].textContent}`);
        row.hidden = !hit;
        shown += hit;
      }
      said.textContent = `${shown} of ${rows.length} rows`;
    }
    apply();
    return apply;
  }

  // Columns of sentences get room to be read, short names are not broken.
  function widen(table) {
    const rows = [...table.tBodies[0].rows].slice(0, 200);
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const longest = Math.max(0, ...rows.map((row) => row.cells[at].textContent.length));
      const room = longest > 60 ? "long" : longest <= 30 ? "short" : "";
      if (room) for (const row of [table.tHead.rows[0], ...table.tBodies[0].rows]) row.cells[at].classList.add(room);
    });
  }

  for (const box of document.querySelectorAll(".data")) {
    const table = box.querySelector("table");
    widen(table);
    filterable(box, table);
    sortable(table);
  }
  return { element, sortable, filterable, resort };
})();
