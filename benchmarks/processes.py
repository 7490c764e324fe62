"""Speed-up by a second process: the joint step in one process and in two, with one thread each and the same global batch.

    python benchmarks/processes.py --json results/processes.json

The variants are measured alternately, several times; the minimum of each counts, and the machine's load is recorded with it. The
processes communicate as in training: gradients, batch-norm statistics, embeddings (gloo on CPUs). A third variant, two processes
that train on half the batch each without communication, is a lower bound for the time on this machine.
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
from torch.multiprocessing.spawn import spawn  # pyright: ignore[reportUnknownVariableType]

from mgm.config import Experiment
from mgm.method.recipes import make_experiment
from mgm.runs.provenance import current_commit
from synthetic import synthetic_trainer


def experiment(image_size: int, batch_size: int, width: int, optimizer_step: str) -> Experiment:
    """MGM at the scale of the preset ``small``."""
    base = make_experiment("mgm", "small")
    training = replace(base.training, batch_size=batch_size, optimizer_step=optimizer_step, ema=0.0)
    return replace(
        base,
        data=replace(base.data, image_size=image_size),
        model=replace(base.model, generator_width=width, discriminator_width=width),
        training=training,
    )


def seconds_per_step(settings: Experiment, steps: int) -> dict[str, float]:
    """Wall-clock and CPU seconds of a joint step in this process; number, bytes and seconds of its collective operations."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = synthetic_trainer(settings, Path(folder))
        stage = trainer.stages[-1]
        trainer.train_step(stage, 0)
        wall: list[float] = []
        processor: list[float] = []
        with Exchanges() as exchanges:
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
        "exchanges": exchanges.count / steps,
        "exchanged_bytes": exchanges.size / steps,
        "exchanging_s": exchanges.seconds / steps,
    }


class Exchanges:
    """Counts collective operations, the bytes that this process contributes, and the seconds until they return."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.seconds = 0.0

    def __enter__(self) -> Exchanges:
        self._originals = {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}
        for name, original in self._originals.items():
            setattr(dist, name, self._counted(original))
        return self

    def _counted(self, original: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: Any, **options: object) -> object:
            self.count += 1
            self.size += next(given.nbytes for given in arguments if isinstance(given, torch.Tensor))
            start = time.perf_counter()
            result = original(*arguments, **options)
            self.seconds += time.perf_counter() - start
            return result

        return counted

    def __exit__(self, *error: object) -> None:
        for name, original in self._originals.items():
            setattr(dist, name, original)


def worker(rank: int, world: int, port: int, settings: Experiment, steps: int, out: str) -> None:
    """One of several processes; with ``port`` 0 they do not communicate."""
    if world > 1 and port:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    found = seconds_per_step(settings, steps)
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    if dist.is_initialized():
        dist.destroy_process_group()


def measure(world: int, settings: Experiment, steps: int, *, apart: bool = False) -> dict[str, float]:
    """Measure once, in ``world`` new processes.

    Args:
        world: Number of processes.
        settings: Settings with the global batch size.
        steps: Number of timed steps.
        apart: Whether the processes train on their shares of the batch without communication: a lower bound for the time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = 0 if apart else probe.getsockname()[1]
    if apart:
        training = replace(settings.training, batch_size=settings.training.batch_size // world)
        settings = replace(settings, training=training)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        spawn(worker, args=(world, port, settings, steps, str(out)), nprocs=world)
        return json.loads(out.read_text()) | {"load": os.getloadavg()[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=32, help="width of generator and discriminator")
    parser.add_argument("--optimizer-step", choices=("separate", "combined"), default="separate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    settings = experiment(options.image_size, options.batch_size, options.width, options.optimizer_step)
    several = str(options.processes)
    ways = {"1": (1, False), several: (options.processes, False), f"{several} apart": (options.processes, True)}
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (world, apart) in ways.items():
            rounds[way].append(measure(world, settings, options.steps, apart=apart))
            found = rounds[way][-1]
            print(f"{way}: {found['wall_s']:.2f} s per step, of which {found['processor_s']:.2f} s are computation and "
                  f"{found['exchanging_s']:.2f} s communication of this process; load {found['load']:.1f}")  # fmt: skip
    ratios = {way: quietest(found, "wall_s") / quietest(rounds["1"], "wall_s") for way, found in rounds.items()}
    work = {way: quietest(found, "processor_s") / quietest(rounds["1"], "processor_s") for way, found in rounds.items()}
    last = rounds[several][-1]
    print(f"{several} processes / 1: {ratios[several]:.2f} of the time ({ratios[f'{several} apart']:.2f} without "
          f"communication), {work[several]:.2f} of the work per process; {last['exchanges']:.0f} collective operations, "
          f"{last['exchanged_bytes'] / 2**20:.1f} MiB per step")  # fmt: skip
    if options.json:
        chosen = {key: value for key, value in vars(options).items() if key != "json"}
        result = {"settings": chosen, "torch": torch.__version__, "commit": current_commit(), "ratios": ratios,
                  "work_ratios": work, "rounds": rounds}  # fmt: skip
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def quietest(found: list[dict[str, float]], name: str) -> float:
    """Minimum over measurements: the one least disturbed by other load."""
    return min(one[name] for one in found)


if __name__ == "__main__":
    main()
