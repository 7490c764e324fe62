"""Cross-validation as a study: one training per fold, then a final model trained on all images with the same settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.experiments.plans import Cell, Plan, Trial, digest, with_options
from mgm.experiments.studies import Need, Row, Setting, Study, options
from mgm.method.recipes import baseline_of
from mgm.runs.checks import check_experiment
from mgm.runs.folder import read_result
from mgm.runs.splits import EVERYTHING
from mgm.types import DatasetInfo

FINAL = "final model"
"""Title of the model that is trained on all images."""
NOTES = (
    "Every labelled image is in the test set of exactly one fold. The training sets of the folds overlap, so their standard "
    "deviation underestimates the variation on new data, and no significance test is made.",
    f"The {FINAL} is trained on all labelled images, for the median number of steps at which the folds of its recipe were best, "
    "and its last state is kept: no image is left to select or score it. Its expected scores are those of the folds, which were "
    "trained on fewer images.",
)


def make_folds(experiment: Experiment, folds: int, *, baseline: bool, info: DatasetInfo) -> Plan:
    """Plan the trials of a cross-validation with ``folds`` folds, at least 2; the kind of split says which images stay together.

    With ``baseline``, the recipe's baseline is trained in every fold as well, if it has one.

    Raises:
        ConfigError: If the split does not allow folds, or a setting is invalid.
    """
    split = experiment.data.split
    if folds < 2:
        raise ConfigError(f"folds is {folds}; it must be 2 or more")
    if ":" in split or split in (EVERYTHING, "official"):
        raise ConfigError(
            f"--folds cannot be used with the split {split!r}: folds are random, of single images (--split random) or of "
            "whole groups (--split with the name of a split by groups)"
        )
    # details of a pre-trained encoder from an earlier run's settings file are determined again
    experiment = replace(experiment, model=replace(experiment.model, backbone={}, pretrained_on=""))
    reference = baseline_of(experiment)
    both = [reference, experiment] if baseline and reference.recipe != experiment.recipe else [experiment]
    cells: list[Cell] = []
    for member in both:
        row = Row(member.recipe, member.recipe)
        for fold in range(1, folds + 1):
            own = with_options(member, options(split=f"{split}:{fold}/{folds}"))
            check_experiment(own)
            cells.append(Cell("", row, fold, Trial(f"{member.recipe}-fold{fold}-{digest(own)}", own)))
    trials = tuple(cell.trial for cell in cells[-folds:])
    whole = with_options(experiment, options(split=EVERYTHING))
    final = Trial(f"{whole.recipe}-final-{digest(whole, folds)}", whole, ((Need((), _median_steps), trials),))
    cells.append(Cell("", Row(FINAL, whole.recipe), folds + 1, final))
    rows = tuple(Row(member.recipe, member.recipe) for member in both)
    title, settings = f"{folds} folds of {info.name}", (Setting(""),)
    study = Study("Cross-validation", title, lambda _: rows, settings, repeats="folds", notes=NOTES, all_metrics=True)
    tasks, seeds = tuple(experiment.data.tasks or info.tasks), tuple(range(1, folds + 1))
    return Plan("folds", study, tasks, rows, ("",), seeds, tuple(cells), own_tasks=info.own_tasks)


def _median_steps(folders: Sequence[Path]) -> Mapping[str, object]:
    """Median number of updates of M at which the runs were best, not counting skipped ones (`TrainingConfig.patience`)."""
    counts: list[int] = []
    for folder in folders:
        result = read_result(folder / "result.json")
        skipped = (at["of"] - at["step"] for name, at in result["stopped"].items() if name != result["best_stage"])
        counts.append(result["best_step"] - sum(skipped))
    return {"steps": round(median(counts))}
