"use strict";
(() => {
  const { results: R, files } = JSON.parse(document.getElementById("data").textContent);
  const KINDS = { reference: "take the target from a reference picture", value: "take a value of the attribute" };
  const rank = ({ kind }) => (kind in KINDS ? Object.keys(KINDS).indexOf(kind) : Infinity);
  const measures = R.measures ?? [];
  const methods = [...(R.methods ?? [])].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  const COLOURS = 12;
  const WIDE = "\u2003";

  // ---------------------------------------------------------------- small things

  /** Make an element; strings become text, so that nothing in the results is ever read as markup. */
  function el(tag, attributes = {}, ...children) {
    const node = tag.startsWith("svg:")
      ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "vars") for (const [key, x] of Object.entries(value)) node.style.setProperty(key, x);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  const known = (x) => typeof x === "number" && Number.isFinite(x);

  function number(x, digits = 2) {
    if (!known(x)) return "–";
    const text = x.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
  }

  const count = (x) => Number(x).toLocaleString("en");
  const plural = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;
  const colour = (name) => `var(--m${Math.max(0, methods.findIndex((m) => m.name === name)) % COLOURS})`;
  const kindOf = (name) => methods.find((m) => m.name === name)?.kind;
  const measure = (key) => measures.find((m) => m.key === key) ?? { key, title: key, short: key, digits: 2 };
  const arrow = (better) => ({ lower: "\u00a0↓", higher: "\u00a0↑" })[better] ?? "";
  const withUnit = (m) => (m.unit ? `${m.title}, ${m.unit}` : m.title);

  function methodName(name) {
    return el("span", { class: "named" },
      el("span", { class: `dot ${kindOf(name)}`, vars: { color: colour(name) }, "aria-hidden": "true" }), el("span", {}, name));
  }

  let fields = 0;
  function select(label, options, onchange) {
    const id = `field-${++fields}`;
    const box = el("select", { id, onchange: () => onchange(box.value) });
    const fill = (entries, chosen) => {
      box.replaceChildren(...entries.map(([value, text]) => el("option", { value }, text)));
      if (entries.some(([value]) => value === chosen)) box.value = chosen;
    };
    fill(options);
    return { field: el("div", { class: "field" }, el("label", { for: id }, label), box), box, fill };
  }

  /** A box that scrolls by itself, so that the page never has to. */
  function scroller(label, ...children) {
    return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, ...children);
  }

  // ---------------------------------------------------------------- estimates, marks, tables

  const reasons = [...new Set(methods.flatMap((m) => Object.values(m.marks ?? {})))];
  const sign = (reason) => (reasons.length > 1 ? `†${reasons.indexOf(reason) + 1}` : "†");

  function mark(place, method, key) {
    const reason = methods.find((m) => m.name === method)?.marks?.[key];
    if (!reason) return null;
    const href = `#note-${place}-${reasons.indexOf(reason) + 1}`;
    return el("sup", {}, el("a", { href, title: reason, "aria-label": `note: ${reason}` }, sign(reason)));
  }

  function notes(place, keys) {
    const used = reasons.filter((reason) =>
      methods.some((m) => keys.some((key) => m.marks?.[key] === reason)));
    if (!used.length) return null;
    return el("ul", { class: "notes" }, used.map((reason) =>
      el("li", { id: `note-${place}-${reasons.indexOf(reason) + 1}` }, `${sign(reason)} ${reason}`)));
  }

  function interval(cell, digits) {
    if (!known(cell?.low) || !known(cell?.high)) return null;
    return el("span", { class: "interval" }, ` [${number(cell.low, digits)}, ${number(cell.high, digits)}]`);
  }

  /** Rows in groups, one `tbody` each; a heading sorts within the groups: best first, worst first, as given. */
  function sortable(label, columns, rows) {
    const kinds = [...new Set(rows.map((row) => row.kind))];
    const groups = kinds.map((kind) => {
      const body = el("tbody", {}, el("tr", { class: "group" },
        el("th", { colspan: columns.length, scope: "rowgroup" }, el("span", {}, KINDS[kind] ?? kind))));
      const members = rows.filter((row) => row.kind === kind).map((row) => ({
        keys: row.cells.map((cell) => cell.key),
        tr: el("tr", {}, row.cells.map((cell, i) => i
          ? el("td", { class: cell.class }, cell.show)
          : el("th", { scope: "row" }, cell.show))),
      }));
      body.append(...members.map((member) => member.tr));
      return { body, members };
    });
    const compare = (i, direction) => (a, b) => {
      const [x, y] = [a.keys[i], b.keys[i]];
      if (x === null || y === null) return (x === null) - (y === null);
      return direction * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
    const heads = columns.map((column, i) => {
      const sort = () => {
        const first = column.better === "higher" ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const next = { [first]: second, [second]: null }[head.getAttribute("aria-sort")];
        const order = next === undefined ? first : next;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        for (const { body, members } of groups) {
          const sorted = order ? [...members].sort(compare(i, order === "ascending" ? 1 : -1)) : members;
          body.append(...sorted.map((member) => member.tr));
        }
      };
      const head = el("th", { scope: "col" }, el("button", { type: "button", title: column.about, onclick: sort },
        el("span", { class: "name" }, column.name + arrow(column.better)),
        column.unit ? el("span", { class: "unit" }, column.unit) : null));
      return head;
    });
    return scroller(label, el("table", {}, el("caption", { class: "hidden" }, label),
      el("thead", {}, el("tr", {}, heads)), groups.map((group) => group.body)));
  }

  const firstCell = (method) => ({ key: method.name, show: methodName(method.name) });

  function measured(place, label, cells) {
    const shown = measures.filter((m) => Object.values(cells).some((row) => known(row?.[m.key]?.mean)));
    const columns = [{ name: "method" }, ...shown.map((m) => ({ name: m.short, unit: m.unit, better: m.better, about: withUnit(m) }))];
    const rows = methods.map((method) => ({
      kind: method.kind,
      cells: [firstCell(method), ...shown.map((m) => {
        const cell = cells[method.name]?.[m.key];
        if (!known(cell?.mean)) return { key: null, show: "–" };
        return {
          key: cell.mean,
          show: [el("span", { class: cell.best ? "best" : null }, number(cell.mean, m.digits)),
            mark(place, method.name, m.key), interval(cell, m.digits)],
        };
      })],
    }));
    return [sortable(label, columns, rows), notes(place, shown.map((m) => m.key))];
  }

  // ---------------------------------------------------------------- plots

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
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push([k * step, number(k * step, digits)]);
    return found;
  }

  /** Axes with their labels; returns the drawing and its two scales. */
  function axes({ width, height, x, y, xLabel, yLabel, label }) {
    const [left, right, top, bottom] = [44, 10, 34, 46];
    const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
    const Y = (v) => height - bottom - ((v - y[0]) / (y[1] - y[0])) * (height - top - bottom);
    const canvas = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    for (const [v, text] of ticks(y[0], y[1], (height - top - bottom) / 55)) {
      canvas.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }),
        svg("text", { class: "tick", x: left - 8, y: Y(v) + 4, "text-anchor": "end" }, text));
    }
    for (const [v, text] of ticks(x[0], x[1], (width - left - right) / 80)) {
      canvas.append(svg("line", { class: "axis", x1: X(v), x2: X(v), y1: height - bottom, y2: height - bottom + 5 }),
        svg("text", { class: "tick", x: X(v), y: height - bottom + 19, "text-anchor": "middle" }, text));
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
    const usable = measures.filter((m) => methods.filter((method) => known(cells[method.name]?.[m.key]?.mean)).length > 1);
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
        group.append(marker(p.name, px, py, `${p.name}: ${mx.short} ${number(p.x.mean, mx.digits)}, ${my.short} ${number(p.y.mean, my.digits)}`));
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
    return el("div", { class: "glance" },
      el("div", {},
        el("p", {}, `Each point is a method over all ${plural(R.tables.all.edits, "edit")}; crosses are 95\u00a0% intervals. Round: ${KINDS.reference}. Square: ${KINDS.value}.`),
        el("div", { class: "controls" }, vertical.field, horizontal.field), picture.box),
      best);
  }

  /** Put a name where it covers neither a point nor another name, if there is such a place. */
  function pointLabel(name, x, y, placed, [left, top, right, bottom]) {
    const text = name.length > 20 ? `${name.slice(0, 19)}…` : name;
    const width = text.length * 6.7;
    const places = [[x + 7, y - 8], [x - 7 - width, y - 8], [x + 7, y + 17], [x - 7 - width, y + 17], [x + 9, y + 4],
      [x - 9 - width, y + 4], [x - width / 2, y - 12], [x - width / 2, y + 21], [x + 12, y - 20], [x + 12, y + 29]];
    const box = ([px, py]) => [px, py - 11, px + width, py + 3];
    const free = (b) => b[0] >= left && b[2] <= right && b[1] >= top - 8 && b[3] <= bottom
      && placed.every((o) => b[2] < o[0] || b[0] > o[2] || b[3] < o[1] || b[1] > o[3]);
    const place = places.find((p) => free(box(p))) ?? places[x + 7 + width > right ? 1 : 0];
    placed.push(box(place));
    return svg("text", { class: "halo", x: Math.max(0, place[0]), y: place[1] }, text);
  }

  function bestOf() {
    const shared = R.tables?.shared;
    if (!shared) return null;
    const lines = measures.map((m) => {
      const winners = methods.filter((method) => shared.cells[method.name]?.[m.key]?.best);
      if (!winners.length) return null;
      return el("div", {}, el("dt", {}, m.title + arrow(m.better)), el("dd", {}, winners.map((method) =>
        el("div", {}, method.name, mark("shared", method.name, m.key),
          ` ${number(shared.cells[method.name][m.key].mean, m.digits)}${m.unit ? `\u00a0${m.unit}` : ""}`))));
    }).filter(Boolean);
    if (!lines.length) return null;
    return el("div", {}, el("h3", {}, "Best where all get there"),
      el("p", { class: "small" }, `On the ${plural(shared.edits, "edit")} in which every method reaches its target.`),
      el("dl", { class: "best-of" }, lines));
  }

  // ---------------------------------------------------------------- tables

  function tables() {
    const parts = [];
    const { shared, all } = R.tables ?? {};
    const legend = "Means, with 95\u00a0% intervals below them; the best are bold. Click a heading to sort.";
    if (shared) {
      parts.push(el("h3", {}, "Where all methods reach the target"));
      parts.push(shared.edits === 0
        ? el("p", {}, "There is no edit in which every method reaches its target.")
        : [el("p", {}, `${plural(shared.edits, "edit")}, the same for every method, each at the strength that reaches the target. ${legend}`),
          measured("shared", "Where all methods reach the target", shared.cells ?? {})]);
    }
    if (all) {
      parts.push(el("h3", {}, "All edits"),
        el("p", {}, `${plural(all.edits, "edit")} of each method; those that never reach the target are taken at their strongest.`),
        measured("all", "All edits", all.cells ?? {}));
    }
    const facts = [...new Set(methods.flatMap((m) => Object.keys(m.facts ?? {})))];
    if (facts.length) {
      const key = (text) => {
        const value = Number.parseFloat(String(text ?? "").replace(/,/g, ""));
        return text === undefined || text === null ? null : Number.isNaN(value) ? String(text) : value;
      };
      const rows = methods.map((m) => ({
        kind: m.kind,
        cells: [firstCell(m), { key: m.seeds ?? null, show: m.seeds ?? "–" },
          ...facts.map((name) => ({ key: key(m.facts?.[name]), show: m.facts?.[name] ?? "–" }))],
      }));
      parts.push(el("h3", {}, "What they cost"), sortable("What they cost", ["method", "seeds", ...facts].map((name) => ({ name })), rows));
    }
    return parts;
  }

  // ---------------------------------------------------------------- edits under one slider

  function edits() {
    const { examples = [], strengths = [], frame = 64 } = R.pictures ?? {};
    const shown = examples.filter((e) => Object.keys(e.strips ?? {}).length);
    if (!shown.length || !strengths.length) return null;
    const start = Math.max(0, strengths.indexOf(1));
    const viewer = el("div", { class: frame <= 160 ? "viewer crisp" : "viewer", vars: { ...sides(frame), "--n": strengths.length } });
    const given = el("div", { class: "shelf" });
    const edited = el("div", { class: "shelf" });
    const shelves = el("div", { class: "shelves two" }, given, edited);
    const say = (i) => (strengths[i] === 0 ? "0: the source" : `${strengths[i]} × the matched strength`);

    const slider = el("input", { type: "range", id: "strength", min: 0, max: strengths.length - 1, step: 1, value: start, oninput: () => move() });
    const output = el("output", { for: "strength" });
    const code = select("Code", shown.map((e, i) => [String(i), `code ${e.code}`]), () => { fillAttributes(); show(); });
    const attribute = select("Attribute", [], () => show());

    function fillAttributes() {
      attribute.fill(Object.entries(shown[code.box.value].strips).map(([name, s]) => [name, s.target ?? name]), attribute.box.value);
    }

    function move() {
      const i = Number(slider.value);
      viewer.style.setProperty("--i", i);
      output.textContent = say(i);
      slider.setAttribute("aria-valuetext", say(i));
      for (const image of edited.querySelectorAll("img")) image.alt = `${image.dataset.what}, strength ${say(i)}`;
    }

    function show() {
      const example = shown[code.box.value];
      const strip = example.strips[attribute.box.value];
      const target = strip.target ?? attribute.box.value;
      given.replaceChildren(
        el("figure", {}, el("div", { class: "frame" }, el("img", { src: files[example.source], alt: `source, code ${example.code}` })), el("figcaption", {}, "source")),
        ...(strip.reference
          ? [el("figure", {}, el("div", { class: "frame" }, el("img", { src: files[strip.reference], alt: `reference for ${target}` })), el("figcaption", {}, "reference"))]
          : []));
      edited.replaceChildren(...methods.filter((m) => strip.methods[m.name]).map(({ name }) => {
        const { strip: path, reached } = strip.methods[name];
        return el("figure", {},
          el("div", { class: "frame" }, el("img", { class: "strip", src: files[path], "data-what": `${name}: ${target}` })),
          el("figcaption", {}, methodName(name), reached === false ? el("span", { class: "miss" }, "does not get there") : null));
      }));
      move();
    }

    const scale = el("div", { class: "scale", "aria-hidden": "true" }, strengths.map((s, i) =>
      el("span", { vars: { left: `${(100 * i) / Math.max(1, strengths.length - 1)}%` } }, String(s))));
    viewer.append(el("div", { class: "controls" }, code.field, attribute.field,
      el("div", { class: "strength" }, el("span", {}, el("label", { for: "strength" }, "Strength"), output), slider, scale)), shelves);
    fillAttributes();
    show();
    return [el("p", {}, "One slider for all methods. 0 is the source; 1 is each method's own strength at which the edit reaches its target (its strongest, where it does not get there), so that at any place of the slider all have gone the same part of their way."), viewer];
  }

  /** Sides of a picture on a phone and elsewhere: each of its pixels is a whole number of the screen's, while it is small. */
  function sides(frame) {
    const dots = Math.max(1, window.devicePixelRatio);
    const side = (most) => (frame > 160 ? Math.min(frame, most) : (frame * Math.max(1, Math.floor((most * dots) / frame))) / dots);
    return { "--small": `${side(155)}px`, "--large": `${side(200)}px` };
  }

  // ---------------------------------------------------------------- orbits

  function clips() {
    const all = methods.flatMap((m) => (R.pictures?.clips ?? []).filter((clip) => clip.method === m.name));
    if (!all.length) return null;
    const name = (clip) => `${clip.attribute}, code ${clip.code}`;
    const shelf = el("div", { class: "shelf" });
    const pressed = (button, on) => {
      button.setAttribute("aria-pressed", on);
      const image = button.firstChild.firstChild;
      image.src = files[on ? image.dataset.file : image.dataset.still];
    };
    const buttons = () => [...shelf.querySelectorAll("button")];
    const update = () => {
      const on = buttons().every((button) => button.getAttribute("aria-pressed") === "true");
      together.textContent = on ? "Stop all" : "Play all";
      return on;
    };
    const together = el("button", { type: "button", class: "button", onclick: () => {
      const on = update();
      buttons().forEach((button) => pressed(button, !on));
      update();
    } });
    const show = (chosen) => {
      shelf.replaceChildren(...all.filter((clip) => name(clip) === chosen).map((clip) => {
        const button = el("button", { type: "button", class: "clip", "aria-label": `Play ${clip.method}, ${name(clip)}`, onclick: () => {
          pressed(button, button.getAttribute("aria-pressed") !== "true");
          update();
        } }, el("span", { class: "frame" }, el("img", { alt: `${clip.method}, ${name(clip)}, turning`, "data-file": clip.file, "data-still": clip.still })));
        pressed(button, false);
        return el("figure", {}, button, el("figcaption", {}, methodName(clip.method)));
      }));
      update();
    };
    const names = [...new Set(all.map(name))];
    const chooser = select("Edit", names.map((n) => [n, n]), show);
    show(names[0]);
    const frame = R.pictures.frame ?? 64;
    return [el("p", {}, "The edited heads, seen from all around. They stand still until they are asked to turn."),
      el("div", { class: "controls" }, chooser.field, together),
      el("div", { class: frame <= 160 ? "viewer crisp" : "viewer", vars: sides(frame) }, shelf)];
  }

  // ---------------------------------------------------------------- curves

  function curves() {
    const lines = methods.filter((m) => R.curves?.[m.name]?.drift?.some(known)).map((m) => {
      const c = R.curves[m.name];
      return { name: m.name, points: c.change.map((x, i) => ({ x, y: c.drift[i], low: c.low?.[i], high: c.high?.[i], edits: c.edits?.[i] })) };
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
        const group = svg("g", { class: lit && lit !== name ? "dim" : null, "data-method": name, vars: { color: colour(name) } });
        for (const run of runs(points, (p) => known(p.low) && known(p.high))) {
          group.append(svg("path", { class: "band", d: `${path([...run.map((p) => [p.x, p.high]), ...run.map((p) => [p.x, p.low]).reverse()])}Z` }));
        }
        for (const run of runs(points, (p) => known(p.y))) {
          group.append(svg("path", { class: `line ${kindOf(name)}`, d: path(run.map((p) => [p.x, p.y])) }),
            ...run.map((p) => marker(name, X(p.x), Y(p.y), `${name}: drift ${number(p.y, 3)} at ${number(p.x)} σ${known(p.edits) ? `, ${plural(p.edits, "edit")}` : ""}`)));
        }
        canvas.append(group);
      }
      return canvas;
    });

    const light = (name) => () => {
      lit = name;
      for (const group of picture.box.querySelectorAll("g")) group.classList.toggle("dim", lit !== null && group.dataset.method !== lit);
    };
    const buttons = lines.map(({ name }) => {
      const swatch = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true", vars: { color: colour(name) } },
        svg("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": kindOf(name) === "value" ? "5 3" : null }),
        kindOf(name) === "value" ? svg("rect", { x: 9, y: 1, width: 8, height: 8, fill: "currentColor" }) : svg("circle", { cx: 13, cy: 5, r: 4.5, fill: "currentColor" }));
      return el("button", { type: "button", class: "button", "aria-pressed": "true", onclick: () => toggle([name], hidden.has(name)),
        onmouseenter: light(name), onmouseleave: light(null), onfocus: light(name), onblur: light(null) }, swatch, name);
    });
    function toggle(names, on) {
      names.forEach((name) => (on ? hidden.delete(name) : hidden.add(name)));
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", !hidden.has(lines[i].name)));
      if (lit && hidden.has(lit)) lit = null;
      picture.redraw();
    }
    const every = lines.map((line) => line.name);
    const plain = (text, on) => el("button", { type: "button", class: "button plain", onclick: () => toggle(every, on) }, text);

    const changes = [...new Set(lines.flatMap((line) => line.points.map((p) => p.x)))].sort((a, b) => a - b);
    const numbers = scroller("Drift by change", el("table", {}, el("caption", { class: "hidden" }, "Drift by change"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "method"), changes.map((x) => el("th", { scope: "col" }, `${number(x)} σ`)))),
      el("tbody", {}, lines.map(({ name, points }) => el("tr", {}, el("th", { scope: "row" }, methodName(name)), changes.map((x) => {
        const p = points.find((q) => q.x === x);
        return el("td", {}, number(p?.y, 3), interval(p, 3), known(p?.y) && known(p.edits) ? el("span", { class: "interval" }, plural(p.edits, "edit")) : null);
      }))))));
    return [el("p", {}, "How far all other attributes have moved by the time the edited one has changed by so much, both in standard deviations. Bands are 95\u00a0% intervals."),
      picture.box,
      el("ul", { class: "legend", "aria-label": "Methods shown" }, [...buttons, plain("show all", true), plain("hide all", false)].map((button) => el("li", {}, button))),
      el("details", {}, el("summary", {}, "The numbers"), numbers)];
  }

  // ---------------------------------------------------------------- re-scoring

  function rescoring() {
    const { attributes = [], read = [], values = {} } = R.rescoring ?? {};
    const names = methods.map((m) => m.name).filter((name) => values[name]?.flat().some(known));
    if (!names.length) return null;
    const every = names.flatMap((name) => values[name].flat()).filter(known);
    const most = Math.max(...every.map(Math.abs)) || 1;
    const signed = every.some((x) => x < 0);
    const map = (name) => scroller(`What was read after each edit of ${name}`, el("table", { class: "heat" },
      el("caption", { class: "hidden" }, `${name}: change of every attribute, σ, by the attribute that was edited`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "edited \\ read"), read.map((a) => el("th", { scope: "col" }, el("span", {}, a))))),
      el("tbody", {}, attributes.map((a, i) => el("tr", {}, el("th", { scope: "row" }, a), read.map((b, j) => {
        const value = values[name][i]?.[j];
        const shade = known(value) ? { "--t": `${((80 * Math.abs(value)) / most).toFixed(1)}%` } : {};
        return el("td", { class: `${value < 0 ? "neg" : "pos"}${a === b ? " own" : ""}`, vars: shade }, number(value));
      }))))));
    const panel = (label, first) => {
      const box = el("div");
      const chooser = select(label, names.map((n) => [n, n]), (name) => box.replaceChildren(map(name)));
      chooser.box.value = first;
      box.replaceChildren(map(first));
      return el("div", { class: "panel" }, el("div", { class: "controls" }, chooser.field), box);
    };
    return [el("p", {}, "Rows: the attribute that was edited. Columns: what the judge then read, as a change in standard deviations. An edit that moves nothing else has colour in its framed cell only. All methods share one scale."),
      el("div", { class: "panels" }, panel("Method", names[0]), names.length > 1 ? panel("Beside it", names[1]) : null),
      el("div", { class: signed ? "key" : "key positive", "aria-hidden": "true" }, signed ? number(-most) : "0", el("i"), `${number(most)} σ`)];
  }

  // ---------------------------------------------------------------- by attribute

  function byAttribute() {
    const keys = Object.keys(R.by_attribute ?? {}).filter((key) =>
      Object.values(R.by_attribute[key]).some((row) => Object.values(row).some((cell) => known(cell?.mean))));
    if (!keys.length) return null;
    const box = el("div");
    const show = (key) => {
      const m = measure(key);
      const cells = R.by_attribute[key];
      const attributes = (R.attributes ?? []).filter((a) => Object.values(cells).some((row) => row[a]));
      const ends = Object.values(cells).flatMap((row) => Object.values(row)).flatMap((c) => [c?.mean, c?.low, c?.high]).filter(known);
      const [low, high] = [Math.min(0, ...ends), Math.max(...ends)];
      const at = (x) => `${((100 * (x - low)) / (high - low || 1)).toFixed(1)}%`;
      const bar = (cell, name) => el("span", { class: "range", "aria-hidden": "true", vars: { color: colour(name) } },
        known(cell.low) && known(cell.high) ? el("i", { vars: { left: at(cell.low), right: `calc(100% - ${at(cell.high)})` } }) : null,
        el("b", { vars: { left: at(cell.mean) } }));
      const rows = methods.filter((method) => cells[method.name]).map((method) => ({
        kind: method.kind,
        cells: [firstCell(method), ...attributes.map((a) => {
          const cell = cells[method.name][a];
          if (!known(cell?.mean)) return { key: null, show: "–" };
          return { key: cell.mean, show: [number(cell.mean, m.digits), mark("attribute", method.name, key), interval(cell, m.digits), bar(cell, method.name)] };
        })],
      }));
      const label = `${withUnit(m)}, by attribute`;
      box.replaceChildren(...[sortable(label, [{ name: "method" }, ...attributes.map((name) => ({ name, better: m.better }))], rows),
        notes("attribute", [key])].filter(Boolean));
    };
    const chooser = select("Measure", keys.map((key) => [key, withUnit(measure(key))]), show);
    show(keys[0]);
    return [el("p", {}, "The same measures for each attribute on its own, over all edits. In each cell a dot and its interval stand on one scale."),
      el("div", { class: "controls" }, chooser.field), box];
  }

  // ---------------------------------------------------------------- against the truth

  function truth() {
    const given = R.truth;
    const list = !given ? [] : Array.isArray(given) ? given : given.tables ?? [given];
    const parts = list.map((t) => {
      const [head, rows] = t.rows ? [t.head ?? [], t.rows] : [t.table?.[0] ?? [], t.table?.slice(1) ?? []];
      if (!rows.length) return null;
      const text = (cell) => (known(cell) ? String(cell).replace("-", "−") : cell ?? "–");
      const named = (cell) => (methods.some((m) => m.name === cell) ? methodName(cell) : show(cell));
      const show = (cell) => (cell && typeof cell === "object" ? [number(cell.mean, cell.digits ?? 2), interval(cell, cell.digits ?? 2)] : text(cell));
      return [t.title ? el("h3", {}, t.title) : null, t.about ? el("p", {}, t.about) : null,
        scroller(t.title ?? "Against the truth", el("table", {}, el("caption", { class: "hidden" }, t.title ?? "Against the truth"),
          el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, text(cell))))),
          el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => (i ? el("td", {}, show(cell)) : el("th", { scope: "row" }, named(cell)))))))))];
    }).filter(Boolean);
    return parts.length ? parts : null;
  }

  // ---------------------------------------------------------------- how this was made

  function made() {
    const flat = (value, path = []) => {
      if (Array.isArray(value) && value.every((x) => x === null || typeof x !== "object")) return [[path, value.join(", ") || "none"]];
      if (value !== null && typeof value === "object") return Object.entries(value).flatMap(([key, x]) => flat(x, [...path, key]));
      return [[path, value === null ? "–" : String(value)]];
    };
    const pairs = (data) => el("dl", { class: "pairs" }, flat(data).map(([path, text]) => [el("dt", {}, path.join(" › ")), el("dd", {}, text)]));
    const filled = (data) => data && Object.keys(data).length > 0;
    return [
      R.command ? [el("p", {}, "This command made the page and everything on it:"), el("pre", { tabindex: "0", "aria-label": "command" }, R.command)] : null,
      R.warnings?.length ? [el("h3", { id: "warnings" }, "Warnings"), el("ul", {}, R.warnings.map((text) => el("li", {}, text)))] : null,
      measures.length ? [el("h3", {}, "What is measured"), el("dl", { class: "measures" }, measures.map((m) => el("div", {},
        el("dt", {}, withUnit(m), m.short && m.short !== m.title ? ` (${m.short})` : ""),
        el("dd", {}, [m.about, { lower: "Lower is better.", higher: "Higher is better." }[m.better]].filter(Boolean).join(" ")))))] : null,
      el("div", { class: "panels" },
        filled(R.settings) ? el("div", {}, el("h3", {}, "Settings"), pairs(R.settings)) : null,
        filled(R.versions) ? el("div", {}, el("h3", {}, "Versions"), pairs(R.versions)) : null),
    ];
  }

  // ---------------------------------------------------------------- the page

  function lead() {
    const day = new Date(`${R.date}T00:00:00Z`);
    const date = Number.isNaN(day.valueOf()) ? R.date : day.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
    const seeds = (R.seeds ?? []).map(String);
    const list = seeds.length > 1 ? `seeds ${seeds.slice(0, -1).join(", ")} and ${seeds[seeds.length - 1]}` : `seed ${seeds[0]}`;
    const what = `${plural(methods.length, "method")} edit ${plural((R.attributes ?? []).length, "attribute")} of ${plural(R.codes, "code")}`;
    const whose = (R.generator ? ` of ${R.generator}` : "") + (seeds.length ? `, with ${list}` : "");
    const where = (R.device ? ` on ${R.device}` : "") + (date ? `${R.device ? "," : " on"} ${date}` : "");
    const warned = R.warnings?.length ? [" ", el("a", { href: "#warnings" }, plural(R.warnings.length, "warning")), "."] : [];
    return [`${what}${whose}.${where ? ` Measured${where}.` : ""}`, ...warned];
  }

  const sections = [
    ["glance", "At a glance", glance],
    ["tables", "Tables", tables],
    ["edits", "The edits", edits],
    ["orbits", "All around", clips],
    ["curves", "Drift on the way", curves],
    ["rescoring", "What else changes", rescoring],
    ["attributes", "By attribute", byAttribute],
    ["truth", "Against the truth", truth],
    ["made", "How this was made", made],
  ];
  document.getElementById("lead").append(...lead());
  for (const [id, title, build] of sections) {
    const content = [build()].flat(Infinity).filter(Boolean);
    if (!content.length) continue;
    document.getElementById("main").append(el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), content));
    document.getElementById("contents").append(el("a", { href: `#${id}` }, title));
  }
})();
