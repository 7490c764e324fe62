import pytest
import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.networks.decoder import Decoder

NARROW = (4, 6, 8, 10)


def plan(decoder):
    """Kind, kernel and channels of every convolution, in their order."""
    kinds = {nn.Conv2d: "plain", nn.ConvTranspose2d: "up"}
    layers = [layer for layer in decoder.modules() if type(layer) in kinds]
    return [(kinds[type(layer)], layer.kernel_size[0], layer.in_channels, layer.out_channels) for layer in layers]


@pytest.mark.parametrize(("depth", "stride"), [(10, 8), (18, 16), (34, 32)])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (2, 3, 4)])
def test_full_resolution(depth, stride, batch, height, width):
    output = Decoder(10, 5, NARROW, depth, stride)(torch.randn(batch, 10, height, width))
    assert output.shape == (batch, 5, stride * height, stride * width)
    assert output.isfinite().all()


TASKONOMY = [
    *[("plain", width) for width in (1024, 1024, 512, 256, 256, 128)],
    *[("up", 64), ("plain", 64), ("up", 32), ("plain", 32), ("up", 16), ("plain", 32), ("up", 16)],
]
"""Of Taskonomy's published decoders, in their order, without the output."""


def test_layers_are_those_of_taskonomy_where_the_encoder_is_as_wide():
    decoder = Decoder(1024, 3, (128, 256, 512, 1024))
    *inner, output = plan(decoder)
    assert [(kind, width) for kind, _, _, width in inner] == TASKONOMY
    assert [kernel for _, kernel, _, _ in inner] == [3] * 6 + [4, 3, 4, 3, 4, 3, 4]
    assert output == ("plain", 3, 16, 3)
    widths = [1024, *(width for _, width in TASKONOMY)]
    assert [before for _, _, before, _ in inner] == widths[:-1], "every layer reads the one before"


def test_stride_32_has_one_pair_more():
    pair = [("up", 4, 128, 64), ("plain", 3, 64, 64)]
    usual, deeper = (plan(Decoder(1024, 3, (128, 256, 512, 1024), 18, stride)) for stride in (16, 32))
    assert deeper[:8] == usual[:6] + pair
    assert deeper[8:] == [("up", 4, 64, 64), *usual[7:]]


def test_narrow_encoders_have_narrow_tails():
    """The channels behind the first six convolutions are never more than the encoder's first stage has."""
    widths = [width for _, _, _, width in plan(Decoder(360, 1, (48, 96, 192, 360)))]
    assert widths == [360, 360, 192, 96, 96, 48, 48, 48, 32, 32, 16, 32, 16, 1]
    assert [width for _, _, _, width in plan(Decoder(10, 1, NARROW))][6:-1] == [4] * 7


def test_features_of_other_channels_are_brought_to_the_last_width():
    first, *others = plan(Decoder(70, 1, NARROW))
    assert first == ("plain", 1, 70, 10)
    assert others == plan(Decoder(10, 1, NARROW))


def test_every_output_pixel_depends_on_the_features():
    """Evaluation mode: batch statistics would connect everything anyway."""
    decoder = Decoder(10, 1, NARROW).double().eval()
    features = torch.rand(1, 10, 2, 2, dtype=torch.float64)
    changed = decoder(features) != decoder(features + 1)
    assert changed.all()


def test_deeper_encoders_get_deeper_decoders():
    sizes = [sum(p.numel() for p in Decoder(10, 1, NARROW, depth).parameters()) for depth in (10, 18, 34)]
    assert sizes[0] == sizes[1] < sizes[2]


def test_unknown_depth_lists_choices():
    with pytest.raises(ConfigError, match=r"depth 50.*10, 18, 34"):
        Decoder(10, 1, NARROW, 50)
