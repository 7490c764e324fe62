import math

import pytest
import torch

from mgm.runs.diversity import diversity, diversity_sentence, layout_distances

RANDOM = torch.Generator().manual_seed(0)
PLANES = torch.rand(2, 3, 32, 32, generator=RANDOM)
REAL = {"within": 0.8, "between": 0.9}


def test_brightness_and_contrast_are_no_layout():
    image = PLANES[:1]
    distances = layout_distances(torch.cat([image, 0.3 * image - 0.5, -image, PLANES[1:]]))
    assert distances[0, 1] == pytest.approx(0, abs=1e-5)
    assert distances[0, 2] == pytest.approx(2, abs=1e-5)
    assert distances[0, 3] == pytest.approx(1, abs=0.4)


def test_pairs_of_a_scene_and_of_two_are_told_apart():
    scenes = torch.cat([PLANES[:1], PLANES[:1], PLANES[1:], PLANES[1:]])
    found = diversity(scenes, torch.tensor([0, 0, 1, 1]))
    assert found["within"] == pytest.approx(0, abs=1e-5)
    assert found["between"] == pytest.approx(float(layout_distances(PLANES)[0, 1]), abs=1e-5)
    assert math.isnan(diversity(scenes, torch.zeros(4))["between"])


@pytest.mark.parametrize(
    "within, between, collapsed", [(0.1, 0.2, True), (0.1, 0.8, False), (0.7, 0.1, False), (0.3, None, True)]
)
def test_a_generator_has_collapsed_if_neither_noise_nor_scene_changes_the_layout(within, between, collapsed):
    sentence = diversity_sentence({"generated": {"within": within, "between": between}, "real": REAL})
    assert ("collapsed" in sentence) == collapsed
    assert f"{100 * (within / 0.8):.0f} % (within a scene)" in sentence
    assert ("between scenes" in sentence) == (between is not None)


def test_without_anything_to_compare_with_nothing_is_said():
    assert diversity_sentence({"generated": REAL, "real": {"within": None, "between": math.nan}}) == ""
