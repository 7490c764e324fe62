"""Settings for memory and speed through the entry point."""

import json

import pytest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--compile", "reduce-overhead", "--device", "cpu"), "needs a CUDA GPU, not cpu"),
        (("--compile", "default", "--checkpoint-activations"), "leave out one of the two"),
        (("--accumulate", "3"), "batch_size is 4; it must be a multiple of 3"),
        (("--accumulate", "0"), "accumulate is 0; it must be above 0"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(mgm, tmp_path, options, message):
    assert message in mgm.refused("train", "mt", "--preset", "tiny", "--out", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_a_run_in_parts_with_repeated_blocks(mgm, tmp_path):
    options = ("--accumulate", "2", "--checkpoint-activations", "--channels-last", "never", "--steps", "2")
    code, _, error = mgm("train", "mt", "--preset", "tiny", "--out", tmp_path / "run", *options)
    assert code == 0, error
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 2
