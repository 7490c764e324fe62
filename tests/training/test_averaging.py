"""Buckets leave during the backward pass, in one order, and every gradient becomes the average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mgm.training import averaging
from mgm.training.averaging import GradientAverage


class FakeWork:
    def __init__(self, log, tensor):
        self.log, self.tensor = log, tensor

    def wait(self):
        self.log.append("wait")
        self.tensor *= 3  # as if another process had twice the gradient


@pytest.fixture
def log(monkeypatch):
    entries = []

    def all_reduce(tensor, async_op):
        entries.append(tensor.numel())
        return FakeWork(entries, tensor)

    monkeypatch.setattr(averaging, "world_size", lambda: 2)
    monkeypatch.setattr(averaging.dist, "all_reduce", all_reduce)
    return entries


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))


def test_exchange_begins_before_the_backward_pass_ends(log, monkeypatch):
    monkeypatch.setattr(averaging, "BUCKET_BYTES", 4)
    network = layers()
    inputs = torch.randn(2, 4, requires_grad=True)
    inputs.register_hook(lambda gradient: log.append("backward ends"))
    average = GradientAverage()
    average.as_they_come(list(network.parameters()))
    network(inputs).sum().backward(inputs=[*network.parameters(), inputs])
    expected = [parameter.grad.clone() * 1.5 for parameter in network.parameters()]
    average.finish()
    assert log.index(6) < log.index(12) < log.index("backward ends") < log.index("wait")
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_parameters_without_a_gradient_hold_nothing_up(log):
    network = layers()
    average = GradientAverage()
    average.as_they_come(list(network.parameters()))
    network[1:](torch.randn(2, 4)).sum().backward()
    average.finish()
    assert network[0].weight.grad is None
    assert log == [18, "wait"]


def test_complete_gradients_leave_at_once_and_before_those_that_come(log):
    network = layers()
    network(torch.randn(2, 4)).sum().backward()
    average = GradientAverage()
    average.now(list(network[2].parameters()))
    assert log == [6]
    average.as_they_come(list(network[0].parameters()))
    average.finish()
    assert log == [6, 16, "wait", "wait"]


def test_hooks_are_gone_afterwards(log):
    network = layers()
    average = GradientAverage()
    average.as_they_come(list(network.parameters()))
    average.finish()
    log.clear()
    network(torch.randn(2, 4)).sum().backward()
    assert log == []


def test_a_single_process_exchanges_nothing():
    network = layers()
    network(torch.randn(2, 4)).sum().backward()
    before = [parameter.grad.clone() for parameter in network.parameters()]
    average = GradientAverage()
    average.now(list(network.parameters()))
    average.as_they_come(list(network.parameters()))
    average.finish()
    assert all(torch.equal(p.grad, b) for p, b in zip(network.parameters(), before, strict=True))
