"""Algorithm 1 as it stands in the paper, and its variants."""

import pytest

from mgm.method.algorithm import ALGORITHM_1, REFINEMENT, joint_updates, stages
from toys import toy_experiment


def test_joint_stage_lists_algorithm_1_in_its_order():
    found = stages(toy_experiment())
    assert [stage.name for stage in found] == ["multi_task", "generator", "joint"]
    assert [(update.name, update.trains) for update in found[-1].updates] == [
        ("task", ("encoder", "decoders")),
        ("refinement", ("refinement", "encoder")),
        ("self_supervision", ("projection", "encoder")),
        ("discriminator", ("discriminator",)),
        ("generator", ("generator", "embedding", "encoder")),
        ("discriminator", ("discriminator",)),
        ("generator", ("generator", "embedding", "encoder")),
        ("extra_refinement", ("encoder",)),
        ("extra_self_supervision", ("encoder",)),
    ]


def test_a_second_adversarial_update_at_the_same_weights_is_left_out():
    method = toy_experiment(method={"generator_updates": 2}).method
    names = [update.name for update in joint_updates(method)]
    assert names.count("discriminator") == names.count("generator") == 2
    names = [update.name for update in joint_updates(method, combined=True)]
    assert names.count("discriminator") == names.count("generator") == 1


@pytest.mark.parametrize("name", [name for name in REFINEMENT if name != "none"])
def test_refinement_strategies_differ_as_the_paper_says(name):
    updates = {update.name: update for update in REFINEMENT[name](ALGORITHM_1)}
    real, extra = updates["refinement"], updates["extra_refinement"]
    assert "refinement" in real.trains
    assert ("encoder" in real.trains) == (name != "lset")
    assert ("decoders" in real.trains) == (name == "peoe")
    assert ("refinement" in extra.trains) == ("generator" in extra.trains) == (name == "peoe")
    assert "encoder" in extra.trains
    changed_lines = [u for u in REFINEMENT[name](ALGORITHM_1) if u not in ALGORITHM_1]
    assert {update.name for update in changed_lines} <= {"refinement", "extra_refinement"}, "NT-Xent stays what it is"
