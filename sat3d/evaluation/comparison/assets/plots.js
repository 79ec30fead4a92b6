// Plots as SVG, drawn anew for every width.

const svg = (tag, attributes, ...children) => el(`svg:${tag}`, attributes, ...children);

/** A box whose drawing is made again for every width it gets, so that letters keep their size. */
function plot(draw) {
  const box = el("div", { class: "plot" });
  let width = 0;
  const redraw = () => { if (width) box.replaceChildren(draw(Math.max(width, 240))); };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width) return;
    width = now;
    requestAnimationFrame(redraw);
  }).observe(box);
  return { box, redraw };
}

function ticks(low, high, about) {
  const raw = (high - low) / Math.max(about, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= raw * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step).map((v) => [v, number(v, digits)]);
}

/** Axes with their labels; returns the drawing and its two scales. */
function axes({ width, height, x, y, xLabel, yLabel, label }) {
  const [left, right, top, bottom] = [44, 10, 34, 46];
  const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
  const Y = (v) => height - bottom - ((v - y[0]) / (y[1] - y[0])) * (height - top - bottom);
  const canvas = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const [v, words] of ticks(y[0], y[1], (height - top - bottom) / 55)) {
    canvas.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }),
      svg("text", { class: "tick", x: left - 8, y: Y(v) + 4, "text-anchor": "end" }, words));
  }
  for (const [v, words] of ticks(x[0], x[1], (width - left - right) / 80)) {
    canvas.append(svg("line", { class: "axis", x1: X(v), x2: X(v), y1: height - bottom, y2: height - bottom + 5 }),
      svg("text", { class: "tick", x: X(v), y: height - bottom + 19, "text-anchor": "middle" }, words));
  }
  canvas.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    svg("text", { x: 0, y: 14 }, yLabel),
    svg("text", { x: width - right, y: height - 6, "text-anchor": "end" }, xLabel));
  return { canvas, X, Y, area: [left, top, width - right, height - bottom] };
}

function marker(name, x, y, title) {
  const tip = title ? svg("title", {}, title) : null;
  return kindOf(name) === "value"
    ? svg("rect", { class: "mark", x: x - 4.5, y: y - 4.5, width: 9, height: 9 }, tip)
    : svg("circle", { class: "mark", cx: x, cy: y, r: 5 }, tip);
}

function range(values, part = 0.08) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * part;
  return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
}

// ---------------------------------------------------------------- at a glance

function glance() {
  const cells = R.tables?.all?.cells ?? {};
  const has = (m) => methods.filter((method) => known(cells[method.name]?.[m.key]?.mean)).length;
  const usable = measures.filter((m) => has(m) > 1);
  const best = bestOf();
  if (usable.length < 2) return best;
  const prefer = (keys, better, not) => keys.find((key) => key !== not && usable.some((m) => m.key === key))
    ?? (usable.find((m) => m.better === better && m.key !== not) ?? usable.find((m) => m.key !== not)).key;
  let y = prefer(["reach", "reached", "success"], "higher");
  let x = prefer(["drift", "others", "ad_mean"], "lower", y);

  const picture = plot((width) => {
    const height = Math.round(Math.min(440, Math.max(300, width * 0.62)));
    const points = methods.map((m) => ({ name: m.name, x: cells[m.name]?.[x], y: cells[m.name]?.[y] }))
      .filter((p) => known(p.x?.mean) && known(p.y?.mean));
    const all = (axis) => points.flatMap((p) => [p[axis].mean, p[axis].low, p[axis].high]).filter(known);
    const [mx, my] = [measure(x), measure(y)];
    const better = { lower: ["← better", "↓ better"], higher: ["better →", "↑ better"] };
    const say = (m, i) => [withUnit(m), better[m.better]?.[i]].filter(Boolean).join(WIDE);
    const { canvas, X, Y, area } = axes({
      width, height, x: range(all("x")), y: range(all("y")), xLabel: say(mx, 0), yLabel: say(my, 1),
      label: `${my.title} against ${mx.title}, one point a method; the numbers are in the second table`,
    });
    const placed = points.map((p) => [X(p.x.mean) - 6, Y(p.y.mean) - 6, X(p.x.mean) + 6, Y(p.y.mean) + 6]);
    const labels = [];
    for (const p of points) {
      const [px, py] = [X(p.x.mean), Y(p.y.mean)];
      const group = svg("g", { vars: { color: colour(p.name) } });
      const line = (x1, x2, y1, y2) => svg("line", { class: "error", x1, x2, y1, y2 });
      if (known(p.x.low) && known(p.x.high)) group.append(line(X(p.x.low), X(p.x.high), py, py));
      if (known(p.y.low) && known(p.y.high)) group.append(line(px, px, Y(p.y.low), Y(p.y.high)));
      const tip = [[mx, p.x], [my, p.y]].map(([m, cell]) => `${m.short} ${number(cell.mean, m.digits)}`).join(", ");
      group.append(marker(p.name, px, py, `${p.name}: ${tip}`));
      canvas.append(group);
      labels.push(pointLabel(p.name, px, py, placed, area));
    }
    canvas.append(...labels);
    return canvas;
  });
  const options = usable.map((m) => [m.key, m.title]);
  const vertical = select("upwards", options, (key) => { y = key; picture.redraw(); });
  const horizontal = select("to the right", options, (key) => { x = key; picture.redraw(); });
  vertical.box.value = y;
  horizontal.box.value = x;
  const about = text(`Each point is a method over all ${plural(R.tables.all.edits, "edit")}; crosses are 95\u00a0% ` +
    `intervals. Round: ${KINDS.reference}. Square: ${KINDS.value}.`);
  return el("div", { class: "glance" },
    el("div", {}, about, controls(vertical.field, horizontal.field), picture.box), best);
}

/** Put a name where it covers neither a point nor another name, if there is such a place. */
function pointLabel(name, x, y, placed, [left, top, right, bottom]) {
  const words = name.length > 20 ? `${name.slice(0, 19)}…` : name;
  const width = words.length * 6.7;
  const places = [[x + 7, y - 8], [x - 7 - width, y - 8], [x + 7, y + 17], [x - 7 - width, y + 17], [x + 9, y + 4],
    [x - 9 - width, y + 4], [x - width / 2, y - 12], [x - width / 2, y + 21], [x + 12, y - 20], [x + 12, y + 29]];
  const box = ([px, py]) => [px, py - 11, px + width, py + 3];
  const free = (b) => b[0] >= left && b[2] <= right && b[1] >= top - 8 && b[3] <= bottom
    && placed.every((o) => b[2] < o[0] || b[0] > o[2] || b[3] < o[1] || b[1] > o[3]);
  const place = places.find((p) => free(box(p))) ?? places[x + 7 + width > right ? 1 : 0];
  placed.push(box(place));
  return svg("text", { class: "halo", x: Math.max(0, place[0]), y: place[1] }, words);
}

function bestOf() {
  const shared = R.tables?.shared;
  if (!shared) return null;
  const lines = measures.map((m) => {
    const winners = methods.filter((method) => shared.cells[method.name]?.[m.key]?.best);
    if (!winners.length) return null;
    const unit = m.unit ? `\u00a0${m.unit}` : "";
    const value = (name) => ` ${number(shared.cells[name][m.key].mean, m.digits)}${unit}`;
    return el("div", {}, el("dt", {}, m.title + arrow(m.better)), el("dd", {},
      winners.map(({ name }) => el("div", {}, name, mark("shared", name, m.key), value(name)))));
  }).filter(Boolean);
  if (!lines.length) return null;
  return el("div", {}, el("h3", {}, "Best where all get there"),
    el("p", { class: "small" }, `On the ${plural(shared.edits, "edit")} in which every method reaches its target.`),
    el("dl", { class: "best-of" }, lines));
}

// ---------------------------------------------------------------- curves

function curves() {
  const lines = methods.filter((m) => R.curves?.[m.name]?.drift?.some(known)).map((m) => {
    const c = R.curves[m.name];
    const point = (x, i) => ({ x, y: c.drift[i], low: c.low?.[i], high: c.high?.[i], edits: c.edits?.[i] });
    return { name: m.name, points: c.change.map(point) };
  });
  if (!lines.length) return null;
  const hidden = new Set();
  let lit = null;

  /** Runs of points without a gap. */
  const runs = (points, good) => points.reduce((found, p) => {
    if (!good(p)) found.push([]);
    else found[found.length - 1].push(p);
    return found;
  }, [[]]).filter((run) => run.length);

  const picture = plot((width) => {
    const visible = lines.filter((line) => !hidden.has(line.name));
    const scale = (visible.length ? visible : lines).flatMap((line) => line.points);
    const bounds = scale.flatMap((p) => [p.y, p.low, p.high]).filter(known);
    const { canvas, X, Y } = axes({
      width, height: Math.round(Math.min(460, Math.max(300, width * 0.5))),
      x: [Math.min(0, ...scale.map((p) => p.x)), Math.max(...scale.map((p) => p.x)) * 1.02],
      y: [Math.min(0, ...bounds), Math.max(...bounds) * 1.05 || 1],
      xLabel: "change of the target, σ", yLabel: `drift of the others, σ${WIDE}↓ better`,
      label: "drift of other attributes against change of the target, one line a method; the numbers follow below",
    });
    const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
    for (const { name, points } of visible) {
      const dim = lit && lit !== name ? "dim" : null;
      const group = svg("g", { class: dim, "data-method": name, vars: { color: colour(name) } });
      for (const run of runs(points, (p) => known(p.low) && known(p.high))) {
        const around = [...run.map((p) => [p.x, p.high]), ...run.map((p) => [p.x, p.low]).reverse()];
        group.append(svg("path", { class: "band", d: `${path(around)}Z` }));
      }
      for (const run of runs(points, (p) => known(p.y))) {
        group.append(svg("path", { class: `line ${kindOf(name)}`, d: path(run.map((p) => [p.x, p.y])) }),
          ...run.map((p) => marker(name, X(p.x), Y(p.y), `${name}: drift ${number(p.y, 3)} at ${number(p.x)} σ`)));
      }
      canvas.append(group);
    }
    return canvas;
  });

  const light = (name) => () => {
    lit = name;
    const groups = picture.box.querySelectorAll("g");
    groups.forEach((group) => group.classList.toggle("dim", lit !== null && group.dataset.method !== lit));
  };
  const buttons = lines.map(({ name }) => {
    const dashes = kindOf(name) === "value" ? "5 3" : null;
    const line = { x1: 0, x2: 26, y1: 5, y2: 5, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": dashes };
    const swatch = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true", vars: { color: colour(name) } },
      svg("line", line), marker(name, 13, 5));
    const events = { onmouseenter: light(name), onmouseleave: light(null), onfocus: light(name), onblur: light(null) };
    return button({ "aria-pressed": "true", onclick: () => toggle([name], hidden.has(name)), ...events }, swatch, name);
  });
  function toggle(names, on) {
    names.forEach((name) => (on ? hidden.delete(name) : hidden.add(name)));
    buttons.forEach((one, i) => one.setAttribute("aria-pressed", !hidden.has(lines[i].name)));
    if (lit && hidden.has(lit)) lit = null;
    picture.redraw();
  }
  const every = lines.map((line) => line.name);
  const everyone = (words, on) => button({ class: "button plain", onclick: () => toggle(every, on) }, words);
  const legend = [...buttons, everyone("show all", true), everyone("hide all", false)];

  const changes = [...new Set(lines.flatMap((line) => line.points.map((p) => p.x)))].sort((a, b) => a - b);
  const entry = (p) => el("td", {}, number(p?.y, 3), interval(p, 3),
    known(p?.y) && known(p.edits) ? el("span", { class: "interval" }, plural(p.edits, "edit")) : null);
  const row = ({ name, points }) =>
    el("tr", {}, rowHead(methodName(name)), changes.map((x) => entry(points.find((p) => p.x === x))));
  const head = [columnHead("method"), changes.map((x) => columnHead(`${number(x)} σ`))];
  return [
    text("How far all other attributes have moved by the time the edited one has changed by so much, both in standard " +
      "deviations. Bands are 95\u00a0% intervals."),
    picture.box,
    el("ul", { class: "legend", "aria-label": "Methods shown" }, legend.map((one) => el("li", {}, one))),
    el("details", {}, el("summary", {}, "The numbers"),
      tableBox("Drift by change", head, el("tbody", {}, lines.map(row)))),
  ];
}
