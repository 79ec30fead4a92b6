// The pictures: dragging and arrow keys turn the camera, a click or Enter asks for channels.
// `element`, `trigger` and `watch` are Gradio's. One request is on its way at a time; of those that wait, the last.
const STEP = 0.05, CLICK = 4;
let drag = null, busy = false, next = null, timer = null, view = null;
const stage = () => element.querySelector('.stage');
const facts = () => Object.fromEntries(Object.entries(stage().dataset).map(([k, v]) => [k, Number(v)]));

function send(event, data) {
  if (busy) { next = [event, data]; return; }
  busy = true;
  timer = setTimeout(done, 30000); // an error answers without pictures
  trigger(event, data);
}
function done() {
  window.dispatchEvent(new CustomEvent('sat3d-drawn'));
  free();
}
function free() {
  clearTimeout(timer);
  busy = false;
  if (next) { const [event, data] = next; next = null; send(event, data); }
}
watch('value', done);
window.addEventListener('sat3d-found', free); // what was explored changes the channels, not the pictures

function turn(from, dyaw, dpitch, final) {
  const f = facts();
  if (!f.turns) return;
  const within = (x, low, high) => Math.min(Math.max(x, low), high);
  view = {
    yaw: within(from.yaw + dyaw, f.yawLow, f.yawHigh),
    pitch: within(from.pitch + dpitch, f.pitchLow, f.pitchHigh),
  };
  send('orbit', { ...view, final });
}
function explore(figure, x, y) {
  send('explore', { shown: figure.dataset.shown, x, y });
}

element.addEventListener('pointerdown', (e) => {
  const picture = e.target.closest('img[data-live]');
  if (!picture || e.button !== 0) return;
  e.preventDefault();
  const figure = picture.closest('figure');
  figure.focus({ preventScroll: true, focusVisible: false });
  const f = facts();
  drag = { x: e.clientX, y: e.clientY, figure, side: picture.clientWidth, moved: false, ...f };
  drag.yaw = f.yaw; drag.pitch = f.pitch;
  try { picture.setPointerCapture(e.pointerId); } catch { /* the pointer is gone */ }
});
function slide(e, final) {
  const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
  drag.moved = drag.moved || Math.hypot(dx, dy) > CLICK;
  if (!drag.moved) return;
  // Across the picture is across the range; what is in front goes with the finger, so the camera goes against it.
  turn(drag, -dx / drag.side * (drag.yawHigh - drag.yawLow), -dy / drag.side * (drag.pitchHigh - drag.pitchLow), final);
}
element.addEventListener('pointermove', (e) => { if (drag) slide(e, false); });
element.addEventListener('pointercancel', () => { drag = null; });
element.addEventListener('pointerup', (e) => {
  if (!drag) return;
  slide(e, true);
  if (!drag.moved) {
    const box = drag.figure.querySelector('img').getBoundingClientRect();
    explore(drag.figure, (e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
  }
  drag = null;
});
element.addEventListener('keydown', (e) => {
  const figure = e.target.closest('figure');
  if (!figure || e.ctrlKey || e.metaKey || e.altKey) return;
  const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
  if (way) {
    e.preventDefault();
    const f = facts();
    turn(busy && view ? view : f, way[0] * STEP, way[1] * STEP, true);
  } else if (e.key === 'Enter') {
    explore(figure, 0.5, 0.5);
  }
});
