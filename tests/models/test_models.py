"""The contract of every entry of `MODELS`, with every entry of `DECODERS`."""

import copy

import pytest
import torch

from mgm.errors import ConfigError
from mgm.models import MODELS
from mgm.models.base import task_of
from mgm.networks.decoders import DECODERS
from small_models import CHANNELS, small, small_model

architecture = pytest.fixture(params=list(MODELS), name="architecture")(lambda request: request.param)
decoder = pytest.fixture(params=list(DECODERS), name="decoder")(lambda request: request.param)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 32, 48)])
def test_predictions_at_full_resolution(architecture, decoder, batch, height, width):
    model = small_model(architecture, decoder=decoder)
    predictions = model(torch.randn(batch, 3, height, width))
    assert {task: tuple(values.shape) for task, values in predictions.items()} == {
        task: (batch, channels, height, width) for task, channels in CHANNELS.items()
    }
    assert list(predictions) == list(CHANNELS)


@pytest.mark.parametrize("stride", [16, 32])
def test_features_are_what_the_encoder_says(architecture, stride):
    encoder = small_model(architecture, encoder_stride=stride).encoder
    features = encoder(torch.randn(2, 3, 64, 96))
    assert len(features) == len(encoder.channels) == len(encoder.strides)
    for level, channels, step in zip(features, encoder.channels, encoder.strides, strict=True):
        assert level.shape == (2, channels, 64 // step, 96 // step)
    assert list(encoder.strides) == sorted(encoder.strides), "from fine to coarse"


def test_halves_make_the_whole(architecture, decoder):
    model = small_model(architecture, decoder=decoder).eval()
    images = torch.randn(2, 3, 32, 32)
    features = model.encoder(images)
    assert features[-1].shape == (2, model.feature_channels, 32 // model.stride, 32 // model.stride)
    whole, halves = model(images), model.decoders(features)
    assert {task_of(head) for head in halves} == set(CHANNELS)
    for task in CHANNELS:
        assert torch.equal(whole[task], halves[task])


def test_decoders_leave_the_features_as_they_are(architecture, decoder):
    """Losses share them."""
    model = small_model(architecture, decoder=decoder)
    features = model.encoder(torch.randn(2, 3, 32, 32))
    before = [level.clone() for level in features]
    model.decoders(features)
    assert len(features) == len(before)
    assert all(torch.equal(level, old) for level, old in zip(features, before, strict=True))


def test_parts_hold_every_parameter_once(architecture, decoder):
    model = small_model(architecture, decoder=decoder)
    assert list(model.parts)[:2] == ["encoder", "decoders"]
    own = [id(parameter) for part in model.parts.values() for parameter in part.parameters()]
    assert len(own) == len(set(own))
    assert sorted(own) == sorted(id(parameter) for parameter in model.parameters())


def test_every_parameter_of_the_halves_trains(architecture, decoder):
    model = small_model(architecture, decoder=decoder)
    features = model.encoder(torch.randn(4, 3, 64, 64))
    torch.autograd.backward([values.square().sum() for values in model.decoders(features).values()])
    for half in (model.encoder, model.decoders):
        assert [name for name, p in half.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_copy_is_independent(architecture, decoder):
    """As the moving average needs it: a copy follows its own parameters."""
    model = small_model(architecture, decoder=decoder).eval()
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
    model = MODELS[architecture]({"depth": 1}, small(depth, groups=("depth",)))
    assert model(torch.zeros(1, 3, 16, 16))["depth"].shape == (1, 1, 16, 16)


@pytest.mark.parametrize("stride", [16, 32])
def test_other_sides_are_refused(architecture, stride):
    model = small_model(architecture, encoder_stride=stride)
    with pytest.raises(ConfigError, match=f"multiples of {model.stride}"):
        model(torch.zeros(1, 3, 5 * model.stride // 2, 32))


def test_bad_arguments(architecture):
    with pytest.raises(ConfigError, match="depth 12"):
        small_model(architecture, 12)
    with pytest.raises(ConfigError, match="stride 8"):
        small_model(architecture, encoder_stride=8)
    with pytest.raises(ConfigError, match="unknown decoder 'unet'. Choices: paper, pyramid"):
        small_model(architecture, decoder="unet")
    with pytest.raises(ConfigError, match="at least one task"):
        MODELS[architecture]({}, small())


def test_initial_weights_depend_on_the_seed_alone(architecture, decoder):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(small_model(architecture, decoder=decoder).state_dict())
    torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)
