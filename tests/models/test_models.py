"""The contract of every entry of `MODELS`."""

import copy

import pytest
import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.models import MODELS

NARROW = (4, 6, 8, 10)
CHANNELS = {"semantic": 5, "depth": 1, "normals": 3}

architecture = pytest.fixture(params=list(MODELS), name="architecture")(lambda request: MODELS[request.param])


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 32, 48)])
def test_predictions_at_full_resolution(architecture, batch, height, width):
    model = architecture(CHANNELS, 10, NARROW)
    predictions = model(torch.randn(batch, 3, height, width))
    assert {task: tuple(values.shape) for task, values in predictions.items()} == {
        task: (batch, channels, height, width) for task, channels in CHANNELS.items()
    }


def test_halves_make_the_whole(architecture):
    model = architecture(CHANNELS, 10, NARROW).eval()
    images = torch.randn(2, 3, 32, 32)
    features = model.encoder(images)
    assert features.shape == (2, model.feature_channels, 2, 2)
    assert isinstance(model.decoders, nn.ModuleDict)
    whole, halves = model(images), model.decode(features)
    for task in CHANNELS:
        assert torch.equal(whole[task], halves[task])
        assert torch.equal(whole[task], model.decoders[task](features))


def test_parts_hold_every_parameter_once(architecture):
    model = architecture(CHANNELS, 10, NARROW)
    assert list(model.parts)[:2] == ["encoder", "decoders"]
    own = [id(parameter) for part in model.parts.values() for parameter in part.parameters()]
    assert sorted(own) == sorted(id(parameter) for parameter in model.parameters())


def test_every_parameter_of_the_halves_trains(architecture):
    model = architecture(CHANNELS, 10, NARROW)
    sum(values.square().sum() for values in model(torch.randn(4, 3, 64, 64)).values()).backward()
    for half in (model.encoder, model.decoders):
        assert [name for name, p in half.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_copy_is_independent(architecture):
    """As the moving average needs it: a copy follows its own parameters."""
    model = architecture(CHANNELS, 10, NARROW).eval()
    twin = copy.deepcopy(model)
    images = torch.randn(2, 3, 32, 32)
    before = model(images)["depth"]
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(images)["depth"], before)
    assert not twin(images)["depth"].any()


@pytest.mark.parametrize("depth", [10, 18, 34])
def test_depths(architecture, depth):
    assert architecture({"depth": 1}, depth, NARROW)(torch.zeros(1, 3, 16, 16))["depth"].shape == (1, 1, 16, 16)


def test_bad_arguments(architecture):
    with pytest.raises(ConfigError, match="multiples of 16"):
        architecture(CHANNELS, 10, NARROW)(torch.zeros(1, 3, 40, 32))
    with pytest.raises(ConfigError, match="depth 12"):
        architecture(CHANNELS, 12, NARROW)
    with pytest.raises(ConfigError, match="at least one task"):
        architecture({}, 10, NARROW)


def test_initial_weights_depend_on_the_seed_alone(architecture):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(architecture(CHANNELS, 10, NARROW).state_dict())
    torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)
