"""``mgm train``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro

from mgm.cli.parsing import check_resumes_alone, parse, says_how_to_go_on
from mgm.config import Experiment
from mgm.data.files import as_file_name
from mgm.errors import ConfigError, RunError, choose
from mgm.method.recipes import RECIPES, make_experiment


@dataclass(frozen=True)
class TrainOptions:
    """Train a recipe, evaluate its best model, and compare it with a baseline of equal budget (unless it is one itself).

    Example: mgm train mgm --data ../photos --preset small --fraction 0.25 --out runs/photos
    """

    recipe: tyro.conf.Positional[str] = "mgm"
    """Recipe to train; `mgm --help` lists the recipes."""
    preset: str = "quick"
    """Scale of the run; `mgm --help` lists the presets. Every setting below overrides the preset's. The defaults of --fraction,
    --tasks and --num-images are for rooms; other data are used whole."""
    config: Path | None = None
    """YAML file with settings (config.yaml of a run), instead of a preset."""
    out: Path | None = None
    """The run's folder; default: runs/RECIPE-DATA-sSEED."""
    resume: Path | None = None
    """Folder of a run to continue, with its own settings."""
    baseline: bool = True
    """Also train the multi-task baseline with the same budget, and report the gain over it."""
    minutes: float = 0.0
    """Approximate training time, the generator's included, instead of the preset's number of steps; the baseline gets the same."""
    folds: int = 0
    """Number of folds for cross-validation, which tests every labelled image once and then trains on all of them; 0: none."""
    stages: Path | None = None
    """Folder of trained stages shared by runs: a stage that another run with the same settings has saved there is not retrained."""
    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(default_factory=Experiment)


def train(arguments: list[str]) -> None:
    """``mgm train``."""
    options = parse_train(arguments)
    from mgm.api import train_and_draw  # torch is needed from here on
    from mgm.runs.devices import is_first_process
    from mgm.runs.folder import RunFolder

    if options.folds:
        _cross_validate(options, arguments)
        return
    if options.resume:
        check_resumes_alone(arguments)
        out, folder = options.resume, RunFolder(options.resume)
        run = partial(train_and_draw, folder.experiment(), out, resume=True)
    else:
        experiment = options.experiment
        name = as_file_name(Path(experiment.data.data).stem, "data")  # may come from somebody's config.yaml
        out = options.out or Path("runs") / f"{experiment.recipe}-{name}-s{experiment.seed}"
        run = partial(
            train_and_draw, experiment, out, baseline=options.baseline, minutes=options.minutes, stages=options.stages
        )
    with says_how_to_go_on("train", out):
        result = run()
    if is_first_process():
        _print_result(out, result)


def _cross_validate(options: TrainOptions, arguments: list[str]) -> None:
    """Train all folds and the final model; after an interruption, the same command continues."""
    import torch

    from mgm.cli.experiment import ExperimentOptions, carry_out
    from mgm.data import open_source
    from mgm.experiments.folds import make_folds
    from mgm.experiments.study_files import Place
    from mgm.runs.data import load_data

    for name in ("resume", "minutes", "stages"):
        if getattr(options, name):
            remedy = "the same command goes on where it stopped" if name == "resume" else "leave it out"
            raise ConfigError(f"--folds and --{name} exclude each other; {remedy}")
    experiment = options.experiment
    info = open_source(experiment.data.data, experiment.data.num_images).info
    plan = make_folds(experiment, options.folds, baseline=options.baseline, info=info)
    load_data(plan.cells[0].trial.experiment, torch.device("cpu"))  # raises what every fold would fail with
    name = as_file_name(Path(experiment.data.data).stem, "data")
    out = options.out or Path("runs") / f"{experiment.recipe}-{name}-s{experiment.seed}-{options.folds}folds"
    preset = value_of("--preset", arguments) or "quick"
    failed = carry_out(plan, ExperimentOptions(data=experiment.data.data, preset=preset, out=out))
    final = Place(out).trial(plan.cells[-1].trial)
    if failed:
        raise RunError(
            f"{len(failed)} trainings did not finish: {', '.join(failed)}; the same command tries them again"
        )
    print(f"final model, from all labelled images: {final.path}")


def parse_train(arguments: list[str]) -> TrainOptions:
    """Parse the options of ``mgm train``: recipe and preset (or a file) give the defaults, which the other options override.

    Raises:
        ConfigError: If the recipe, the preset or the file is unknown, or options exclude each other.
    """
    preset, file, data = (value_of(option, arguments) for option in ("--preset", "--config", "--data"))
    if file and preset:
        raise ConfigError("--config and --preset exclude each other: the file holds all settings")
    first = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    options = parse(TrainOptions, "train", arguments, _train_defaults(first, preset, file, data))
    if options.recipe != options.experiment.recipe:
        # the recipe came after the options, so its defaults were not known at the first pass
        options = parse(TrainOptions, "train", arguments, _train_defaults(options.recipe, preset, file, data))
    return options


def _train_defaults(recipe: str, preset: str, file: str, data: str) -> TrainOptions:
    if not file:
        experiment = make_experiment(recipe or "mgm", preset or "quick", data or "rooms")
        return TrainOptions(recipe=experiment.recipe, experiment=experiment)
    from mgm.runs.settings import from_yaml

    experiment = from_yaml(Path(file))
    choose("recipe", experiment.recipe, RECIPES)
    if recipe and recipe != experiment.recipe:
        derived = choose("recipe", recipe, RECIPES).derive(experiment)
        if experiment.recipe != "mgm":
            raise ConfigError(
                f"{file} holds the recipe {experiment.recipe!r}, from which {recipe!r} does not follow; "
                "leave the recipe out, or take the settings of an 'mgm' run"
            )
        experiment = replace(derived, recipe=recipe)
    return TrainOptions(recipe=experiment.recipe, experiment=experiment)


def value_of(option: str, arguments: list[str]) -> str:
    """The value of an option on the command line, the last one if it is given several times; empty: not given."""
    found = ""
    for argument, following in pairwise([*arguments, ""]):
        if argument == option:
            found = following
        elif argument.startswith(option + "="):
            found = argument.partition("=")[2]
    return found


def _print_result(out: Path, result: dict[str, Any]) -> None:
    from rich.console import Console

    from mgm.report.run_summary import budget, early_ends, result_table, training_time
    from mgm.runs.diversity import diversity_sentence
    from mgm.runs.folder import RunFolder
    from mgm.tasks.metrics import percent

    baseline = result.get("baseline")
    console = Console()
    console.print(result_table(result, RunFolder(out).info()).terminal())
    if baseline:
        mean = result.get("gain", {}).get("mean")
        console.print(
            f"{result['recipe']} against {baseline['recipe']} at {budget(result)}: "
            f"mean gain {percent(math.nan if mean is None else mean)} "
            "(one seed: differences of a few per cent are within its noise)"
        )
    if "earlier" in result and result["best_stage"] == "joint":
        console.print(
            f"warning: no model of joint training was better on the validation set than that of step {result['earlier']['step']}, "
            "before it; predictions are made by the best of joint training, and result.json has the scores of both"
        )
    for line in early_ends(result):
        console.print(line)
    if "diversity" in result:
        console.print(diversity_sentence(result["diversity"]))
    how = "; predictions averaged with those for the mirrored images" * result.get("flip_average", False)
    console.print(
        f"scores on the test set of {result['data']}, after training on {result['num_labelled']} labelled images{how}"
    )
    if time := training_time(result):
        console.print(time)
    console.print(f"results, pictures and checkpoints: {out}", soft_wrap=True)
    console.print(f"everything on one page: mgm report {out}", soft_wrap=True)
