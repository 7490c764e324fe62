"""What losses at the same weights share, and when it is dropped (`Update.reads`)."""

from __future__ import annotations

import gc
import weakref
from collections import Counter

import pytest
import torch

from mgm.method.algorithm import joint_updates
from mgm.method.step import JointStep
from mgm.training.step import StepInputs
from toys import METHODS, toy_batch, toy_experiment, toy_trainer


def joint_trainer(folder, *, method=None, optimizer_step="combined"):
    trainer = toy_trainer(toy_experiment(method=method, training={"optimizer_step": optimizer_step}), folder)
    trainer.position.stage = len(trainer.stages) - 1
    trainer.networks.train()
    return trainer, trainer.stages[-1]


def joint_step(trainer):
    combined = trainer.optimizer_step.combined
    return trainer.make_step(StepInputs(toy_batch(3, 4), 0, 1, 0, combined=combined))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(str(value) for value in method.values()))
def test_updates_say_what_they_read(tmp_path, monkeypatch, method):
    trainer, stage = joint_trainer(tmp_path, method=method)
    read = set()
    predictions, fakes, scores = JointStep.all_predictions, JointStep.fakes, JointStep.fake_scores
    monkeypatch.setattr(
        JointStep, "all_predictions", lambda step, source: read.add(source) or predictions(step, source)
    )
    monkeypatch.setattr(JointStep, "fakes", lambda step: read.add("fakes") or fakes(step))
    monkeypatch.setattr(JointStep, "fake_scores", lambda step: read.add("fakes") or scores(step))
    step = joint_step(trainer)
    for update in stage.updates:
        read.clear()
        update.loss(step, update.source)
        assert read == set(update.reads), update.name


def passes(trainer, stage, step):
    """Network -> forward passes of a step; of the decoders those of one."""
    counted = Counter()
    watched = {name: trainer.networks[name] for name in ("encoder", "refinement", "generator", "discriminator")}
    watched["decoder"] = trainer.networks["decoders"]["depth"]
    hooks = [
        network.register_forward_hook(lambda *_, name=name: counted.update([name])) for name, network in watched.items()
    ]
    trainer.optimizer_step(stage, [step])
    for hook in hooks:
        hook.remove()
    return dict(counted)


def test_a_simultaneous_step_computes_nothing_twice(tmp_path):
    trainer, stage = joint_trainer(tmp_path)
    # E: images, their views, synthesized images, their views. G's images serve D, G and what follows; D sees real and synthesized
    assert passes(trainer, stage, joint_step(trainer)) == {
        "encoder": 4, "decoder": 2, "refinement": 2, "generator": 1, "discriminator": 2,
    }  # fmt: skip


def test_the_discriminator_sees_every_image_once_in_a_simultaneous_step(tmp_path):
    trainer, stage = joint_trainer(tmp_path)
    seen = []
    trainer.networks["discriminator"].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    step = joint_step(trainer)
    trainer.optimizer_step(stage, [step])
    assert [len(images) for images in seen] == [4, 4]
    assert torch.equal(seen[0], step.batch.images)


def test_images_of_the_adversarial_losses_serve_as_the_synthesized_ones(tmp_path):
    trainer, stage = joint_trainer(tmp_path)
    step = joint_step(trainer)
    made = []
    trainer.networks["generator"].register_forward_hook(lambda module, inputs, output: made.append(output.detach()))
    trainer.optimizer_step._backward(stage, step)
    extra = step.images_of("extra")
    assert len(made) == 1
    assert torch.equal(extra.images, made[0])
    assert not extra.images.requires_grad
    assert torch.equal(extra.scene, step.labels())


@pytest.mark.parametrize(
    "method", [{"extra_ratio": 0.5}, {"refinement": "peoe"}, {"gradient_into_generator": True}], ids=str
)
def test_other_numbers_of_images_and_images_with_a_graph_are_made_anew(tmp_path, method):
    trainer, stage = joint_trainer(tmp_path, method=method)
    assert passes(trainer, stage, joint_step(trainer))["generator"] > 1


def test_sequential_updates_synthesize_with_the_generator_as_it_then_is(tmp_path):
    trainer, stage = joint_trainer(tmp_path, optimizer_step="separate")
    step = joint_step(trainer)
    made = []
    trainer.networks["generator"].register_forward_hook(lambda module, inputs, output: made.append(output.detach()))
    trainer.optimizer_step(stage, [step])
    assert len(made) == 1 + trainer.make_step.method.generator_updates
    assert torch.equal(step.images_of("extra").images, made[-1])


def test_a_second_adversarial_update_at_the_same_weights_is_left_out():
    method = toy_experiment(method={"generator_updates": 2}).method
    names = [update.name for update in joint_updates(method)]
    assert names.count("discriminator") == names.count("generator") == 2
    names = [update.name for update in joint_updates(method, combined=True)]
    assert names.count("discriminator") == names.count("generator") == 1


def test_graphs_go_as_soon_as_nobody_reads_them(tmp_path, monkeypatch):
    trainer, stage = joint_trainer(tmp_path)
    graphs: dict[str, weakref.ref] = {}
    alive: dict[str, set[str]] = {}
    predictions, fakes, loss = JointStep.all_predictions, JointStep.fakes, trainer.optimizer_step.loss

    def watched_predictions(step, source):
        found = predictions(step, source)
        graphs[source] = weakref.ref(found["depth"])
        return found

    def watched_fakes(step):
        found = fakes(step)
        graphs["fakes"] = weakref.ref(found)
        return found

    def watched_loss(update, step):
        gc.collect()
        alive[update.name] = {name for name, graph in graphs.items() if graph() is not None}
        return loss(update, step)

    monkeypatch.setattr(JointStep, "all_predictions", watched_predictions)
    monkeypatch.setattr(JointStep, "fakes", watched_fakes)
    monkeypatch.setattr(trainer.optimizer_step, "loss", watched_loss)
    trainer.optimizer_step(stage, [joint_step(trainer)])
    assert alive == {
        "task": set(),
        "refinement": {"labelled"},
        "self_supervision": set(),
        "discriminator": set(),
        "generator": {"fakes"},
        "extra_refinement": set(),
        "extra_self_supervision": set(),
    }
