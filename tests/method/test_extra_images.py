"""Images that a generator makes for a step: how many, of which latents and labels, with or without a graph."""

from dataclasses import replace

import pytest
import torch

from mgm.method.extra_images import random_multi_hot
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


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.parametrize("multi_hot", [False, True])
def test_an_image_synthesized_without_a_scene_has_an_unknown_one(tmp_path, count, multi_hot):
    trainer = toy_trainer(toy_experiment(method={"extra_ratio": count / 4}), tmp_path)
    batch = toy_batch(0, 4)
    batch.scene[1:3] = float("nan")
    if multi_hot:
        batch.scene[0] = 0  # known to show none
    step = make_step(trainer, batch, multi_hot=multi_hot)
    scene = step.images_of("extra").scene
    if multi_hot:  # shuffled: an image without any known class stays unknown
        unlabelled = torch.arange(count) % 4 % 3 != 0
        assert torch.equal(scene.isnan().all(1), unlabelled & ~(scene > 0).any(1))
    else:
        torch.testing.assert_close(scene, batch.scene[torch.arange(count) % 4], equal_nan=True)
    assert not step.labels().isnan().any(), "the generator is given zeros"


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
