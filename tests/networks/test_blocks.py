import pytest
import torch
from torch import nn

from mgm.config import ModelConfig
from mgm.models import MultiTaskNetwork
from mgm.networks.blocks import BasicBlock, ConvBlock, UpBlock
from mgm.networks.refinement import RefinementNetwork


@pytest.mark.parametrize(("channels", "stride", "projects"), [((4, 4), 1, False), ((4, 6), 1, True), ((4, 4), 2, True)])
def test_shortcut_projects_only_where_shapes_change(channels, stride, projects):
    block = BasicBlock(*channels, stride=stride)
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


@pytest.mark.parametrize("encoder", ["resnet", "lite0"])
@pytest.mark.parametrize("stride", [16, 32])
def test_no_1x1_convolution_has_a_stride(encoder, stride):
    """In the format channels last oneDNN's gradient of one writes beyond its memory, with torch 2.13: now and then a crash."""
    model = MultiTaskNetwork({"depth": 1}, ModelConfig(encoder=encoder, encoder_stride=stride, decoder="pyramid"))
    for network in (model, RefinementNetwork({"depth": 1}, num_scenes=3)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
                assert layer.stride == (1, 1)


def test_the_shortcut_is_the_strided_projection():
    block = BasicBlock(4, 6, stride=2).eval()
    features = torch.randn(2, 4, 9, 8)
    expected = torch.nn.functional.conv2d(features, block.projection.get_parameter("0.weight"), stride=2)
    torch.testing.assert_close(block.shortcut(features), block.projection[1](expected))
