"""What the parts of the page share: errors as sentences, and folders of files that a visitor may fetch."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import ParamSpec, TypeVar

import gradio as gr

from mgm.errors import MgmError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LOGGER = logging.getLogger("mgm")


def spoken(handler: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A handler whose errors are sentences on the page: what a visitor can mend in full, anything else in general terms.

    The latter goes to the server's log with its traceback.
    """

    @wraps(handler)
    def carried_out(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return handler(*args, **kwargs)
        except MgmError as error:
            raise gr.Error(escape(str(error)), title="This did not work", print_exception=False) from None
        except Exception:
            _LOGGER.exception("the page could not answer")
            raise gr.Error("The server could not do this; its log says why.", print_exception=False) from None

    return carried_out


def download_folder(session: str | None) -> Path:
    """An empty folder for the files of one visitor; what they fetched before goes.

    Args:
        session: What the browser calls itself. Anybody can send anything here, so it does not become part of a path as it is.
    """
    folder = _folder_of(session)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def forget(request: gr.Request) -> None:
    """Remove the files of a visitor who has left."""
    shutil.rmtree(_folder_of(request.session_hash), ignore_errors=True)


def _folder_of(session: str | None) -> Path:
    name = hashlib.sha256((session or "").encode()).hexdigest()
    return Path(os.environ["GRADIO_TEMP_DIR"]) / "downloads" / name
