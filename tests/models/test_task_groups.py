import pytest
import torch

from mgm.errors import ConfigError
from mgm.models import MultiTaskNetwork, SingleTaskNetworks, TaskGroupNetworks
from mgm.models.task_groups import TaskGroup, parse_groups
from mgm.networks.decoders import DECODERS
from small_models import small

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
        TaskGroupNetworks(CHANNELS, small(groups=groups))


def weights(model):
    return list(model.state_dict().values())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "groups, limit", [(("semantic+depth+normal",), MultiTaskNetwork), (tuple(CHANNELS), SingleTaskNetworks)]
)
def test_one_group_is_multi_task_and_groups_of_one_are_single_task_bitwise(groups, limit, decoder):
    models = []
    for architecture in (TaskGroupNetworks, limit):
        torch.manual_seed(7)
        models.append(architecture(CHANNELS, small(18, groups=groups, decoder=decoder)))
    assert all(torch.equal(a, b) for a, b in zip(*map(weights, models), strict=True))
    images = torch.randn(3, 3, 32, 32)
    grouped, expected = (model(images) for model in models)
    assert list(grouped) == list(expected)
    assert all(torch.equal(grouped[task], expected[task]) for task in CHANNELS)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_loss_reaches_its_own_group_alone(decoder):
    model = TaskGroupNetworks(CHANNELS, small(groups=("semantic+normal", "depth/normal"), decoder=decoder))
    for task, own, other in (("normal", "semantic+normal", "depth"), ("depth", "depth", "semantic+normal")):
        model.zero_grad()
        model(torch.randn(2, 3, 32, 32))[task].square().sum().backward()
        assert all(p.grad.any() for p in model.get_submodule(f"encoder.encoders.{own}").parameters())
        others = model.get_submodule(f"encoder.encoders.{other}")
        assert not any(p.grad is not None and p.grad.any() for p in others.parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_auxiliary_heads_are_not_predicted(decoder):
    model = TaskGroupNetworks(CHANNELS, small(groups=("semantic+depth", "normal/depth"), decoder=decoder)).eval()
    images = torch.randn(2, 3, 32, 32)
    predictions = model(images)
    assert list(predictions) == list(CHANNELS)
    heads = model.decoders(model.encoder(images))
    assert list(heads) == [*CHANNELS, "depth/normal"]
    auxiliary = heads["depth/normal"]
    assert auxiliary.shape == predictions["depth"].shape
    assert not torch.equal(auxiliary, predictions["depth"])
