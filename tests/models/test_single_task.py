from itertools import permutations
from typing import Any

import pytest
import torch

from mgm.models import MultiTaskNetwork, SingleTaskNetworks
from mgm.networks.decoders import DECODERS
from small_models import NARROW, small

CHANNELS = {"depth": 1, "normals": 3}


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_loss_reaches_its_own_network_alone(decoder):
    for (task, own), (other, foreign) in permutations(zip(CHANNELS, range(2), strict=True)):
        model: Any = SingleTaskNetworks(CHANNELS, small(decoder=decoder))
        model(torch.randn(2, 3, 32, 32))[task].square().sum().backward()
        assert all(p.grad.any() for p in model.encoder.encoders[task].parameters())
        assert all(p.grad.any() for p in model.decoders[own].parameters())
        assert not any(p.grad.any() for p in model.encoder.encoders[other].parameters())
        assert all(p.grad is None for p in model.decoders[foreign].parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_equals_separate_networks(decoder):
    """Each part computes what a multi-task network with that single task does."""
    model: Any = SingleTaskNetworks(CHANNELS, small(decoder=decoder))
    images = torch.randn(2, 3, 32, 32)
    together = model(images)
    for own, (task, channels) in zip(model.decoders, CHANNELS.items(), strict=True):
        alone = MultiTaskNetwork({task: channels}, small(decoder=decoder))
        alone.encoder.load_state_dict(model.encoder.encoders[task].state_dict())
        alone.decoders.load_state_dict(own.state_dict())
        torch.testing.assert_close(alone(images)[task], together[task])


def test_features_of_all_tasks_stand_side_by_side():
    model: Any = SingleTaskNetworks(CHANNELS, small()).eval()
    images = torch.randn(2, 3, 32, 32)
    levels = model.encoder(images)
    assert model.feature_channels == 2 * NARROW[-1]
    assert len(levels) == 5
    for number, encoder in enumerate(model.encoder.encoders.values()):
        for level, own in zip(levels, encoder(images), strict=True):
            assert torch.equal(level.chunk(2, dim=1)[number], own)
