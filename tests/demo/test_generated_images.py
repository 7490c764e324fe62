from dataclasses import replace

import pytest

from fake_runs import INFO, write_run
from mgm.demo.generated import generated_html
from mgm.demo.runs import open_runs
from mgm.errors import ConfigError, RunError

AFTER, BEFORE = "after joint training", "before joint training"


def test_images_are_generated_with_what_the_network_predicts(served):
    run = served.first
    shown = generated_html(run, AFTER, ["cellar_room"], 3, 0)
    assert shown.count("<img") == 3 * 4 + 2  # and the legends of depth and normals
    assert "<h4>cellar room</h4>" in shown
    assert shown == generated_html(run, AFTER, ["cellar_room"], 3, 0)
    for other in ((AFTER, ["cellar_room"], 3, 1), (BEFORE, ["cellar_room"], 3, 0), (AFTER, ["attic"], 3, 0)):
        assert shown != generated_html(run, *other)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("later", ["attic"], 1, 0), "unknown stage 'later'"),
        ((AFTER, ["kitchen"], 1, 0), "unknown scene 'kitchen'. Choices: attic, cellar_room"),
        ((AFTER, [], 1, 0), "choose one scene"),
        ((AFTER, ["attic", "cellar_room"], 1, 0), "choose one scene"),
        ((AFTER, ["attic"], 0, 0), "choose 1 to 8"),
        ((AFTER, ["attic"], 9, 0), "the number of images is 9"),
        ((AFTER, ["attic"], 1, -1), "the seed is -1"),
    ],
)
def test_what_cannot_be_generated_is_said(served, arguments, says):
    with pytest.raises(ConfigError, match=says):
        generated_html(served.first, *arguments)


def test_objects_may_be_combined_where_labels_are_multi_hot(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, multi_hot=True), stages=("joint",))
    part = open_runs([run], "cpu").first
    assert "<h4>attic, cellar room</h4>" in generated_html(part, AFTER, ["cellar_room", "attic"], 1, 0)
    assert "<h4>any</h4>" in generated_html(part, AFTER, [], 1, 0)


def test_a_generator_without_labels_needs_none(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, scenes=()), stages=("generator",))
    assert "<h4>any</h4>" in generated_html(open_runs([run], "cpu").first, BEFORE, [], 2, 0)


def test_a_run_without_a_generator_says_why(served):
    other = list(served.runs.values())[1]
    with pytest.raises(RunError, match="second .mgm. has no generator: its recipe trains none"):
        generated_html(other, AFTER, ["attic"], 1, 0)
