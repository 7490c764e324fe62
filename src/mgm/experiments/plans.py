"""The plan of a study: its training runs and their dependencies."""

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
"""Value of ``--augment`` -> variants of every setting of a study."""


@dataclass(frozen=True)
class Trial:
    """One training run of a study."""

    name: str
    """Folder name: recipe, share of labels, seed, and a hash of all settings, so that studies share equal trials."""
    experiment: Experiment
    needs: tuple[tuple[Need, tuple[Trial, ...]], ...] = ()

    def resolved(self, folder: Callable[[Trial], Path]) -> Experiment:
        """The settings, completed by those that follow from the runs it depends on, which must be finished."""
        changes: dict[str, object] = {}
        for need, trials in self.needs:
            changes |= need.resolve([folder(trial) for trial in trials])
        return with_options(self.experiment, tuple(changes.items()))

    @property
    def required(self) -> tuple[Trial, ...]:
        """The trials that it directly depends on."""
        return tuple(trial for _, trials in self.needs for trial in trials)


@dataclass(frozen=True)
class Cell:
    """The position of a trial in the table."""

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
    """Whether all seeds share one split; otherwise each has its own."""
    own_tasks: Definitions = field(default_factory=dict[str, Any])
    """Tasks that the data set defines (`DatasetInfo.own_tasks`)."""

    @cached_property
    def kinds(self) -> Mapping[str, type[Task]]:
        """Task -> class."""
        return task_kinds(self.own_tasks)

    @property
    def repetitions(self) -> str:
        """What the runs of a row differ in, in words."""
        split = ", all with the same split" if self.same_split else ", each with its own split"
        return f"{self.study.repeats} {', '.join(map(str, self.seeds))}{split if self.study.repeats == 'seeds' else ''}"

    @property
    def primary_setting(self) -> str:
        """The setting of the primary questions."""
        named = [setting for setting in self.settings if setting.partition(",")[0] == self.study.primary_setting]
        labels = {cell.setting: cell.trial.experiment.data.fraction for cell in self.cells}
        return min(reversed(named or self.settings), key=labels.__getitem__)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial once, in an order in which prerequisites come first."""
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
    """Plan all trials of a study.

    Args:
        name: The study's name.
        study: The study.
        base: Recipe -> settings to start from: the preset with the user's overrides.
        data: `DatasetInfo.name`.
        offered: Tasks of the data set, or those of them that the user selected.
        seeds: Seeds of the runs and of their splits.
        split_kinds: Splits that the data set offers (`DataSource.split_kinds`); empty: unknown.
        augment: Key of `AUGMENTATION`.
        only: Titles of the settings to run, in any order; empty: all.
        same_split: Use the split of ``base`` for all seeds.
        own_tasks: Custom tasks of the data set; they are part of every study that does not require certain tasks.

    Raises:
        ConfigError: If the data set lacks a required task, or settings contradict each other.
    """
    study = replace(study, settings=_chosen(study.settings, only))
    missing = [task for task in study.required if task not in offered]
    if missing:
        raise ConfigError(f"{name} ({study.title}) needs labels for {', '.join(missing)}, which {data} does not offer")
    own_tasks = own_tasks or {}
    wanted = [task for task in (study.tasks or offered) if task in offered]
    wanted += [task for task in offered if task in own_tasks and not study.required]
    tasks = tuple(dict.fromkeys(wanted))
    if not tasks:
        raise ConfigError(f"{name} is about {', '.join(study.tasks)}; {data} offers none of them")
    rows = study.rows_with_controls(tasks)
    settings = [
        (Setting(", ".join(filter(None, (one.title, extra.title))), (*one.options, *extra.options)), one.title)
        for one in study.settings
        for extra in AUGMENTATION[augment]
    ]

    def make_trial(row: Row, setting: Setting, seed: int) -> Trial:
        start = base(row.recipe)
        changes = {
            **dict(options(tasks=tasks, seed=seed + row.seed_shift)),
            **({} if same_split else {"split_seed": seed}),
            **dict(study.adapt(start, data)),
            **dict(setting.options),
            **dict(row.options),
        }
        source = changes.get("extra_images", start.method.extra_images)
        if source == "none":  # these options have no effect then; without them, settings share the trial
            changes.pop("extra_ratio", None)
        if source != "weak":
            changes.pop("weak_fraction", None)
        experiment = with_options(start, tuple(changes.items()))
        needs = tuple((need, tuple(make_trial(needed, setting, seed) for needed in need.rows)) for need in row.needs)
        if not needs:  # others can be checked only when their prerequisites are finished
            check_experiment(experiment)
        return Trial(_name(experiment, needs), experiment, needs)

    cells = tuple(
        Cell(setting.title, row, seed, make_trial(row, setting, seed))
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
    """The settings with these titles, or all, in the study's order; the per cent sign may be omitted."""
    by_title = {setting.title.removesuffix(" %"): setting for setting in settings}
    chosen = [choose("setting", title.rstrip(" %"), by_title) for title in titles]
    return tuple(setting for setting in settings if setting in chosen or not titles)


def _name(experiment: Experiment, needs: Iterable[tuple[Need, tuple[Trial, ...]]]) -> str:
    """Name of a trial: recipe, labels, seed, and a hash of all settings and of the names of its prerequisites."""
    upon = [trial.name for _, trials in needs for trial in trials]
    return f"{experiment.recipe}-{100 * experiment.data.fraction:g}pc-s{experiment.seed}-{digest(experiment, upon)}"


def digest(experiment: Experiment, *more: object) -> str:
    """Hash of all settings and of ``more``.

    Settings at their default values do not enter it, so that a new setting does not change existing names.
    """
    text = repr((experiment.recipe, sorted(changed_fields(experiment, Experiment()).items()), *more))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def with_options(experiment: Experiment, changes: Options) -> Experiment:
    """Copy of an experiment with changed fields, in whichever group they are; field names are unique over all groups."""
    places = field_groups()
    grouped: dict[str, dict[str, object]] = {}
    for name, value in changes:
        grouped.setdefault(places[name], {})[name] = value
    top = grouped.pop("", {})
    parts = {group: replace(getattr(experiment, group), **fields) for group, fields in grouped.items()}
    return replace(experiment, **parts, **top)  # type: ignore[arg-type]


def field_groups() -> Mapping[str, str]:
    """Field -> its group in `Experiment`; empty for fields of `Experiment` itself."""
    own = {field.name: "" for field in dataclasses.fields(Experiment) if field.name not in GROUPS}
    return own | {field.name: group for group, kind in GROUPS.items() for field in dataclasses.fields(kind)}


def changed_fields(experiment: Experiment, reference: Experiment) -> dict[str, object]:
    """Field -> value, for the fields in which an experiment differs from the reference, except the recipe's name."""
    found: dict[str, object] = {}
    for name, group in field_groups().items():
        ours, theirs = (getattr(getattr(e, group) if group else e, name) for e in (experiment, reference))
        if ours != theirs and name != "recipe":
            found[name] = ours
    return found


def check_overrides(
    name: str, study: Study, start: Experiment, preset: str, *, data: str, augment: str, same_split: bool
) -> None:
    """Raise `ConfigError` if the settings ``start`` differ from those of the preset in one that the study determines itself.

    The other arguments are those of `make_plan`; ``data`` is the name or path of the data set.
    """
    chosen = set(changed_fields(start, make_experiment("mgm", preset, start.data.data))) - {"tasks"}
    decided = {"seed"} | {field for setting in study.settings for field, _ in setting.options}
    decided |= {field for field, _ in study.adapt(start, data)}
    if augment != "preset":
        decided.add("augment")
    if not same_split:
        decided.add("split_seed")
    remedies = {"seed": "use --seeds", "split_seed": "each seed has its own split; with --same-split, all use this one"}
    for setting in sorted(chosen & decided):
        raise ConfigError(f"{name} determines {setting} itself; {remedies.get(setting, 'omit it')}")


def train_arguments(experiment: Experiment, preset: str) -> list[str]:
    """Arguments of ``mgm train`` that reproduce exactly these settings."""
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
