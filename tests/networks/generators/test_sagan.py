from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mgm.networks.generators.sagan import (
    DiscriminatorBlock,
    FinalBlock,
    GeneratorBlock,
    SAGANDiscriminator,
    SAGANGenerator,
    SelfAttention,
)
from mgm.networks.normalization import SpectralNorm


def silence(layer):
    nn.init.zeros_(layer.parametrizations.weight.original)
    nn.init.zeros_(layer.bias)


def test_attention_starts_as_the_identity():
    attention = SelfAttention(16)
    features = torch.randn(2, 16, 8, 8)
    assert torch.equal(attention(features), features)


def test_attention_against_a_loop():
    attention = SelfAttention(16).eval()
    nn.init.constant_(attention.gamma, 0.7)
    features = torch.randn(1, 16, 4, 6)
    query = attention.query(features)[0]
    key, value = (F.max_pool2d(layer(features), 2)[0].flatten(1) for layer in (attention.key, attention.value))
    seen = torch.zeros(1, 8, 4, 6)
    for row in range(4):
        for column in range(6):
            share = torch.softmax(query[:, row, column] @ key, dim=0)
            seen[0, :, row, column] = value @ share
    torch.testing.assert_close(attention(features), features + 0.7 * attention.output(seen))


@pytest.mark.parametrize(
    ("size", "attended"), [(32, (16, 16)), (64, (32, 32)), (128, (32, 32)), (256, (32, 32)), ((96, 64), (48, 32))]
)
def test_attention_is_at_32_pixels(size, attended):
    sizes = {}
    generator, discriminator = SAGANGenerator(size, 4, 1, 1), SAGANDiscriminator(size, 1, 1)
    generator.attention.register_forward_hook(lambda _m, _i, output: sizes.update(G=output.shape[2:]))
    discriminator.attention.register_forward_hook(lambda _m, _i, output: sizes.update(D=output.shape[2:]))
    discriminator(generator(torch.randn(1, 4), torch.ones(1, 1)), torch.ones(1, 1))
    assert sizes == {"G": attended, "D": attended}


@pytest.mark.parametrize(
    "block, labels",
    [(DiscriminatorBlock(4, 6), []), (GeneratorBlock(4, 6, 1), [torch.ones(2, 1)]), (FinalBlock(4), [])],
)
def test_residuals_are_not_rectified(block, labels):
    """The authors' in-place ReLU alters the shortcut: with a silenced branch only the input's shortcut is left."""
    silence(block.eval().conv2)
    features = torch.randn(2, 4, 8, 8)
    before = features.clone()
    shortcut = getattr(block, "shortcut", nn.Identity())
    torch.testing.assert_close(block(features, *labels), shortcut(before))
    assert torch.equal(features, before)


def test_first_block_sees_dark_pixels():
    """Without a ReLU on the image, whose negative half would otherwise be lost to the branch."""
    block = DiscriminatorBlock(3, 6, first=True).eval()
    silence(block.shortcut)
    dark = -torch.rand(1, 3, 8, 8)
    assert not torch.allclose(block(dark), block(torch.zeros_like(dark)))


@pytest.mark.parametrize("network", [SAGANGenerator(32, 4, 2, 4), SAGANDiscriminator(32, 2, 4)], ids=["G", "D"])
def test_spectral_norm_throughout(network):
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) == sum(isinstance(layer, SpectralNorm) for layer in network.modules())


def test_channels_are_those_of_the_paper():
    """In units of the width, at 128 px."""
    generator: Any = SAGANGenerator(128, 8, 3, 1)
    discriminator: Any = SAGANDiscriminator(128, 3, 1)
    assert generator.blocks[0].conv1.in_channels == 16
    assert [block.conv1.out_channels for block in generator.blocks] == [16, 8, 4, 2, 1]
    assert [block.conv1.out_channels for block in discriminator.blocks] == [1, 2, 4, 8, 16]
