"""Two processes with half a batch each give the gradients and metrics of one process with the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from mgm.functional.classification import scene_loss
from mgm.functional.contrastive import nt_xent
from mgm.functional.distributed import GATHERED_BYTES, gather, gather_batch, global_sum, rank, world_size
from mgm.functional.masked import masked_mean
from mgm.tasks import TASKS, make_tasks
from mgm.tasks.metrics import StreamingSums

NUM_PROCESSES = 2
PER_PROCESS = 3


def inputs() -> dict[str, Tensor]:
    """The whole batch; the halves hold different numbers of valid pixels and labels."""
    generator = torch.Generator().manual_seed(0)
    images, other_views = torch.randn(2, NUM_PROCESSES * PER_PROCESS, 4, generator=generator, dtype=torch.float64)
    scene = torch.eye(4, dtype=torch.float64)[torch.arange(6) % 4]
    scene[[1, 3, 4]] = float("nan")
    mask = torch.rand(6, 5, generator=generator) < torch.linspace(0.1, 0.9, 6).unsqueeze(1)
    return {"images": images, "other_views": other_views, "scene": scene, "mask": mask}


def losses(batch: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """Each loss of a linear network with parameters ``weight`` [4, 5]."""
    features, other = batch["images"] @ weight, batch["other_views"] @ weight
    return {
        "masked_mean": masked_mean(features.square(), batch["mask"]),
        "nt_xent": nt_xent(features, other, 0.5),
        "scene_loss": scene_loss(features[:, :4], batch["scene"], multi_hot=False),
        "multi_hot": scene_loss(features[:, :4], batch["scene"], multi_hot=True),
    }


def task_losses(images: slice) -> dict[str, Tensor]:
    """Gradient of every loss of every task on part of six images, with unequally many labels and classes in the halves."""
    generator = torch.Generator().manual_seed(2)
    result = {}
    for name, kind in TASKS.items():
        for loss in kind.losses:
            task = make_tasks([name], ("a", "b", "c", "d"), [f"{name}:{loss}"])[name]
            weight = torch.linspace(-2, 2, task.channels * 5, dtype=torch.float64).sin().view(task.channels, 5)
            weight.requires_grad_()
            features = torch.randn(6, 5, 6, 6, generator=generator, dtype=torch.float64)
            holes = torch.rand(6, 6, 6, generator=generator) < torch.linspace(0.1, 0.9, 6)[:, None, None]
            if name == "semantic":
                target = torch.randint(3, (6, 6, 6), generator=generator).clamp(max=torch.arange(6)[:, None, None] // 2)
                target = target.masked_fill(holes, 255)
            else:
                target = torch.rand(6, task.channels, 6, 6, generator=generator, dtype=torch.float64) + 0.5
                target = target.masked_fill(holes[:, None], float("nan"))
            prediction = torch.einsum("kc,bchw->bkhw", weight, features[images])
            result[f"{name}:{loss}"] = torch.autograd.grad(task.loss(prediction, target[images]), weight)[0]
    return result


def gradients(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    weight = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5).sin().requires_grad_()
    return {
        name: torch.autograd.grad(loss, weight, retain_graph=True)[0] for name, loss in losses(batch, weight).items()
    }


def scores(images: slice) -> dict[str, dict[str, float]]:
    """Metrics of every task on part of eight images."""
    result = {}
    for name, task in make_tasks(list(TASKS), ("a", "b", "c")).items():
        generator = torch.Generator().manual_seed(1)
        prediction = torch.rand(8, task.channels, 4, 4, generator=generator)
        if name == "semantic":
            target = torch.randint(3, (8, 4, 4), generator=generator)
        else:
            target = torch.rand(8, task.channels, 4, 4, generator=generator)
        metrics = task.metrics()
        if images.stop > images.start:
            metrics.update(prediction[images], target[images])
        result[name] = metrics.compute()
    return result


def count_to(number: int) -> Tensor:
    """A sum that differs between processes."""
    sums = StreamingSums({"count": 1}, "cpu")
    sums.update(count=torch.tensor(number))
    return sums.totals()["count"]


def work(index: int, folder: str) -> None:
    """What one process does."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=index, world_size=NUM_PROCESSES)
    assert (rank(), world_size()) == (index, NUM_PROCESSES)
    part = slice(index * PER_PROCESS, (index + 1) * PER_PROCESS)
    own = gradients({name: values[part] for name, values in inputs().items()}) | task_losses(part)
    averaged = {name: global_sum(values) / NUM_PROCESSES for name, values in own.items()}
    values = torch.full((2, 1), float(index), requires_grad=True)
    gathered = gather_batch(values)
    (gathered * torch.arange(1.0, 5.0).unsqueeze(1)).sum().backward()
    alike = torch.full((GATHERED_BYTES // 8, 2), index + 1.0)  # more than is gathered
    torch.save(
        {
            "gradients": averaged,
            "scores": scores(slice(0, 5) if index == 0 else slice(5, 8)),
            "scores_of_one": scores(slice(0, 8) if index == 0 else slice(0, 0)),
            "gathered": gathered.detach(),
            "gather_gradient": values.grad,
            "small_sum": global_sum(torch.tensor(index + 1)),
            "large_sum": global_sum(alike.T),
            "left_alone": alike,
            "everyone": gather(torch.tensor([[0, index], [index, 2]]).T),
            "totals": count_to(index + 1),
        },
        f"{folder}/{index}.pt",
    )
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder: Path = tmp_path_factory.mktemp("processes")
    spawn(work, args=(str(folder),), nprocs=NUM_PROCESSES)
    return [torch.load(folder / f"{index}.pt") for index in range(NUM_PROCESSES)]


@pytest.mark.slow
def test_mean_gradient_is_that_of_the_whole_batch(outcome: list[dict]) -> None:
    expected = gradients(inputs()) | task_losses(slice(0, NUM_PROCESSES * PER_PROCESS))
    for process in outcome:
        assert process["gradients"].keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(process["gradients"][name], gradient, msg=name)


@pytest.mark.slow
def test_metrics_are_those_of_all_data(outcome: list[dict]) -> None:
    for name, expected in scores(slice(0, 8)).items():
        for process in outcome:
            assert process["scores"][name] == pytest.approx(expected), name
            assert process["scores_of_one"][name] == pytest.approx(expected), name


@pytest.mark.slow
def test_gather_and_sum(outcome: list[dict]) -> None:
    for index, process in enumerate(outcome):
        assert process["gathered"].flatten().tolist() == [0.0, 0.0, 1.0, 1.0]
        # both processes weigh row k by k + 1
        assert process["gather_gradient"].flatten().tolist() == [[2.0, 4.0], [6.0, 8.0]][index]
        assert process["small_sum"].item() == 3
        assert process["large_sum"].shape == (2, GATHERED_BYTES // 8)
        assert (process["large_sum"] == 3).all()
        assert (process["left_alone"] == index + 1).all()
        assert process["everyone"].tolist() == [[[0, 0], [0, 2]], [[0, 1], [1, 2]]]
        assert process["totals"].item() == 3.0


def test_one_process_costs_nothing() -> None:
    values = torch.randn(3, requires_grad=True)
    assert gather_batch(values) is values
    assert torch.equal(gather(values)[0], values)
    assert not global_sum(values).requires_grad
    assert (rank(), world_size()) == (0, 1)
