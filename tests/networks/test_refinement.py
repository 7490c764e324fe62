import pytest
import torch

from mgm.networks.refinement import RefinementNetwork

NARROW = (4, 6, 8, 10)
CHANNELS = {"semantic": 13, "depth": 1, "normals": 3, "edges": 1}


def predictions(tasks, side, batch=2):
    return {task: torch.randn(batch, CHANNELS[task], side, side) for task in tasks}


@pytest.mark.parametrize("tasks", [("depth",), ("semantic", "normals"), tuple(CHANNELS)])
@pytest.mark.parametrize(("side", "batch"), [(16, 1), (32, 2), (50, 2)])
def test_any_tasks_at_any_resolution(tasks, side, batch):
    network = RefinementNetwork({task: CHANNELS[task] for task in tasks}, 7, widths=NARROW, hidden=12)
    logits = network(predictions(tasks, side, batch))
    assert logits.shape == (batch, 7)
    assert network.hidden.out_features == 12


def test_logits_may_be_negative():
    torch.manual_seed(0)
    logits = RefinementNetwork(CHANNELS, 20, widths=NARROW)(predictions(CHANNELS, 32, 8))
    assert logits.min() < 0 < logits.max()


def test_inputs_are_found_by_name_and_others_ignored():
    network = RefinementNetwork({"depth": 1, "normals": 3}, 7, widths=NARROW).eval()
    inputs = predictions(CHANNELS, 32)
    backwards = dict(reversed(inputs.items()))
    assert torch.equal(network(inputs), network(backwards))


def test_gradient_reaches_every_prediction():
    network = RefinementNetwork(CHANNELS, 7, widths=NARROW)
    inputs = {task: values.requires_grad_() for task, values in predictions(CHANNELS, 32).items()}
    network(inputs).square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in inputs.values())
