// Tables of estimates, with marks, that sort; heat maps; what each attribute, and the truth, say.

const reasons = [...new Set(methods.flatMap((m) => Object.values(m.marks ?? {})))];
const sign = (reason) => (reasons.length > 1 ? `†${reasons.indexOf(reason) + 1}` : "†");

const noteId = (place, reason) => own(`note-${place}-${reasons.indexOf(reason) + 1}`);

function mark(place, method, key) {
  const reason = methods.find((m) => m.name === method)?.marks?.[key];
  if (!reason) return null;
  const href = `#${noteId(place, reason)}`;
  return el("sup", {}, el("a", { href, title: reason, "aria-label": `note: ${reason}` }, sign(reason)));
}

function notes(place, keys) {
  const used = reasons.filter((reason) =>
    methods.some((m) => keys.some((key) => m.marks?.[key] === reason)));
  if (!used.length) return null;
  return el("ul", { class: "notes" }, used.map((reason) =>
    el("li", { id: noteId(place, reason) }, `${sign(reason)} ${reason}`)));
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
        : rowHead(cell.show))),
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
    const head = columnHead(el("button", { type: "button", title: column.about, onclick: sort },
      el("span", { class: "name" }, column.name + arrow(column.better)),
      column.unit ? el("span", { class: "unit" }, column.unit) : null));
    return head;
  });
  return tableBox(label, heads, groups.map((group) => group.body));
}

const firstCell = (method) => ({ key: method.name, show: methodName(method.name) });

function measured(place, label, cells) {
  const shown = measures.filter((m) => Object.values(cells).some((row) => known(row?.[m.key]?.mean)));
  const columns = shown.map((m) => ({ name: m.short, unit: m.unit, better: m.better, about: withUnit(m) }));
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
  return [sortable(label, [{ name: "method" }, ...columns], rows), notes(place, shown.map((m) => m.key))];
}

// ---------------------------------------------------------------- tables

function tables() {
  const parts = [];
  const { shared, all } = R.tables ?? {};
  const legend = "Means, with 95\u00a0% intervals below them; the best are bold. Click a heading to sort.";
  if (shared) {
    const title = "Where all methods reach the target";
    const same = "the same for every method, each at the strength that reaches the target.";
    parts.push(el("h3", {}, title), shared.edits === 0
      ? text("There is no edit in which every method reaches its target.")
      : [text(`${plural(shared.edits, "edit")}, ${same} ${legend}`), measured("shared", title, shared.cells ?? {})]);
  }
  if (all) {
    const missed = "those that never reach the target are taken at their strongest.";
    parts.push(el("h3", {}, "All edits"), text(`${plural(all.edits, "edit")} of each method; ${missed}`),
      measured("all", "All edits", all.cells ?? {}));
  }
  const facts = [...new Set(methods.flatMap((m) => Object.keys(m.facts ?? {})))];
  if (facts.length) {
    const key = (fact) => {
      const value = Number.parseFloat(String(fact ?? "").replace(/,/g, ""));
      return fact === undefined || fact === null ? null : Number.isNaN(value) ? String(fact) : value;
    };
    const rows = methods.map((m) => ({
      kind: m.kind,
      cells: [firstCell(m), { key: m.seeds ?? null, show: m.seeds ?? "–" },
        ...facts.map((name) => ({ key: key(m.facts?.[name]), show: m.facts?.[name] ?? "–" }))],
    }));
    const columns = ["method", "seeds", ...facts].map((name) => ({ name }));
    parts.push(el("h3", {}, "What they cost"), sortable("What they cost", columns, rows));
  }
  return parts;
}

// ---------------------------------------------------------------- re-scoring

function rescoring() {
  const { attributes = [], read = [], values = {} } = R.rescoring ?? {};
  const names = methods.map((m) => m.name).filter((name) => values[name]?.flat().some(known));
  if (!names.length) return null;
  const every = names.flatMap((name) => values[name].flat()).filter(known);
  const most = Math.max(...every.map(Math.abs)) || 1;
  const signed = every.some((x) => x < 0);
  const cell = (name, i, j) => {
    const value = values[name][i]?.[j];
    const shade = known(value) ? { "--t": `${((80 * Math.abs(value)) / most).toFixed(1)}%` } : {};
    const own = attributes[i] === read[j] ? " own" : "";
    return el("td", { class: (value < 0 ? "neg" : "pos") + own, vars: shade }, number(value));
  };
  const map = (name) => tableBox(
    `${name}: change of every attribute, σ, by the attribute that was edited`,
    [columnHead("edited \\ read"), read.map((a) => columnHead(el("span", {}, a)))],
    el("tbody", {}, attributes.map((a, i) => el("tr", {}, rowHead(a), read.map((_, j) => cell(name, i, j))))),
    { class: "heat" });
  const panel = (label, first) => {
    const box = el("div");
    const chooser = select(label, names.map((n) => [n, n]), (name) => box.replaceChildren(map(name)));
    chooser.box.value = first;
    box.replaceChildren(map(first));
    return el("div", { class: "panel" }, controls(chooser.field), box);
  };
  return [
    text("Rows: the attribute that was edited. Columns: what the judge then read, as a change in standard deviations. " +
      "An edit that moves nothing else has colour in its framed cell only. All methods share one scale."),
    el("div", { class: "panels" }, panel("Method", names[0]), names.length > 1 ? panel("Beside it", names[1]) : null),
    el("div", { class: signed ? "key" : "key positive", "aria-hidden": "true" },
      signed ? number(-most) : "0", el("i"), `${number(most)} σ`),
  ];
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
    const every = Object.values(cells).flatMap((row) => Object.values(row));
    const ends = every.flatMap((cell) => [cell?.mean, cell?.low, cell?.high]).filter(known);
    const [low, high] = [Math.min(0, ...ends), Math.max(...ends)];
    const at = (x) => `${((100 * (x - low)) / (high - low || 1)).toFixed(1)}%`;
    const reach = (cell) => ({ left: at(cell.low), right: `calc(100% - ${at(cell.high)})` });
    const bar = (cell, name) => el("span", { class: "range", "aria-hidden": "true", vars: { color: colour(name) } },
      known(cell.low) && known(cell.high) ? el("i", { vars: reach(cell) }) : null,
      el("b", { vars: { left: at(cell.mean) } }));
    const entry = (name, cell) => (known(cell?.mean)
      ? {
        key: cell.mean,
        show: [number(cell.mean, m.digits), mark("attribute", name, key), interval(cell, m.digits), bar(cell, name)],
      }
      : { key: null, show: "–" });
    const rows = methods.filter((method) => cells[method.name]).map((method) => ({
      kind: method.kind,
      cells: [firstCell(method), ...attributes.map((a) => entry(method.name, cells[method.name][a]))],
    }));
    const columns = attributes.map((name) => ({ name, better: m.better }));
    const table = sortable(`${withUnit(m)}, by attribute`, [{ name: "method" }, ...columns], rows);
    box.replaceChildren(...[table, notes("attribute", [key])].filter(Boolean));
  };
  const chooser = select("Measure", keys.map((key) => [key, withUnit(measure(key))]), show);
  show(keys[0]);
  return [
    text("The same measures for each attribute on its own, over all edits. " +
      "In each cell a dot and its interval stand on one scale."),
    controls(chooser.field), box,
  ];
}

// ---------------------------------------------------------------- against the truth

/** Whatever a cell holds: a number, a word, nothing, or an estimate. */
function plain(cell) {
  if (cell && typeof cell === "object") return [number(cell.mean, cell.digits), interval(cell, cell.digits)];
  return known(cell) ? String(cell).replace("-", "−") : cell ?? "–";
}

function truth() {
  const given = R.truth;
  const list = !given ? [] : Array.isArray(given) ? given : given.tables ?? [given];
  const parts = list.map((t) => {
    const [head, rows] = t.rows ? [t.head ?? [], t.rows] : [t.table?.[0] ?? [], t.table?.slice(1) ?? []];
    if (!rows.length) return null;
    const title = t.title ?? "Against the truth";
    const body = rows.map(([first, ...cells]) => el("tr", {},
      rowHead(methods.some((m) => m.name === first) ? methodName(first) : plain(first)),
      cells.map((cell) => el("td", {}, plain(cell)))));
    return [t.title ? el("h3", {}, t.title) : null, t.about ? text(t.about) : null,
      tableBox(title, head.map((cell) => columnHead(plain(cell))), el("tbody", {}, body))];
  }).filter(Boolean);
  return parts.length ? parts : null;
}
