"""What a run costs: parameters, updates of the encoder, memory."""

from __future__ import annotations

import torch
from torch import nn

from mgm.method.algorithm import stages
from mgm.runs.provenance import encoder_updates, parameter_counts, peak_memory_mb
from toys import toy_experiment, toy_trainer


def test_parameters_of_every_network(tmp_path):
    networks = toy_trainer(toy_experiment(), tmp_path).networks
    counts = parameter_counts(networks)
    assert list(counts)[:2] == ["encoder", "decoders"]
    assert sum(counts.values()) == sum(parameter.numel() for parameter in networks.parameters())
    assert parameter_counts({"layer": nn.Linear(3, 2)}) == {"layer": 8}


def test_encoder_updates_are_those_that_the_stages_carry_out():
    training = {"steps": 10, "joint_share": 0.4, "generator_steps": 7}
    experiment = toy_experiment(training=training, method={"generator_updates": 2})
    counts = encoder_updates(stages(experiment))
    # the discriminator never moves the encoder, and in stage 2 the generator does not either
    assert counts == {
        "task": 10,
        "refinement": 4,
        "self_supervision": 4,
        "generator": 8,
        "extra_refinement": 4,
        "extra_self_supervision": 4,
    }
    baseline = toy_experiment("mt", training=training)
    assert encoder_updates(stages(baseline)) == {"task": 10}


def test_peak_memory_grows_with_what_is_used():
    before = peak_memory_mb(torch.device("cpu"))
    kept = torch.ones(2**25)  # 128 MiB, every page of it written
    after = peak_memory_mb(torch.device("cpu"))
    assert before is not None
    assert after is not None
    assert after >= before
    assert 128 <= after < 64_000  # MiB, not KiB or bytes
    assert kept[-1] == 1
