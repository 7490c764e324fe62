"""What ``mgm bench`` can measure: a table per subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from mgm.bench.counting import count, cuda_launches, flop_counter
from mgm.bench.host_views import host_views
from mgm.bench.layers import layer_rows
from mgm.bench.profiling import profiled
from mgm.bench.rates import rate_rows
from mgm.bench.setting import BenchSetting
from mgm.bench.timing import clock, interleaved, seconds_of
from mgm.bench.variants import COUNTED, VARIANTS, Runner
from mgm.bench.workbench import Workbench
from mgm.errors import choose
from mgm.method.selfsup.views import TwoViews
from mgm.method.step import Step
from mgm.training.evaluate import evaluate_model
from mgm.training.trainer import Trainer
from mgm.training.updates import Update

Row = dict[str, Any]
"""Column -> value."""

WARM_UP = {"cuda": 3}
"""Type of device -> steps of each variant before the first that counts: networks compile, CUDA graphs are recorded."""

Told = Callable[[str], None]
"""Hears what is being measured."""


@dataclass(frozen=True)
class Section:
    """A table."""

    title: str
    rows: list[Row]
    note: str = ""


def work(setting: BenchSetting, told: Told) -> Section:
    """Arithmetic, launches and memory of a joint step in each order, counted without computing anything."""
    rows: list[Row] = []
    for name, variant in COUNTED.items():
        told(f"counting {name}")
        bench = Workbench(setting, fake=True)
        with bench.active():
            runner = variant.runner(bench)
            runner.step(0)  # in which optimisers make their states
            counted = asdict(count(partial(runner.step, 1), runner.held()))
        first = rows[0] if rows else counted
        ratios = {f"{key}_ratio": counted[key] / first[key] for key in ("flop", "launches", "peak_bytes")}
        rows.append({"variant": name, **counted, **ratios})
    note = "counted on tensors without values. Launches: operators of torch that compute; peak bytes: living tensors"
    return Section("work of a joint step", rows, f"{note}. {legend(COUNTED)}")


def step(setting: BenchSetting, told: Told) -> Section:
    """Time of a joint step in each order."""
    bench = Workbench(setting)
    device = bench.device
    runners = {name: v.runner(bench) for name, v in VARIANTS.items() if device.type in v.devices}
    warm_up = WARM_UP.get(device.type, 1)
    timings = interleaved(
        {n: Numbered(r) for n, r in runners.items()}, device, setting.rounds, warm_up=warm_up, told=told
    )
    rows: list[Row] = []
    for name, timing in timings.items():
        row: Row = {"variant": name, **asdict(timing)}
        if device.type == "cuda":
            row |= _on_cuda(runners[name])
        rows.append(row)
    note = "medians; ratio and spread: of a step to the reference's in the same round"
    return Section("time of a joint step", rows, f"{note}. {legend(runners)}")


def legend(names: Iterable[str]) -> str:
    """What the variants are."""
    return "; ".join(f"{name}: {VARIANTS[name].description}" for name in names)


class Numbered:
    """Calls a runner with 0, 1, 2, ..."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._next = 0

    def __call__(self) -> object:
        """The next step."""
        self._next += 1
        return self._runner.step(self._next - 1)


def _on_cuda(runner: Runner) -> Row:
    torch.cuda.reset_peak_memory_stats()
    runner.step(0)
    return {
        "launches": cuda_launches(partial(runner.step, 1)),
        "peak_bytes": torch.cuda.max_memory_allocated(),  # of all variants' weights, and this one's step
    }


def operators(setting: BenchSetting, told: Told) -> Section:
    """Where the time of a joint step goes, in each order."""
    bench = Workbench(setting)
    rows: list[Row] = []
    for name, variant in VARIANTS.items():
        if bench.device.type not in variant.devices:
            continue
        told(f"profiling {name}")
        runner = Numbered(variant.runner(bench))
        runner()  # the first makes the optimisers' states
        taken = [profiled(runner, bench.device) for _ in range(setting.rounds)]
        medians = {group: float(np.median([one[group] for one in taken])) for group in taken[0]}
        rows.append({"variant": name, **{f"{group}_seconds": seconds for group, seconds in medians.items()}})
    return Section("operators of a joint step", rows, "medians of the time in operators of a kind, by torch.profiler")


def parts(setting: BenchSetting, told: Told) -> Section:
    """Time of each update of a joint step, in the paper's order and at its settings."""
    bench = Workbench(setting)
    trainer = bench.trainer(bench.experiment, "joint")
    seconds: dict[str, list[float]] = {}
    for number in range(setting.rounds + 1):
        told(f"step {number + 1} of {setting.rounds + 1}")
        for name, taken in _by_part(trainer, number, lambda: clock(bench.device)).items():
            seconds.setdefault(name, []).append(taken)
    medians = {name: float(np.median(taken[1:])) for name, taken in seconds.items()}  # the first is the warm-up
    whole = sum(medians.values())
    rows = [{"part": name, "seconds": taken, "share": taken / whole} for name, taken in medians.items()]
    return Section(
        "parts of a joint step", rows, "an update with all that is computed for it first, optimiser included"
    )


def work_of_parts(setting: BenchSetting, told: Told) -> Section:
    """Arithmetic of each update of a joint step in the paper's order, as it stands and by the exact identities."""
    flop: dict[str, dict[str, float]] = {}
    for choice in ("off", "on"):
        told(f"counting, identities {choice}")
        bench = Workbench(setting, fake=True)
        experiment = replace(bench.experiment, model=replace(bench.experiment.model, identities=choice))
        with bench.active():
            trainer = bench.trainer(experiment, "joint")
            with flop_counter() as counter:
                flop[choice] = _by_part(trainer, 0, counter.get_total_flops)
    rows: list[Row] = [
        {"part": name, "flop": int(counted), "flop_with_identities": int(flop["on"][name])}
        for name, counted in flop["off"].items()
    ]
    rows.append({"part": "sum", **{key: sum(row[key] for row in rows) for key in ("flop", "flop_with_identities")}})
    return Section("arithmetic of the parts of a joint step", rows, "an update with all that is computed for it first")


def _by_part(trainer: Trainer, number: int, reading: Callable[[], float]) -> dict[str, float]:
    """How far a reading moves from the beginning of one loss to that of the next; before the first are data and augmentation."""
    marks: list[tuple[str, float]] = [("data and augmentation", reading())]

    def marked(update: Update) -> Update:
        def loss(step: Step) -> torch.Tensor:
            marks.append((update.name, reading()))
            return update.loss(step)

        return replace(update, loss=loss)

    stage = trainer.stages[trainer.position.stage]
    trainer.train_step(replace(stage, updates=tuple(marked(update) for update in stage.updates)), number)
    marks.append(("", reading()))
    moved: dict[str, float] = {}
    for (name, begun), (_, ended) in pairwise(marks):
        moved[name] = moved.get(name, 0.0) + ended - begun
    return moved


def stages(setting: BenchSetting, told: Told) -> Section:
    """Time of a step of the stages before joint training: the tasks alone, and the generator alone."""
    bench = Workbench(setting)
    runs = {}
    for name in ("multi_task", "generator"):
        trainer = bench.trainer(bench.experiment, name)
        stage = trainer.stages[trainer.position.stage]
        runs[name] = Numbered(Runner(partial(trainer.train_step, stage), tuple))
    timings = interleaved(runs, bench.device, setting.rounds, told=told)
    return Section("steps of the other stages", [{"stage": n, "seconds": t.seconds} for n, t in timings.items()])


def augmentation(setting: BenchSetting, told: Told) -> Section:
    """Time of reading and changing one batch, and of its two views."""
    bench = Workbench(setting)
    device, count_images = bench.device, setting.batch
    plain = replace(bench.experiment, data=replace(bench.experiment.data, augment=False))
    augmented = replace(bench.experiment, data=replace(bench.experiment.data, augment=True))
    reading, changing = (bench.feeds(experiment)["labelled"] for experiment in (plain, augmented))
    images, views = reading(0, count_images).images, TwoViews(setting.size)
    timings = interleaved(
        {
            "views on the host, image by image (reference)": lambda: host_views(images, 0),
            "views of the batch on the device": lambda: views(images, 0),
            "batch from resident data": lambda: reading(1, count_images),
            "the same with paired augmentation": lambda: changing(1, count_images),
        },
        device,
        5 * setting.rounds,
        told=told,
    )
    return Section("data and augmentation", [{"what": name, "seconds": t.seconds} for name, t in timings.items()])


def prediction(setting: BenchSetting, told: Told) -> Section:
    """Time per image of evaluating and of predicting."""
    bench = Workbench(setting)
    model = bench.trainer(bench.experiment, "multi_task").networks.model.eval()
    images = next(bench.data.batches(bench.data.splits.train, setting.batch)).images
    rows: list[Row] = []
    with torch.no_grad():
        for size in sorted({1, len(images)}):
            told(f"predicting {size} at a time")
            model(images[:size])
            times = [seconds_of(partial(model, images[:size]), bench.device) for _ in range(5 * setting.rounds)]
            rows.append({"what": f"prediction, batches of {size}", "seconds_per_image": float(np.median(times)) / size})
    validation = bench.data.splits.validation
    told(f"evaluating {len(validation)} images")
    scored = partial(evaluate_model, model, tasks=bench.tasks)
    times = [
        seconds_of(lambda: scored(batches=bench.data.batches(validation, setting.batch)), bench.device)
        for _ in range(setting.rounds)
    ]
    rows.append(
        {"what": "evaluation, metrics included", "seconds_per_image": float(np.median(times)) / len(validation)}
    )
    return Section("prediction and evaluation", rows)


def identities(setting: BenchSetting, told: Told) -> Section:
    """Time of each resampling layer of SAGAN in both forms, forward and backward."""
    bench = Workbench(setting)
    trainer = bench.trainer(bench.experiment, "generator")
    rows = layer_rows(trainer.networks, bench.batch(setting.batch), bench.device, 3 * setting.rounds, told)
    return Section("layers of G and D by identities", rows, "ratio below 1: the identity is faster")


def rates(setting: BenchSetting, told: Told) -> Section:
    """How much of the machine's arithmetic G and D get out of it."""
    bench = Workbench(setting)
    trainer = bench.trainer(bench.experiment, "generator")
    rows = rate_rows(trainer.networks, bench.batch(setting.batch), bench.device, 3 * setting.rounds, told)
    return Section("arithmetic per second", rows, "forward and backward; share: of a large matrix product's rate")


SECTIONS: dict[str, Callable[[BenchSetting, Told], Section]] = {
    "work": work,
    "work_of_parts": work_of_parts,
    "step": step,
    "parts": parts,
    "operators": operators,
    "stages": stages,
    "augmentation": augmentation,
    "prediction": prediction,
    "identities": identities,
    "rates": rates,
}
"""Name -> what it measures."""


def measure(setting: BenchSetting, names: tuple[str, ...], told: Told) -> dict[str, Section]:
    """Measure some sections; all of them if none is named.

    Raises:
        ConfigError: If a name is unknown, or the setting or the device cannot be.
    """
    chosen = {name: choose("measurement", name, SECTIONS) for name in names or SECTIONS}
    setting.experiment()  # so that a wrong setting shows before anything is measured
    return {name: section(setting, told) for name, section in chosen.items()}
