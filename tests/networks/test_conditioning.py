"""Means over the classes of an image."""

import torch

from mgm.networks.conditioning import class_weights, mean_over_classes

ONE_HOT = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
MULTI_HOT = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]])


def test_class_weights_sum_to_one():
    weights = class_weights(MULTI_HOT)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    torch.testing.assert_close(weights[2], torch.full((4,), 0.25))


def test_class_parameters_keep_full_precision_under_autocast():
    table = torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mean_over_classes(table, ONE_HOT), table[[0, 2, 2]])
