"""Marks of tests that run the library behind the page: it leaves things unclosed, and warns through what it uses."""

import pytest

GRADIO_MARKS = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore:.*no_silent_downcasting",
        "ignore:The copy keyword is deprecated",
    ),  # of the library's event loops and its use of pandas
]
