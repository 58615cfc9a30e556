// A flame graph: a box a function, as wide as what it and all that it calls cost, callers below; a press zooms.
const readpathFlame = (() => {
  "use strict";
  const { element } = readpathTables;
  const ROW = 20;
  const LETTER = 6.7;
  const NARROWEST = 0.0004;

  // calls: of one cell, [context, stack, group, cost on side A, cost on side B].
  function treeOf(calls) {
    const root = { name: "all", own: [0, 0], whole: [0, 0], group: -1, children: new Map(), parent: null, depth: 0 };
    for (const [context, stack, group, ...costs] of calls) {
      let frame = root;
      costs.forEach((cost, side) => { root.whole[side] += cost; });
      for (const name of [context, ...stack.split(";")]) {
        let next = frame.children.get(name);
        if (!next) {
          next = { name, own: [0, 0], whole: [0, 0], group: -1, children: new Map(), parent: frame, depth: frame.depth + 1 };
          frame.children.set(name, next);
        }
        frame = next;
        costs.forEach((cost, side) => { next.whole[side] += cost; });
      }
      costs.forEach((cost, side) => { frame.own[side] += cost; });
      frame.group = group;
    }
    return root;
  }

  // The boxes on a side when `top` fills the width: its callers at full width, and all that it calls.
  function boxes(top, side) {
    const found = [];
    for (let frame = top.parent; frame; frame = frame.parent) found.push({ frame, left: 0, width: 1, passed: true });
    const whole = top.whole[side];
    const below = (frame, left) => {
      const width = whole ? frame.whole[side] / whole : 0;
      if (width < NARROWEST) return;
      found.push({ frame, left, width, passed: false });
      let start = left;
      const names = [...frame.children.keys()].sort();
      for (const name of names) {
        const child = frame.children.get(name);
        below(child, start);
        start += whole ? child.whole[side] / whole : 0;
      }
    };
    below(top, 0);
    return found.sort((a, b) => a.frame.depth - b.frame.depth || a.left - b.left);
  }

  // White text where that stands out more than black: WCAG's relative luminance, at which both do the same.
  const isDark = (fill) => {
    const linear = [1, 3, 5].map((at) => parseInt(fill.slice(at, at + 2), 16) / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.1791;
  };

  const shortened = (name, pixels) => {
    const letters = Math.floor((pixels - 6) / LETTER);
    if (name.length <= letters) return name;
    return letters > 3 ? `${name.slice(0, letters - 2)}..` : "";
  };

  // Draws one graph into `place`. look: label, fill(frame), words(frame), hit(frame); zoom(frame), tell(words).
  function draw(place, top, side, look) {
    const all = boxes(top, side);
    const deepest = Math.max(...all.map((box) => box.frame.depth));
    const graph = element("div", { className: "flame" });
    graph.setAttribute("role", "group");
    graph.setAttribute("aria-label", `${look.label}. Arrow keys go from box to box, Enter zooms, Escape zooms out.`);
    graph.style.height = `${(deepest + 1) * ROW}px`;
    const buttons = new Map();
    const inside = place.clientWidth || 1000;
    for (const { frame, left, width, passed } of all) {
      const button = element("button", { type: "button", textContent: shortened(frame.name, width * inside), tabIndex: -1, title: look.words(frame) });
      const fill = look.fill(frame);
      button.setAttribute("aria-label", look.words(frame));
      button.classList.toggle("passed", passed);
      button.classList.toggle("found", look.hit(frame));
      Object.assign(button.style, {
        left: `${100 * left}%`, width: `${100 * width}%`, bottom: `${frame.depth * ROW}px`,
        background: fill, color: isDark(fill) ? "#ffffff" : "#000000",
      });
      button.addEventListener("click", () => look.zoom(frame));
      button.addEventListener("focus", () => look.tell(look.words(frame)));
      button.addEventListener("mouseenter", () => look.tell(look.words(frame)));
      buttons.set(frame, button);
      graph.append(button);
    }
    buttons.get(top).tabIndex = 0;
    graph.addEventListener("keydown", (event) => {
      const frame = [...buttons].find(([, button]) => button === document.activeElement)?.[0];
      if (!frame) return;
      if (event.key === "Escape") look.zoom(null);
      const next = neighbour(frame, event.key, all);
      if (!next) return;
      event.preventDefault();
      for (const button of buttons.values()) button.tabIndex = -1;
      buttons.get(next).tabIndex = 0;
      buttons.get(next).focus();
    });
    place.append(graph);
    return buttons;
  }

  // Up: the widest that it calls; down: its caller; left and right: beside it.
  function neighbour(frame, key, all) {
    const shown = (wanted) => all.filter((box) => wanted(box.frame));
    if (key === "ArrowDown") return frame.parent;
    if (key === "ArrowUp") return shown((other) => other.parent === frame).sort((a, b) => b.width - a.width)[0]?.frame;
    if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
    const row = shown((other) => other.depth === frame.depth);
    return row[row.findIndex((box) => box.frame === frame) + (key === "ArrowLeft" ? -1 : 1)]?.frame;
  }

  return { treeOf, draw };
})();
