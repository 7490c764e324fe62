"""``mgm experiment``: the paper's tables and figures, one command each."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from mgm.cli.parsing import parse
from mgm.cli.train import parse_train, value_of
from mgm.config import Experiment
from mgm.errors import ConfigError, RunError, choose
from mgm.experiments.catalogue import BEYOND, STUDIES, find_study
from mgm.method.recipes import PRESETS

if TYPE_CHECKING:
    from mgm.experiments.plans import Plan
    from mgm.experiments.workers import Resources, Workers


@dataclass(frozen=True)
class ExperimentOptions:
    """Reproduce a table or figure of the paper on any data set, with several seeds and statistics.

    Every trial is an ordinary `mgm train` run in OUT/trials/NAME, shared between experiments: finished trials are skipped,
    interrupted ones continued, failed ones reported. Options of `mgm train` may follow after `--`.

    Example: mgm experiment table2 --data nyuv2 --preset quick --seeds 3 --out runs/nyuv2 -- --steps 600
    """

    name: tyro.conf.Positional[str] = "list"
    """Name of the experiment; `list` prints all names, `all` runs every experiment of the paper that the data allow."""
    data: str = "rooms"
    """Built-in name (`mgm data list`) or path of a data set."""
    preset: str = "quick"
    """Scale; `mgm --help` lists the presets."""
    seeds: int = 5
    """Number of seeds: every model is trained with seeds 0 to SEEDS - 1, each with its own split of the data."""
    same_split: bool = False
    """Use the same split (that of --split-seed) for all seeds."""
    settings: tuple[str, ...] = ()
    """Settings of the table to run, e.g. `25` or `100 25` (per cent of the labels); empty: all."""
    out: Path = Path("runs/experiments")
    """Folder for trials, tables and figures."""
    augment: Literal["preset", "on", "off", "both"] = "preset"
    """Augmentation of labelled images: as in the preset, on, off, or both (the whole table with and without)."""
    workers: int = 0
    """Number of concurrent trials on this machine; 0: as many as its GPUs or cores allow."""
    in_process: bool = False
    """Run one trial after another in this process, for debugging."""
    ray: str = ""
    """Run on a Ray cluster: its address, `auto` (a running cluster, else a local one), or `local`; --ray alone: auto."""
    cpus_per_trial: float = 1.0
    """CPU cores per trial."""
    gpus_per_trial: float | None = None
    """GPUs per trial; a fraction lets trials share one. Default: 1 if there are any."""
    processes: int = 1
    """Processes per trial, started by torchrun (one per GPU, for example)."""
    retries: int = 1
    """How often to continue a killed trial before it counts as failed."""
    dry_run: bool = False
    """Print the commands of all trials and stop."""
    plan: bool = False
    """From the finished trials (pilot runs), print which differences SEEDS could detect and how long the rest would take; stop."""


def experiment(arguments: list[str]) -> None:
    """``mgm experiment``."""
    own, overrides = _split(arguments)
    options = parse(ExperimentOptions, "experiment", own)
    for option in ("--preset", "--data"):
        if value_of(option, overrides):
            raise ConfigError(f"{option} is an option of mgm experiment itself; move it in front of --")
    if options.name == "list":
        _print_list()
        return
    _check(options)
    papers = [name for name, study in STUDIES.items() if study.paper != BEYOND]
    names = papers if options.name == "all" else [find_study(options.name)[0]]
    plans = [plan for name in names if (plan := _plan(name, options, overrides, skip=options.name == "all"))]
    if options.dry_run:
        _print_commands(plans, options)
        return
    if options.plan:
        for plan in plans:
            _print_plan(plan, options)
        return
    if not (options.ray or options.in_process):
        _local(options)  # raises what would end the experiment in its middle
    failed = [name for plan in plans for name in carry_out(plan, options)]
    if failed:
        raise RunError(
            f"{len(failed)} trials did not finish (above, and experiment.json): {', '.join(failed[:3])}"
            f"{', ...' if len(failed) > 3 else ''}; the same command tries them again"
        )


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options of this verb, and those of `mgm train` after ``--``; ``--ray`` without a value becomes ``--ray auto``."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    own = list(arguments[:place])
    if "--ray" in own:
        number = own.index("--ray")
        if number + 1 == len(own) or own[number + 1].startswith("-"):
            own.insert(number + 1, "auto")
    return own, arguments[place + 1 :]


def _check(options: ExperimentOptions) -> None:
    choose("preset", options.preset, PRESETS)
    for name in ("seeds", "processes"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} is {getattr(options, name)}; it must be at least 1")
    for name in ("workers", "retries", "gpus_per_trial"):
        if (getattr(options, name) or 0) < 0:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must not be negative")
    if options.cpus_per_trial <= 0:
        raise ConfigError(f"--cpus-per-trial is {options.cpus_per_trial}; it must be positive")
    if options.in_process and (options.ray or options.workers or options.processes > 1):
        raise ConfigError("--in-process excludes --ray, --workers and --processes")
    if options.ray and options.workers:
        raise ConfigError(
            "--ray and --workers exclude each other: on a cluster --cpus-per-trial and --gpus-per-trial decide"
        )


def _print_list() -> None:
    width = max(map(len, STUDIES))
    for name, study in STUDIES.items():
        print(f"{name:<{width}}  {study.paper:<13}  {study.title}")
    print("\nmgm experiment NAME --data DATA --preset quick --seeds 5 runs one, mgm experiment all runs all")


def _plan(name: str, options: ExperimentOptions, overrides: list[str], *, skip: bool) -> Plan | None:
    from mgm.data import open_source
    from mgm.experiments.plans import check_overrides, make_plan

    study = STUDIES[name]
    start = _base("mgm", options, overrides)
    augment, same_split = options.augment, options.same_split
    check_overrides(name, study, start, options.preset, data=options.data, augment=augment, same_split=same_split)
    source = open_source(start.data.data, start.data.num_images)
    info = source.info
    try:
        return make_plan(
            name,
            study,
            lambda recipe: _base(recipe, options, overrides),
            data=info.name,
            offered=[task for task in info.tasks if not start.data.tasks or task in start.data.tasks],
            own_tasks=info.own_tasks,
            split_kinds=source.split_kinds,
            seeds=range(options.seeds),
            augment=augment,
            only=options.settings,
            same_split=same_split,
        )
    except ConfigError as error:
        if not skip:
            raise
        print(f"left out: {error}", file=sys.stderr)
        return None


def _base(recipe: str, options: ExperimentOptions, overrides: list[str]) -> Experiment:
    """Settings of a recipe with the user's overrides, for all tasks: the study chooses among them, not the preset."""
    return parse_train([recipe, "--tasks", "--preset", options.preset, "--data", options.data, *overrides]).experiment


def _print_commands(plans: list[Plan], options: ExperimentOptions) -> None:
    from mgm.experiments.plans import train_arguments
    from mgm.experiments.study_files import Place

    place = Place(options.out)
    shown = set[str]()
    for plan in plans:
        for trial in plan.trials:
            if trial.name not in shown:
                shown.add(trial.name)
                words = ["mgm", "train", *train_arguments(trial.experiment, options.preset), "--no-baseline"]
                waits = "".join(f"  # and what follows from {needed.name}" for needed in trial.required)
                print(shlex.join([*words, "--out", str(place.trial(trial).path)]) + waits)


def _print_plan(plan: Plan, options: ExperimentOptions) -> None:
    from mgm.experiments.planning import planned
    from mgm.experiments.study_files import Place

    workers = None if options.ray else 1 if options.in_process else _local(options)[0]
    start = plan.cells[0].trial.experiment
    print(planned(plan, Place(options.out), _data_name(start), workers))


def _data_name(experiment: Experiment) -> str:
    from mgm.data import open_source

    return open_source(experiment.data.data, experiment.data.num_images).info.name


def carry_out(plan: Plan, options: ExperimentOptions) -> dict[str, str]:
    """Run a study and print its table. Returns failed trial -> error."""
    from rich.console import Console
    from rich.markdown import Markdown

    from mgm.experiments.execution import carry_out_study
    from mgm.experiments.study_files import Place, as_json, markdown
    from mgm.report.experiment_figures import draw

    place = Place(options.out)
    start = plan.cells[0].trial.experiment
    table, errors = carry_out_study(
        plan,
        place,
        lambda: _workers(options),
        data=_data_name(start),
        preset=options.preset,
        processes=options.processes,
        retries=options.retries,
        draw=lambda table: draw(table, place.trial, place.study(plan.name) / "figure"),
    )
    described = as_json(table)
    if sys.stdout.isatty():
        Console().print(Markdown(markdown(table)))  # in as many columns as the terminal has
    else:
        print(markdown(table))
    for line in (*described["sentences"], *described["notes"]):
        print(f"- {line}")
    print(f"table, figure and trials: {place.study(plan.name)}")
    return errors


def _workers(options: ExperimentOptions) -> Workers:
    from mgm.api import train_and_draw
    from mgm.experiments.workers import InThisProcess, LocalPool, RayCluster

    if options.in_process:
        return InThisProcess(train_and_draw)
    if options.ray:
        return RayCluster(options.ray, options.cpus_per_trial, options.gpus_per_trial, options.retries)
    return LocalPool(*_local(options))


def _local(options: ExperimentOptions) -> tuple[int, Resources, int]:
    """The arguments of `LocalPool`: number of concurrent trials, resources of each, and number of GPUs."""
    import torch

    from mgm.experiments.workers import Resources, local_count

    gpus = torch.cuda.device_count()
    wanted = float(gpus > 0) if options.gpus_per_trial is None else options.gpus_per_trial
    if wanted > gpus:
        raise ConfigError(f"--gpus-per-trial is {wanted:g}, but this machine has {gpus} GPUs; lower it")
    resources = Resources(options.cpus_per_trial, wanted)
    return local_count(options.workers, resources, gpus), resources, gpus
