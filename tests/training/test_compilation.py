"""Compiling changes neither numbers nor checkpoints, and what cannot be compiled runs as before."""

from dataclasses import replace
from functools import partial

import jaxtyping
import pytest
import torch

from mgm.errors import ConfigError
from mgm.runs.checks import check_experiment
from mgm.training import trainer as trainer_module
from mgm.training.checkpoint import load_checkpoint
from mgm.training.compilation import compile_networks
from toys import toy_experiment, toy_trainer

SHORT = {"steps": 2, "generator_steps": 1, "ema": 0.9, "compile": "default"}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Without checks of shapes, through which torch.compile does not see."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def eager(monkeypatch):
    """Traced by torch.compile, but without a compiler."""
    monkeypatch.setattr(trainer_module, "compile_networks", partial(compile_networks, backend="eager"))
    yield
    torch.compiler.reset()


def final(folder, decoder="paper", **training):
    trainer = toy_trainer(toy_experiment("mt", training={**SHORT, **training}, model={"decoder": decoder}), folder)
    trainer.run()
    return load_checkpoint(folder / "last.pt")


def test_same_run_same_checkpoint_and_one_line(tmp_path, eager, capsys):
    plain, compiled = (final(tmp_path / name, "pyramid", compile=name) for name in ("never", "default"))
    assert plain["networks"].keys() == compiled["networks"].keys()
    for name, value in plain["networks"].items():
        assert torch.equal(compiled["networks"][name], value), name
    for name, value in plain["average"]["model"].items():
        assert torch.equal(compiled["average"]["model"][name], value), name
    assert capsys.readouterr().err.count("compiling 2 networks") == 1


@pytest.mark.slow
def test_a_compiled_run_continues_uncompiled_and_the_other_way_round(tmp_path, eager):
    whole = final(tmp_path / "whole", compile="never", checkpoint_every=1, steps=4)
    for name, first, second in (("a", "default", "never"), ("b", "never", "default")):
        training = {**SHORT, "steps": 4, "checkpoint_every": 1}
        trainer = toy_trainer(toy_experiment("mt", training={**training, "compile": first}), tmp_path / name)
        stage = trainer.stages[0]
        trainer.train_step(stage, 0)
        trainer.position.step = 1
        trainer.save()
        other = toy_trainer(toy_experiment("mt", training={**training, "compile": second}), tmp_path / name)
        assert other.restore()
        other.run()
        state = load_checkpoint(tmp_path / name / "last.pt")
        assert all(torch.equal(state["networks"][key], value) for key, value in whole["networks"].items())


@pytest.mark.slow
@pytest.mark.parametrize("recipe, model", [("mgm", {}), ("mgm_cross_stitch", {"generator": "dcgan"}), ("adashare", {})])
def test_every_network_of_a_recipe_compiles(tmp_path, eager, recipe, model):
    """Without a warning, in all stages, with the numbers of the uncompiled run."""
    losses = {}
    for compile_ in ("never", "default"):
        experiment = toy_experiment(recipe, training={**SHORT, "compile": compile_}, model=model)
        toy_trainer(experiment, tmp_path / compile_).run()
        losses[compile_] = load_checkpoint(tmp_path / compile_ / "last.pt")["networks"]
    for name, value in losses["never"].items():
        torch.testing.assert_close(losses["default"][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_what_cannot_be_compiled_runs_as_it_is(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(trainer_module, "compile_networks", partial(compile_networks, backend=broken))
    plain, found = final(tmp_path / "a", compile="never"), final(tmp_path / "b")
    torch.compiler.reset()
    assert all(torch.equal(found["networks"][name], value) for name, value in plain["networks"].items())


def test_adashare_encoder_and_policy_are_left_out(tmp_path, capsys):
    trainer = toy_trainer(toy_experiment("adashare"), tmp_path)
    assert compile_networks(trainer.networks, "default", CPU, backend="eager") == 1


def test_graphs_of_a_step_that_differentiates_a_pass_several_times_are_refused():
    """What else excludes each other: tests/runs/test_scaling_settings.py."""
    with pytest.raises(ConfigError, match="differentiate a pass several times"):
        check_experiment(toy_experiment(training={"compile": "reduce-overhead", "optimizer_step": "combined"}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("how", ["default", "reduce-overhead"])
def test_compiled_on_a_gpu(tmp_path, how):
    from lightning_fabric import Fabric

    losses = {}
    for compile_ in ("never", how):
        trainer = toy_trainer(toy_experiment(training={**SHORT, "compile": "never"}), tmp_path / compile_)
        trainer.networks.cuda()
        trainer.fabric = Fabric(accelerator="cuda", devices=1)
        trainer.config = replace(trainer.config, compile=compile_)
        if compile_ != "never":
            compile_networks(trainer.networks, compile_, trainer.fabric.device)
        for name, load in list(trainer.loaders.items()):
            trainer.loaders[name] = lambda step, count, load=load: load(step, count).to(torch.device("cuda"))
        trainer.networks.train()
        trainer.position.stage = len(trainer.stages) - 1
        losses[compile_] = [trainer.train_step(trainer.stages[-1], index) for index in range(3)]
    for plain, compiled in zip(losses["never"], losses[how], strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(compiled[name], value, rtol=0.02, atol=0.02, msg=name)
