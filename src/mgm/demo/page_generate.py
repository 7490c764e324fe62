"""Second tab: images from a run's generator, and what its network predicts on them."""

from __future__ import annotations

from html import escape

import gradio as gr

from mgm.demo.markup import sentence
from mgm.demo.panels import MOST_GENERATED, generated, no_generator
from mgm.demo.runs import STAGE_TITLES, Served, ServedRun
from mgm.demo.wiring import spoken
from mgm.errors import choose

WHAT_IT_SHOWS = "Choose what the images shall show; the same seed gives the same noise before and after joint training."


def generate_tab(served: Served) -> None:
    """Fill the tab: a part per run that has a generator, since each has scenes of its own."""
    able = [run for run in served.runs.values() if run.generators]
    if not able:
        gr.HTML(sentence(no_generator(served.first)))
        return
    for run in able:
        if len(able) > 1:
            gr.HTML(f"<h3>{escape(run.title)}</h3>")
        _part(served, run)


def _part(served: Served, run: ServedRun) -> None:
    info = run.model.info
    stages = [title for title in STAGE_TITLES.values() if title in run.generators]
    names = [(name.replace("_", " "), name) for name in info.scenes]
    with gr.Row():
        scenes = gr.Dropdown(
            names,
            value=[info.scenes[0]] if info.multi_hot else (info.scenes[0] if info.scenes else None),
            multiselect=info.multi_hot,
            label="Objects" if info.multi_hot else "Scene",
            visible=bool(info.scenes),
        )
        num = gr.Slider(1, MOST_GENERATED, 4, step=1, label="Images")
        seed = gr.Number(0, precision=0, minimum=0, label="Seed")
        stage = gr.Radio(stages, value=stages[0], label="Generator")
    button = gr.Button("Generate", variant="primary")
    sheet = gr.HTML(sentence(WHAT_IT_SHOWS), elem_classes="mgm-generated")

    @spoken
    def make(chosen: str | list[str] | None, count: int, number: int, when: str) -> str:
        wanted = [chosen] if isinstance(chosen, str) else list(chosen or [])
        return generated(choose("run", run.title, served.runs), when, wanted, int(count), int(number))

    wanted = [scenes, num, seed, stage]
    button.click(make, wanted, sheet, api_name="generate")
    stage.input(make, wanted, sheet, api_visibility="private")
