"""Effect of bf16 and channels last: CPU seconds of a joint step, with all four variants interleaved in one process.

python benchmarks/precision.py --json results/precision.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mgm.method.recipes import make_experiment
from mgm.training.trainer import Trainer
from synthetic import synthetic_trainer

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def make(precision: str, channels_last: str, batch_size: int, folder: Path) -> Trainer:
    """Trainer of MGM at the scale of the preset ``small``, with sequential updates."""
    base = make_experiment("mgm", "small")
    training = replace(
        base.training, batch_size=batch_size, optimizer_step="separate", ema=0.0, channels_last=channels_last
    )
    fabric = Fabric(accelerator="cpu", devices=1, precision=PRECISIONS[precision])  # type: ignore[arg-type]
    return synthetic_trainer(replace(base, training=training), folder, fabric=fabric)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            f"{precision}, channels last {choice}": make(precision, choice, options.batch_size, Path(folder))
            for precision in PRECISIONS
            for choice in ("never", "always")
        }
        for index in range(options.rounds):
            for name, trainer in trainers.items():
                start = time.process_time()
                trainer.train_step(trainer.stages[-1], index)
                seconds.setdefault(name, []).append(time.process_time() - start)
    medians = {name: statistics.median(found[1:]) for name, found in seconds.items()}  # the first warms up
    base = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name}: {median:.2f} s, {median / base:.2f}")
    if options.json:
        ratios = {name: median / base for name, median in medians.items()}
        result = {"batch_size": options.batch_size, "seconds": seconds, "ratios": ratios, "torch": torch.__version__}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
