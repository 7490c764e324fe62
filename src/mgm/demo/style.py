"""How the page looks: the library's theme with fonts that it serves itself, and rules for our own parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.themes import Base


def make_theme() -> Base:
    """Quiet greys, one accent from the middle of the colour scale of depth, fonts from this machine."""
    from gradio.themes import Base, LocalFont, colors, sizes

    return Base(
        primary_hue=colors.teal,
        secondary_hue=colors.teal,
        neutral_hue=colors.slate,
        spacing_size=sizes.spacing_sm,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=[LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        block_title_text_size="*text_sm",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_700",
        block_title_text_weight="600",
    )


CSS = """
.gradio-container { max-width: 1680px !important; margin: 0 auto !important; }
#mgm-examples .grid-wrap { height: auto !important; min-height: 0 !important; padding-top: 1.6rem; }
#mgm-examples .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; padding-top: 0 !important;
  gap: .3rem; }
@media (min-width: 900px) { #mgm-source { position: sticky; top: .5rem; align-self: flex-start; } }
.mgm-head { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; margin: .1rem 0 .3rem; }
.mgm-head h1 { font-size: 1.35rem; font-weight: 700; margin: 0; letter-spacing: -.01em; }
.mgm-head ul { list-style: none; margin: 0; padding: 0; font-size: .85rem; line-height: 1.45; }
.mgm-head span { color: var(--body-text-color-subdued); }

.mgm-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 210px), 1fr)); gap: .7rem; align-items: end; }
@media (max-width: 640px) { .mgm-tiles { grid-template-columns: 1fr 1fr; gap: .45rem; } }
.mgm-tile { margin: 0; min-width: 0; max-width: 620px; }
.mgm-tile figcaption { font-size: .85rem; font-weight: 600; margin-bottom: .2rem; }
.mgm-stack { position: relative; overflow: hidden; border-radius: 6px; box-shadow: 0 0 0 1px var(--border-color-primary);
  background: var(--mgm-photograph) 0 0 / 100% 100%; }
.mgm-stack img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
.mgm-over { opacity: var(--mgm-blend, 1); }
.mgm-cross { display: none; position: absolute; left: calc(var(--mgm-x) * 100%); top: calc(var(--mgm-y) * 100%);
  width: 15px; height: 15px; margin: -7.5px 0 0 -7.5px; border: 2px solid #fff; border-radius: 50%;
  box-shadow: 0 0 0 1.5px #000, inset 0 0 0 1px #000; pointer-events: none; }
.mgm-reads .mgm-cross { display: block; }
[data-width] .mgm-stack { cursor: crosshair; touch-action: pan-y; }
[data-width] .mgm-stack:focus-visible { outline: 3px solid var(--color-accent); outline-offset: 2px; }

.mgm-hint { color: var(--body-text-color-subdued); margin: .2rem 0; }
.mgm-reading { font-variant-numeric: tabular-nums; font-size: .95rem; margin: .1rem 0; padding: .45rem .7rem; border-radius: 6px;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); min-height: 2.4em; }
.mgm-legends { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 232px), 1fr)); gap: .4rem 1.4rem;
  font-size: .84rem; }
.mgm-legends h4 { font-weight: 600; margin: 0 0 .25rem; }
.mgm-legend > div { display: flex; gap: .6rem; align-items: center; flex-wrap: wrap; }
.mgm-legend > div > span { color: var(--body-text-color-subdued); flex: 1 1 9rem; }
.mgm-legend img { margin: 0; }
.mgm-classes { list-style: none; margin: 0; padding: 0; width: 100%; columns: 2 9rem; column-gap: 1.2rem; }
.mgm-classes li { display: flex; align-items: center; gap: .45rem; break-inside: avoid; line-height: 1.5; }
.mgm-classes i { width: .8rem; height: .8rem; border-radius: 3px; flex: none; box-shadow: 0 0 0 1px rgb(128 128 128 / .4); }
.mgm-classes span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.mgm-classes b { font-weight: 400; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.mgm-scale { display: grid; grid-template-columns: 1fr 1fr; width: 100%; }
.mgm-scale i { grid-column: 1 / 3; height: .8rem; border-radius: 3px; }
.mgm-scale span:last-child { text-align: right; }
h4.mgm-title, .mgm-sheet h4 { font-weight: 600; margin: .8rem 0 .3rem; }
.mgm-strip { display: grid; gap: .4rem; overflow-x: auto; padding: 1px; }
.mgm-strip > b { font-size: .84rem; font-weight: 600; align-self: center; }
.mgm-strip img { width: 100%; margin: 0; border-radius: 5px; image-rendering: pixelated;
  box-shadow: 0 0 0 1px var(--border-color-primary); }
@media (max-width: 640px) { .mgm-strip { grid-template-columns: repeat(var(--mgm-columns), minmax(0, 1fr)) !important; }
  .mgm-strip > b { grid-column: 1 / -1; } }
"""

READ_ON_HOVER = """
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
"""
"""Moves the mark on all tiles with pointer or arrow keys, and asks the server about its pixel until the reading is of that one.

The library drops events while one is under way (and ``always_last`` would repeat the first of them with its old place), so
this asks again, at most nine times a second.
"""

BLEND = "(percent) => { document.documentElement.style.setProperty('--mgm-blend', percent / 100); }"
"""How much of the prediction covers the photograph; the browser does it alone."""
