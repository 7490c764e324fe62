"""Event handlers of the page that concern the image a visitor has chosen. Needs gradio."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from mgm.demo.html import html
from mgm.demo.photographs import Photograph, read_photograph
from mgm.demo.predictions import (
    Seen,
    confidence_html,
    legends_html,
    points_figure,
    predict_photograph,
    predictions_html,
    read_pixel,
    write_downloads,
)
from mgm.demo.runs import Served
from mgm.demo.uploads import Uploads
from mgm.errors import ConfigError, DataError, MgmError, choose

PATIENCE_SECONDS = 60
"""How long a request after changing the run waits for an image that is still being read."""
NOTHING_YET = "Drop an image on the left, or choose one of the test images."
FAILED = "The request failed on the server; see its log."
HOW_TO_READ = "Point at an image (or focus it and use the arrow keys) to read its values."

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Chosen = tuple[Any, Photograph] | None
"""Content of the upload box (a file or pixels) and the image; None if the visitor has chosen none."""


def unchanged() -> Any:
    """Answer that leaves the outputs unchanged."""
    return cast(Any, gr.skip())


def refusal(error: Exception) -> str:
    """What a visitor is told about an error: its message if a visitor can fix it, else a pointer to the log."""
    if isinstance(error, MgmError):
        return str(error)
    logging.getLogger("mgm").error("a request to the page failed", exc_info=error)
    return FAILED


def reported(handler: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Wrap a handler so that errors appear on the page."""

    @wraps(handler)
    def handled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise gr.Error(escape(refusal(error)), print_exception=False) from None

    return handled


class Visitor:
    """What a visitor has chosen and sees. Requests of a visitor may overlap; the answer to the last one counts."""

    def __init__(self) -> None:
        self.chosen: Future[Chosen] | None = None
        """The image of the last request; reading an image takes a while."""
        self.seen: Seen | None = None
        """The predictions on the page."""


class Answers:
    """Event handlers; their argument ``title`` is the title of the chosen run."""

    def __init__(self, served: Served, uploads: Uploads) -> None:
        self._served = served
        self._uploads = uploads

    def predict(
        self,
        upload: dict[str, Any] | None,
        visitor: Visitor,
        title: str,
        view_deg: float,
        colours: str,
        request: gr.Request,
    ) -> Any:
        """Handle an uploaded image."""
        return self._show(visitor, title, view_deg, colours, lambda _: self._received(upload, request.session_hash))

    def example(self, visitor: Visitor, title: str, view_deg: float, colours: str, event: gr.SelectData) -> Any:
        """Handle the choice of a test image."""
        chosen = self._served.examples[int(event.index) :]
        return self._show(visitor, title, view_deg, colours, lambda _: _first(chosen))

    def begin(self, visitor: Visitor, title: str, view_deg: float, colours: str) -> Any:
        """Show the first test image when the page is opened."""
        return self._show(visitor, title, view_deg, colours, lambda _: _first(self._served.examples))

    def again(self, visitor: Visitor, title: str, view_deg: float, colours: str) -> Any:
        """Handle the choice of another run: show the same image, once it has been read."""
        return self._show(visitor, title, view_deg, colours, lambda last: last and last.result(PATIENCE_SECONDS))

    def clear(self, visitor: Visitor) -> Any:
        """Handle the removal of the image."""
        return self._show(visitor, "", 0, "", lambda _: None)

    def _show(
        self,
        visitor: Visitor,
        title: str,
        view_deg: float,
        colours: str,
        find: Callable[[Future[Chosen] | None], Chosen],
    ) -> Any:
        """Predict the image that ``find`` returns, given the one of the request before.

        Everything shown for an earlier image is replaced, even if this fails. If the visitor has chosen another image or run in
        the meantime, the answer is obsolete and changes nothing.
        """
        before, chosen = visitor.chosen, Future[Chosen]()
        visitor.chosen = chosen
        image: Chosen = None
        seen, shown, legend, points = None, html("sentence", NOTHING_YET), "", None
        try:
            try:
                image = find(before)
            finally:
                chosen.set_result(image)
            if image is not None:
                seen = predict_photograph(choose("run", title, self._served.runs), image[1])
                shown, legend = predictions_html(seen), legends_html(seen)
                points = points_figure(seen, view_deg, colours)
        except Exception as error:
            image, seen, shown, legend = None, None, html("sentence", refusal(error)), ""
        if visitor.chosen is not chosen:
            return unchanged()
        visitor.seen = seen
        box = None if image is None else image[0]
        return box, visitor, shown, html("reading", HOW_TO_READ), legend, points, None

    def turn(self, visitor: Visitor, view_deg: float, colours: str) -> Any:
        """Handle a change of the field of view or of the colours of the points."""
        return self._unless_late(visitor, lambda seen: seen and points_figure(seen, view_deg, colours))

    def confidence(self, visitor: Visitor, wanted: bool) -> Any:
        """Show or hide the confidence, after its box was ticked or the predictions have changed."""
        return self._unless_late(visitor, lambda seen: confidence_html(seen) if seen and wanted else "")

    def write(self, visitor: Visitor, view_deg: float, request: gr.Request) -> Any:
        """Write the files for download."""

        def written(seen: Seen | None) -> list[str]:
            if seen is None:
                raise ConfigError(NOTHING_YET)
            paths = write_downloads(seen, self._uploads.downloads(request.session_hash), view_deg)
            return [str(path) for path in paths]

        return self._unless_late(visitor, written)

    @reported
    def _unless_late(self, visitor: Visitor, answer: Callable[[Seen | None], Any]) -> Any:
        """An answer about what the visitor sees; no change if the visitor has chosen something else by the time it is ready."""
        chosen, seen = visitor.chosen, visitor.seen
        found = answer(seen)
        return found if visitor.chosen is chosen and visitor.seen is seen else unchanged()

    @reported
    def read(self, visitor: Visitor, event: gr.EventData) -> str:
        """Show the values at the pixel under the cursor."""
        x, y, seen = int(event.x), int(event.y), visitor.seen
        return html("reading", read_pixel(seen, x, y) if seen else NOTHING_YET, x, y)

    def leave(self, request: gr.Request) -> None:
        """Remove the files of a visitor who has closed the page."""
        self._uploads.forget(request.session_hash)

    def _received(self, upload: dict[str, Any] | None, session: str | None) -> Chosen:
        """Read an uploaded image. The input is untrusted."""
        if not upload or not upload.get("path"):
            raise DataError("the image was not sent as a file; save it and drop the file")
        name = str(upload.get("orig_name") or "the image")
        path = Path(upload["path"])
        if not self._uploads.holds(path):
            raise DataError(f"{name}: the file was not uploaded or has been deleted; drop it again")
        self._uploads.used(path, session)
        photograph = read_photograph(path, name, self._served.first.model.info.image)
        # browsers cannot display TIFF
        return (str(path) if photograph.kind.is_photograph else photograph.rgb), photograph


def _first(examples: Sequence[Photograph]) -> Chosen:
    return (examples[0].rgb, examples[0]) if examples else None
