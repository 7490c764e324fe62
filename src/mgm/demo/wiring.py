"""What the parts of the page share: errors as sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from html import escape
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
