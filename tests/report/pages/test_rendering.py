import pytest

from mgm.errors import DataError
from mgm.report.pages.rendering import Missing, attempt, duration, grouped


def test_only_what_users_can_mend_becomes_a_missing_section():
    def gone():
        raise DataError("the data are gone")

    def broken():
        raise ZeroDivisionError

    assert attempt(lambda: 3) == 3
    assert attempt(gone) == Missing("the data are gone")
    with pytest.raises(ZeroDivisionError):
        attempt(broken)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "–"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (312, "5 min 12 s"),
        (3600, "1 h 0 min"),
        (7530, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_counts():
    assert grouped(None) == "–"
    assert grouped(999) == "999"
    assert grouped(1234567).split("\N{NARROW NO-BREAK SPACE}") == ["1", "234", "567"]
