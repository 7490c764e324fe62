"""Synthesized images, the explicit E-step, optimisers, the moving average."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mgm.functional.classification import scene_loss
from mgm.method.extra_images import random_multi_hot
from mgm.method.losses import estimate_predictions, estimation_loss
from mgm.training.ema import WeightAverage
from mgm.training.step import StepInputs
from toys import NUM_SCENES, toy_batch, toy_experiment, toy_trainer


def make_step(trainer, batch, *, multi_hot=False, seed=1):
    trainer.networks.train()
    return replace(trainer.make_step, multi_hot=multi_hot)(StepInputs(batch, 0, seed, 0))


@pytest.mark.parametrize("ratio, expected", [(0.25, 2), (0.5, 4), (1.0, 8), (1.25, 10), (0.01, 1)])
def test_as_many_synthesized_images_as_the_ratio_says(tmp_path, ratio, expected):
    trainer = toy_trainer(toy_experiment(method={"extra_ratio": ratio}), tmp_path)
    step = make_step(trainer, toy_batch(0, 8))
    extra = step.images_of("extra")
    assert len(extra) == expected
    assert extra.images.shape == (expected, 3, 32, 32)
    assert extra.images.abs().max() <= 1
    assert not extra.images.requires_grad
    assert torch.equal(extra.scene, step.batch.scene[torch.arange(expected) % 8])
    assert step.images_of("extra") is extra, "both losses of a step see the same images"


def test_latent_is_embedding_plus_noise(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    first, second = (make_step(trainer, toy_batch(0, 4)) for _ in range(2))
    shift = trainer.networks["embedding"](first.features("labelled")[-1])
    torch.testing.assert_close(first.latent(4), shift + second.noise(4, second.latent_size))
    assert not torch.equal(first.latent(4), first.latent(4)), "every draw is new"


def test_generator_apart_from_the_encoder_takes_noise_alone(tmp_path):
    trainer = toy_trainer(toy_experiment("mgm_not_joint"), tmp_path)
    assert "embedding" not in trainer.networks
    first, second = (make_step(trainer, toy_batch(0, 4)) for _ in range(2))
    assert torch.equal(first.latent(4), second.noise(4, second.latent_size))


def test_noise_differs_between_steps_and_repeats_with_the_seed(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    draws = [make_step(trainer, toy_batch(0, 4), seed=seed).noise(4, 8) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_images_with_a_graph_only_where_the_method_asks(tmp_path):
    for method, attached in (({}, False), ({"gradient_into_generator": True}, True), ({"refinement": "peoe"}, True)):
        trainer = toy_trainer(toy_experiment(method=method), tmp_path)
        step = make_step(trainer, toy_batch(0, 4))
        assert step.images_of("extra").images.requires_grad == attached


def test_random_multi_hot_labels_keep_every_class_frequency(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path, multi_hot=True)
    step = make_step(trainer, toy_batch(3, 64, multi_hot=True), multi_hot=True)
    labels = step.labels()
    labels[:, 0] = 1.0  # no row without any class, so no draw is replaced
    drawn = random_multi_hot(labels, step)
    assert torch.equal(drawn.sum(0), labels.sum(0))
    assert not torch.equal(drawn, labels)
    empty = torch.zeros(4, NUM_SCENES)
    assert torch.equal(random_multi_hot(empty, step), empty)


def test_e_step_makes_the_scene_likelier(tmp_path):
    """Eq. 4: the estimate has a higher log P(c | y) than M's prediction, and moves no further than its steps."""
    method = {"refinement": "eml_explicit", "estimation_steps": 5}
    trainer = toy_trainer(toy_experiment(method=method), tmp_path)
    step = make_step(trainer, toy_batch(0, 8))
    predictions = step.predictions("extra")
    estimate = estimate_predictions(step, "extra", predictions)
    scene = step.images_of("extra").scene

    def energy(values):
        return scene_loss(trainer.networks["refinement"](step.refinement_inputs(values)), scene, False)

    assert energy(estimate) < energy({task: value.detach() for task, value in predictions.items()})
    for task, value in estimate.items():
        moved = (value - predictions[task].detach()).square().mean().sqrt()
        assert 0 < moved <= 5 * 0.1 * predictions[task].detach().std() * 1.001
        assert not value.requires_grad


def test_m_step_without_an_e_step_has_nothing_to_learn(tmp_path):
    trainer = toy_trainer(toy_experiment(method={"refinement": "eml_explicit", "estimation_steps": 0}), tmp_path)
    step = make_step(trainer, toy_batch(0, 4))
    assert estimation_loss(step, "extra").abs() < 1e-5


def test_every_network_has_the_papers_rate(tmp_path):
    trainer = toy_trainer(toy_experiment(training={"weight_decay": 1e-4}), tmp_path)
    rates, decays = {}, {}
    owners = {id(p): name for name, network in trainer.networks.items() for p in network.parameters()}
    for update, optimizer in trainer.optimizers.items():
        for group in optimizer.param_groups:
            name = owners[id(group["params"][0])]
            rates[name] = group["lr"]
            decays[update, name] = group["weight_decay"]
    assert rates == {
        "encoder": 1e-3,
        "decoders": 1e-3,
        "refinement": 1e-3,
        "projection": 1e-3,
        "generator": 1e-4,
        "embedding": 1e-4,
        "discriminator": 4e-4,
    }
    # two optimisers that own the encoder must not both shrink it
    assert {key for key, decay in decays.items() if decay} == {("task", "encoder"), ("task", "decoders")}


def test_average_of_weights_and_statistics_follows_its_formula():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = WeightAverage(model, decay=0.9)
    expected, mean = model[0].weight.detach().clone(), model[1].running_mean.clone()
    for update in range(1, 201):
        with torch.no_grad():
            model[0].weight.add_(1.0)
            model[1].running_mean.add_(2.0)
            model[1].num_batches_tracked.add_(1)
        average.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
        mean = decay * mean + (1 - decay) * model[1].running_mean
    torch.testing.assert_close(average.model[0].weight, expected)
    torch.testing.assert_close(average.model[1].running_mean, mean)
    assert average.model[1].num_batches_tracked == 200
    assert not average.model[0].weight.requires_grad


def test_average_soon_forgets_the_start():
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, 100.0)
    average = WeightAverage(model, decay=0.999)
    torch.nn.init.constant_(model.weight, 0.0)
    for _ in range(20):
        average.update(model)
    assert average.model.weight.item() < 1.0
