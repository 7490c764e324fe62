"""Images per second of prediction: one by one, with the pipeline, with the network alone, and with the exported graph alone.

    python benchmarks/prediction.py nyuv2_small/rgb --json results/prediction.json

The network has the preset's size and random weights, unless --run names a trained one. Measurements are interleaved in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.images import read_rgb
from mgm.data.resizing import resize_levels
from mgm.inference.batch import predict_many
from mgm.inference.model import TrainedModel
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.tasks import make_tasks
from mgm.types import DatasetInfo, Predictions

T = TypeVar("T")
TASKS = ("semantic", "depth", "normal")


def untrained(preset: str) -> TrainedModel:
    """A model of a preset's size with random weights."""
    experiment = make_experiment("mt", preset)
    info = DatasetInfo("made", TASKS, tuple(map(str, range(40))))
    return TrainedModel(
        experiment, info, build_model(make_tasks(TASKS, info.classes), experiment.model, 0), torch.device("cpu")
    )


def functions(
    model: TrainedModel, out: Path
) -> tuple[Callable[[Path], Tensor], Callable[[Tensor], Predictions], Callable[[Path, Predictions], None]]:
    """Functions that load, predict and write an image and an array per task, at the network's size."""
    height, width = model.image_size

    def load(path: Path) -> Tensor:
        return torch.from_numpy(resize_levels(read_rgb(path), height, width)).permute(2, 0, 1).float() / 127.5 - 1

    def write(path: Path, predictions: Predictions) -> None:
        for name, task in model.tasks.items():
            value = task.decode(predictions[name].cpu())
            np.save(out / f"{path.stem}_{name}.npy", value[0].numpy(), allow_pickle=False)
            Image.fromarray(task.colour(value)[0].permute(1, 2, 0).numpy()).save(out / f"{path.stem}_{name}.png")

    return load, partial(model.predict_batch, flip_average=False), write


def timed(work: Callable[..., T], seconds: list[float]) -> Callable[..., T]:
    """The same function, which appends the duration of each call to ``seconds``; for several threads."""

    def noted(*arguments: object) -> T:
        begin = time.perf_counter()
        result = work(*arguments)
        seconds.append(time.perf_counter() - begin)
        return result

    return noted


def measure(model: TrainedModel, images: list[Path], batch_size: int, workers: int, rounds: int) -> dict[str, object]:
    """Images per second of every method (best round), and the share of each part of the pipeline."""
    rates: dict[str, list[float]] = {}
    passes: list[tuple[float, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        load, predict, write = functions(model, Path(folder))
        batch = torch.stack([load(path) for path in images[:batch_size]])
        dynamic = {"images": {0: torch.export.Dim("batch", min=2)}}
        exported = torch.export.export(model.model, (batch,), dynamic_shapes=dynamic, strict=False).module()
        with torch.no_grad():
            found, expected = exported(batch), model.model(batch)
        difference = max(float((found[name] - expected[name]).abs().max()) for name in expected)

        def one_by_one() -> None:
            for path in images:
                write(path, predict(load(path)[None]))

        def pipelined() -> None:
            spent = {"load": list[float](), "predict": list[float](), "write": list[float]()}
            done = predict_many(
                timed(load, spent["load"]),
                timed(predict, spent["predict"]),
                timed(write, spent["write"]),
                images,
                batch_size,
                workers,
                show_progress=False,
            )
            passes.append((done.seconds, {name: sum(seconds) for name, seconds in spent.items()}))

        def graph() -> None:
            with torch.no_grad():
                for _ in range(0, len(images), batch_size):
                    exported(batch)

        def network() -> None:
            for _ in range(0, len(images), batch_size):
                predict(batch)

        def network_one_by_one() -> None:
            for _ in images:
                predict(batch[:1])

        ways = {"one by one": one_by_one, "pipeline": pipelined, "network alone": network,
                "network alone, one by one": network_one_by_one, "exported graph alone": graph}  # fmt: skip
        for _ in range(rounds):
            for name, work in ways.items():
                start = time.perf_counter()
                work()
                rates.setdefault(name, []).append(len(images) / (time.perf_counter() - start))
    parts = min(passes, key=lambda one: one[0])[1]
    ratios = [several / one for several, one in zip(rates["pipeline"], rates["one by one"], strict=True)]
    return {
        "images_per_second": {name: max(found) for name, found in rates.items()},
        "pipeline_over_one_by_one": statistics.median(ratios),
        "shares": {name: seconds / sum(parts.values()) for name, seconds in parts.items()},
        "exported_max_difference": difference,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--run", type=Path, help="a trained run, instead of random weights")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--num", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = TrainedModel.load(options.run) if options.run else untrained(options.preset)
    images = sorted(path for path in options.images.iterdir() if path.is_file())[: options.num]
    found = measure(model, images, options.batch_size, options.workers, options.rounds)
    print(json.dumps(found, indent=2))
    if options.json:
        chosen = {key: value for key, value in vars(options).items() if key not in ("json", "images", "run")}
        options.json.write_text(json.dumps({"settings": chosen, "torch": torch.__version__, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
