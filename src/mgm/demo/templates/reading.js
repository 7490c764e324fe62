// Moves the marker on all tiles with the pointer or the arrow keys, and requests the values at its pixel. The request is repeated
// until the answer is for that pixel, since gradio drops events while it answers one. At most nine requests per second.
let wanted = null, tries = 0, timer = null;
const ask = () => {
  const told = document.querySelector('#mgm-reading [data-place]')?.dataset.place;
  if (told === `${wanted.x},${wanted.y}` || ++tries > 300) { timer = null; return; }
  trigger('select', wanted);
  timer = setTimeout(ask, 110);
};
const place = (grid, across, down) => {
  const inside = (share) => Math.min(0.9999, Math.max(0, share));
  element.style.setProperty('--mgm-x', inside(across));
  element.style.setProperty('--mgm-y', inside(down));
  element.classList.add('mgm-reads');
  wanted = { x: Math.floor(inside(across) * grid.dataset.width), y: Math.floor(inside(down) * grid.dataset.height) };
  tries = 0;
  if (!timer) ask();
};
const point = (event) => {
  const stack = event.target.closest('.mgm-stack'), grid = event.target.closest('[data-width]');
  if (!stack || !grid) return;
  const box = stack.getBoundingClientRect();
  place(grid, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
};
element.addEventListener('pointermove', point);
element.addEventListener('pointerdown', point);
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
element.addEventListener('keydown', (event) => {
  const step = STEPS[event.key], grid = event.target.closest('[data-width]');
  if (!step || !grid) return;
  event.preventDefault();
  const size = event.shiftKey ? 0.1 : 0.01;
  const at = (name) => { const value = parseFloat(element.style.getPropertyValue(name)); return isNaN(value) ? 0.5 : value; };
  place(grid, at('--mgm-x') + size * step[0], at('--mgm-y') + size * step[1]);
});
