"""Two processes train as one process with the whole batch does."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from fakes import write_nyuv2
from mgm.method.selfsup import simclr
from mgm.training.step import StepInputs
from mgm.training.updates import Stage
from mgm.types import Batch
from toys import toy_batch, toy_experiment, toy_trainer

COUNT = 8


def fixed_views(images, seed):
    """Views that depend on nothing but the image, so that both halves of a batch get what the whole batch gets."""
    return images.flip(-1), images * 0.5


def share_of(batch: Batch, rank: int, world: int) -> Batch:
    """The images of one process, in float64."""
    own = slice(rank * COUNT // world, (rank + 1) * COUNT // world)
    return replace(
        batch,
        images=batch.images[own].double(),
        targets={k: v[own] if k == "semantic" else v[own].double() for k, v in batch.targets.items()},
        scene=batch.scene[own].double(),
    )


def gradients_of(networks: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in networks.named_parameters() if p.grad is not None}


def joint_gradients(folder: Path, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of all losses without noise together, averaged over processes."""
    method = {"extra_images": "none", "self_supervision": "reconstruction"}
    trainer = toy_trainer(toy_experiment(method=method, training={"optimizer_step": "combined"}), folder)
    trainer.networks.double().train()
    trainer.optimizer_step.apply = lambda optimizer: None
    step = trainer.make_step(StepInputs(share_of(toy_batch(1, COUNT), rank, world), 0, 0, 0, combined=True))
    trainer.optimizer_step(trainer.stages[-1], [step])
    return gradients_of(trainer.networks)


def gradients(folder: Path, rank: int, world: int) -> dict[str, dict[str, torch.Tensor]]:
    """Gradients of the losses on this process' share of the same global batch, averaged over processes."""
    trainer = toy_trainer(toy_experiment(), folder)
    trainer.optimizer_step.apply = lambda optimizer: None  # the weights stay, the averaged gradients are looked at
    trainer.networks.double().train()
    stage = trainer.stages[-1]
    batch = toy_batch(1, COUNT)
    # masks of very different size in the two halves
    batch.targets["depth"][: COUNT // 2, :, :24] = float("nan")
    batch.scene[0] = float("nan")
    own = share_of(batch, rank, world)
    found = {}
    for update in stage.updates:
        if update.name not in ("task", "refinement", "self_supervision"):
            continue
        trainer.optimizer_step(Stage(stage.name, (update,), 1, COUNT), [trainer.make_step(StepInputs(own, 0, 0, 0))])
        found[update.name] = gradients_of(trainer.networks)
        trainer.networks.zero_grad(set_to_none=True)
    return found


def all_gradients(folder: Path, rank: int, world: int) -> dict[str, dict[str, torch.Tensor]]:
    """Of losses one by one, and of all of them together."""
    return gradients(folder, rank, world) | {"combined": joint_gradients(folder, rank, world)}


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.set_num_threads(1)
    simclr.TwoViews = lambda side: fixed_views
    found = all_gradients(Path(folder), rank, 2)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one_with_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(simclr, "TwoViews", lambda side: fixed_views)
    expected = all_gradients(tmp_path, 0, 1)
    spawn(worker, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for update, values in expected.items():
            assert found[update].keys() == values.keys()
            for name, gradient in values.items():
                torch.testing.assert_close(found[update][name], gradient, rtol=1e-6, atol=1e-9, msg=f"{update}: {name}")


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(tmp_path):
    data = write_nyuv2(tmp_path / "nyuv2")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mgm"]
    options = ["train", "mgm", "--preset", "tiny", "--steps", "2", "--generator-steps", "1", "--no-baseline"]
    options += ["--data", str(data), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, timeout=180)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["world_size"] == 2
    assert (tmp_path / "run" / "pictures" / "predictions.png").exists()
    assert done.stdout.count("results, pictures and checkpoints") == 1
