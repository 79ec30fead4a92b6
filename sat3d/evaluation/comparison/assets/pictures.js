// Edits under one slider, and clips that turn when they are asked.

function edits() {
  const { examples = [], strengths = [], frame = 64 } = R.pictures ?? {};
  const shown = examples.filter((e) => Object.keys(e.strips ?? {}).length);
  if (!shown.length || !strengths.length) return null;
  const start = Math.max(0, strengths.indexOf(1));
  const given = el("div", { class: "shelf" });
  const edited = el("div", { class: "shelf" });
  const say = (i) => (strengths[i] === 0 ? "0: the source" : `${strengths[i]} × the matched strength`);

  const most = strengths.length - 1;
  const slider = el("input", { type: "range", id: own("strength"), min: 0, max: most, step: 1, value: start });
  slider.addEventListener("input", () => move());
  const output = el("output", { for: slider.id });
  const code = select("Code", shown.map((e, i) => [String(i), `code ${e.code}`]), () => { fillAttributes(); show(); });
  const attribute = select("Attribute", [], () => show());

  function fillAttributes() {
    const strips = Object.entries(shown[code.box.value].strips);
    attribute.fill(strips.map(([name, strip]) => [name, strip.target ?? name]), attribute.box.value);
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
      figure("source", { src: files[example.source], alt: `source, code ${example.code}` }),
      ...[strip.reference].filter(Boolean).map((path) =>
        figure("reference", { src: files[path], alt: `reference for ${target}` })));
    edited.replaceChildren(...methods.filter((m) => strip.methods[m.name]).map(({ name }) => {
      const { strip: path, reached } = strip.methods[name];
      const missed = reached === false ? el("span", { class: "miss" }, "does not get there") : null;
      return figure([methodName(name), missed], { class: "strip", src: files[path], "data-what": `${name}: ${target}` });
    }));
    move();
  }

  const place = (i) => `${(100 * i) / Math.max(1, most)}%`;
  const scale = el("div", { class: "scale", "aria-hidden": "true" },
    strengths.map((s, i) => el("span", { vars: { left: place(i) } }, String(s))));
  const strength = el("div", { class: "strength" },
    el("span", {}, el("label", { for: slider.id }, "Strength"), output), slider, scale);
  const viewer = viewerOf(frame, controls(code.field, attribute.field, strength),
    el("div", { class: "shelves two" }, given, edited));
  viewer.style.setProperty("--n", strengths.length);
  fillAttributes();
  show();
  return [
    text("One slider for all methods. 0 is the source; 1 is each method's own strength at which the edit reaches its " +
      "target (its strongest, where it does not get there), so that at any place of the slider all have gone the same " +
      "part of their way."),
    viewer,
  ];
}

const figure = (caption, image) =>
  el("figure", {}, el("div", { class: "frame" }, el("img", image)), el("figcaption", {}, caption));

/** A box of pictures, each of whose pixels is a whole number of the screen's while they are small. */
function viewerOf(frame, ...children) {
  const small = frame <= 160;
  const dots = Math.max(1, window.devicePixelRatio);
  const whole = (most) => (frame * Math.max(1, Math.floor((most * dots) / frame))) / dots;
  const side = (most) => `${small ? whole(most) : Math.min(frame, most)}px`;
  const vars = { "--small": side(155), "--large": side(200) };
  return el("div", { class: small ? "viewer crisp" : "viewer", vars }, ...children);
}

// ---------------------------------------------------------------- orbits

function clips() {
  const all = methods.flatMap((m) => (R.pictures?.clips ?? []).filter((clip) => clip.method === m.name));
  if (!all.length) return null;
  const name = (clip) => `${clip.attribute}, code ${clip.code}`;
  const shelf = el("div", { class: "shelf" });
  const isOn = (one) => one.getAttribute("aria-pressed") === "true";
  const turn = (one, on) => {
    one.setAttribute("aria-pressed", on);
    const image = one.querySelector("img");
    image.src = files[on ? image.dataset.file : image.dataset.still];
  };
  const buttons = () => [...shelf.querySelectorAll("button")];
  const update = () => { together.textContent = buttons().every(isOn) ? "Stop all" : "Play all"; };
  const together = button({ onclick: () => {
    const on = !buttons().every(isOn);
    buttons().forEach((one) => turn(one, on));
    update();
  } });
  const clip = ({ method, file, still }, chosen) => {
    const image = el("img", { alt: `${method}, ${chosen}, turning`, "data-file": file, "data-still": still });
    const frame = el("span", { class: "frame" }, image);
    const one = button({ class: "clip", "aria-label": `Play ${method}, ${chosen}` }, frame);
    one.addEventListener("click", () => { turn(one, !isOn(one)); update(); });
    turn(one, false);
    return el("figure", {}, one, el("figcaption", {}, methodName(method)));
  };
  const show = (chosen) => {
    shelf.replaceChildren(...all.filter((one) => name(one) === chosen).map((one) => clip(one, chosen)));
    update();
  };
  const names = [...new Set(all.map(name))];
  const chooser = select("Edit", names.map((n) => [n, n]), show);
  show(names[0]);
  return [
    text("The edits, seen from all around. They stand still until they are asked to turn."),
    controls(chooser.field, together), viewerOf(R.pictures.frame ?? 64, shelf),
  ];
}
