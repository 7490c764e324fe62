"""Training and prediction including their figures and files: `mgm.train` and what `mgm predict` calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from mgm.config import Experiment
from mgm.data.files import LONGEST_RESULT, remove_drafts
from mgm.data.geometry import Intrinsics
from mgm.errors import ConfigError
from mgm.functional.levels import rgb_of
from mgm.inference.batch import Throughput
from mgm.inference.fit import AS_TRAINED, Fit
from mgm.inference.inputs import PhotographFile, find_photographs
from mgm.inference.model import TrainedModel
from mgm.inference.predict import PhotographPredictor, PredictedPhotograph
from mgm.types import Size


def train_and_draw(
    experiment: Experiment,
    out: str | Path,
    *,
    resume: bool = False,
    baseline: bool = True,
    minutes: float = 0.0,
    stages: str | Path | None = None,
) -> dict[str, Any]:
    """Train and evaluate an experiment, and write its results and figures to a folder; exported as `mgm.train`.

    Args:
        experiment: Settings of the run.
        out: The run's folder; must be new or empty unless ``resume``.
        resume: Continue the run in ``out``, if there is one, from its last checkpoint. Settings, data and number of processes must
            be the same. A finished run returns its result at once.
        baseline: Also train the multi-task baseline with the same budget, into ``out/baseline``, and report the gain over it. A
            resumed run keeps the choice it was started with.
        minutes: Approximate wall time, from which the number of steps follows; the baseline gets the same. 0: use the steps of the
            settings.
        stages: Folder of trained stages shared by runs (`mgm.runs.stages`).

    Returns:
        The content of ``result.json``.

    Raises:
        ConfigError: If settings contradict each other or the data, or differ from those of the run to resume.
        DataError: If the data are missing, damaged, or differ from those of the run to resume.
        RunError: If the folder is in use or contains something else.
        TrainingDivergedError: If a loss is NaN or explodes.
    """
    from mgm.report.training_figure import TrainingFigure
    from mgm.runs.devices import is_first_process, leave_process_group
    from mgm.runs.folder import RunFolder
    from mgm.runs.loggers import log_result
    from mgm.runs.train import train

    result = train(
        experiment,
        Path(out),
        resume=resume,
        baseline=baseline,
        minutes=minutes,
        watch=TrainingFigure,
        shared=Path(stages) if stages else None,
    )
    leave_process_group()
    if is_first_process():
        from mgm.report.run_summary import draw_run  # matplotlib takes a while to import

        draw_run(Path(out))
        for member in (RunFolder(Path(out)).baseline, RunFolder(Path(out))):
            if member.finished:
                log_result(member)
    return result


def predict_files(
    run: str | Path,
    images: Sequence[str],
    out: str | Path = "predictions",
    *,
    save: Iterable[str] = ("png", "npy", "sheet"),
    fit: str | Fit = AS_TRAINED,
    detail: float = 1.0,
    flip_average: bool | None = None,
    camera: Callable[[Size], Intrinsics] | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    standard_input: Iterable[str] | None = None,
    written: Callable[[Path], object] = lambda path: None,
) -> Throughput:
    """Predict every task for photographs of any size, and write the chosen files for each.

    Args:
        run: Folder of a run or of an exported model.
        images: Files, folders (searched recursively), patterns, or ``-`` for a list of files on standard input.
        out: Folder for the results; their file names start with that of the photograph, and results for a folder keep its
            sub-folders.
        save: Files to write: keys of `mgm.report.prediction_files.OUTPUTS`.
        fit: How photographs are fitted to the network's size, see `mgm.inference.fit.make_fit`; by default as in training.
        detail: See `mgm.inference.fit.Tile`.
        flip_average: Average each prediction with the one for the mirrored photograph, which takes twice as long; None: use the
            run's setting (`mgm.config.Experiment.flip_average`).
        camera: Height and width of a photograph in pixels -> its camera; needed for point clouds.
        skip_bad: Skip unreadable photographs; otherwise one of them raises before anything is written.
        device: Device to compute on: auto, cpu, cuda, mps.
        standard_input: Lines to read for ``-``; None: those of `sys.stdin`.
        written: Called with each file written; the calls come from several threads, one at a time.

    Returns:
        Number of photographs, the time, and the photographs skipped.

    Raises:
        ConfigError: If an option is unknown or does not fit the model, or results would overwrite photographs or each other.
        DataError: If a photograph cannot be read, or there are no photographs.
        RunError: If the folder contains no model, or a result cannot be written.
    """
    from mgm.report.prediction_files import CONFIDENCE, Predicted, choose_files, write_prediction

    out, kinds = Path(out), tuple(save)
    if "ply" in kinds and camera is None:
        raise ConfigError("a point cloud needs the camera of the photographs")
    model = TrainedModel.load(run, device)
    fit = model.make_fit(fit, detail)
    files = choose_files(kinds, model.tasks)
    lines, kind = sys.stdin if standard_input is None else standard_input, model.info.image
    photographs = find_photographs(images, lines, out, arrays=not kind.is_photograph)
    _clear_places(photographs, files, out)
    longest = max(len(ending.encode()) for ending in files)
    lock = Lock()

    def check(photograph: PhotographFile, size: Size) -> None:
        if len(os.fsencode(Path(photograph.name).name)) + longest > LONGEST_RESULT:
            raise ConfigError(
                f"names of its results would have more than {LONGEST_RESULT} bytes; give it a shorter name"
            )
        if camera:
            camera(size)

    def write(found: PredictedPhotograph) -> None:
        taken_by = camera(found.pixels.shape[:2]) if camera else None
        predicted = Predicted(rgb_of(found.pixels, kind), found.values, model.tasks, taken_by, found.confidence)
        for path in write_prediction(predicted, out / found.photograph.name, files):
            with lock:
                written(path)

    predictor = PhotographPredictor(model, write, fit, flip_average, CONFIDENCE in kinds, check)
    return predictor.run(photographs, skip_bad=skip_bad)


def _clear_places(photographs: Sequence[PhotographFile], endings: Iterable[str], out: Path) -> None:
    """Remove partial results of killed calls.

    Raises:
        ConfigError: If a result would overwrite a photograph.
    """
    sources = {photograph.path.resolve() for photograph in photographs}
    places = [out / (photograph.name + ending) for photograph in photographs for ending in endings]
    for place in places:
        if place.resolve() in sources:
            raise ConfigError(f"the result {place} would overwrite a photograph; choose another folder with --out")
    remove_drafts(places)
