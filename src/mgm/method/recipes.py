"""Recipes (the models of the paper, each derived from another) and presets (their scale).

Imports no torch, so that the command line can list its choices at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mgm.config import RECOMMENDED, Experiment, MethodConfig
from mgm.errors import choose

Derive = Callable[[Experiment], Experiment]


@dataclass(frozen=True)
class Recipe:
    """A named change of an experiment."""

    description: str
    derive: Derive
    """Derives the recipe's experiment from that of the full method."""


def _changed(of: Derive = lambda experiment: experiment, /, **sections: Mapping[str, object]) -> Derive:
    """Apply ``of``, then replace values in some sections of the settings."""

    def derive(experiment: Experiment) -> Experiment:
        base = of(experiment)
        return replace(base, **{name: replace(getattr(base, name), **values) for name, values in sections.items()})

    return derive


def _recipe(name: str) -> Derive:
    """The derivation of a recipe, which may be defined further below."""
    return lambda experiment: RECIPES[name].derive(experiment)


def _method(**changes: object) -> Derive:
    return _changed(method=changes)


def _model(of: str, **changes: object) -> Derive:
    return _changed(_recipe(of), model=changes)


TASKS_ALONE = {
    "refinement": "none",
    "self_supervision": "none",
    "extra_images": "none",
    "extra_uses": MethodConfig().extra_uses,
    "generator_runs": (),
    "annotator": "",
}
"""Values of `MethodConfig` that switch the whole method off."""

RECIPES: dict[str, Recipe] = {
    "mgm": Recipe("the full method: refinement, SimCLR, a generator trained jointly", _method()),
    "mgm_no_generator": Recipe("MGM/G: refinement and SimCLR on labelled images only", _method(extra_images="none")),
    "mgm_control": Recipe(
        "control for MGM: no generator, but as many encoder updates, by repeated auxiliary losses on labelled images",
        _method(extra_images="labelled"),
    ),
    "mgm_real": Recipe("MGM_r: weakly labelled real images in place of synthesized ones", _method(extra_images="weak")),
    "mt_consistency": Recipe(
        "multi-task baseline and consistency with its moving average on images without labels (mean teacher); not in the paper",
        lambda experiment: _changed(
            _recipe("mt"),
            method={"extra_images": "weak", "extra_uses": ("consistency",)},
            training={"joint_share": 2 / 3, "ema": experiment.training.ema or 0.99},
        )(experiment),
    ),
    "mt_rooms": Recipe(
        "multi-task baseline that first learns from rendered rooms; not in the paper",
        _changed(_recipe("mt"), data={"pretrain": "rooms"}),
    ),
    "mgm_not_joint": Recipe(
        "MGM/j: images from a generator trained beforehand and frozen", _method(extra_images="frozen_generator")
    ),
    "mt": Recipe("multi-task baseline: shared encoder, one decoder per task", _method(**TASKS_ALONE)),
    "st": Recipe("single-task baseline: one network per task", _model("mt", architecture="single_task")),
    "st_large": Recipe("ST_l: single-task networks with ResNet-34 and matching decoders", _model("st", depth=34)),
    "mt_large": Recipe("MT_l: the multi-task network with ResNet-34 and matching decoders", _model("mt", depth=34)),
    "cross_stitch": Recipe(
        "Cross-Stitch: one network per task, feature maps mixed after every stage",
        _model("mt", architecture="cross_stitch"),
    ),
    "task_grouping": Recipe(
        "TaskGrouping: one multi-task network per group of tasks; needs --groups",
        _model("mt", architecture="task_groups"),
    ),
    "adashare": Recipe(
        "AdaShare: each task selects or skips the blocks of a shared encoder, by a learned policy",
        _model("mt", architecture="adashare"),
    ),
    "mgm_cross_stitch": Recipe("MGM on Cross-Stitch networks", _model("mgm", architecture="cross_stitch")),
    "mgm_task_grouping": Recipe(
        "MGM on the networks of TaskGrouping; needs --groups", _model("mgm", architecture="task_groups")
    ),
    "mgm_adashare": Recipe("MGM on the AdaShare network", _model("mgm", architecture="adashare")),
    "mgm_no_self": Recipe("MGM/self: without self-supervision", _method(self_supervision="none")),
    "mgm_no_refinement": Recipe("MGM/refine: without the refinement network", _method(refinement="none")),
    "mgm_reconstruction": Recipe(
        "MGM_recon: reconstruction of the image as self-supervision", _method(self_supervision="reconstruction")
    ),
    "mgm_dcgan": Recipe("MGM-DCGAN: the full method with a DCGAN", _model("mgm", generator="dcgan")),
    "mgm_combine": Recipe(
        "MGM-Combine: images from the trained generators of earlier runs; needs --generator-runs",
        _method(extra_images="saved_generators"),
    ),
    "st_synthesized": Recipe(
        "ST_G: single-task networks and images from a frozen generator, labelled by an earlier run; needs --annotator",
        _changed(_recipe("st"), method={"extra_images": "frozen_generator", "extra_uses": ("labels",)}),
    ),
    "st_refine": Recipe(
        "ST+Refine: single-task networks and the refinement of synthesized images",
        _model("mgm_no_self", architecture="single_task"),
    ),
    "st_self": Recipe(
        "ST+Self: single-task networks and SimCLR, on synthesized images too",
        _model("mgm_no_refinement", architecture="single_task"),
    ),
}
"""Recipe name -> its derivation from the full method (paper C)."""


_base = _changed(
    data={"mix": "auto", "zoom_share": 0.7},
    model={
        "widths": (24, 48, 96, 180),
        "encoder_stride": 32,
        "decoder": "pyramid",
        "decoder_width": 48,
        "loss_stride": 2,
        "flip_average": True,
        "generator_width": 16,
        "discriminator_width": 16,
    },
    method={
        "refinement_weight": 0.1,
        "self_supervision_weight": 0.1,
        "adversarial_weight": 0.05,
        "generator_updates": 1,
        "losses": (RECOMMENDED,),
    },
    training={
        "batch_size": 16,
        "generator_batch_size": 32,
        "joint_share": 1 / 3,
        "optimizer_step": "combined",
        "optimizer": "adamw",
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "schedule": "one_cycle",
        "warm_up": 0.3,
        "ema": 0.99,
        "validate_every": 150,
        "checkpoint_every": 150,
    },
)
"""Settings shared by the presets for one machine: a network with skip connections, one optimiser per network.

With one optimiser per loss, as in the paper, only one of the encoder's several steps per minibatch follows the task losses,
which costs more than it gains within a few hundred steps (results/README.md). So there is one backward pass, in which the task
losses dominate, and one adversarial update. docs/base.md says which choices rest on measurements."""

_quick = _changed(
    _base,
    data={"image_size": 64, "num_images": 1000, "fraction": 0.5, "tasks": ("semantic", "depth", "normal")},
    model={"depth": 10, "generator_width": 8, "discriminator_width": 8, "latent_size": 64},
    training={"steps": 1900, "joint_share": 0.1, "generator_steps": 120},
)
_small = _changed(_base, data={"image_size": 64}, training={"steps": 2800, "joint_share": 0.2, "generator_steps": 200})
_best = _changed(
    _base,
    data={"image_size": 128},
    model={"encoder": "lite0", "frozen_stages": 2, "frozen_statistics": True},
    training={
        "steps": 3400,
        "validate_every": 340,
        "joint_share": 0.2,
        "generator_steps": 150,
        "batch_size": 8,
        "generator_batch_size": 16,
        "learning_rate": 2e-3,
        "encoder_rate_factor": 0.1,
    },
)
_paper = _changed(
    data={"image_size": 128, "augment": False},
    training={"steps": 40_000, "generator_steps": 20_000, "validate_every": 1000, "checkpoint_every": 1000},
)

PRESETS: dict[str, Recipe] = {
    "quick": Recipe("minutes on two cores: 64 px, from scratch, 1,900 steps; 350 labelled rooms", _quick),
    "small": Recipe("photographs from scratch in minutes on two cores: 64 px, 2,800 steps", _small),
    "best": Recipe("recommended for photographs: 128 px, an encoder pre-trained on ImageNet (extra: lite)", _best),
    "paper": Recipe("the paper's networks and optimisers at 128 px, no augmentation; needs a GPU", _paper),
    "tiny": Recipe("seconds, to try things out; its scores mean nothing", lambda experiment: experiment.tiny()),
}
"""Preset name -> how it changes an experiment. Any field can be overridden afterwards."""


def make_experiment(recipe: str, preset: str = "quick", data: str = "rooms") -> Experiment:
    """The settings of a recipe at the scale of a preset.

    Args:
        recipe: Key of `RECIPES`.
        preset: Key of `PRESETS`.
        data: Built-in name or path of a data set. The preset's limits on images, labels and tasks are for ``rooms``; other data
            sets are used whole, except that ``tiny`` keeps its limit on the number of images.

    Raises:
        ConfigError: If the recipe or the preset is unknown; the message lists the choices.
    """
    base = choose("preset", preset, PRESETS).derive(Experiment())
    if data != "rooms":
        all_of_it = {"fraction": 1.0, "tasks": (), "num_images": base.data.num_images if preset == "tiny" else 0}
        base = replace(base, data=replace(base.data, data=data, **all_of_it))  # type: ignore[arg-type]
    return replace(choose("recipe", recipe, RECIPES).derive(base), recipe=recipe)


def baseline_of(experiment: Experiment) -> Experiment:
    """The baseline of an experiment: the same architecture, data and budget of labelled updates, trained with task losses alone.

    If these are all that the experiment itself has, its pre-training with labels is in question: the baseline has none, and takes
    as many more steps on the labelled images.
    """
    baseline = RECIPES["mt"].derive(experiment)
    if experiment.data.pretrain and baseline.method == experiment.method:
        steps = experiment.training.steps + experiment.pretrain_steps
        data = replace(experiment.data, pretrain="", pretrain_overlap=0.0)
        baseline = replace(baseline, data=data, training=replace(experiment.training, steps=steps))
    architecture = experiment.model.architecture
    name = {"multi_task": "mt", "single_task": "st", "task_groups": "task_grouping"}.get(architecture, architecture)
    return replace(baseline, recipe=name)
