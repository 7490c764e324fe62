import pytest
import torch

from mgm.config import ModelConfig
from mgm.errors import ConfigError
from mgm.models import MultiTaskNetwork, SingleTaskNetworks, TaskGroupNetworks
from mgm.models.task_groups import TaskGroup, parse_groups

NARROW = (4, 6, 8, 10)
CHANNELS = {"semantic": 5, "depth": 1, "normal": 3}


def test_groups_as_they_are_written():
    groups = parse_groups(("depth+semantic", "normal/depth+semantic"), CHANNELS)
    assert groups == (TaskGroup(("depth", "semantic")), TaskGroup(("normal",), ("depth", "semantic")))
    assert [group.text for group in groups] == ["depth+semantic", "normal/depth+semantic"]
    assert [group.name for group in groups] == ["depth+semantic", "normal"]


@pytest.mark.parametrize(
    "groups, message",
    [
        ((), "'semantic' is in no group.*--groups semantic\\+depth normal"),
        (("semantic+depth",), "'normal' is in no group"),
        (("semantic+depth", "normal+depth"), "'depth' is predicted by 2 groups.*after a slash"),
        (("semantic+depth", "normal/deth"), "'deth' is no task of this run \\(semantic, depth, normal\\)"),
        (("semantic+depth", "normal/normal"), "names 'normal' twice"),
        (("semantic+depth+", "normal"), "is none: write"),
        (("/semantic", "depth"), "is none: write"),
        (("semantic,depth", "normal"), "'semantic,depth' is no task"),
    ],
)
def test_groups_that_cannot_be(groups, message):
    with pytest.raises(ConfigError, match=message):
        TaskGroupNetworks.from_config(CHANNELS, ModelConfig(groups=groups, widths=NARROW, depth=10))


def weights(model):
    return list(model.state_dict().values())


@pytest.mark.parametrize(
    "groups, limit",
    [(("semantic+depth+normal",), MultiTaskNetwork), (tuple(CHANNELS), SingleTaskNetworks), ((), MultiTaskNetwork)],
)
def test_one_group_is_multi_task_and_groups_of_one_are_single_task_bitwise(groups, limit):
    models = []
    for build in (lambda: TaskGroupNetworks(CHANNELS, 18, NARROW, groups=groups), lambda: limit(CHANNELS, 18, NARROW)):
        torch.manual_seed(7)
        models.append(build())
    assert all(torch.equal(a, b) for a, b in zip(*map(weights, models), strict=True))
    images = torch.randn(3, 3, 32, 32)
    grouped, expected = (model(images) for model in models)
    assert list(grouped) == list(expected)
    assert all(torch.equal(grouped[task], expected[task]) for task in CHANNELS)


def test_a_loss_reaches_its_own_group_alone():
    model = TaskGroupNetworks(CHANNELS, 10, NARROW, groups=("semantic+normal", "depth/normal"))
    for task, own, other in (("normal", "semantic+normal", "depth"), ("depth", "depth", "semantic+normal")):
        model.zero_grad()
        model(torch.randn(2, 3, 32, 32))[task].square().sum().backward()
        assert all(p.grad.any() for p in model.encoder.encoders[own].parameters())
        assert not any(p.grad is not None and p.grad.any() for p in model.encoder.encoders[other].parameters())


def test_auxiliary_heads_are_not_predicted():
    model = TaskGroupNetworks(CHANNELS, 10, NARROW, groups=("semantic+depth", "normal/depth")).eval()
    images = torch.randn(2, 3, 32, 32)
    predictions = model(images)
    assert list(predictions) == list(CHANNELS)
    assert list(model.decoders) == [*CHANNELS, "depth/normal"]
    auxiliary = model.decoders["depth/normal"](model.encoder(images))
    assert auxiliary.shape == predictions["depth"].shape
    assert not torch.equal(auxiliary, predictions["depth"])
