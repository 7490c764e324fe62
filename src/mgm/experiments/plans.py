"""The plan of a study: which `mgm train` commands it takes, and which of them wait for others."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mgm.config import Experiment
from mgm.errors import ConfigError, choose, unknown
from mgm.experiments.studies import Need, Options, Row, Setting, Study, options
from mgm.method.recipes import make_experiment
from mgm.runs.checks import check_experiment
from mgm.runs.settings import GROUPS
from mgm.tasks import Definitions, task_kinds
from mgm.tasks.base import Task
from mgm.types import is_sequence

AUGMENTATION: dict[str, tuple[Setting, ...]] = {
    "preset": (Setting(""),),
    "on": (Setting("augmented", options(augment=True)),),
    "off": (Setting("not augmented", options(augment=False)),),
    "both": (Setting("not augmented", options(augment=False)), Setting("augmented", options(augment=True))),
}
"""Choice of ``--augment`` -> what every setting of a study is combined with."""


@dataclass(frozen=True)
class Trial:
    """One training run of a study."""

    name: str
    """Its folder: recipe, share of labels, seed, and a digest of all settings, so that equal trials are shared."""
    experiment: Experiment
    needs: tuple[tuple[Need, tuple[Trial, ...]], ...] = ()

    def resolved(self, folder: Callable[[Trial], Path]) -> Experiment:
        """The settings with what follows from the runs that it builds upon, which must be finished."""
        changes: dict[str, object] = {}
        for need, trials in self.needs:
            changes |= need.resolve([folder(trial) for trial in trials])
        return with_options(self.experiment, tuple(changes.items()))

    @property
    def required(self) -> tuple[Trial, ...]:
        """The trials that it builds directly upon."""
        return tuple(trial for _, trials in self.needs for trial in trials)


@dataclass(frozen=True)
class Cell:
    """Where a trial stands in the table."""

    setting: str
    row: Row
    seed: int
    trial: Trial


@dataclass(frozen=True)
class Plan:
    """A study for one data set, with all its trials."""

    name: str
    study: Study
    tasks: tuple[str, ...]
    rows: tuple[Row, ...]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    same_split: bool = False
    """Whether all seeds have the same split, instead of one each."""
    own_tasks: Definitions = field(default_factory=dict[str, Any])
    """Tasks that the data set defines (`DatasetInfo.own_tasks`)."""

    @cached_property
    def kinds(self) -> Mapping[str, type[Task]]:
        """What the tasks mean."""
        return task_kinds(self.own_tasks)

    @property
    def repetitions(self) -> str:
        """What the runs of a row differ in, in words."""
        split = ", all with the same split" if self.same_split else ", each with a split of its own"
        return f"{self.study.repeats} {', '.join(map(str, self.seeds))}{split if self.study.repeats == 'seeds' else ''}"

    @property
    def primary_setting(self) -> str:
        """The setting that the primary questions are about."""
        named = [setting for setting in self.settings if setting.partition(",")[0] == self.study.primary_setting]
        return (named or self.settings)[-1]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial once, those that others build upon before them."""
        found: dict[str, Trial] = {}

        def visit(trial: Trial) -> None:
            for needed in trial.required:
                visit(needed)
            found.setdefault(trial.name, trial)

        for cell in self.cells:
            visit(cell.trial)
        return tuple(found.values())


def make_plan(
    name: str,
    study: Study,
    base: Callable[[str], Experiment],
    *,
    data: str,
    offered: Sequence[str],
    seeds: Sequence[int],
    split_kinds: Sequence[str] = (),
    augment: str = "preset",
    only: Sequence[str] = (),
    same_split: bool = False,
    own_tasks: Definitions | None = None,
) -> Plan:
    """All trials of a study.

    Args:
        name: The study's name.
        study: What to plan.
        base: Recipe -> settings that the study starts from: preset and whatever the user overrides.
        data: Name of the kind of data set (`DatasetInfo.name`).
        offered: Tasks that the data offer (or that the user chose among them).
        seeds: Seeds of the runs, and of their splits.
        split_kinds: What splits the data offer (`DataSource.split_kinds`); empty: unknown.
        augment: Key of `AUGMENTATION`.
        only: Titles of the settings to carry out; empty: all.
        same_split: Give all seeds the split of ``base``.
        own_tasks: Tasks that the data set defines: part of every study but those that are about certain ones.

    Raises:
        ConfigError: If the data lack a task without which the study makes no sense, or settings contradict each other.
    """
    study = replace(study, settings=_chosen(study.settings, only))
    missing = [task for task in study.required if task not in offered]
    if missing:
        raise ConfigError(f"{name} ({study.title}) needs labels of {', '.join(missing)}, which {data} does not offer")
    own_tasks = own_tasks or {}
    wanted = [task for task in (study.tasks or offered) if task in offered]
    wanted += [task for task in offered if task in own_tasks and not study.required]
    tasks = tuple(dict.fromkeys(wanted))
    if not tasks:
        raise ConfigError(f"{name} is about {', '.join(study.tasks)}; {data} offers none of them")
    rows = study.rows_with_controls(tasks)
    settings = [
        (
            Setting(", ".join(filter(None, (setting.title, extra.title))), (*setting.options, *extra.options)),
            setting.title,
        )
        for setting in study.settings
        for extra in AUGMENTATION[augment]
    ]
    make = _Maker(study, base, data, tasks, same_split)
    cells = tuple(
        Cell(setting.title, row, seed, make.trial(row, setting, seed))
        for setting, plain_title in settings
        for row in rows
        if not row.settings or plain_title in row.settings
        for seed in seeds
    )
    splits = {cell.trial.experiment.data.split for cell in cells}
    for kind in sorted(splits.difference(split_kinds) if split_kinds else ()):
        raise ConfigError(f"{name} ({study.title}) on {data}: {unknown('split', kind, split_kinds)}")
    titles = tuple(setting.title for setting, _ in settings)
    return Plan(name, study, tasks, rows, titles, tuple(seeds), cells, same_split, own_tasks)


def _chosen(settings: tuple[Setting, ...], titles: Sequence[str]) -> tuple[Setting, ...]:
    """The settings of these titles, of which the per cent sign may be missing."""
    by_title = {setting.title.removesuffix(" %"): setting for setting in settings}
    if not titles:
        return settings
    return tuple(choose("setting", title.rstrip(" %"), by_title) for title in titles)


@dataclass(frozen=True)
class _Maker:
    """Makes the trials of a study."""

    study: Study
    base: Callable[[str], Experiment]
    data: str
    tasks: tuple[str, ...]
    same_split: bool

    def trial(self, row: Row, setting: Setting, seed: int) -> Trial:
        start = self.base(row.recipe)
        changes = {
            **dict(options(tasks=self.tasks, seed=seed + row.seed_shift)),
            **({} if self.same_split else {"split_seed": seed}),
            **dict(self.study.adapt(start, self.data)),
            **dict(setting.options),
            **dict(row.options),
        }
        source = changes.get("extra_images", start.method.extra_images)
        if source == "none":  # so that trials are shared between settings that mean the same to them
            changes.pop("extra_ratio", None)
        if source != "weak":
            changes.pop("weak_fraction", None)
        experiment = with_options(start, tuple(changes.items()))
        needs = tuple((need, tuple(self.trial(needed, setting, seed) for needed in need.rows)) for need in row.needs)
        if not needs:  # the others are checked when what they build upon is there
            check_experiment(experiment)
        return Trial(_name(experiment, needs), experiment, needs)


def _name(experiment: Experiment, needs: Iterable[tuple[Need, tuple[Trial, ...]]]) -> str:
    """Recipe, labels, seed and a digest of every setting; runs that are built upon count by their own names.

    Settings at their default do not count, so that a setting that is new leaves all names as they were.
    """
    upon = [trial.name for _, trials in needs for trial in trials]
    text = repr((experiment.recipe, sorted(changed_fields(experiment, Experiment()).items()), upon))
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{experiment.recipe}-{100 * experiment.data.fraction:g}pc-s{experiment.seed}-{digest}"


def with_options(experiment: Experiment, changes: Options) -> Experiment:
    """The experiment with fields changed, wherever they lie; field names are unique over all groups."""
    places = field_groups()
    grouped: dict[str, dict[str, object]] = {}
    for name, value in changes:
        grouped.setdefault(places[name], {})[name] = value
    top = grouped.pop("", {})
    parts = {group: replace(getattr(experiment, group), **fields) for group, fields in grouped.items()}
    return replace(experiment, **parts, **top)  # type: ignore[arg-type]


def field_groups() -> Mapping[str, str]:
    """Field -> group of `Experiment` that it lies in; empty for its own."""
    own = {field.name: "" for field in dataclasses.fields(Experiment) if field.name not in GROUPS}
    return own | {field.name: group for group, kind in GROUPS.items() for field in dataclasses.fields(kind)}


def changed_fields(experiment: Experiment, reference: Experiment) -> dict[str, object]:
    """Field -> value, for those in which an experiment differs from another; the recipe's name aside."""
    found: dict[str, object] = {}
    for name, group in field_groups().items():
        ours, theirs = (getattr(getattr(e, group) if group else e, name) for e in (experiment, reference))
        if ours != theirs and name != "recipe":
            found[name] = ours
    return found


def check_overrides(
    name: str,
    study: Study,
    start: Experiment,
    preset: str,
    *,
    data: str,
    augment: str = "preset",
    same_split: bool = False,
) -> None:
    """Raise `ConfigError` where a user has set what the study itself decides.

    Args:
        name: The study's name.
        study: What it varies.
        start: Settings of the recipe ``mgm`` that the study starts from.
        preset: Their preset.
        data: Name or path of the data set.
        augment: Key of `AUGMENTATION`.
        same_split: Whether all seeds have the same split.
    """
    chosen = set(changed_fields(start, make_experiment("mgm", preset, start.data.data))) - {"tasks"}
    decided = {"seed"} | {field for setting in study.settings for field, _ in setting.options}
    decided |= {field for field, _ in study.adapt(start, data)}
    if augment != "preset":
        decided.add("augment")
    if not same_split:
        decided.add("split_seed")
    remedies = {
        "seed": "use --seeds",
        "split_seed": "each seed has its own split, or with --same-split all have this one",
    }
    for setting in sorted(chosen & decided):
        remedy = remedies.get(setting, "leave it out")
        raise ConfigError(f"{name} decides on {setting} itself; {remedy}")


def train_arguments(experiment: Experiment, preset: str) -> list[str]:
    """The arguments of ``mgm train`` for exactly these settings."""
    start = make_experiment(experiment.recipe, preset, experiment.data.data)
    arguments = [experiment.recipe, "--preset", preset]
    if (data := experiment.data.data) != "rooms":
        arguments += ["--data", data]
    for name, value in changed_fields(experiment, start).items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{option[2:]}")
        elif is_sequence(value):
            arguments += [option, *map(str, value)]
        else:
            arguments += [option, str(value)]
    return arguments
