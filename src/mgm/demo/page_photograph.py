"""First tab: what a run predicts on a photograph, read under the cursor and seen in space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.events import Dependency

from mgm.demo.clouds import LARGEST_VIEW_DEG, LEAST_VIEW_DEG, USUAL_VIEW_DEG
from mgm.demo.markup import legend, reading, sentence
from mgm.demo.panels import PHOTOGRAPH, cloud_figure, prediction_tiles, write_downloads
from mgm.demo.photographs import Photograph, read_photograph
from mgm.demo.runs import Served
from mgm.demo.style import BLEND, READ_ON_HOVER
from mgm.demo.views import Seen, look, read_pixel
from mgm.demo.wiring import download_folder, forget, spoken
from mgm.errors import ConfigError, DataError, choose

NOTHING_YET = "Drop a photograph on the left, or choose one of the test images."
HOW_TO_READ = "Point at a picture (or focus it and use the arrow keys) to read its values."
NO_DEPTH = "Depth is not predicted here, so there is no view in space."


class Source(NamedTuple):
    """Where photographs come from: the column on the left, which the tabs share."""

    run: gr.Dropdown
    upload: gr.Image
    examples: gr.Gallery | None
    seen: gr.State


def source_column(served: Served) -> Source:
    """Photograph, examples, run, and how much of the prediction covers the photograph."""
    titles = list(served.runs)
    upload = gr.Image(
        label="Photograph", sources=["upload", "clipboard"], type="filepath", format="png", height=250, buttons=[]
    )
    examples = None
    if served.examples:
        examples = gr.Gallery(
            [shot.pixels for shot in served.examples],
            label="Test images of the run's data",
            columns=4,
            height="auto",
            object_fit="cover",
            allow_preview=False,
            interactive=False,
            buttons=[],
            format="png",
            elem_id="mgm-examples",
        )
    else:
        gr.HTML(sentence(f"No example images: {served.no_examples}"))
    run = gr.Dropdown(titles, value=titles[0], label="Run", visible=len(titles) > 1, filterable=False)
    blend = gr.Slider(0, 100, 100, step=1, label="Prediction over photograph [%]")
    blend.input(None, blend, None, js=BLEND)
    return Source(run, upload, examples, gr.State(None, time_to_live=3600))


def photograph_tab(page: gr.Blocks, served: Served, source: Source) -> list[Dependency]:
    """Fill the tab, and let the shared column drive it.

    Returns:
        The events after which another photograph is shown.
    """
    tasks = {name: task for run in served.runs.values() for name, task in run.model.tasks.items()}
    line = gr.HTML(reading(HOW_TO_READ), elem_id="mgm-reading")
    shown = gr.HTML(sentence(NOTHING_YET), js_on_load=READ_ON_HOVER, elem_id="mgm-predictions")
    key = gr.HTML(elem_id="mgm-legend")
    has_depth = "depth" in tasks
    if not has_depth:
        gr.HTML(sentence(NO_DEPTH))
    with gr.Accordion("In space", open=True, visible=has_depth):
        with gr.Row():
            view = gr.Slider(
                LEAST_VIEW_DEG, LARGEST_VIEW_DEG, USUAL_VIEW_DEG, step=1, label="Horizontal field of view [°]"
            )
            choices = [("Photograph", PHOTOGRAPH), *((task.title, name) for name, task in tasks.items())]
            colours = gr.Radio(choices, value=PHOTOGRAPH, label="Colour of the points")
        cloud = gr.Plot(show_label=False, elem_id="mgm-cloud")
    with gr.Accordion("Files", open=False):
        gr.HTML(
            sentence(
                "Per task the values (.npy) and the picture (.png); depth also in millimetres (16-bit .png) and as points (.ply)."
            )
        )
        make = gr.Button("Make files", size="sm")
        files = gr.Files(label="Files of this photograph", interactive=False)

    def nothing() -> tuple[Any, ...]:
        return None, sentence(NOTHING_YET), reading(HOW_TO_READ), "", None

    def show(title: str, shot: Photograph | None, view_deg: float, colouring: str) -> tuple[Any, ...]:
        if shot is None:
            return nothing()
        run = choose("run", title, served.runs)
        seen = look(run.model, shot, title)
        return (
            seen,
            prediction_tiles(run, seen),
            reading(HOW_TO_READ),
            legend(run.model.tasks, seen.values),
            cloud_figure(run, seen, view_deg, _possible(seen, colouring)),
        )

    @spoken
    def predict(upload: dict[str, Any], title: str, view_deg: float, colouring: str) -> tuple[Any, ...]:
        return show(title, received(upload), view_deg, colouring)

    @spoken
    def example(title: str, view_deg: float, colouring: str, event: gr.SelectData) -> tuple[Any, ...]:
        shot = served.examples[int(event.index)]
        return shot.pixels, *show(title, shot, view_deg, colouring)

    @spoken
    def begin(title: str, view_deg: float, colouring: str) -> tuple[Any, ...]:
        shot = served.examples[0] if served.examples else None
        return shot and shot.pixels, *show(title, shot, view_deg, colouring)

    @spoken
    def again(title: str, seen: Seen | None, view_deg: float, colouring: str) -> tuple[Any, ...]:
        return show(title, seen and seen.photograph, view_deg, colouring)

    @spoken
    def turn(seen: Seen | None, view_deg: float, colouring: str) -> Any:
        if seen is None:
            return None
        return cloud_figure(choose("run", seen.run, served.runs), seen, view_deg, _possible(seen, colouring))

    @spoken
    def read(seen: Seen | None, event: gr.EventData) -> str:
        x, y = int(event.x), int(event.y)
        if seen is None:
            return reading(NOTHING_YET, x, y)
        height, width = seen.size  # the place may still be one of a larger photograph before
        inside = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        return reading(read_pixel(choose("run", seen.run, served.runs).model.tasks, seen, *inside), x, y)

    @spoken
    def write(seen: Seen | None, view_deg: float, request: gr.Request) -> list[str]:
        if seen is None:
            raise ConfigError(NOTHING_YET)
        run = choose("run", seen.run, served.runs)
        folder = download_folder(request.session_hash)
        return [str(path) for path in write_downloads(run, seen, folder, view_deg)]

    filled = [source.seen, shown, line, key, cloud]
    settings = [view, colours]
    # the browser's own file is read by us, within our limits, and not decoded by the library first
    uploaded = source.upload.upload(
        predict, [source.upload, source.run, *settings], filled, preprocess=False, api_name="predict"
    )
    done = [uploaded, source.upload.clear(nothing, None, filled, api_visibility="private")]
    if source.examples is not None:
        done.append(
            source.examples.select(example, [source.run, *settings], [source.upload, *filled], api_visibility="private")
        )
    done.append(source.run.change(again, [source.run, source.seen, *settings], filled, api_visibility="private"))
    for change in (view.change, colours.change):
        change(
            turn,
            [source.seen, *settings],
            cloud,
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )
    shown.select(
        read,
        source.seen,
        line,
        queue=False,
        show_progress="hidden",
        trigger_mode="once",
        api_visibility="private",
    )
    make.click(write, [source.seen, view], files, api_name="files")
    page.load(begin, [source.run, *settings], [source.upload, *filled], api_visibility="private")
    page.unload(forget)
    return done


def received(upload: dict[str, Any]) -> Photograph:
    """The photograph that a browser has sent.

    Args:
        upload: What the browser says; the library has checked that ``path`` is a file that somebody uploaded.

    Raises:
        DataError: See `read_photograph`.
    """
    if not upload or not upload.get("path"):
        raise DataError("this picture did not come as a file; save it and drop the file")
    return read_photograph(Path(upload["path"]), str(upload.get("orig_name") or "the photograph"))


def _possible(seen: Seen, colouring: str) -> str:
    """The chosen colours of points, where this run has them."""
    return colouring if colouring in seen.values else PHOTOGRAPH
