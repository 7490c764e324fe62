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
from mgm.demo.uploads import Uploads
from mgm.demo.views import Seen, look, read_pixel
from mgm.demo.wiring import spoken
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


class Widgets(NamedTuple):
    """What the tab consists of."""

    line: gr.HTML
    """The values under the cursor."""
    shown: gr.HTML
    """The predictions."""
    key: gr.HTML
    """What their colours mean."""
    view: gr.Slider
    colours: gr.Radio
    cloud: gr.Plot
    make: gr.Button
    files: gr.Files


def photograph_tab(page: gr.Blocks, served: Served, source: Source, uploads: Uploads) -> list[Dependency]:
    """Fill the tab, and let the shared column drive it.

    Args:
        page: The page.
        served: The runs and their examples.
        source: The shared column.
        uploads: Where the files of visitors lie.

    Returns:
        The events after which another photograph is shown.
    """
    widgets = _lay_out(served)
    answers = Answers(served, uploads)
    settings = [widgets.view, widgets.colours]
    filled = [source.seen, widgets.shown, widgets.line, widgets.key, widgets.cloud]
    private: dict[str, Any] = {"api_visibility": "private"}
    # the browser's own file is read by us, within our limits, and not decoded by the library first
    uploaded = source.upload.upload(
        answers.predict, [source.upload, source.run, *settings], filled, preprocess=False, api_name="predict"
    )
    done = [uploaded, source.upload.clear(nothing, None, filled, **private)]
    if source.examples is not None:
        done.append(
            source.examples.select(answers.example, [source.run, *settings], [source.upload, *filled], **private)
        )
    done.append(source.run.change(answers.again, [source.run, source.seen, *settings], filled, **private))
    quietly = {"show_progress": "hidden", **private}
    for change in (widgets.view.change, widgets.colours.change):
        change(answers.turn, [source.seen, *settings], widgets.cloud, trigger_mode="always_last", **quietly)
    widgets.shown.select(answers.read, source.seen, widgets.line, queue=False, trigger_mode="once", **quietly)
    widgets.make.click(answers.write, [source.seen, widgets.view], widgets.files, api_name="files")
    page.load(answers.begin, [source.run, *settings], [source.upload, *filled], **private)
    page.unload(answers.leave)
    return done


def _lay_out(served: Served) -> Widgets:
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
    return Widgets(line, shown, key, view, colours, cloud, make, files)


def nothing() -> tuple[Any, ...]:
    """What the tab shows without a photograph: what was seen, predictions, values, legend, points."""
    return None, sentence(NOTHING_YET), reading(HOW_TO_READ), "", None


class Answers:
    """What the tab answers to a visitor's doings; ``title`` is the chosen run's.

    Args:
        served: The runs and their examples.
        uploads: Where the files of visitors lie.
    """

    def __init__(self, served: Served, uploads: Uploads) -> None:
        self._served = served
        self._uploads = uploads

    def _show(self, title: str, shot: Photograph | None, view_deg: float, colouring: str) -> tuple[Any, ...]:
        if shot is None:
            return nothing()
        run = choose("run", title, self._served.runs)
        seen = look(run.model, shot, title)
        return (
            seen,
            prediction_tiles(run, seen),
            reading(HOW_TO_READ),
            legend(run.model.tasks, seen.values),
            cloud_figure(run, seen, view_deg, _possible(seen, colouring)),
        )

    @spoken
    def predict(
        self, upload: dict[str, Any] | None, title: str, view_deg: float, colouring: str, request: gr.Request
    ) -> tuple[Any, ...]:
        """A photograph was dropped."""
        return self._show(title, self._received(upload, request.session_hash), view_deg, colouring)

    @spoken
    def example(self, title: str, view_deg: float, colouring: str, event: gr.SelectData) -> tuple[Any, ...]:
        """A test image was chosen."""
        shot = self._served.examples[int(event.index)]
        return shot.pixels, *self._show(title, shot, view_deg, colouring)

    @spoken
    def begin(self, title: str, view_deg: float, colouring: str) -> tuple[Any, ...]:
        """The page was opened: it shows the first test image."""
        shot = self._served.examples[0] if self._served.examples else None
        return shot and shot.pixels, *self._show(title, shot, view_deg, colouring)

    @spoken
    def again(self, title: str, seen: Seen | None, view_deg: float, colouring: str) -> tuple[Any, ...]:
        """Another run was chosen."""
        return self._show(title, seen and seen.photograph, view_deg, colouring)

    @spoken
    def turn(self, seen: Seen | None, view_deg: float, colouring: str) -> Any:
        """The points are wanted from another view or in other colours."""
        if seen is None:
            return None
        return cloud_figure(choose("run", seen.run, self._served.runs), seen, view_deg, _possible(seen, colouring))

    @spoken
    def read(self, seen: Seen | None, event: gr.EventData) -> str:
        """The cursor stands at a pixel."""
        x, y = int(event.x), int(event.y)
        if seen is None:
            return reading(NOTHING_YET, x, y)
        height, width = seen.size  # the place may still be one of a larger photograph before
        inside = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        return reading(read_pixel(choose("run", seen.run, self._served.runs).model.tasks, seen, *inside), x, y)

    @spoken
    def write(self, seen: Seen | None, view_deg: float, request: gr.Request) -> list[str]:
        """The files are wanted."""
        if seen is None:
            raise ConfigError(NOTHING_YET)
        run = choose("run", seen.run, self._served.runs)
        folder = self._uploads.downloads(request.session_hash)
        return [str(path) for path in write_downloads(run, seen, folder, view_deg)]

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self._uploads.forget(request.session_hash)

    def _received(self, upload: dict[str, Any] | None, session: str | None) -> Photograph:
        """The photograph that a browser has sent.

        Args:
            upload: What the browser says; anybody can send anything here.
            session: What the browser calls itself.

        Raises:
            DataError: If the file was not uploaded here; see also `read_photograph`.
        """
        if not upload or not upload.get("path"):
            raise DataError("this picture did not come as a file; save it and drop the file")
        name = str(upload.get("orig_name") or "the photograph")
        path = Path(upload["path"])
        if not self._uploads.holds(path):
            raise DataError(f"{name}: was not uploaded here, or has gone; drop it again")
        self._uploads.used(path, session)
        return read_photograph(path, name)


def _possible(seen: Seen, colouring: str) -> str:
    """The chosen colours of points, where this run has them."""
    return colouring if colouring in seen.values else PHOTOGRAPH
