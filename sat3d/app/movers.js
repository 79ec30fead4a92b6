// The channels that move a place: their sliders send one strength at a time, and of those that wait the last.
let busy = false, next = null, timer = null;
function send(data) {
  if (busy) { next = data; return; }
  busy = true;
  timer = setTimeout(done, 30000);
  trigger('strength', data);
}
function done() {
  clearTimeout(timer);
  busy = false;
  if (next) { const data = next; next = null; send(data); }
}
window.addEventListener('sat3d-drawn', done);
watch('value', () => window.dispatchEvent(new CustomEvent('sat3d-found')));
element.addEventListener('input', (e) => {
  const slider = e.target.closest('input[data-channel]');
  if (!slider) return;
  const amount = Number(slider.value);
  slider.parentElement.querySelector('output').value = amount.toFixed(1);
  send({ channel: slider.dataset.channel, amount });
});
