"""What a second process brings: the joint step on one process and on two, one thread each, same global batch.

    python benchmarks/processes.py --json results/processes.json

Both are measured in turn, several times; the quietest of each counts, and the load of the machine stands beside it. The
processes exchange what training does: gradients, batch statistics, embeddings (gloo on CPUs).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mgm.config import Experiment
from mgm.experiments.recipes import make_experiment
from mgm.training.synthetic import synthetic_trainer


def experiment(image_size: int, batch_size: int, width: int, optimizer_step: str) -> Experiment:
    """MGM at the scale of the preset small."""
    base = make_experiment("mgm", "small")
    training = replace(base.training, batch_size=batch_size, optimizer_step=optimizer_step, ema=0.0)
    return replace(
        base,
        data=replace(base.data, image_size=image_size),
        model=replace(base.model, generator_width=width, discriminator_width=width),
        training=training,
    )


def seconds_per_step(settings: Experiment, steps: int) -> dict[str, float]:
    """Median wall-clock and processor seconds of a joint step in this process, and how often and what it exchanges."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = synthetic_trainer(settings, Path(folder))
        stage = trainer.stages[-1]
        with Exchanges() as exchanges:
            trainer.train_step(stage, 0)
        wall, processor = [], []
        for index in range(1, steps + 1):
            if dist.is_initialized():
                dist.barrier()
            start, start_processor = time.perf_counter(), time.process_time()
            trainer.train_step(stage, index)
            wall.append(time.perf_counter() - start)
            processor.append(time.process_time() - start_processor)
    return {
        "wall_s": min(wall),
        "median_s": statistics.median(wall),
        "processor_s": min(processor),
        "exchanges": exchanges.count,
        "exchanged_bytes": exchanges.size,
    }


class Exchanges:
    """Counts the collective operations and the bytes that this process puts in."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0

    def __enter__(self) -> Exchanges:
        self._originals = {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}
        for name, original in self._originals.items():
            setattr(dist, name, self._counted(original))
        return self

    def _counted(self, original: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: Any, **options: object) -> object:
            self.count += 1
            self.size += next(given.nbytes for given in arguments if isinstance(given, torch.Tensor))
            return original(*arguments, **options)

        return counted

    def __exit__(self, *error: object) -> None:
        for name, original in self._originals.items():
            setattr(dist, name, original)


def worker(rank: int, world: int, port: int, settings: Experiment, steps: int, out: str) -> None:
    """One of several processes."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)
    found = seconds_per_step(settings, steps)
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    if world > 1:
        dist.destroy_process_group()


def measure(world: int, settings: Experiment, steps: int) -> dict[str, float]:
    """One measurement with so many processes, in fresh ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        mp.spawn(worker, args=(world, port, settings, steps, str(out)), nprocs=world)
        return json.loads(out.read_text()) | {"load": os.getloadavg()[0]}


def without_exchange(settings: Experiment, steps: int, processes: int) -> dict[str, float]:
    """Processor seconds of one process with the whole batch, with its share of it, and as one of several that never answer.

    The last is what every process computes, statistics over all of them included, without waiting for anybody.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    share = replace(settings.training, batch_size=settings.training.batch_size // processes)
    found = {
        "whole batch": seconds_per_step(settings, steps)["processor_s"],
        "its share alone": seconds_per_step(replace(settings, training=share), steps)["processor_s"],
    }
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=processes)
    found[f"one of {processes}"] = seconds_per_step(settings, steps)["processor_s"]
    dist.destroy_process_group()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=32, help="of generator and discriminator")
    parser.add_argument("--optimizer-step", choices=("separate", "combined"), default="separate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-exchange", action="store_true", help="only what each process computes")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    settings = experiment(options.image_size, options.batch_size, options.width, options.optimizer_step)
    if options.without_exchange:
        shares = without_exchange(settings, options.steps, options.processes)
        print(", ".join(f"{name} {value:.2f} s" for name, value in shares.items()))
        if options.json:
            options.json.write_text(json.dumps(shares, indent=2) + "\n")
        return
    rounds: dict[str, list[dict[str, float]]] = {"1": [], str(options.processes): []}
    for _ in range(options.rounds):
        for world, found in rounds.items():
            found.append(measure(int(world), settings, options.steps))
            print(f"{world} process(es): {found[-1]['wall_s']:.2f} s a step, of which this process computed "
                  f"{found[-1]['processor_s']:.2f} s; load {found[-1]['load']:.1f}")  # fmt: skip
    best = {world: min(found, key=lambda one: one["wall_s"]) for world, found in rounds.items()}
    work = {world: min(one["processor_s"] for one in found) for world, found in rounds.items()}
    several = str(options.processes)
    ratio, share = best[several]["wall_s"] / best["1"]["wall_s"], work[several] / work["1"]
    print(f"{several} processes / 1: {ratio:.2f} of the time; {share:.2f} of the work per process; "
          f"{best[several]['exchanges']:.0f} exchanges, {best[several]['exchanged_bytes'] / 2**20:.1f} MiB in a step")  # fmt: skip
    if options.json:
        chosen = {key: value for key, value in vars(options).items() if key != "json"}
        result = {"settings": chosen, "torch": torch.__version__, "ratio": ratio, "work_ratio": share, "rounds": rounds}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
