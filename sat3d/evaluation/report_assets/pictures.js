// Edits under one slider, and clips that turn when they are asked.

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
