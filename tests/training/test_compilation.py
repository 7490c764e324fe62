"""Compiling changes neither numbers nor checkpoints, and what cannot be compiled runs as before."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from mgm.config import TrainingConfig
from mgm.errors import ConfigError
from mgm.runs.checks import check_experiment
from mgm.training import compilation
from mgm.training.checkpoint import load_checkpoint
from mgm.training.compilation import CompilationWarning, Compiled, compile_networks, wants_compilation
from toys import toy_experiment, toy_trainer

SHORT = {"steps": 2, "generator_steps": 1, "ema": 0.9, "compile": "always"}


@pytest.fixture
def eager(monkeypatch):
    """Traced by torch.compile, but without a compiler."""
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    yield
    torch.compiler.reset()


def final(folder, decoder="paper", **training):
    trainer = toy_trainer(toy_experiment("mt", training={**SHORT, **training}, model={"decoder": decoder}), folder)
    trainer.run()
    return load_checkpoint(folder / "last.pt")


@pytest.mark.parametrize("decoder, shown_as", [("paper", "model.decoders.depth"), ("pyramid", "model.decoders")])
def test_same_run_same_checkpoint_and_a_line_per_network(tmp_path, eager, capsys, decoder, shown_as):
    plain, compiled = final(tmp_path / "a", decoder, compile="never"), final(tmp_path / "b", decoder)
    assert plain["networks"].keys() == compiled["networks"].keys()
    for name, value in plain["networks"].items():
        assert torch.equal(compiled["networks"][name], value), name
    for name, value in plain["average"]["model"].items():
        assert torch.equal(compiled["average"]["model"][name], value), name
    shown = capsys.readouterr().err
    assert "compiling model.encoder (form 1) ..." in shown
    assert f"compiled {shown_as} in" in shown


@pytest.mark.slow
def test_a_compiled_run_continues_uncompiled_and_the_other_way_round(tmp_path, eager):
    whole = final(tmp_path / "whole", compile="never", checkpoint_every=1, steps=4)
    for name, first, second in (("a", "always", "never"), ("b", "never", "always")):
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
@pytest.mark.parametrize("recipe", ["mgm", "mgm_dcgan", "mgm_cross_stitch", "adashare"])
def test_every_network_of_a_recipe_compiles(tmp_path, eager, recipe):
    """Without a warning, in all stages, with the numbers of the uncompiled run."""
    losses = {}
    for compile_ in ("never", "always"):
        trainer = toy_trainer(toy_experiment(recipe, training={**SHORT, "compile": compile_}), tmp_path / compile_)
        trainer.run()
        losses[compile_] = load_checkpoint(tmp_path / compile_ / "last.pt")["networks"]
    for name, value in losses["never"].items():
        torch.testing.assert_close(losses["always"][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_failing_compiler_is_one_warning_and_the_run_goes_on(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(compilation, "BACKEND", broken)
    plain = final(tmp_path / "a", compile="never")
    with pytest.warns(CompilationWarning, match="could not be compiled .*training goes on") as caught:
        found = final(tmp_path / "b")
    torch.compiler.reset()
    assert len([entry for entry in caught if entry.category is CompilationWarning]) == 1
    assert all(torch.equal(found["networks"][name], value) for name, value in plain["networks"].items())


def test_an_error_of_the_network_itself_is_no_compilation_error(tmp_path, eager):
    trainer = toy_trainer(toy_experiment("mt", training=SHORT), tmp_path)
    trainer.networks.train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="multiples of 16"):
            trainer.networks["encoder"](torch.zeros(1, 3, 20, 20))


def test_evaluation_and_copies_stay_uncompiled(tmp_path, eager):
    trainer = toy_trainer(toy_experiment("mt", training={**SHORT, "ema": 0.0}), tmp_path)
    encoder = trainer.networks["encoder"]
    assert isinstance(encoder.forward, Compiled)
    encoder.eval()
    encoder(torch.zeros(1, 3, 32, 32))
    assert encoder.forward.compiler.compiled == 0


def test_adashare_encoder_and_policy_are_left_out(tmp_path):
    trainer = toy_trainer(toy_experiment("adashare"), tmp_path)
    assert compile_networks(trainer.networks, TrainingConfig(compile="always"), backend="eager") == 1
    assert isinstance(trainer.networks["decoders"].forward, Compiled)
    assert not isinstance(trainer.networks["encoder"].forward, Compiled)


def test_where_compilation_is_wanted():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    wanted = {}
    for choice in ("never", "gpu", "always"):
        config = replace(TrainingConfig(), compile=choice)
        wanted[choice] = (wants_compilation(config, cpu), wants_compilation(config, cuda))
    assert wanted == {"never": (False, False), "gpu": (False, True), "always": (True, True)}
    with pytest.raises(ConfigError, match="needs a CUDA GPU, not cpu"):
        wants_compilation(TrainingConfig(compile="graphs"), cpu)
    assert not wants_compilation(TrainingConfig(), cuda), "never unless it is asked for"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compile": "gpu", "checkpoint_activations": True}, "leave out one of the two"),
        ({"compile": "graphs", "optimizer_step": "combined"}, "differentiate a pass several times"),
    ],
)
def test_settings_that_exclude_each_other(changes, message):
    experiment = toy_experiment()
    with pytest.raises(ConfigError, match=message):
        check_experiment(replace(experiment, training=replace(experiment.training, **changes)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("how", ["gpu", "graphs"])
def test_compiled_on_a_gpu(tmp_path, how):
    from lightning.fabric import Fabric

    losses = {}
    for compile_ in ("never", how):
        trainer = toy_trainer(toy_experiment(training={**SHORT, "compile": "never"}), tmp_path / compile_)
        trainer.networks.cuda()
        trainer.fabric = Fabric(accelerator="cuda", devices=1)
        config = replace(trainer.experiment.training, compile=compile_)
        trainer.experiment = replace(trainer.experiment, training=config)
        if compile_ != "never":
            compile_networks(trainer.networks, config)
        for name, feed in list(trainer.feeds.items()):
            trainer.feeds[name] = lambda step, count, feed=feed: feed(step, count).to(torch.device("cuda"))
        trainer.networks.train()
        trainer.position.stage = len(trainer.stages) - 1
        losses[compile_] = [trainer.train_step(trainer.stages[-1], index) for index in range(3)]
    for plain, compiled in zip(losses["never"], losses[how], strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(compiled[name], value, rtol=0.02, atol=0.02, msg=name)
