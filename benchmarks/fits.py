"""Scores and time of each way to fit images that are not square (`mgm.inference.fit.FITS`).

    python benchmarks/fits.py RUN [--data NAME_OR_PATH] [--count 150] [--json FILE]

Square test images of the run are stretched back to 4:3, predicted, and scored at that size. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgm.data import open_source
from mgm.data.resizing import resize_levels, resize_nearest
from mgm.inference.fit import Fit, make_fit
from mgm.inference.model import TrainedModel

Sample = tuple[np.ndarray, dict[str, Tensor]]
"""Pixels of an image and its targets."""
SIZE = (192, 256)
"""Height and width of the images."""
WAYS = {
    "resize": ("resize", 1.0, False),
    "resize, flip average": ("resize", 1.0, True),
    "pad": ("pad", 1.0, False),
    "tile, detail 1": ("tile", 1.0, False),
    "tile, detail 1, flip average": ("tile", 1.0, True),
    "tile, detail 2": ("tile", 2.0, False),
    "tile, detail 0": ("tile", 0.0, False),
}
"""Title -> fit, detail, flip average."""


def stretched(values: np.ndarray) -> Tensor:
    """Resize a target ``[S, S]`` or ``[C, S, S]`` to `SIZE`, with a batch dimension of 1."""
    if values.ndim == 2:
        return torch.from_numpy(resize_nearest(values, *SIZE)).long()[None]
    return torch.from_numpy(resize_nearest(values.transpose(1, 2, 0), *SIZE).transpose(2, 0, 1).copy())[None]


def measure(model: TrainedModel, samples: list[Sample], fit: Fit, flip_average: bool) -> dict[str, Any]:
    """Scores of all tasks, and milliseconds per image without scoring."""
    meters = {name: task.metrics() for name, task in model.tasks.items()}
    seconds = 0.0
    for pixels, targets in samples:
        begin = time.perf_counter()
        windows = fit.windows(pixels, model.image_size)
        predictions = model.predict_windows(windows, flip_average=flip_average)
        model.finish(predictions, fit, SIZE)
        seconds += time.perf_counter() - begin
        for name, task in model.tasks.items():
            meters[name].update(task.resize(fit.restore(predictions[name], SIZE), SIZE), targets[name])
    scores = {name: meter.compute() for name, meter in meters.items()}
    return {"ms": 1000 * seconds / len(samples), "windows": fit.count(SIZE, model.image_size), **scores}


def main() -> None:
    """Measure every fit on the same images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="", help="default: the run's own")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = TrainedModel.load(options.run, "cpu")
    config = model.experiment.data
    source = open_source(options.data or config.data, config.num_images)
    chosen = source.splits(config.split, config.split_seed).test[: options.count]
    samples: list[Sample] = []
    for index in chosen.tolist():
        sample = source.read(index, SIZE[0])
        pixels = resize_levels(sample.image.transpose(1, 2, 0), *SIZE)
        samples.append((pixels, {name: stretched(sample.targets[name]) for name in model.tasks}))
    results: dict[str, dict[str, Any]] = {}
    titles = [f"{task.title}: {task.metrics_info[task.primary].title}" for task in model.tasks.values()]
    print(f"| {len(samples)} photographs of {SIZE[1]} x {SIZE[0]} | windows | {' | '.join(titles)} | ms |")
    print("| :-- |" + " --: |" * (len(titles) + 2))
    for title, (name, detail, flip_average) in WAYS.items():
        found = results[title] = measure(model, samples, make_fit(name, detail), flip_average)
        cells = [f"{found[task][model.tasks[task].primary]:.4g}" for task in model.tasks]
        print(f"| {title} | {found['windows']} | {' | '.join(cells)} | {found['ms']:.0f} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
