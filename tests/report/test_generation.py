import torch

from mgm.report.generation import MOST_SCENES, generated_table

SIZE = 16


def test_generated_images_of_many_scenes():
    scenes = [f"scene_{number}" for number in range(MOST_SCENES + 8)]
    groups = {
        "before": {name: torch.zeros(3, 3, SIZE, SIZE) for name in scenes},
        "after": {name: torch.ones(3, 3, SIZE, SIZE) for name in scenes},
    }
    table = generated_table(groups)
    assert table.groups == ["before", "after"]
    assert table.omitted == 8
    assert len(table.rows) == MOST_SCENES
    assert (table.rows[0][0], table.rows[-1][0]) == ("scene 0", f"scene {MOST_SCENES + 7}")
    before, after = table.rows[0][1]
    assert len(before) == 3
    assert (before[0] == 128).all()
    assert (after[2] == 255).all()
