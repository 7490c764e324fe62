"""The settings, state, provenance and cost of a run, as text for its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.config import DataConfig, Experiment, ModelConfig
from mgm.errors import choose
from mgm.method.algorithm import stages
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.recipes import RECIPES
from mgm.report.history import STAGE_TITLES
from mgm.runs.augmentation import mixed_pieces
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.pretraining import pretraining
from mgm.tasks import Task, loss_names, task_kinds
from mgm.training.metrics_log import read_metrics_log
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from mgm.types import ASPECTS, DatasetInfo

PLAIN_LOSSES = {
    "task": "tasks",
    "extra_task": "tasks, on extra images",
    "consistency": "tasks, on labels by the moving average",
    "refinement": "refinement",
    "extra_refinement": "refinement, on extra images",
    "self_supervision": "self-supervision",
    "extra_self_supervision": "self-supervision, on extra images",
    "generator": "adversarial",
}
"""Update -> name of its loss."""
MIXED = {
    "classes": "half the classes of another image",
    "objects": "half the small classes of another image",
    "cutmix": "a rectangle of another image (CutMix)",
}
"""What is pasted into an image -> description."""


def setting(experiment: Experiment, result: Mapping[str, Any], info: DatasetInfo) -> list[tuple[str, str]]:
    """Name and text of the most important settings, with details from the data set and from the result of a finished run."""
    data, model, method, training = experiment.data, experiment.model, experiment.method, experiment.training
    recipe, extra = RECIPES.get(experiment.recipe), choose("extra images", method.extra_images, EXTRA_IMAGES)
    height, width = data.size
    shape = "" if height == width else " (height × width)"
    steps = OPTIMIZER_STEPS[training.optimizer_step].description
    average = f", weights averaged (EMA {training.ema:g})" if training.ema else ""
    labelled = f"{100 * data.fraction:.0f} % of the training images that have labels"
    if "num_labelled" in result:
        labelled = f"{result['num_labelled']} ({labelled})"
    kinds = task_kinds(info.own_tasks)
    names = [name for name in data.tasks or info.tasks if name in kinds]
    facts = {
        "Recipe": f"{experiment.recipe}: {recipe.description}" if recipe else experiment.recipe,
        "Data": f"{result.get('data', Path(data.data).name)}, {data.split} split {data.split_seed}",
        "Labelled images": labelled,
        "Image size": f"{height} × {width} px{shape}, images of another shape {ASPECTS[data.aspect]}",
        "Augmentation": _augmentation(data, {name: kinds[name] for name in names}),
        "Network": f"{model.architecture.replace('_', ' ')}, {_encoder(model)}, widths {'/'.join(map(str, model.widths))}",
        "Training": f"batch {training.batch_size}, {steps}, learning rate {training.learning_rate:g}{average}",
    }
    if (method.losses or info.own_tasks) and names:
        chosen = loss_names(names, method.losses, kinds)
        facts["Losses"] = ", ".join(f"{name}: {loss}" for name, loss in chosen.items())
    if own := [name for name in names if name in info.own_tasks]:
        facts["Custom tasks"] = "; ".join(f"{kinds[name].title}: {kinds[name].values}" for name in own)
    if experiment.flip_average:
        facts["Predictions"] = "averaged with those for the mirrored image"
    schedule = (f"{STAGE_TITLES.get(stage.name, stage.name)}, {stage.steps} steps" for stage in stages(experiment))
    facts["Stages"] = "; ".join(schedule)
    if method.extra_images != "none":
        facts["Extra images"] = f"{extra.description}, {method.extra_ratio:g} per labelled image"
    if extra.generator != "none":
        facts["Generator"] = f"{model.generator.upper()}, width {model.generator_width}"
    facts["Seed"] = str(experiment.seed)
    return list(facts.items())


def _encoder(model: ModelConfig) -> str:
    """Architecture and initial weights."""
    if pretrained := pretraining(model):
        return f"pre-trained encoder ({pretrained})"
    return f"ResNet-{model.depth}" if model.encoder == "resnet" else model.encoder


def _augmentation(data: DataConfig, tasks: Mapping[str, type[Task]]) -> str:
    if not data.augment:
        return "none"
    flags = {"flip": data.flip, "vertical flip": data.vertical_flip, "quarter turns": data.quarter_turns}
    numbers = {
        "photometric ± ": data.colour,
        "hue ± ": data.hue,
        "blur up to [px] ": data.blur,
        "noise up to ": data.noise,
    }
    done = [name for name, is_on in flags.items() if is_on]
    until = f" until {100 * data.zoom_share:.0f} % of the steps" if data.zoom_share < 1 else ""
    done += [f"crop and zoom {data.zoom[0]:g}-{data.zoom[1]:g}{until}"] if data.zoom != (1, 1) else []
    done += [f"{name}{value:g}" for name, value in numbers.items() if value]
    pieces = MIXED.get(found, found) if (found := mixed_pieces(data, tasks)) else ""
    mixed = f"; {pieces} pasted into {100 * data.mix_share:.0f} % of the images" if pieces else ""
    return f"{', '.join(done)}{mixed}"


def state(folder: RunFolder) -> str:
    """``finished``, or the last step in the metrics log."""
    if folder.finished:
        return "finished"
    records = list(read_metrics_log(folder.metrics_log))
    if not records:
        return "not finished: nothing logged yet"
    title = STAGE_TITLES.get(records[-1]["stage"], records[-1]["stage"])
    return f"not finished: {title[0].lower()}{title[1:]}, step {records[-1]['step']}"


def provenance(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Commit, versions and device, as far as they were recorded."""
    facts = {"Commit": result.get("commit") or "unknown"}
    versions: dict[str, str] = result.get("versions") or {}
    if versions:
        facts["Versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    if "device" in result:
        several = result.get("world_size", 1)
        facts["Device"] = f"{result['device']}{f', {several} processes' if several > 1 else ''}"
    return list(facts.items())


@dataclass(frozen=True)
class Cost:
    """The cost of a run; None or empty where not recorded."""

    title: str
    seconds: float | None
    steps: int | None
    """Training steps on labelled batches."""
    updates: dict[str, int]
    """Loss -> number of its gradients that reached the encoder."""
    parameters: dict[str, int]
    """Network -> number of parameters."""
    memory_mb: float | None

    @property
    def num_used(self) -> int:
        """Number of parameters used for prediction, without networks that only serve training; 0 if not recorded."""
        return sum(self.parameters.get(name, 0) for name in ("encoder", "decoders", "policy"))


def cost(title: str, folder: RunFolder) -> Cost:
    """The cost of a finished run.

    Raises:
        RunError: If the run is not finished.
    """
    result = read_result(folder.result)
    updates: dict[str, int] = result.get("updates", {})
    skipped = sum(at["of"] - at["step"] for at in result.get("stopped", {}).values())
    return Cost(
        title,
        result.get("seconds"),
        result.get("steps") and result["steps"] - skipped,
        {PLAIN_LOSSES.get(name, name): count for name, count in updates.items()},
        result.get("parameters", {}),
        result.get("peak_memory_mb"),
    )
