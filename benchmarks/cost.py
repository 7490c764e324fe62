"""Time, FLOP and memory of a joint step against batch size, resolution, width and number of tasks; and a plan for large data.

    python benchmarks/cost.py --json results/cost.json --processes results/processes.json --figure docs/pictures/cost.png

Times are CPU seconds of one thread, which other load disturbs less than wall-clock time. Memory is that of the tensors saved for
the backward pass (`SavedTensors`), which is the same on every device. The plan extrapolates from FLOP counts; it is not measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from counting import SavedTensors, flop_counter
from mgm.config import Experiment
from mgm.data.conversion import num_bytes, sample_layouts
from mgm.method.recipes import make_experiment
from mgm.training.gradients import parameters_of
from mgm.types import DatasetInfo
from synthetic import synthetic_trainer

ALL_TASKS = ("semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature")
AXES: dict[str, tuple[float, ...]] = {
    "batch": (4, 8, 16), "image_size": (32, 64, 128), "width": (0.5, 1, 2), "tasks": (1, 3, 6)
}  # fmt: skip
BASE = {"batch": 8, "image_size": 64, "width": 1, "tasks": 3}

TASKONOMY_IMAGES = 358_426
TRAINING_SHARE = 0.8
EPOCHS = {"multi_task": 10, "generator": 10, "joint": 10}
"""Assumed epochs of each stage in the plan; the paper does not state them."""
CARD_FLOPS = 989e12
"""Dense bf16 FLOP per second according to the data sheet of an H100 or H200."""
UTILISATION = 0.3
"""Assumed share of it that convolutions reach; not measured."""
NODE_GPUS = 8
LINKS = {"node": (300e9, 30e-6), "network": (25e9, 60e-6)}
"""Assumed bytes per second per GPU, and latency of a collective operation in seconds, within a node and between nodes
(200 Gbit/s per GPU)."""


def settings(batch: float, image_size: float, width: float, **training: Any) -> Experiment:
    """MGM at the scale of the preset ``small``, scaled in width, with the paper's sequential updates."""
    base = make_experiment("mgm", "small")
    widths = tuple(int(size * width) for size in base.model.widths)
    channels = int(base.model.generator_width * width)
    model = replace(base.model, widths=widths, generator_width=channels, discriminator_width=channels)
    chosen = {"batch_size": int(batch), "optimizer_step": "separate", "ema": 0.0, **training}
    return replace(
        base,
        data=replace(base.data, image_size=int(image_size)),
        model=model,
        training=replace(base.training, **chosen),
    )


def cost(experiment: Experiment, tasks: int, *, stage: int = -1, steps: int = 2) -> dict[str, float]:
    """CPU seconds (minimum over ``steps``; 0: not timed), FLOP and saved bytes of one step of a stage."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = synthetic_trainer(experiment, Path(folder), tasks=ALL_TASKS[:tasks])
        chosen = trainer.stages[stage]
        trainer.enter_stage(trainer.stages.index(chosen))
        with flop_counter() as flops:
            trainer.train_step(chosen, 0)
        # a separate step, since the FLOP counter keeps graphs alive
        with SavedTensors() as saved:
            trainer.train_step(chosen, 0)
        seconds: list[float] = []
        for index in range(1, steps + 1):
            start = time.process_time()
            trainer.train_step(chosen, index)
            seconds.append(time.process_time() - start)
        sizes = {
            update.name: 4 * sum(p.numel() for p in parameters_of(trainer.networks, update.trains))
            for update in chosen.updates
        }
        held = 4 * sum(p.numel() for p in trainer.networks.parameters())
        moments = sum(
            8 * sum(p.numel() for group in optimizer.param_groups for p in group["params"])
            for optimizer in trainer.optimizers.values()
        )
    return {
        "seconds": min(seconds, default=0.0),
        "flop": float(flops.get_total_flops()),
        "saved_bytes": saved.peak_bytes,
        "gradient_bytes": sum(sizes[update.name] for update in chosen.updates),
        "weight_bytes": held,
        "optimizer_bytes": moments,
    }


def measure_axes() -> dict[str, dict[str, dict[str, float]]]:
    """Axis -> value -> cost, with all other axes at `BASE`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    known: dict[tuple[float, ...], dict[str, float]] = {}
    for axis, values in AXES.items():
        for value in values:
            point = {**BASE, axis: value}
            key = tuple(point.values())
            if key not in known:
                known[key] = cost(settings(point["batch"], point["image_size"], point["width"]), int(point["tasks"]))
            found.setdefault(axis, {})[str(value)] = known[key]
            print(f"{axis} {value}: {known[key]['seconds']:.2f} s, {known[key]['flop'] / 1e9:.0f} GFLOP, "
                  f"{known[key]['saved_bytes'] / 2**20:.0f} MiB", flush=True)  # fmt: skip
    return found


def measure_savings() -> dict[str, dict[str, float]]:
    """Memory saved by gradient accumulation and activation checkpointing at 256 px, and their cost in time."""
    ways: dict[str, dict[str, Any]] = {
        "plain": {}, "accumulate 2": {"accumulate": 2}, "checkpoint_activations": {"checkpoint_activations": True}
    }  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for name, training in ways.items():
        found[name] = cost(settings(2, 256, 0.5, **training), 3)
        print(f"256 px, batch 2, {name}: {found[name]['saved_bytes'] / 2**20:.0f} MiB, {found[name]['seconds']:.2f} s")
    return found


def full_size() -> dict[str, dict[str, float]]:
    """Costs per image and per step of the paper's networks at 128 px with six tasks, from batch sizes 1 and 2."""
    base = make_experiment("mgm", "paper")
    found: dict[str, dict[str, float]] = {}
    for stage in ("multi_task", "generator", "joint"):
        points: list[dict[str, float]] = []
        for batch in (1, 2):
            training = replace(base.training, batch_size=batch, generator_batch_size=batch)
            number = ("multi_task", "generator", "joint").index(stage)
            points.append(cost(replace(base, training=training), len(ALL_TASKS), stage=number, steps=0))
        small, large = points
        found[stage] = {
            "flop_per_image": large["flop"] - small["flop"],
            "saved_bytes_per_image": large["saved_bytes"] - small["saved_bytes"],
            "saved_bytes_per_step": 2 * small["saved_bytes"] - large["saved_bytes"],
            **{name: small[name] for name in ("gradient_bytes", "weight_bytes", "optimizer_bytes")},
        }
        print(f"paper's size, {stage}: {found[stage]['flop_per_image'] / 1e9:.0f} GFLOP and "
              f"{found[stage]['saved_bytes_per_image'] / 2**20:.0f} MiB per image", flush=True)  # fmt: skip
    return found


def disk_bytes() -> int:
    """Size in bytes of a store of Tiny-Taskonomy at 128 px with six tasks."""
    info = DatasetInfo("taskonomy", ALL_TASKS, tuple(map(str, range(40))), tuple(map(str, range(35))))
    return num_bytes(sample_layouts(info, 128, TASKONOMY_IMAGES))


def plan(full: dict[str, dict[str, float]], gpus: int, exchanges: int, batch: int = 32) -> dict[str, float]:
    """Time, memory and traffic for full Tiny-Taskonomy with ``batch`` images per GPU, from counts and assumptions."""
    images = TASKONOMY_IMAGES * TRAINING_SHARE
    bandwidth, latency = LINKS["node" if gpus <= NODE_GPUS else "network"]
    compute = traffic = 0.0
    for stage, epochs in EPOCHS.items():
        steps = epochs * images / (batch * gpus)
        compute += steps * batch * full[stage]["flop_per_image"] / (CARD_FLOPS * UTILISATION)
        if gpus > 1:
            sent = 2 * (gpus - 1) / gpus * full[stage]["gradient_bytes"]
            traffic += steps * (sent / bandwidth + (exchanges if stage == "joint" else exchanges / 3) * latency)
    joint = full["joint"]
    # the peak is at the generator's weights in small batches, and at the task activations in large ones
    memory = max(stage["saved_bytes_per_step"] + batch * stage["saved_bytes_per_image"] for stage in full.values())
    return {
        "gpus": gpus,
        "global_batch": batch * gpus,
        "compute_hours": compute / 3600,
        "exchange_hours": traffic / 3600,
        "memory_gib": (memory + 2 * joint["weight_bytes"] + joint["optimizer_bytes"]) / 2**30,
        "read_mb_per_s": disk_bytes() / TASKONOMY_IMAGES * sum(EPOCHS.values()) * images / (compute + traffic) / 1e6,
    }


def by_processes(path: Path) -> dict[str, dict[str, float]]:
    """Number of processes -> wall-clock seconds of a step, from the results of `benchmarks/processes.py`."""
    rounds = json.loads(path.read_text())["rounds"]
    return {world: {"seconds": min(one["wall_s"] for one in rounds[world])} for world in rounds if world.isdigit()}


def draw(axes: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Time and memory against each axis, on double logarithmic scales."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.5 * len(axes), 2.8), layout="constrained")
    titles = {"batch": "images per step", "image_size": "side [px]", "width": "width", "tasks": "tasks"}
    for axes_of, (axis, points) in zip(figure.subplots(1, len(axes)), axes.items(), strict=True):
        values = [float(value) for value in points]
        base = points[str(BASE[axis]) if axis in BASE else next(iter(points))]
        for name, label in (("seconds", "time"), ("flop", "arithmetic"), ("saved_bytes", "memory")):
            if name in base:
                axes_of.plot(values, [point[name] / base[name] for point in points.values()], "o-", label=label)
        axes_of.set(xscale="log", yscale="log", xlabel=titles.get(axis, axis))
        axes_of.set_xticks(values, [f"{value:g}" for value in values])
        axes_of.minorticks_off()
        axes_of.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    figure.axes[0].set_ylabel(f"relative to {BASE['batch']} images of {BASE['image_size']} px")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, draw, plan."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--figure", type=Path, help="file for the figure")
    parser.add_argument(
        "--exchanges", type=int, default=627, help="collective operations per joint step (benchmarks/processes.py)"
    )
    parser.add_argument("--processes", type=Path, help="JSON of benchmarks/processes.py, for a further panel")
    options = parser.parse_args()
    torch.set_num_threads(1)
    savings, axes, full = measure_savings(), measure_axes(), full_size()
    plans = [plan(full, gpus, options.exchanges) for gpus in (1, 8, 64)]
    for planned in plans:
        print(", ".join(f"{name} {value:.1f}" for name, value in planned.items()))
    print(f"disk: {disk_bytes() / 1e9:.0f} GB")
    if options.figure:
        draw(axes | ({"processes": by_processes(options.processes)} if options.processes else {}), options.figure)
    if options.json:
        result = {"base": BASE, "axes": axes, "savings_at_256_px": savings, "paper_size": full, "disk_bytes": disk_bytes(),
                  "plan": plans, "torch": torch.__version__}  # fmt: skip
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
