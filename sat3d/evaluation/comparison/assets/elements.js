// What all parts of the page are made of: elements, numbers, names.

/** An id of this comparison's own: another one of the page has the same parts. */
const own = (name) => (id ? `${id}/${name}` : name);
const KINDS = { reference: "take the target from a reference picture", value: "take a value of the attribute" };
const rank = ({ kind }) => (kind in KINDS ? Object.keys(KINDS).indexOf(kind) : Infinity);
const measures = R.measures ?? [];
const methods = [...(R.methods ?? [])].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
const COLOURS = 12;
const WIDE = "\u2003";

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
  const dot = el("span", { class: `dot ${kindOf(name)}`, vars: { color: colour(name) }, "aria-hidden": "true" });
  return el("span", { class: "named" }, dot, el("span", {}, name));
}

let fields = 0;
function select(label, options, onchange) {
  const field = own(`field-${++fields}`);
  const box = el("select", { id: field, onchange: () => onchange(box.value) });
  const fill = (entries, chosen) => {
    box.replaceChildren(...entries.map(([value, text]) => el("option", { value }, text)));
    if (entries.some(([value]) => value === chosen)) box.value = chosen;
  };
  fill(options);
  return { field: el("div", { class: "field" }, el("label", { for: field }, label), box), box, fill };
}

const text = (words) => el("p", {}, words);
const controls = (...children) => el("div", { class: "controls" }, ...children);
const button = (attributes, ...content) => el("button", { type: "button", class: "button", ...attributes }, ...content);

/** A table in a box that scrolls by itself, so that the page never has to. */
function tableBox(label, head, bodies, attributes = {}) {
  return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label },
    el("table", attributes, el("caption", { class: "hidden" }, label), el("thead", {}, el("tr", {}, head)), bodies));
}

const columnHead = (...children) => el("th", { scope: "col" }, ...children);
const rowHead = (...children) => el("th", { scope: "row" }, ...children);
