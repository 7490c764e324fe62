"""``result.json`` is read by many; whoever has changed it hears of it in one line."""

import json

import pytest

from mgm.errors import RunError
from mgm.runs.folder import read_result

RESULT = {"recipe": "mgm", "data": "rooms", "seed": 0, "num_labelled": 56, "steps": 12, "seconds": 3.5, "world_size": 1}
RESULT |= {"versions": {"torch": "2"}, "parameters": {"encoder": 7}, "updates": {"task": 12}, "peak_memory_mb": None}
RESULT |= {"test": {"depth": {"abs_error_m": 0.5, "rmse_m": None}}, "of a later version": ["anything"]}


def test_a_result_is_read_as_it_is(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert read_result(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"steps": "many"}, "steps"),
        ({"seconds": None}, "seconds"),
        ({"world_size": []}, "world_size"),
        ({"versions": "2"}, "versions"),
        ({"parameters": None}, "parameters"),
        ({"updates": {"task": {}}}, "updates.task"),
        ({"test": {"depth": 3}}, "test.depth"),
        ({"test": {"depth": {"abs_error_m": "half"}}}, "test.depth.abs_error_m"),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_is_named(tmp_path, changed, place):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RESULT | changed))
    with pytest.raises(RunError, match=rf"result.json is damaged \({place}: .*restore it or train again"):
        read_result(path)
