"""Trials that never ran: run folders with the scores that a test wants."""

import math
from collections.abc import Callable

from mgm.experiments.plans import Cell
from mgm.runs.folder import RunFolder, write_json

Scores = dict[str, dict[str, float]]


def pretend(folder: RunFolder, scores: Scores, **more: object) -> None:
    """A finished run."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.config.write_text("recipe: mt\n")
    result = {"recipe": "mt", "data": "rooms", "steps": 6, "num_labelled": 4, "test": scores, "seconds": 2.0}
    write_json(folder.result, {**result, "commit": "abc1234", "command": "mgm train", **more})


def three_tasks(miou: float, depth: float, angle: float) -> Scores:
    """Scores on the main tasks, other metrics made up."""
    return {
        "semantic": {"miou": miou, "pixel_accuracy": 0.5, "cross_entropy": 2.0},
        "depth": {"abs_error_m": depth, "rmse_m": math.nan},
        "normal": {"angle_deg": angle, "angle_coded_rad": math.radians(angle) / 2, "l1_coded": 0.1},
    }


def pretend_all(cells: tuple[Cell, ...], place: Callable, scores_of: Callable[[Cell], Scores | None]) -> None:
    """Finish every trial with the scores of its cell; None: it never ran."""
    for cell in cells:
        scores = scores_of(cell)
        if scores is not None:
            pretend(place(cell.trial), scores)
