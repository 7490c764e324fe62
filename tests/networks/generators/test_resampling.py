"""The exact identities: the same numbers in every form, forward and backward, with the same weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mgm.errors import ConfigError
from mgm.networks.generators import DCGANGenerator, SAGANDiscriminator, SAGANGenerator
from mgm.networks.generators.resampling import (
    SETTINGS,
    DownsampledConv2d,
    DownsampledShortcut,
    Resampling,
    UpsampledConv2d,
    UpsampledShortcut,
    set_identities,
)


def doubled(images):
    return F.interpolate(images, scale_factor=2, mode="nearest")


CASES = {
    UpsampledConv2d: lambda layer, images: F.conv2d(doubled(images), layer.weight, layer.bias, padding=1),
    DownsampledConv2d: lambda layer, images: F.avg_pool2d(F.conv2d(images, layer.weight, layer.bias, padding=1), 2),
    UpsampledShortcut: lambda layer, images: F.conv2d(doubled(images), layer.weight, layer.bias),
    DownsampledShortcut: lambda layer, images: F.avg_pool2d(F.conv2d(images, layer.weight, layer.bias), 2),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", CASES)
def test_every_form_is_the_plain_one(kind, setting):
    layer = kind(3, 5).double()
    set_identities(layer, setting)
    images = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    result, expected = layer(images), CASES[kind](layer, images)
    torch.testing.assert_close(result, expected)
    direction = torch.randn_like(expected)
    inputs = [images, layer.weight, layer.bias]
    torch.testing.assert_close(
        torch.autograd.grad(result, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


@pytest.mark.parametrize("kind", CASES)
def test_the_forms_are_different_computations(kind, monkeypatch):
    """So that "on" against "off" is no comparison of a thing with itself; and with "auto" the side decides."""
    layer, images = kind(3, 5), torch.randn(2, 3, 8, 8)
    shapes = {}
    for setting, side in (("on", 0), ("off", 0), ("auto", 8), ("auto", 16)):
        monkeypatch.setattr(kind, "smallest_side", {"cpu": side})
        set_identities(layer, setting)
        with torch.profiler.profile(record_shapes=True, acc_events=True) as profile:
            layer(images)
        shapes[setting, side] = [
            (e.name, str(e.input_shapes)) for e in profile.events() if e.name == "aten::convolution"
        ]
    assert shapes["on", 0] != shapes["off", 0]
    assert shapes["auto", 8] == shapes["on", 0]
    assert shapes["auto", 16] == shapes["off", 0]


def networks(size=64):
    torch.manual_seed(0)
    generator, discriminator = SAGANGenerator(size, 16, 3, 4), SAGANDiscriminator(size, 3, 4)
    for network in (generator, discriminator):
        torch.nn.init.constant_(network.attention.gamma, 0.5)
    return generator, discriminator


@pytest.mark.parametrize("setting", ["on", "auto"])
def test_whole_networks_agree_to_1e_5(setting):
    """Images, scores and all gradients of G and D with and without the identities, in single precision."""
    latent, labels = torch.randn(4, 16), torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    found = []
    for name in (setting, "off"):
        generator, discriminator = networks()
        set_identities(generator, name)
        set_identities(discriminator, name)
        images = generator(latent, labels)
        scores = discriminator(images, labels)
        parameters = [*generator.parameters(), *discriminator.parameters()]
        gradients = torch.autograd.grad(scores.square().mean(), parameters)
        found.append((images, scores, gradients))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-5)
    for ours, plain in zip(found[0][2], found[1][2], strict=True):
        assert (ours - plain).norm() <= 1e-5 * plain.norm() + 1e-6


def test_weights_do_not_know_of_the_form():
    generator, _ = networks()
    plain = copy.deepcopy(generator)
    set_identities(plain, "off")
    state = generator.state_dict()
    plain.load_state_dict(state)
    assert not [name for name in state if "places" in name]


def test_the_setting_reaches_every_layer():
    generator, discriminator = networks()
    layers = [m for net in (generator, discriminator) for m in net.modules() if isinstance(m, Resampling)]
    assert len(layers) == 2 * 4 * 2
    set_identities(generator, "off")
    set_identities(discriminator, "off")
    assert not any(layer.uses_identity(torch.zeros(1, 1, 64, 64)) for layer in layers)


def test_less_arithmetic_is_the_automatic_choice_but_for_small_inputs_on_a_cpu():
    for kind in CASES:
        sides = {side: kind(2, 2).uses_identity(torch.zeros(1, 2, side, side)) for side in (4, 8)}
        assert sides == {4: kind is not UpsampledConv2d, 8: True}
    assert UpsampledConv2d(2, 2).uses_identity(torch.zeros(1, 2, 4, 4, device="meta"))


def test_networks_without_such_layers_take_any_setting():
    network = DCGANGenerator(32, 4, 1, 4)
    before = network.state_dict().keys()
    set_identities(network, "on")
    assert network.state_dict().keys() == before


def test_unknown_setting():
    with pytest.raises(ConfigError, match="unknown setting of identities 'of'. Did you mean 'off'"):
        set_identities(networks()[0], "of")
