"""MGM in one file: train it and its baseline on procedurally rendered rooms, compare them, predict and generate images.

    python examples/minimal.py [FOLDER]

Takes about half a minute on one core; at this size the scores are meaningless.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import mgm


def main(folder: Path) -> None:
    """Train, evaluate, predict, generate."""
    experiment = mgm.make_experiment("mgm", preset="tiny")
    # settings are frozen dataclasses; `replace` makes a changed copy
    experiment = replace(
        experiment,
        data=replace(experiment.data, data="rooms", fraction=0.5, tasks=("semantic", "depth", "normal")),
        training=replace(experiment.training, steps=20, batch_size=8),
    )

    # also trains the multi-task baseline with the same budget
    result = mgm.train(experiment, folder / "run")
    for task, gain in result["gain"].items():
        print(f"gain over the baseline, {task}: {100 * gain:+.1f} %")

    scores = mgm.evaluate(folder / "run", split="validation").scores
    print(f"validation depth error: {scores['depth']['abs_error_m']:.2f} m")

    # an image of any size: a file, a PIL image or an array
    photograph = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    model = mgm.load(folder / "run")
    for task, value in model.predict(photograph).items():
        print(f"predicted {task}: {tuple(value.shape)}")

    images = mgm.generate(folder / "run", num=2)
    print(f"generated images of {len(images)} scenes; pictures in {folder / 'run' / 'pictures'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="mgm-minimal-")))
