from dataclasses import replace

import pytest

from fake_runs import INFO, write_run
from mgm.demo.generated import generated_html
from mgm.demo.runs import open_runs
from mgm.errors import ConfigError

AFTER, BEFORE = "after joint training", "before joint training"


def test_images_are_generated_with_what_the_network_predicts(served):
    run = served.first
    shown = generated_html(run, "cellar_room", 3, 0, AFTER)
    assert shown.count("<img") == 3 * 4 + 2  # and the legends of depth and normals
    assert "<h4>cellar room</h4>" in shown
    assert shown == generated_html(run, "cellar_room", 3, 0, AFTER)
    for other in (("cellar_room", 3, 1, AFTER), ("cellar_room", 3, 0, BEFORE), ("attic", 3, 0, AFTER)):
        assert shown != generated_html(run, *other)


def test_a_scene_has_to_be_chosen(served):
    with pytest.raises(ConfigError, match="choose one scene"):
        generated_html(served.first, None, 1, 0, AFTER)


def test_objects_may_be_combined_where_labels_are_multi_hot(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, multi_hot=True), stages=("joint",))
    part = open_runs([run], "cpu").first
    assert "<h4>attic, cellar room</h4>" in generated_html(part, ["cellar_room", "attic"], 1, 0, AFTER)
    assert "<h4>any</h4>" in generated_html(part, [], 1, 0, AFTER)


def test_a_generator_without_labels_needs_none(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, scenes=()), stages=("generator",))
    assert "<h4>any</h4>" in generated_html(open_runs([run], "cpu").first, None, 2, 0, BEFORE)
