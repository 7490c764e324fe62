"""How many labels a score is worth."""

import math

import pytest

from mgm.experiments.label_efficiency import equal_share, worth_text

SHARES = [0.1, 0.25, 0.5, 1.0]


def test_interpolates_over_the_logarithm():
    assert equal_share(SHARES, [0.1, 0.2, 0.3, 0.4], 0.3, True) == pytest.approx(0.5)
    assert equal_share(SHARES, [0.9, 0.8, 0.7, 0.6], 0.65, False) == pytest.approx(math.sqrt(0.5))


def test_beyond_the_ends_and_unknown():
    assert equal_share(SHARES, [0.1, 0.2, 0.3, 0.4], 0.5, True) == math.inf
    assert equal_share(SHARES, [0.1, 0.2, 0.3, 0.4], 0.05, True) == 0
    assert math.isnan(equal_share(SHARES, [0.1, math.nan, 0.3, 0.4], 0.3, True))
    assert math.isnan(equal_share(SHARES, [0.1, 0.2, 0.3, 0.4], math.nan, True))


def test_noise_that_makes_more_labels_worse_is_flattened():
    assert 0.25 <= equal_share(SHARES, [0.1, 0.3, 0.29, 0.4], 0.3, True) <= 0.5


def test_in_words():
    equal = {"semantic": 0.35, "depth": math.inf, "normal": 0.0, "edge_texture": math.nan}
    assert worth_text(0.25, equal, SHARES) == (
        "MGM with 25 % of the labels matches MT with 35 % (1.4 times as many) on semantic, more than 100 % on depth, "
        "less than 10 % on normal, an unknown share on edge_texture."
    )
