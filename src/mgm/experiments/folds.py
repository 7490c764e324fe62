"""Cross-validation as a study: a training per fold, then one model from all images by the same settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.experiments.plans import Cell, Plan, Trial, changed_fields, with_options
from mgm.experiments.studies import Need, Row, Setting, Study, options
from mgm.method.recipes import baseline_of
from mgm.runs.checks import check_experiment
from mgm.runs.data import EVERYTHING
from mgm.runs.folder import read_result
from mgm.types import DatasetInfo

FINAL = "final model"
"""Title of the model that is trained on all images."""
NOTES = (
    "Every labelled image is in the test set of one fold. The folds' training sets overlap, so their spread is less than that of "
    "new data, and no test is made.",
    f"The {FINAL} learns from all labelled images, for the median of the steps at which the folds of its recipe were best, and is "
    "the state after the last one: no image is left to choose or to score it by. Expect of it what the table says of the folds, "
    "which learned from fewer images.",
)


def make_folds(experiment: Experiment, folds: int, *, baseline: bool, info: DatasetInfo) -> Plan:
    """The trials of a cross-validation.

    Args:
        experiment: Settings; the kind of split says what folds keep together.
        folds: How many.
        baseline: Whether to train the baseline in every fold as well, if the recipe is not its own.
        info: What the data offer.

    Raises:
        ConfigError: If there can be no such folds, or a setting is wrong.
    """
    split = experiment.data.split
    if folds < 2:
        raise ConfigError(f"folds is {folds}; it must be 2 or more")
    if ":" in split or split in (EVERYTHING, "official"):
        raise ConfigError(
            f"--folds with the split {split!r}: folds are made at random, of single images (--split random) or of whole "
            "groups (--split and the name of such a split)"
        )
    # what a settings file of an earlier run knows of its pre-trained encoder is found out again
    experiment = replace(experiment, model=replace(experiment.model, backbone={}, pretrained_on=""))
    reference = baseline_of(experiment)
    both = [reference, experiment] if baseline and reference.recipe != experiment.recipe else [experiment]
    cells: list[Cell] = []
    for member in both:
        row = Row(member.recipe, member.recipe)
        for fold in range(1, folds + 1):
            own = with_options(member, options(split=f"{split}:{fold}/{folds}"))
            check_experiment(own)
            cells.append(Cell("", row, fold, Trial(f"{member.recipe}-fold{fold}-{_digest(own)}", own)))
    trials = tuple(cell.trial for cell in cells[-folds:])
    whole = with_options(experiment, options(split=EVERYTHING))
    final = Trial(f"{whole.recipe}-final-{_digest(whole, folds)}", whole, ((Need((), _median_steps), trials),))
    cells.append(Cell("", Row(FINAL, whole.recipe), folds + 1, final))
    rows = tuple(Row(member.recipe, member.recipe) for member in both)
    study = Study(
        "Cross-validation",
        f"{folds} folds of {info.name}",
        lambda _: rows,
        (Setting(""),),
        repeats="folds",
        notes=NOTES,
        all_metrics=True,
    )
    tasks, seeds = tuple(experiment.data.tasks or info.tasks), tuple(range(1, folds + 1))
    return Plan("folds", study, tasks, rows, ("",), seeds, tuple(cells), own_tasks=info.own_tasks)


def _median_steps(folders: Sequence[Path]) -> Mapping[str, object]:
    """The median of the updates of M after which runs were best, without those that they left out (`TrainingConfig.patience`)."""
    counts: list[int] = []
    for folder in folders:
        result = read_result(folder / "result.json")
        skipped = (at["of"] - at["step"] for name, at in result["stopped"].items() if name != result["best_stage"])
        counts.append(result["best_step"] - sum(skipped))
    return {"steps": round(median(counts))}


def _digest(experiment: Experiment, *more: object) -> str:
    text = repr((experiment.recipe, sorted(changed_fields(experiment, Experiment()).items()), *more))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
