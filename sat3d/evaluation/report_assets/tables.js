// Tables of estimates, with marks, that sort; heat maps; what each attribute, and the truth, say.

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
