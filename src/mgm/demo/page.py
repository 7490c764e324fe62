"""Layout of the page: a column for the input image, and four tabs. Needs gradio."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from mgm.demo.generated import LARGEST_SEED, MOST_IMAGES, generated_html, no_generator
from mgm.demo.html import html, source_of
from mgm.demo.predictions import LARGEST_VIEW_DEG, LEAST_VIEW_DEG, USUAL_VIEW_DEG, comparison_html
from mgm.demo.runs import Served, ServedRun
from mgm.demo.uploads import KEEP_FOR, Uploads
from mgm.demo.visitors import HOW_TO_READ, NOTHING_YET, Answers, Visitor, reported, unchanged
from mgm.errors import ConfigError, RunError
from mgm.report.html.run import mistakes

COMPARE = "Compare"
AT_ONCE = 2
"""Requests that are processed concurrently; others are queued."""
IN_LINE = 64
"""Largest number of queued requests; further visitors get the message that the page is busy."""
ONE_RUN = "There is only one run, so there is nothing to compare. To compare two: mgm serve RUN RUN2"
WHAT_TO_GENERATE = "Choose what to generate; the same seed gives the same noise before and after joint training."
FILES = "For each task the values (.npy) and an image (.png); depth also in millimetres (16-bit .png) and as a point cloud (.ply)."
BLEND = "(percent) => { document.documentElement.style.setProperty('--mgm-blend', percent / 100); }"
"""Script of the slider for the opacity of predictions; it runs in the browser, without a request."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}


def make_page(served: Served, uploads: Uploads) -> gr.Blocks:
    """Build the page, ready to be launched; visitors' files are in the folder of ``uploads``."""
    with gr.Blocks(title=f"mgm · {served.first.title}", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(html("headline", [(run.title, run.summary) for run in served.runs.values()]))
        visitor = gr.State(Visitor(), time_to_live=KEEP_FOR)
        with gr.Row():
            with gr.Column(scale=1, min_width=280, elem_id="mgm-source"):
                source = source_column(served)
            with gr.Column(scale=4, min_width=320), gr.Tabs() as tabs:
                with gr.Tab("Predict"):
                    changes = predict_tab(page, served, uploads, visitor, *source)
                with gr.Tab("Generate"):
                    generate_tab(served)
                with gr.Tab(COMPARE):
                    compare_tab(served, visitor, tabs, changes)
                with gr.Tab("Mistakes") as tab:
                    mistakes_tab(served, tab)
    # api_open=False: requests cannot bypass the queue, and with it these limits
    return page.queue(max_size=IN_LINE, default_concurrency_limit=AT_ONCE, api_open=False)


def source_column(served: Served) -> tuple[gr.Dropdown, gr.Image, gr.Gallery | None]:
    """Build the left column; returns the choice of the run, the upload box, and the examples."""
    upload = gr.Image(
        label="Image", sources=["upload", "clipboard"], type="filepath", format="png", height=250, buttons=[]
    )
    examples = None
    if served.examples:
        examples = gr.Gallery(
            [example.rgb for example in served.examples],
            label="Test images of the run's data",
            columns=4,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            format="png",
            elem_id="mgm-examples",
        )
    else:
        gr.HTML(html("sentence", f"No example images: {served.no_examples}"))
    run = choice_of_run(served, "Run", visible=len(served.runs) > 1)
    blend = gr.Slider(0, 100, 100, step=1, label="Opacity of predictions [%]")
    blend.input(None, blend, None, js=BLEND)
    return run, upload, examples


def choice_of_run(served: Served, label: str, number: int = 0, visible: bool = True) -> gr.Dropdown:
    """A menu of the runs; the page opens with the one of this number."""
    titles = list(served.runs)
    return gr.Dropdown(titles, value=titles[number], label=label, visible=visible, filterable=False)


def predict_tab(
    page: gr.Blocks,
    served: Served,
    uploads: Uploads,
    visitor: gr.State,
    run: gr.Dropdown,
    upload: gr.Image,
    examples: gr.Gallery | None,
) -> list[Dependency]:
    """Build the first tab; returns the events after which another image or run is shown."""
    tasks = {name: task for run in served.runs.values() for name, task in run.model.tasks.items()}
    values = gr.HTML(html("reading", HOW_TO_READ), elem_id="mgm-reading")
    shown = gr.HTML(html("sentence", NOTHING_YET), js_on_load=source_of("reading.js"), elem_id="mgm-predictions")
    legend = gr.HTML(elem_id="mgm-legend")
    sure = gr.Checkbox(
        False, label="Show the confidence of the predictions", info="Takes twice as long.", elem_id="mgm-sure"
    )
    confidence = gr.HTML(elem_id="mgm-confidence")
    with gr.Accordion("3D view", open=True, visible="depth" in tasks):
        with gr.Row():
            view = gr.Slider(
                LEAST_VIEW_DEG, LARGEST_VIEW_DEG, USUAL_VIEW_DEG, step=1, label="Horizontal field of view [°]"
            )
            choices = [("Image", "photograph"), *((task.title, name) for name, task in tasks.items())]
            colours = gr.Radio(choices, value="photograph", label="Colour of the points")
        points = gr.Plot(show_label=False, elem_id="mgm-cloud")
    with gr.Accordion("Files", open=False):
        gr.HTML(html("sentence", FILES))
        make = gr.Button("Make files", size="sm")
        files = gr.Files(label="Files for this image", interactive=False)

    answers = Answers(served, uploads)
    settings = [visitor, run, view, colours]
    # the upload box is an output too, so that it always shows the image of the predictions, even if another was uploaded meanwhile
    filled = [upload, visitor, shown, values, legend, points, files]
    # preprocess=False: we read the uploaded file within our own limits, before gradio would decode it
    changes = [upload.upload(answers.predict, [upload, *settings], filled, preprocess=False, api_name="predict")]
    changes.append(upload.clear(answers.clear, visitor, filled, **PRIVATE))
    if examples is not None:
        changes.append(examples.select(answers.example, settings, filled, **PRIVATE))
    changes.append(run.change(answers.again, settings, filled, **PRIVATE))
    for change in (view.change, colours.change):
        change(answers.turn, [visitor, view, colours], points, trigger_mode="always_last", **QUIET)
    shown.select(answers.read, visitor, values, queue=False, trigger_mode="once", **QUIET)
    sure.input(answers.confidence, [visitor, sure], confidence, **PRIVATE)
    for done in changes:
        done.then(answers.confidence, [visitor, sure], confidence, **QUIET)
    make.click(answers.write, [visitor, view], files, api_name="files")
    page.load(answers.begin, settings, filled, **PRIVATE)
    page.unload(answers.leave)
    return changes


def generate_tab(served: Served) -> None:
    """Build the second tab, with one section per run that has a generator, since runs differ in their scenes."""
    able = [run for run in served.runs.values() if run.generators]
    if not able:
        gr.HTML(html("sentence", no_generator(served.first)))
    for run in able:
        if len(able) > 1:
            gr.HTML(f"<h3>{escape(run.title)}</h3>")
        _generate_part(run)


def _generate_part(run: ServedRun) -> None:
    info = run.model.info
    stages = list(run.generators)
    first = info.scenes[0] if info.scenes else None
    with gr.Row():
        scenes = gr.Dropdown(
            [(name.replace("_", " "), name) for name in info.scenes],
            value=[first] if info.multi_hot and first else first,
            multiselect=info.multi_hot,
            label="Objects" if info.multi_hot else "Scene",
            visible=bool(info.scenes),
        )
        num = gr.Slider(1, MOST_IMAGES, 4, step=1, label="Images")
        seed = gr.Number(0, precision=0, minimum=0, maximum=LARGEST_SEED, label="Seed")
        stage = gr.Radio(stages, value=stages[0], label="Generator")
    button = gr.Button("Generate", variant="primary")
    shown = gr.HTML(html("sentence", WHAT_TO_GENERATE), elem_classes="mgm-generated")

    @reported
    def make(chosen: str | list[str] | None, count: float, number: float | None, when: str) -> str:
        if number is None:  # the field is empty
            raise ConfigError("enter a seed, a whole number from 0")
        return generated_html(run, chosen, int(count), int(number), when)

    inputs = [scenes, num, seed, stage]
    button.click(make, inputs, shown, api_name="generate")
    stage.input(make, inputs, shown, **PRIVATE)


def compare_tab(served: Served, visitor: gr.State, tabs: gr.Tabs, changes: list[Dependency]) -> None:
    """Build the third tab; runs are compared only while the tab is open."""
    if len(served.runs) < 2:
        gr.HTML(html("sentence", ONE_RUN))
        return
    open_tab = gr.State("")
    with gr.Row():
        first, second = choice_of_run(served, "First run"), choice_of_run(served, "Second run", 1)
    shown = gr.HTML(html("sentence", NOTHING_YET), elem_id="mgm-comparison")

    @reported
    def compare(who: Visitor, one: str, other: str, tab: str) -> Any:
        seen = who.seen
        if tab != COMPARE:
            return unchanged()
        if seen is None:
            return html("sentence", NOTHING_YET)
        return comparison_html(seen.photograph, (served.runs[one], served.runs[other]))

    inputs = [visitor, first, second, open_tab]
    opened = tabs.select(_title_of_tab, None, open_tab, **PRIVATE)
    for dependency in (opened, *changes):
        dependency.then(compare, inputs, shown, **PRIVATE)
    for choice in (first, second):
        choice.input(compare, inputs, shown, **PRIVATE)


def _title_of_tab(event: gr.SelectData) -> str:
    return event.value


def mistakes_tab(served: Served, tab: gr.Tab) -> None:
    """Build the fourth tab; its content is computed once per run, when the tab is first opened."""
    choice = choice_of_run(served, "Run", visible=len(served.runs) > 1)
    shown = gr.HTML()

    @reported
    @cache
    def drawn(title: str) -> str:
        run = served.runs[title]
        if run.folder is None:
            raise RunError(f"{title} is a model folder, which has no test set; serve its run instead")
        return html("mistakes", mistakes(run.folder))

    tab.select(drawn, choice, shown, **PRIVATE)
    choice.input(drawn, choice, shown, **PRIVATE)
