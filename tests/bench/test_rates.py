"""Arithmetic per second: operations by the counter, seconds by the clock."""

from __future__ import annotations

import pytest
import torch

from mgm.bench import rates
from mgm.bench.counting import flop_counter
from mgm.bench.rates import matrix_rate, rate_rows
from toys import toy_batch, toy_experiment, toy_trainer

CPU = torch.device("cpu")


@pytest.fixture
def two_seconds(monkeypatch):
    """Everything takes two seconds."""

    def taken(run, device):
        run()
        return 2.0

    monkeypatch.setattr(rates, "seconds_of", taken)


def test_a_matrix_product_has_two_operations_per_element_and_row(two_seconds, monkeypatch):
    monkeypatch.setattr(rates, "USUAL_SIDE", 16)
    assert matrix_rate(CPU, torch.float32, 3) == 2 * 16**3 / 2.0


def test_generator_and_discriminator_are_held_against_it(two_seconds, monkeypatch, tmp_path):
    monkeypatch.setattr(rates, "USUAL_SIDE", 16)
    networks, batch = toy_trainer(toy_experiment(), tmp_path).networks, toy_batch(0, 4)
    rows = rate_rows(networks, batch, CPU, 2, lambda text: None)
    assert [(row["what"], row["precision"]) for row in rows] == [
        (what, precision) for precision in ("fp32", "bf16") for what in ("matrix product", "generator", "discriminator")
    ]
    for row in rows:
        assert row["share"] == row["flop_per_second"] / (16**3)
    with flop_counter() as counter:
        networks["discriminator"](batch.images.repeat(2, 1, 1, 1), batch.scene.repeat(2, 1)).sum().backward()
    assert rows[2]["flop_per_second"] == rows[5]["flop_per_second"] == counter.get_total_flops() / 2.0


def test_bf16_is_computed_in_bf16(monkeypatch, tmp_path):
    networks, batch = toy_trainer(toy_experiment(), tmp_path).networks, toy_batch(0, 4)
    types = []
    original = torch.nn.functional.conv2d

    def watched(images, *others, **options):
        result = original(images, *others, **options)
        types.append(result.dtype)
        return result

    monkeypatch.setattr(torch.nn.functional, "conv2d", watched)
    monkeypatch.setattr(rates, "PRECISIONS", {"bf16": torch.bfloat16})
    rate_rows(networks, batch, CPU, 1, lambda text: None)
    assert types
    assert set(types) == {torch.bfloat16}
