"""The decoders of a model together: what every kind of them promises, and the shared pyramid."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mgm.networks.decoders import DECODERS, DecodersOfParts, PyramidDecoders, SeparateDecoders, make_decoders
from small_models import CHANNELS, small


@dataclass
class Shape:
    """Of the features of an encoder that is not there."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def features(self, height=64, width=64, batch=2, **options):
        return [
            torch.randn(batch, channels, height // stride, width // stride, **options)
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]


RESNET = Shape((4, 4, 6, 8, 10), (2, 4, 8, 16, 16))
STANDARD = Shape((4, 4, 6, 8, 10), (2, 4, 8, 16, 32))
BACKBONE = Shape((6, 8, 12, 16), (4, 8, 16, 32))
TRANSFORMER = Shape((9, 9, 9, 9), (16, 16, 16, 16))
ONE_LEVEL = Shape((9,), (16,))
SHAPES = [RESNET, STANDARD, BACKBONE, TRANSFORMER, ONE_LEVEL]
SIZES = [(32, 32), (64, 96)]
named = pytest.mark.parametrize("shape", SHAPES, ids=["resnet", "standard", "backbone", "transformer", "one level"])


def pyramid(shape, **settings):
    return PyramidDecoders(shape, CHANNELS, small(decoder="pyramid", **settings))


@named
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("output_stride", [2, 4])
@pytest.mark.parametrize("height, width", SIZES)
def test_every_head_has_its_channels_at_the_resolution_of_the_image(decoder, shape, output_stride, height, width):
    decoders = make_decoders(shape, CHANNELS, small(decoder=decoder, output_stride=output_stride))
    predictions = decoders(shape.features(height, width))
    assert {head: tuple(values.shape) for head, values in predictions.items()} == {
        head: (2, channels, height, width) for head, channels in CHANNELS.items()
    }
    assert list(predictions) == list(CHANNELS)
    assert all(values.isfinite().all() for values in predictions.values())


@pytest.mark.parametrize("decoder", DECODERS)
def test_outputs_are_any_real_numbers_of_order_one(decoder):
    decoders = make_decoders(RESNET, CHANNELS, small(decoder=decoder))
    for values in decoders(RESNET.features(batch=4)).values():
        assert values.min() < 0 < values.max()
        assert values.std() < 2


@pytest.mark.parametrize("decoder", DECODERS)
def test_losses_of_a_task_leave_the_heads_of_the_others_alone(decoder):
    decoders: Any = make_decoders(RESNET, CHANNELS, small(decoder=decoder))
    heads = [decoders] if decoder == "paper" else [decoders.heads, decoders.outputs]
    decoders(RESNET.features())["depth"].square().sum().backward()
    for modules in heads:
        for head, module in modules.items():
            touched = [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]
            assert touched == [head == "depth"] * len(touched), head


@named
def test_decoders_of_the_paper_read_the_coarsest_level_alone(shape):
    features = [level.requires_grad_() for level in shape.features()]
    predictions = SeparateDecoders(shape, CHANNELS, small())(features)
    torch.autograd.backward([values.square().sum() for values in predictions.values()])
    assert [level.grad is not None for level in features] == [False] * (len(features) - 1) + [True]


def test_heads_of_the_pyramid_share_its_layers():
    decoders = pyramid(RESNET)
    gradients = {}
    for head in CHANNELS:
        decoders.zero_grad()
        decoders(RESNET.features())[head].square().sum().backward()
        gradients[head] = [p.grad for part in (decoders.laterals, decoders.merges) for p in part.parameters()]
        assert all(gradient is not None and gradient.any() for gradient in gradients[head])


@named
@pytest.mark.parametrize("output_stride", [2, 4])
def test_every_level_that_the_pyramid_reads_moves_every_prediction(shape, output_stride):
    """Levels finer than the output are not read."""
    decoders = pyramid(shape, output_stride=output_stride)
    for head in CHANNELS:
        features = [level.requires_grad_() for level in shape.features()]
        decoders(features)[head].square().sum().backward()
        for level, stride in zip(features, shape.strides, strict=True):
            moves = level.grad is not None and bool(level.grad.any())
            assert moves == (stride >= output_stride), (head, stride)


def finest_read(shape, output_stride):
    return next(number for number, stride in enumerate(shape.strides) if stride >= output_stride)


@named
@pytest.mark.parametrize("output_stride", [2, 4])
def test_fine_detail_passes(shape, output_stride):
    """A change at one place of the finest level that is read moves the prediction there, and nowhere far away."""
    decoders = pyramid(shape, output_stride=output_stride, decoder_width=24).double().eval()
    features = shape.features(128, 128, batch=1, dtype=torch.float64)
    number = finest_read(shape, output_stride)
    stride, (row, column) = shape.strides[number], (2, 5)
    changed = list(features)
    changed[number] = features[number].clone()
    changed[number][:, :, row, column] += 1
    before, after = decoders(features), decoders(changed)
    for head in CHANNELS:
        rows, columns = ((after[head] - before[head]).abs().sum(dim=(0, 1)) > 1e-12).nonzero().unbind(dim=1)
        # where a level above is as fine (a transformer's), or enlarged, convolutions reach a few places further
        reach = 6 * stride
        for places, place in ((rows, row), (columns, column)):
            assert places.min() <= place * stride
            assert places.max() >= (place + 1) * stride - 1
            assert places.min() >= place * stride - reach
            assert places.max() < (place + 1) * stride + reach


@pytest.mark.parametrize("decoder, told_apart", [("paper", False), ("pyramid", True)])
def test_only_the_pyramid_tells_images_apart_that_differ_in_fine_detail(decoder, told_apart):
    decoders = make_decoders(RESNET, CHANNELS, small(decoder=decoder)).eval()
    features = RESNET.features()
    other = [*RESNET.features()[:2], *features[2:]]
    for head, values in decoders(features).items():
        assert torch.equal(values, decoders(other)[head]) == (not told_apart)


@pytest.mark.parametrize(
    "shape, output_stride, merges",
    [(RESNET, 2, 4), (RESNET, 4, 3), (BACKBONE, 4, 3), (BACKBONE, 2, 4), (TRANSFORMER, 4, 5), (ONE_LEVEL, 2, 3)],
)
def test_as_many_layers_as_it_takes_to_the_output(shape, output_stride, merges):
    """One per level below the coarsest that is read, and one for every doubling beyond the finest."""
    decoders = pyramid(shape, output_stride=output_stride)
    assert len(decoders.merges) == merges
    assert len(decoders.laterals) == sum(stride >= output_stride for stride in shape.strides)
    sizes = []
    for head in decoders.heads.values():
        head.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[1:]))
    decoders(shape.features(64, 96))
    assert sizes == [(7, 64 // output_stride, 96 // output_stride)] * len(CHANNELS)


def plain_block(convolution, norm, features):
    """Convolution and batch norm in evaluation, by hand."""
    values = F.conv2d(features, convolution.weight, padding=convolution.weight.shape[-1] // 2)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return values * scale[:, None, None] + (norm.bias - norm.running_mean * scale)[:, None, None]


def twice_as_large(features):
    """Bilinear doubling, each output place the weighted mean of the nearest inputs (3/4 and 1/4 along either side)."""
    for dim in (2, 3):
        size = features.shape[dim]
        at = torch.arange(size)
        before, after = (features.index_select(dim, (at + step).clamp(0, size - 1)) for step in (-1, 1))
        pairs = torch.stack([0.75 * features + 0.25 * before, 0.75 * features + 0.25 * after], dim=dim + 1)
        features = pairs.flatten(dim, dim + 1)
    return features


def randomised(module) -> Any:
    """Statistics and weights of batch norms that are not those of the start."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for values in (layer.weight, layer.bias, layer.running_mean):
                    values.normal_()
                layer.running_var.uniform_(0.5, 2)
    return module.double().eval()


def test_pyramid_written_once_more():
    """Levels of strides 4, 8 and 16 for an output of stride 2: two merges, one doubling, then to the image's resolution."""
    shape = Shape((3, 4, 5), (4, 8, 16))
    decoders = randomised(pyramid(shape, output_stride=2))
    fine, middle, coarse = features = shape.features(32, 48, dtype=torch.float64)
    found = decoders(features)
    fine, middle, coarse = (
        plain_block(*lateral, level) for lateral, level in zip(decoders.laterals, (fine, middle, coarse), strict=True)
    )
    first, second, third = decoders.merges
    top = coarse.relu()
    merged = plain_block(first[0], first[1], (twice_as_large(top) + middle).relu()).relu()
    merged = plain_block(second[0], second[1], (twice_as_large(merged) + fine).relu()).relu()
    merged = plain_block(third[0], third[1], twice_as_large(merged)).relu()
    for head, channels in CHANNELS.items():
        convolution, norm, _ = decoders.heads[head]
        own = plain_block(convolution, norm, merged).relu()
        output = decoders.outputs[head]
        small_map = torch.einsum("oc,bchw->bohw", output.weight[:, :, 0, 0], own) + output.bias[:, None, None]
        expected = twice_as_large(small_map)
        assert expected.shape == (2, channels, 32, 48)
        torch.testing.assert_close(found[head], expected)


def test_parts_read_their_own_channels_and_nobody_elses():
    """Parts of different widths, at every level."""
    parts = [Shape((3, 4), (4, 8)), Shape((5, 2), (4, 8)), Shape((1, 6), (4, 8))]
    heads = [{"semantic": 5}, {"depth": 1, "depth/normals": 1}, {"normals": 3}]
    decoders = randomised(DecodersOfParts(parts, heads, small(decoder="pyramid")))
    own = [part.features(dtype=torch.float64) for part in parts]
    together = [torch.cat(levels, dim=1) for levels in zip(*own, strict=True)]
    found = decoders(together)
    assert list(found) == ["semantic", "depth", "depth/normals", "normals"]
    for part, features in zip(decoders, own, strict=True):
        for head, expected in part(features).items():
            torch.testing.assert_close(found[head], expected)
    ends = [[0, *torch.tensor(sizes).cumsum(0).tolist()] for sizes in ((3, 5, 1), (4, 2, 6))]
    for number, names in enumerate(heads):
        changed = [level.clone() for level in together]
        for level, places in zip(changed, ends, strict=True):
            begin, end = list(pairwise(places))[number]
            level[:, begin:end] += 1
        after = decoders(changed)
        assert {head for head in found if not torch.equal(found[head], after[head])} == set(names)
