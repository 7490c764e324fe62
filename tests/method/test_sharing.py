"""What losses at the same weights share, and when it is dropped (`Update.reads`)."""

import gc
import weakref
from collections import Counter

import pytest

from mgm.method.step import JointStep
from mgm.training.step import StepInputs
from toys import METHODS, toy_batch, toy_experiment, toy_trainer


def joint_trainer(folder, *, method=None):
    trainer = toy_trainer(toy_experiment(method=method, training={"optimizer_step": "combined"}), folder)
    trainer.position.stage = len(trainer.stages) - 1
    trainer.networks.train()
    return trainer, trainer.stages[-1]


def joint_step(trainer):
    average = trainer.average.model if trainer.average else None
    return trainer.make_step(StepInputs(toy_batch(3, 4), 0, 1, 0, combined=True, average=average))


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


def passes(folder, method=None):
    """Network -> forward passes of a simultaneous step; of the decoders those of one."""
    trainer, stage = joint_trainer(folder, method=method)
    counted = Counter()
    watched = {name: trainer.networks[name] for name in ("encoder", "refinement", "generator", "discriminator")}
    watched["decoder"] = trainer.networks["decoders"].get_submodule("depth")
    for name, network in watched.items():
        network.register_forward_hook(lambda *_, name=name: counted.update([name]))
    trainer.optimizer_step(stage, [joint_step(trainer)])
    return dict(counted)


def test_a_simultaneous_step_computes_nothing_twice(tmp_path):
    # E: images, their views, synthesized images, their views. G's images serve D, G and what follows; D sees real and synthesized
    assert passes(tmp_path) == {
        "encoder": 4, "decoder": 2, "refinement": 2, "generator": 1, "discriminator": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "method", [{"extra_ratio": 0.5}, {"refinement": "peoe"}, {"gradient_into_generator": True}], ids=str
)
def test_other_numbers_of_images_and_images_with_a_graph_are_made_anew(tmp_path, method):
    assert passes(tmp_path, method)["generator"] > 1


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
