"""Time, FLOP and memory of a joint training step, compared with the sequence of passes of the authors' public code.

    python benchmarks/step.py                                            # times on this machine
    python benchmarks/step.py --count --size 128 --width 64 --batch 32   # counts at the paper's size, on any machine

Prints a table of variants of the step, and a table of its parts (a part is an update with the computations that precede it).
Variants are timed alternately in one process; ratios are medians over rounds of the ratio to the reference in the same round.
Counting uses tensors without values (`torch._subclasses.fake_tensor`), so it takes seconds at any size.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from counting import Tally, count, flop_counter
from mgm.config import Experiment
from mgm.method.recipes import PRESETS, make_experiment
from mgm.runs.devices import launch, single_device
from mgm.runs.provenance import current_commit, versions
from mgm.training.step import Step
from mgm.training.trainer import Trainer
from mgm.training.updates import Update
from reference_step import TRAINS, ReferenceStep, Views, host_views
from synthetic import synthetic_trainer

Row = dict[str, Any]
"""Column -> value."""
SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "paper_order": {"model": {"identities": "off"}},
    "paper_order_identities": {},
    "paper_order_bf16": {"training": {"precision": "bf16"}},
    "combined": {"training": {"optimizer_step": "combined"}},
    "combined_bf16": {"training": {"optimizer_step": "combined", "precision": "bf16"}},
}
"""Variant of our step -> settings that differ from the paper's sequence (one optimizer per loss) with identities."""

CUDA_SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "combined_bf16_channels_first": {
        "training": {"optimizer_step": "combined", "precision": "bf16", "channels_last": "never"}
    },
    "combined_bf16_compiled": {"training": {"optimizer_step": "combined", "precision": "bf16", "compile": "default"}},
    "paper_order_bf16_compiled": {"training": {"precision": "bf16", "compile": "default"}},
    "paper_order_bf16_graphs": {"training": {"precision": "bf16", "compile": "reduce-overhead"}},
}
"""Additional variants that are timed on a CUDA GPU."""


@dataclass(frozen=True)
class Variant:
    """A variant of the joint step."""

    step: Callable[[int], object]
    """Runs the step with a given number."""
    trainer: Trainer
    optimizers: Mapping[str, torch.optim.Optimizer]

    def held(self) -> Iterator[Tensor]:
        """Tensors in memory before a step: weights, buffers and optimizer states."""
        yield from self.trainer.networks.parameters()
        yield from self.trainer.networks.buffers()
        for optimizer in self.optimizers.values():
            for state in optimizer.state.values():
                yield from (value for value in state.values() if isinstance(value, Tensor))


def experiment(options: argparse.Namespace) -> Experiment:
    """The full method at the scale of the options, with the paper's sequence of updates."""
    base = make_experiment("mgm", options.preset)
    training = {"batch_size": options.batch, "device": "cpu" if options.count else options.device, "ema": 0.0}
    return replace(
        base,
        data=replace(base.data, image_size=options.size),
        model=replace(base.model, generator_width=options.width, discriminator_width=options.width),
        training=replace(base.training, optimizer_step="separate", channels_last="never", **training),
        method=replace(base.method, generator_updates=2),
    )


def changed(base: Experiment, changes: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """Copy of the settings with changed fields, by group."""
    return replace(base, **{group: replace(getattr(base, group), **fields) for group, fields in changes.items()})


def ours(settings: Experiment) -> Variant:
    """The joint step of our trainer."""
    trainer = synthetic_trainer(settings, fabric=launch(settings.training))
    return Variant(partial(trainer.train_step, trainer.stages[-1]), trainer, trainer.optimizers)


def reference(settings: Experiment, views: Views) -> Variant:
    """The joint step of the public code, see `reference_step`."""
    plain = changed(settings, {"model": {"identities": "off"}})
    trainer = synthetic_trainer(plain, fabric=launch(settings.training))
    step = ReferenceStep(trainer.networks, trainer.tasks, views)
    batch = trainer.loaders["labelled"](0, settings.training.batch_size)
    assert {name for names in TRAINS.values() for name in names} <= trainer.networks.keys()
    return Variant(lambda number: step(batch, number), trainer, step.optimizers)


def time_variants(base: Experiment, rounds: int) -> list[Row]:
    """One row per variant: median wall-clock and CPU seconds, and their ratios to the reference."""
    variants = {"reference": reference(base, host_views)}
    device = variants["reference"].trainer.fabric.device
    settings = SETTINGS | (CUDA_SETTINGS if device.type == "cuda" else {})
    variants |= {name: ours(changed(base, changes)) for name, changes in settings.items()}
    rows = time_in_turn({name: variant.step for name, variant in variants.items()}, device, rounds)
    if device.type == "cuda":
        for row in rows:
            torch.cuda.reset_peak_memory_stats()
            variants[row["variant"]].step(0)
            row["peak_bytes"] = torch.cuda.max_memory_allocated()  # includes the weights of all variants
    return rows


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 4096, rounds: int = 20) -> float:
    """FLOP per second of a product of large matrices, as an estimate of the device's peak."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    for _ in range(3):
        torch.mm(a, b)
    begin = clock(device)
    for _ in range(rounds):
        torch.mm(a, b)
    return 2 * size**3 * rounds / (clock(device) - begin)


def time_in_turn(runs: Mapping[str, Callable[[int], object]], device: torch.device, rounds: int) -> list[Row]:
    """Time variants alternately, so that other load on the machine affects all of them alike.

    Args:
        runs: Name -> function that runs the step with a given number; the first is the reference.
        device: Device that they run on.
        rounds: Number of measurements of each, after a warm-up; the order rotates by one from round to round.
    """
    names = list(runs)
    wall: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    for run in runs.values():
        for number in range(3 if device.type == "cuda" else 1):
            run(number)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun, begun_processor = clock(device), time.process_time()
            runs[name](number)
            wall[name].append(clock(device) - begun)
            processor[name].append(time.process_time() - begun_processor)

    def ratio(taken: dict[str, list[float]], name: str) -> float:
        # a coarse clock may measure 0
        return statistics.median(own / max(one, 1e-9) for own, one in zip(taken[name], taken[names[0]], strict=True))

    return [
        {
            "variant": name,
            "seconds": statistics.median(wall[name]),
            "ratio": ratio(wall, name),
            "cpu_seconds": statistics.median(processor[name]),
            "cpu_ratio": ratio(processor, name),
        }
        for name in names
    ]


def clock(device: torch.device) -> float:
    """Current time in seconds, after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def time_parts(base: Experiment, rounds: int) -> list[Row]:
    """One row per part of the step with the paper's sequence: median seconds and share."""
    variant = ours(base)
    device = variant.trainer.fabric.device
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, begun, ended in by_part(variant.trainer, number, lambda: clock(device)):
            taken.setdefault(name, [0.0] * (rounds + 1))[number] += ended - begun
    medians = {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}  # the first is the warm-up
    whole = sum(medians.values())
    return [{"part": name, "seconds": seconds, "share": seconds / whole} for name, seconds in medians.items()]


def by_part(trainer: Trainer, number: int, reading: Callable[[], float]) -> Iterator[tuple[str, float, float]]:
    """The parts of a step in order, each with the value of ``reading`` at its start and end."""
    marks: list[tuple[str, float]] = []

    def marked(update: Update) -> Update:
        def loss(step: Step, source: str) -> Tensor:
            marks.append((update.name, reading()))
            return update.loss(step, source)

        return replace(update, loss=loss)

    stage = trainer.stages[-1]
    trainer.train_step(replace(stage, updates=tuple(map(marked, stage.updates))), number)
    for (name, begun), (_, ended) in pairwise([*marks, ("", reading())]):
        yield name, begun, ended


class AnsweredReads(TorchDispatchMode):
    """Returns 1 whenever the host reads the value of a fake tensor, such as logged losses and Adam's step count."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Return 1 for a read, or run the operator."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0
        return func(*args, **(kwargs or {}))


@contextmanager
def without_values() -> Generator[None]:
    """Use tensors without values: nothing is computed, but the counts are the same."""
    with FakeTensorMode(allow_non_fake_inputs=True), AnsweredReads():
        yield


def count_variants(base: Experiment) -> list[Row]:
    """One row per variant: FLOP, launches, reads and memory, and their ratios to the reference."""
    builders: dict[str, Callable[[], Variant]] = {
        "reference": lambda: reference(base, lambda images, seed: (images, images))
    }
    for name, changes in SETTINGS.items():
        if "precision" not in changes.get("training", {}):  # counts do not depend on it
            identities = changes.get("model", {"identities": "on"})  # independent of the device's default
            builders[name] = partial(ours, changed(base, {**changes, "model": identities}))
    rows: list[Row] = []
    for name, build in builders.items():
        with without_values():
            variant = build()
            variant.step(0)  # creates the optimizer states
            counted = asdict(count(partial(variant.step, 1), variant.held()))
        first = rows[0] if rows else counted
        rows.append(
            {"variant": name, **counted} | {f"{key}_ratio": counted[key] / first[key] for key in counted if first[key]}
        )
    return rows


def count_parts(base: Experiment) -> list[Row]:
    """One row per part of the step with the paper's sequence and all identities: FLOP and peak memory of live tensors."""
    with without_values():
        variant = ours(changed(base, {"model": {"identities": "on"}}))
        variant.step(0)
        with flop_counter() as flop:
            arithmetic = list(by_part(variant.trainer, 1, flop.get_total_flops))
        with Tally(variant.held()) as tally:
            memory = list(by_part(variant.trainer, 1, tally.restart_peak))
    rows: dict[str, Row] = {}
    for (name, begun, ended), (_, _, peak) in zip(arithmetic, memory, strict=True):
        row = rows.setdefault(name, {"part": name, "flop": 0, "peak_bytes": 0})
        row["flop"] += int(ended - begun)
        row["peak_bytes"] = max(row["peak_bytes"], int(peak))
    return list(rows.values())


def table(rows: list[Row]) -> Table:
    """Table of the rows for the terminal."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column, value in rows[0].items():
        shown.add_column(column.replace("_", "\n"), justify="left" if isinstance(value, str) else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*(cell(column, value) for column, value in row.items()))
    return shown


def cell(column: str, value: Any) -> str:
    """Format a value with a suitable unit."""
    if column.endswith("ratio") or column == "share":
        return f"{value:.3f}"
    if column.endswith("seconds"):
        return f"{1e3 * value:,.1f} ms"
    if column == "flop":
        return f"{value / 1e9:,.2f} G"
    if column == "peak_bytes":
        return f"{value / 2**20:,.0f} MiB"
    return f"{value:,}" if isinstance(value, int) else str(value)


def device_name(device: torch.device) -> str:
    """Name of the GPU, or the type of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--count", action="store_true", help="count FLOP, launches and memory without computing anything"
    )
    parser.add_argument(
        "--preset", choices=list(PRESETS), default="paper", help="scale of encoder, decoders and refinement"
    )
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels: 32, 64, 128 or 256")
    parser.add_argument("--width", type=int, default=32, help="base number of channels of G and D (paper: 64)")
    parser.add_argument("--batch", type=int, default=16, help="images per step (paper: 32)")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements of each variant")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    base = experiment(options)
    if options.count:
        tables = {"variants": count_variants(base), "parts": count_parts(base)}
    else:
        tables = {"variants": time_variants(base, options.rounds), "parts": time_parts(base, options.rounds)}
    console = Console(width=max(120, Console().width))
    for rows in tables.values():
        console.print(table(rows))
    if options.json:
        device = single_device(options.device)
        dtypes = (torch.float32, torch.bfloat16) if device.type == "cuda" else ()
        about = {
            "device": device_name(device),
            "matrix_flop_per_s": {str(dtype): matrix_rate(device, dtype) for dtype in dtypes},
            "command": shlex.join(["python", *sys.argv]),
            "commit": current_commit(),
            "versions": versions(),
        }
        options.json.write_text(json.dumps({**about, "threads": torch.get_num_threads(), **tables}, indent=2) + "\n")


if __name__ == "__main__":
    main()
