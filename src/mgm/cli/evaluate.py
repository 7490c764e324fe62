"""``mgm evaluate``."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import AsTheRun, parse, unless_given

if TYPE_CHECKING:
    from mgm.inference.evaluate import Evaluation

MISTAKES = 5
"""How many of the most frequent confusions of classes to print."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Score the best model of a run, with per-class scores for segmentation.

    Example: mgm evaluate runs/first --split validation --json
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    data: str = ""
    """Name or path of another data set to score on; empty: the run's own."""
    split: str = ""
    """train, validation, test or all; empty: the test set of the run's own data or, of another data set, all images that the run
    has not seen in training."""
    flip_average: AsTheRun = False
    """Average each prediction with the one for the mirrored image; takes twice as long."""
    calibrate: bool = False
    """Also score depth after a scale and shift fitted on the validation set of the same data."""
    json: bool = False
    """Print JSON instead of a table."""
    by_image: Path | None = None
    """CSV file to write: the primary metric of every task for every single image."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def evaluate(arguments: list[str]) -> None:
    """``mgm evaluate``."""
    options = parse(EvaluateOptions, "evaluate", arguments)
    from mgm.inference import evaluate as inference
    from mgm.training.metrics_log import plain

    found = inference.evaluate(
        options.run,
        data=options.data,
        split=options.split,
        flip_average=unless_given(arguments, "flip-average", options.flip_average),
        calibrate=options.calibrate,
        device=options.device,
    )
    for remark in found.remarks:
        print(f"mgm: note: {remark}", file=sys.stderr)
    if options.json:
        print(json.dumps(plain(found.to_dict()), indent=2))
    else:
        print_scores(found)
    if options.by_image:
        write_by_image(found, options.by_image)


def print_scores(found: Evaluation) -> None:
    """Print the scores, those of single classes, the most frequent confusions and the worst images."""
    from rich.console import Console

    from mgm.report.tables import class_table, score_table, share
    from mgm.runs.progress import with_unit

    rows = {found.title: found.scores}
    if found.calibration:
        rows["calibrated"] = found.calibration.scores
    console = Console()
    console.print(score_table(rows, found.tasks, pretrained=dict.fromkeys(rows, found.pretrained)).terminal())
    for name, classes in found.classes.items():
        console.print(class_table(found.tasks[name].title, classes))
    for name, task in found.tasks.items():
        if name in found.info.own_tasks and not task.categorical:
            print(f"{task.title}: {task.values}")
    for name, confusion in found.confusions.items():
        if mistakes := [
            f"{true} taken for {taken} ({share(part)} of its pixels, {share(whole)} of all)"
            for true, taken, part, whole in confusion.mistakes(MISTAKES)
        ]:
            print(f"{found.tasks[name].title}: {', '.join(mistakes)}")
    print("images with the largest errors, worst first:")
    for name, scores in found.worst.items():
        texts = (
            with_unit(value, found.tasks[task].metrics_info[found.tasks[task].primary])
            for task, value in scores.items()
        )
        print(f"  {name}: {', '.join(texts)}")
    what = "all images" if found.split == "all" else f"{found.split} set"
    how = ", predictions averaged with those for the mirrored images" if found.flip_average else ""
    print(f"{what} of {found.info.name}, {found.num_images} images{how}")
    if found.calibration:
        for name, line in found.calibration.lines.items():
            print(
                f"calibrated: {name} = {line.scale:.3f} x prediction {line.shift:+z.3f} {found.tasks[name].unit}, least squares on "
                f"the {found.calibration.num_images} images of the validation set"
            )


def write_by_image(found: Evaluation, path: Path) -> None:
    """Write a CSV file with one line per image and one column per task; a score without a label is empty."""
    from mgm.data.files import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = {task: found.tasks[task].primary for scores in found.by_image.values() for task in scores}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *(f"{task}.{metric}" for task, metric in metrics.items())])
    for name, scores in found.by_image.items():
        writer.writerow([name, *("" if math.isnan(value) else f"{value:.6g}" for value in scores.values())])
    write_text(path, text.getvalue())
