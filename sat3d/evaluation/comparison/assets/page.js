// A comparison: its parts in their order, and how it was made.

function made() {
  const nested = (value) => value !== null && typeof value === "object";
  const flat = (value, path = []) => {
    if (Array.isArray(value) && !value.some(nested)) return [[path, value.join(", ") || "none"]];
    if (nested(value)) return Object.entries(value).flatMap(([key, x]) => flat(x, [...path, key]));
    return [[path, value === null ? "–" : String(value)]];
  };
  const pairs = (data) => el("dl", { class: "pairs" },
    flat(data).map(([path, words]) => [el("dt", {}, path.join(" › ")), el("dd", {}, words)]));
  const better = { lower: "Lower is better.", higher: "Higher is better." };
  const definition = (m) => el("div", {},
    el("dt", {}, withUnit(m), m.short && m.short !== m.title ? ` (${m.short})` : ""),
    el("dd", {}, [m.about, better[m.better]].filter(Boolean).join(" ")));
  const filled = (data) => data && Object.keys(data).length > 0;
  return [
    R.command
      ? [text("This command made the page and everything on it:"),
        el("pre", { tabindex: "0", "aria-label": "command" }, R.command)]
      : null,
    R.warnings?.length
      ? [el("h3", { id: own("warnings") }, "Warnings"), el("ul", {}, R.warnings.map((words) => el("li", {}, words)))]
      : null,
    measures.length
      ? [el("h3", {}, "What is measured"), el("dl", { class: "measures" }, measures.map(definition))]
      : null,
    el("div", { class: "panels" },
      filled(R.settings) ? el("div", {}, el("h3", {}, "Settings"), pairs(R.settings)) : null,
      filled(R.versions) ? el("div", {}, el("h3", {}, "Versions"), pairs(R.versions)) : null),
  ];
}

function lead() {
  const day = new Date(`${R.date}T00:00:00Z`);
  const long = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
  const date = Number.isNaN(day.valueOf()) ? R.date : day.toLocaleDateString("en-GB", long);
  const seeds = (R.seeds ?? []).map(String);
  const last = seeds[seeds.length - 1];
  const list = seeds.length > 1 ? `seeds ${seeds.slice(0, -1).join(", ")} and ${last}` : `seed ${last}`;
  const verb = methods.length === 1 ? "edits" : "edit";
  const things = `${plural((R.attributes ?? []).length, "attribute")} of ${plural(R.codes, "code")}`;
  const what = `${plural(methods.length, "method")} ${verb} ${things}`;
  const whose = (R.generator ? ` of ${R.generator}` : "") + (seeds.length ? `, with ${list}` : "");
  const where = (R.device ? ` on ${R.device}` : "") + (date ? `${R.device ? "," : " on"} ${date}` : "");
  const link = () => el("a", { href: `#${own("warnings")}` }, plural(R.warnings.length, "warning"));
  const warned = R.warnings?.length ? [" ", link(), "."] : [];
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
home.querySelector(".lead").append(...lead());
for (const [name, title, build] of sections) {
  const content = [build()].flat(Infinity).filter(Boolean);
  if (!content.length) continue;
  const heading = el("h2", { id: own(`${name}-title`) }, title);
  const section = el("section", { id: own(name), "aria-labelledby": heading.id }, heading, content);
  (home.querySelector("main") ?? home).append(section);
  home.querySelector(".contents").append(el("a", { href: `#${section.id}` }, title));
}
