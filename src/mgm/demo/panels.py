"""The contents of the page, part by part, from what was predicted or generated. Knows nothing of gradio."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mgm.data.files import as_file_name
from mgm.demo.clouds import camera_with_view, figure, thinned
from mgm.demo.markup import picture_source, tile, tiles
from mgm.demo.photographs import Photograph
from mgm.demo.runs import Served, ServedRun
from mgm.demo.views import LEAST_TILE, Seen, difference, look, picture
from mgm.errors import ConfigError, RunError, choose
from mgm.report.prediction_files import OUTPUTS, Predicted, choose_files, write_prediction
from mgm.report.tiles import coloured, photograph, tile_size
from mgm.tasks.base import Task

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PHOTOGRAPH = "photograph"
"""Colours of points that are those of the picture itself."""
MOST_GENERATED = 8
_LARGEST_SEED = 2**31


def _shown(pixels: np.ndarray) -> np.ndarray:
    """Pixels of a photograph as a tile."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
    height, width = pixels.shape[:2]
    return photograph(image, tile_size(height, width, LEAST_TILE))


def prediction_tiles(run: ServedRun, seen: Seen) -> str:
    """The photograph and all tasks side by side; for labelled examples the truth in a second row."""
    shown = _shown(seen.photograph.pixels)
    figures = [tile("Photograph", shown, "the photograph", reads=True, over=False)]
    figures += [
        tile(task.title, picture(task, seen.shown(name)), f"predicted {task.title.lower()}", reads=True)
        for name, task in run.model.tasks.items()
    ]
    rows = tiles(figures, shown, size=seen.size)
    truth = seen.photograph.truth
    labelled = {name: task for name, task in run.model.tasks.items() if name in truth}
    if not labelled:
        return rows
    figures = [tile("Photograph", shown, "the photograph", over=False)]
    figures += [
        tile(task.title, picture(task, truth[name]), f"true {task.title.lower()}") for name, task in labelled.items()
    ]
    return rows + tiles(figures, shown, size=seen.size, title="Ground truth of this example")


def cloud_figure(run: ServedRun, seen: Seen, view_deg: float, colours: str) -> Figure | None:
    """The points that the predicted depth puts in space; None for a run without depth.

    Args:
        run: Whose predictions they are.
        seen: Photograph and predictions.
        view_deg: Horizontal field of view of the photograph.
        colours: ``photograph``, or the name of a task.

    Raises:
        ConfigError: If the field of view or the colours are none that there are.
    """
    if "depth" not in seen.values:
        return None
    pictures: dict[str, Task | None] = {PHOTOGRAPH: None, **run.model.tasks}
    task = choose("colouring", colours, pictures)
    painted = seen.photograph.pixels if task is None else picture(task, seen.values[colours])
    camera = camera_with_view(seen.size, view_deg)
    return figure(thinned(seen.values["depth"][0].numpy(), painted, camera))


DOWNLOADS = ("png", "npy", "depth16", "ply")
"""Kinds of files (`mgm.report.prediction_files.OUTPUTS`) that a visitor may take along, where the run predicts what they show."""


def write_downloads(run: ServedRun, seen: Seen, folder: Path, view_deg: float) -> list[Path]:
    """Files of a prediction, as `mgm predict` writes them.

    Args:
        run: Whose predictions they are.
        seen: Photograph and predictions.
        folder: Where the files shall lie.
        view_deg: Horizontal field of view of the photograph, for the point cloud.

    Raises:
        ConfigError: If the field of view is none that there is.
    """
    # visitors may call their files anything
    called = seen.photograph.name.rpartition(".")[0] or seen.photograph.name
    stem = as_file_name(called, "photograph")
    # sessions keep class indices in 8 bits
    values = {name: value.long() if value.dtype == torch.uint8 else value for name, value in seen.values.items()}
    predicted = Predicted(seen.photograph.pixels, values, run.model.tasks, camera_with_view(seen.size, view_deg))
    kinds = [kind for kind in DOWNLOADS if OUTPUTS[kind].needs in ("", *values)]
    return list(write_prediction(predicted, folder / stem, choose_files(kinds, values)))


def comparison(served: Served, shot: Photograph, first: str, second: str) -> str:
    """Two runs on the same photograph: a row per task that both know, with their difference and, where known, the truth.

    Raises:
        ConfigError: If a run does not exist, both are the same, or they have no task in common.
    """
    runs = [choose("run", title, served.runs) for title in (first, second)]
    if first == second:
        raise ConfigError(f"both sides are {first!r}; choose two different runs")
    seen = [look(run.model, shot, run.title) for run in runs]
    common = _comparable(*runs)
    shown = _shown(shot.pixels)
    rows = []
    for name, task in common.items():
        apart = difference(task, seen[0].values[name], seen[1].values[name])
        figures = [tile(one.run, picture(task, one.shown(name)), f"{task.title} by {one.run}") for one in seen]
        figures.append(tile("Difference", apart.picture, f"where they differ: {apart.sentence}", over=False))
        if name in shot.truth:
            figures.append(tile("Ground truth", picture(task, shot.truth[name]), f"true {task.title}"))
        rows.append(tiles(figures, shown, title=f"{task.title}: {apart.sentence}"))
    return f'<div class="mgm-sheet">{"".join(rows)}</div>'


def _comparable(first: ServedRun, second: ServedRun) -> dict[str, Task]:
    """Tasks that both runs predict; class indices have to mean the same."""
    common = {
        name: task
        for name, task in first.model.tasks.items()
        if name in second.model.tasks and (name != "semantic" or first.model.info.classes == second.model.info.classes)
    }
    if not common:
        raise ConfigError(f"{first.title} and {second.title} have no task in common")
    return common


def generated(run: ServedRun, stage: str, scenes: Sequence[str], num: int, seed: int) -> str:
    """New images of one kind, and below each what the run's network predicts on it.

    Args:
        run: The run.
        stage: Key of `ServedRun.generators`.
        scenes: The scene; with multi-hot labels any number of objects.
        num: Images, 1 to `MOST_GENERATED`.
        seed: Of the noise.

    Raises:
        RunError: If the run has no generator.
        ConfigError: If an argument is none that there is.
    """
    if not run.generators:
        raise RunError(no_generator(run))
    generator = choose("stage", stage, run.generators)
    for scene in scenes:
        choose("scene", scene, dict.fromkeys(generator.info.scenes))
    if generator.info.scenes and not generator.info.multi_hot and len(scenes) != 1:
        raise ConfigError("choose one scene to generate images of")
    if not 1 <= num <= MOST_GENERATED:
        raise ConfigError(f"{num} images were asked for; choose 1 to {MOST_GENERATED}")
    if not 0 <= seed < _LARGEST_SEED:
        raise ConfigError(f"the seed is {seed}; choose a number from 0 to {_LARGEST_SEED - 1}")
    kind = ", ".join(name for name in generator.info.scenes if name in scenes) or "any"
    images = generator.sample(kind, generator.label_of(list(scenes)), num, seed)
    return _strip(run, kind.replace("_", " "), images)


def _strip(run: ServedRun, kind: str, images: Tensor) -> str:
    """A grid: a row of images, then a row per task."""
    predictions = run.model.predict_batch(images)
    height, width = images.shape[-2:]
    size = tile_size(height, width)
    rows = [("generated", [(photograph(image, size), f"generated image of {kind}") for image in images])]
    for name, task in run.model.tasks.items():
        values = task.decode_at(predictions[name], size).cpu()
        rows.append((task.title, [(coloured(task, value, size), f"predicted {task.title}") for value in values]))
    cells = ""
    for title, pictures in rows:
        cells += f"<b>{escape(title)}</b>"
        for number, (pixels, alt) in enumerate(pictures, 1):
            cells += f'<img src="{picture_source(pixels)}" alt="{escape(alt)} {number}">'
    columns = f"--mgm-columns: {len(images)}; grid-template-columns: minmax(5rem, 8rem) repeat({len(images)}, minmax(84px, 180px))"
    return f'<div class="mgm-sheet"><h4>{escape(kind)}</h4><div class="mgm-strip" style="{columns}">{cells}</div></div>'


def no_generator(run: ServedRun) -> str:
    """Why a run generates nothing."""
    return (
        f"{run.title} has no generator: its recipe trains none (or has not come that far). "
        "Recipes with one: mgm, mgm_not_joint; mgm --help lists all."
    )
