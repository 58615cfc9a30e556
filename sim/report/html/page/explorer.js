// Two cells chosen by their labels: their flame graphs, and the symbols that make the difference.
(() => {
  "use strict";
  const source = document.getElementById("calls");
  const { element, sortable, filterable, resort } = readpathTables;
  if (!source) { document.body.dataset.ready = String(performance.now()); return; }
  const data = JSON.parse(source.textContent);
  const runs = data.runs.filter((run) => run.cells.length);
  const place = (id) => document.getElementById(id);
  const UNITS = { ns: "ns", instructions: "instructions" };
  if (!runs.length) { place("flames").textContent = "No cell has a result."; document.body.dataset.ready = String(performance.now()); return; }

  const state = {
    sides: [0, 1].map((side) => ({ run: 0, labels: [...runs[0].cells[runs[0].first[side]].labels] })),
    currency: runs[0].currency, view: "both", zoomed: [], search: "",
  };
  if (runs.length > 1) state.sides[1] = { run: 1, labels: [...runs[1].cells[runs[1].first[0]].labels] };

  const runOf = (side) => runs[state.sides[side].run];
  const cellOf = (side) => runOf(side).cells.find((cell) => cell.labels.every((label, at) => label === state.sides[side].labels[at]));
  const wordsOf = (side) => {
    const { axes } = runOf(side);
    const words = axes.filter((axis) => axis.labels.length > 1 || axes.length === 1)
      .map((axis) => axis.labels[state.sides[side].labels[axes.indexOf(axis)]]).join(", ");
    return (runs.length > 1 ? `${runOf(side).title}: ` : "") + (words || "the only cell");
  };
  const number = (value, digits = 1, sign = false) => value.toLocaleString("en", {
    minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: sign ? "always" : "auto",
  });

  // Rows of a cell: [context, stack, group, calls, ns, instructions], whole sums.
  function callsOf(side) {
    const cell = cellOf(side);
    const { stacks } = runOf(side);
    const rows = [];
    for (let at = 0; cell && at < cell.calls.length; at += 4) rows.push([...stacks[cell.calls[at]], ...cell.calls.slice(at + 1, at + 4)]);
    return rows;
  }

  function pickers() {
    const box = place("pickers");
    box.replaceChildren(...[0, 1].map(picker), choice("In", "currency", [["ns", "CPU time, ns"], ["instructions", "instructions"]]),
      choice("Flame graphs", "view", [["both", "A and B, by difference"], ["a", "A, by cost group"], ["b", "B, by cost group"]]));
    const search = element("input", { type: "search", value: state.search, autocomplete: "off", spellcheck: false });
    search.addEventListener("input", () => { state.search = search.value.trim().toLowerCase(); flames(); });
    const reset = element("button", { type: "button", textContent: "Zoom out", id: "zoom-out" });
    reset.addEventListener("click", () => { state.zoomed = []; flames(); });
    box.append(element("label", {}, "Find a symbol", search), reset);
  }

  function picker(side) {
    const selects = element("div");
    const labelled = (name, select) => selects.append(element("label", {}, name, select));
    if (runs.length > 1) {
      const select = element("select", {}, ...runs.map((run, at) => new Option(run.title, at, false, at === state.sides[side].run)));
      select.addEventListener("change", () => {
        const run = Number(select.value);
        state.sides[side] = { run, labels: [...runs[run].cells[0].labels] };
        pickers(); show();
        document.querySelectorAll("#pickers fieldset")[side].querySelector("select").focus();
      });
      labelled("run", select);
    }
    runOf(side).axes.forEach((axis, at) => {
      if (axis.labels.length < 2) return;
      const select = element("select", {}, ...axis.labels.map((label, value) => new Option(label, value, false, value === state.sides[side].labels[at])));
      select.addEventListener("change", () => { state.sides[side].labels[at] = Number(select.value); show(); });
      labelled(axis.name, select);
    });
    if (!selects.children.length) selects.append("the only cell");
    return element("fieldset", {}, element("legend", { textContent: `Cell ${"AB"[side]}` }), selects);
  }

  function choice(name, key, options) {
    const select = element("select", {}, ...options.map(([value, words]) => new Option(words, value, false, value === state[key])));
    select.addEventListener("change", () => { state[key] = select.value; show(); });
    return element("label", {}, name, select);
  }

  // White where both cost the same, fuller the larger the difference is beside the larger of the two.
  function changed(before, after) {
    const most = Math.max(before, after);
    const share = most ? (after - before) / most : 0;
    const colour = share > 0 ? data.loses : data.wins;
    return `#${[1, 3, 5].map((at) => Math.round(255 + (parseInt(colour.slice(at, at + 2), 16) - 255) * Math.abs(share)).toString(16).padStart(2, "0")).join("")}`;
  }

  function tree() {
    const cost = state.currency === "ns" ? 4 : 5;
    const both = [0, 1].flatMap((side) => {
      const per = cellOf(side)?.of4k;
      return callsOf(side).map(([context, stack, group, ...sums]) => {
        const costs = [0, 0];
        costs[side] = per ? sums[cost - 3] / per : 0;
        return [context, stack, group, ...costs];
      });
    });
    return readpathFlame.treeOf(both);
  }

  function flames() {
    const root = tree();
    const unit = UNITS[state.currency];
    let top = root;
    for (const name of state.zoomed) top = top.children.get(name) ?? top;
    const tell = (words) => { place("flame-said").textContent = words; };
    const byGroup = state.view !== "both";
    const hit = (frame) => state.search !== "" && frame.name.toLowerCase().includes(state.search);
    const zoom = (frame) => {
      state.zoomed = [];
      for (let at = frame; at && at.parent; at = at.parent) state.zoomed.unshift(at.name);
      const side = document.activeElement?.closest(".flame")?.dataset.side;
      const buttons = flames();
      buttons[side]?.get([...buttons[side].keys()].find((one) => one.depth === state.zoomed.length && path(one).join(";") === state.zoomed.join(";")))?.focus();
    };
    const path = (frame) => (frame.parent ? [...path(frame.parent), frame.name] : []);
    const said = (side) => (frame) => {
      const group = frame.group >= 0 && frame.own[side] ? `, ${data.groups[frame.group][1]}` : "";
      const share = root.whole[side] ? 100 * frame.whole[side] / root.whole[side] : 0;
      return `${frame.name}: ${number(frame.whole[side])} ${unit} per 4 KiB (${number(share, 2)} %), of its own ${number(frame.own[side])}${group}`;
    };
    const difference = (frame) => `${frame.name}: A ${number(frame.whole[0])}, B ${number(frame.whole[1])} ${unit} per 4 KiB (A - B ${number(frame.whole[0] - frame.whole[1], 1, true)})`;
    const box = place("flames");
    box.replaceChildren();
    const drawn = {};
    for (const side of state.view === "both" ? [0, 1] : [state.view === "a" ? 0 : 1]) {
      const words = `${"AB"[side]}: ${wordsOf(side)}, ${number(root.whole[side])} ${unit} per 4 KiB`;
      const whole = element("div", { className: "graph" }, element("p", { textContent: words }));
      box.append(whole);
      if (!top.whole[side]) {
        whole.append(element("p", { textContent: cellOf(side) ? "Nothing of this here." : "This cell has no result." }));
        continue;
      }
      const fill = (frame) => (byGroup ? (frame.own[side] ? data.groups[frame.group][2].toLowerCase() : "#f2f2f2") : changed(frame.whole[0], frame.whole[1]));
      drawn[side] = readpathFlame.draw(whole, top, side, { label: `Flame graph of ${words}`, fill, words: byGroup ? said(side) : difference, hit, zoom, tell });
      whole.lastElementChild.dataset.side = side;
    }
    tell(state.zoomed.length ? `Zoomed to ${state.zoomed.join(" > ")}` : "Press a box to zoom.");
    legend(byGroup);
    return drawn;
  }

  function legend(byGroup) {
    const entries = byGroup
      ? [...data.groups.map(([, words, colour]) => [words, colour]), ["calls only", "#f2f2f2"]]
      : [["only in A", changed(1, 0)], ["A costs twice B", changed(1, 0.5)], ["the same", "#ffffff"], ["B costs twice A", changed(0.5, 1)], ["only in B", changed(0, 1)]];
    place("legend").replaceChildren(...entries.map(([words, colour]) => {
      const entry = element("span", { textContent: words });
      entry.style.setProperty("--of", colour);
      return entry;
    }));
  }

  // Symbol and group -> [cost A, cost B, instructions A, instructions B, calls a page A, B].
  function symbols() {
    const found = new Map();
    for (const side of [0, 1]) {
      const cell = cellOf(side);
      for (const [, stack, group, calls, ns, instructions] of callsOf(side)) {
        const symbol = stack.slice(stack.lastIndexOf(";") + 1);
        const key = `${symbol};${group}`;
        const row = found.get(key) ?? { symbol, group: data.groups[group][1], sums: [0, 0, 0, 0, 0, 0] };
        const per = (value, whole) => (whole ? value / whole : 0);
        row.sums[side] += per(state.currency === "ns" ? ns : instructions, cell.of4k);
        row.sums[2 + side] += per(instructions, cell.of4k);
        row.sums[4 + side] += per(calls, cell.pages);
        found.set(key, row);
      }
    }
    return [...found.values()].sort((x, y) => Math.abs(y.sums[0] - y.sums[1]) - Math.abs(x.sums[0] - x.sums[1]) || (x.symbol < y.symbol ? -1 : 1));
  }

  let table = null;
  let refilter = () => {};

  function difference() {
    const rows = symbols();
    const counted = rows.reduce((sum, { sums }) => sum + sums[2] - sums[3], 0);
    const unit = { ns: "ns", instructions: "instr" }[state.currency];
    const heads = ["symbol", "group", `A ${unit}/4K`, `B ${unit}/4K`, `A - B ${unit}/4K`, "% in instr", "A calls/page", "B calls/page"];
    const cell = (value, text, mark = "") => {
      const made = element("td", { className: `number ${mark}`, textContent: text });
      if (Number.isFinite(value)) made.dataset.v = value;
      return made;
    };
    const body = rows.map(({ symbol, group, sums: [a, b, ia, ib, ca, cb] }) => {
      const label = element("th", { scope: "row", textContent: symbol });
      const share = counted ? 100 * (ia - ib) / counted : NaN;
      const mark = a - b > 0.05 ? "less" : a - b < -0.05 ? "more" : ""; // of what B costs, as in the graphs
      return element("tr", {}, label, element("td", { textContent: group }), cell(a, number(a)), cell(b, number(b)),
        cell(a - b, number(a - b, 1, true), mark), cell(share, Number.isFinite(share) ? number(share) : "-"), cell(ca, number(ca, 3)), cell(cb, number(cb, 3)));
    });
    if (!table) {
      table = element("table", {}, element("caption"), element("thead", {}, element("tr")), element("tbody"));
      for (const [at, head] of heads.entries()) {
        const made = element("th", { scope: "col", textContent: head, className: at > 1 ? "number" : "" });
        if (head === "group") made.dataset.pick = "";
        table.tHead.rows[0].append(made);
      }
      const box = element("div", { className: "scroll data", tabIndex: 0 }, table);
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Symbols of A and B");
      place("difference").append(box);
      table.caption.textContent = "Symbols of A and B";
      table.tBodies[0].replaceChildren(...body);
      refilter = filterable(box, table);
      sortable(table);
    }
    heads.forEach((head, at) => { table.tHead.rows[0].cells[at].querySelector("button").textContent = head; });
    table.caption.textContent = `Symbols of A (${wordsOf(0)}) and B (${wordsOf(1)}), the largest difference first. ${state.currency === "ns"
      ? "How a difference in ns is shared out is known within intervals only, which readpath show has; instructions were counted symbol by symbol." : ""}`;
    table.tBodies[0].replaceChildren(...body);
    resort(table);
    refilter();
  }

  const quoted = (word) => (/^[\w.=,/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

  function command() {
    const [a, b] = state.sides;
    const line = place("show-command");
    const { axes, folder } = runOf(0);
    if (a.run !== b.run) {
      line.textContent = `readpath compare ${[0, 1].map((side) => quoted(`results/runs/${runOf(side).folder}`)).join(" ")}`;
      return;
    }
    const label = (side, at) => `${axes[at].name}=${axes[at].labels[state.sides[side].labels[at]]}`;
    const differ = axes.map((_, at) => at).filter((at) => a.labels[at] !== b.labels[at]);
    const alike = axes.map((_, at) => at).filter((at) => axes[at].labels.length > 1 && !differ.includes(at));
    const words = ["readpath show", quoted(`results/runs/${folder}`), ...alike.map((at) => `--where ${quoted(label(0, at))}`)];
    if (differ.length) words.push("--diff", ...[0, 1].map((side) => quoted(differ.map((at) => label(side, at)).join(","))));
    if (state.currency !== runOf(0).currency) words.push(`--currency ${state.currency}`);
    line.textContent = words.join(" ");
  }

  function show() { flames(); difference(); command(); }

  let waiting = 0;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // on phones the height changes as one scrolls
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(flames, 150);
  });

  pickers();
  show();
  document.body.dataset.ready = String(performance.now());
})();
