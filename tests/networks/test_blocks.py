import pytest
import torch
from torch import nn

from mgm.networks.blocks import BasicBlock, ConvBlock, UpBlock


@pytest.mark.parametrize(("channels", "stride", "projects"), [((4, 4), 1, False), ((4, 6), 1, True), ((4, 4), 2, True)])
def test_shortcut_projects_only_where_shapes_change(channels, stride, projects):
    block = BasicBlock(*channels, stride)
    assert (len(block.projection) > 0) == projects
    assert block(torch.randn(2, 4, 8, 8)).shape == (2, channels[1], 8 // stride, 8 // stride)


def test_residual_is_the_unaltered_input():
    block = BasicBlock(4, 4)
    nn.init.zeros_(block.norm2.weight)  # silences the branch
    features = torch.randn(2, 4, 8, 8)
    before = features.clone()
    torch.testing.assert_close(block(features), before.relu())
    assert torch.equal(features, before)


def test_decoder_blocks():
    features = torch.randn(2, 4, 3, 5)
    assert ConvBlock(4, 6)(features).shape == (2, 6, 3, 5)
    assert UpBlock(4, 6)(features).shape == (2, 6, 6, 10)
