"""The method as the paper lists it: which updates make up a step, and which stages make up the training.

Nothing else happens here. A loss lives in `objectives`, how an update is carried out in `trainer`, and a variant of the paper is
another entry in one of the dictionaries below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch

from mgm.config import MethodConfig, TrainingConfig
from mgm.errors import ConfigError, choose, unknown
from mgm.method.losses import (
    detached_refinement_loss,
    discriminator_loss,
    estimation_loss,
    generator_loss,
    policy_loss,
    refinement_loss,
    task_loss,
)
from mgm.method.selfsup import SELF_SUPERVISION
from mgm.method.step import Step
from mgm.training.balancing import BALANCES
from mgm.training.updates import Stage, Update
from mgm.types import Batch

MULTI_TASK = Update("task", ("encoder", "decoders"), task_loss, statistics=("encoder", "decoders"), reads=("labelled",))
"""Algorithm 1, line 1, for ``balance: sum``."""

ARCHITECTURE_UPDATES: dict[str, tuple[Update, ...]] = {
    # AdaShare learns which blocks a task selects in turn with the weights
    "adashare": (Update("policy", trains=("policy",), loss=policy_loss),),
}
"""Architecture -> what it needs in a step beside the task update, for those that need anything."""

ADVERSARIAL = (
    # the images of G are made in D's loss and used again in G's, hence G's statistics move here
    Update(
        "discriminator",
        ("discriminator",),
        discriminator_loss,
        statistics=("discriminator", "generator"),
        reads=("fakes",),
    ),
    Update("generator", ("generator", "embedding", "encoder"), generator_loss, reads=("fakes",)),
)
"""Algorithm 1, line 4: the adversarial error reaches E through the embedding layer."""


@dataclass(frozen=True)
class RefinementStrategy:
    """How R and the networks before it learn from scene labels."""

    real: tuple[Update, ...] = ()
    """On labelled images."""
    extra: tuple[Update, ...] = ()
    """On extra images, whose predictions may be unreliable."""
    attached: bool = False
    """Whether the loss on synthesized images reaches the generator."""


_REFINE = Update(
    "refinement",
    ("refinement", "encoder"),
    partial(refinement_loss, source="labelled"),
    statistics=("refinement",),
    reads=("labelled",),
)
_REFINE_EXTRA = Update("extra_refinement", ("encoder",), partial(refinement_loss, source="extra"), reads=("extra",))
_EVERY_NETWORK = ("encoder", "decoders", "refinement")

REFINEMENT: dict[str, RefinementStrategy] = {
    # EM-like (3.2): real images train R and E; synthesized ones E alone, with R frozen
    "eml": RefinementStrategy((_REFINE,), (_REFINE_EXTRA,)),
    # the same with an explicit E-step (eq. 4, 5)
    "eml_explicit": RefinementStrategy(
        (_REFINE,), (replace(_REFINE_EXTRA, loss=partial(estimation_loss, source="extra")),)
    ),
    # plain end to end (D.2): the scene loss updates every network it passes through
    "peoe": RefinementStrategy(
        (replace(_REFINE, trains=_EVERY_NETWORK),),
        (replace(_REFINE_EXTRA, trains=_EVERY_NETWORK),),
        attached=True,
    ),
    # loosely separate (D.2): R learns from M's predictions as they are; its error reaches E on extra images only
    "lset": RefinementStrategy(
        (replace(_REFINE, trains=("refinement",), loss=partial(detached_refinement_loss, source="labelled")),),
        (_REFINE_EXTRA,),
    ),
    "none": RefinementStrategy(),
}


@dataclass(frozen=True)
class ExtraImages:
    """Where images beyond the labelled minibatch come from."""

    description: str
    generator: Literal["none", "frozen", "joint"] = "none"
    """Whether a generator makes them, and whether joint training goes on training it."""
    labelled: bool = False
    """Whether they carry pixel labels, so that `labels` is a possible use."""


EXTRA_IMAGES: dict[str, ExtraImages] = {
    "generator": ExtraImages("synthesized by the generator that is trained jointly (MGM)", generator="joint"),
    "frozen_generator": ExtraImages(
        "synthesized by a generator trained beforehand and frozen (MGM/j)", generator="frozen"
    ),
    "saved_generators": ExtraImages("synthesized by the generators of earlier runs, as they are (MGM-Combine)"),
    "weak": ExtraImages("real images of which only the scene is known (MGM_r)"),
    "labelled": ExtraImages("the labelled images once more (the control of equal cost)", labelled=True),
    "composites": ExtraImages("half the classes of one labelled image pasted into another", labelled=True),
    "rooms": ExtraImages("rendered rooms with their exact geometry", labelled=True),
    "none": ExtraImages("no extra images (MGM/G)"),
}

EXTRA_USES = ("refinement", "self_supervision", "labels")


def check_method(method: MethodConfig) -> None:
    """Raise `ConfigError` for names that do not exist and for choices that exclude each other."""
    choose("refinement", method.refinement, REFINEMENT)
    choose("balance", method.balance, BALANCES)
    extra = choose("source of extra images", method.extra_images, EXTRA_IMAGES)
    if method.self_supervision not in (*SELF_SUPERVISION, "none"):
        raise ConfigError(unknown("self-supervision", method.self_supervision, (*SELF_SUPERVISION, "none")))
    for use in method.extra_uses:
        if use not in EXTRA_USES:
            raise ConfigError(unknown("use of extra images", use, EXTRA_USES))
    if "labels" in method.extra_uses and not (extra.labelled or method.annotator):
        labelled = ", ".join(name for name, source in EXTRA_IMAGES.items() if source.labelled)
        raise ConfigError(
            f"extra images from {method.extra_images!r} have no pixel labels, so extra_uses cannot be 'labels' unless a run "
            f"labels them: --annotator RUN. Sources with labels: {labelled}"
        )
    _check_runs(method)
    if method.extra_images != "none" and method.extra_ratio <= 0:
        raise ConfigError(f"extra_ratio is {method.extra_ratio}; it must be positive (or set extra_images to none)")


def _check_runs(method: MethodConfig) -> None:
    """Raise `ConfigError` where an earlier run is missing, or named for nothing."""
    if (method.extra_images == "saved_generators") != bool(method.generator_runs):
        raise ConfigError(
            "extra images from 'saved_generators' need runs that have trained one: --generator-runs RUN [RUN ...]"
            if not method.generator_runs
            else f"generator_runs are given but extra_images is {method.extra_images!r}; set it to saved_generators"
        )
    if method.annotator and (method.extra_images == "none" or "labels" not in method.extra_uses):
        raise ConfigError(
            "an annotator labels extra images for the use 'labels': give it with --extra-images SOURCE --extra-uses labels"
        )


def task_update(method: MethodConfig) -> Update:
    """Algorithm 1, line 1, with the task losses balanced as the method says."""
    return choose("balance", method.balance, BALANCES)(MULTI_TASK, "labelled")


def joint_updates(method: MethodConfig, *, simultaneous: bool = False) -> tuple[Update, ...]:
    """One step of joint training: Algorithm 1 from its first line to its last.

    Args:
        method: What it is made of.
        simultaneous: All losses are computed at the same weights (``optimizer_step: combined``). There a second adversarial
            update would be the first once more, so there is one.
    """
    refinement = REFINEMENT[method.refinement]
    extra = EXTRA_IMAGES[method.extra_images]
    adversarial = _adversarial(method) * (1 if simultaneous else method.generator_updates)
    return (
        task_update(method),
        *_weighted(refinement.real, method.refinement_weight),
        *_self_supervised(method, "labelled"),
        *(adversarial if extra.generator == "joint" else ()),
        *_extra_updates(method, refinement),
    )


def _extra_updates(method: MethodConfig, refinement: RefinementStrategy) -> tuple[Update, ...]:
    """What the extra images of a step are used for."""
    learn_labels = partial(task_loss, source="extra")
    extra_task = Update("extra_task", ("encoder", "decoders"), learn_labels, method.label_weight, reads=("extra",))
    by_use = {
        "refinement": _weighted(_reaching_generator(refinement.extra, method), method.refinement_weight),
        "self_supervision": _reaching_generator(_self_supervised(method, "extra"), method),
        "labels": (BALANCES[method.balance](extra_task, "extra"),),
    }
    if method.extra_images == "none":
        return ()
    return tuple(update for use in EXTRA_USES if use in method.extra_uses for update in by_use[use])


def _self_supervised(method: MethodConfig, source: str) -> tuple[Update, ...]:
    """NT-Xent (or its stand-in): on labelled images it trains the head too, on extra ones E alone."""
    if method.self_supervision == "none":
        return ()
    task = SELF_SUPERVISION[method.self_supervision]()
    loss = partial(task.loss, source=source)
    weight = method.self_supervision_weight
    if source == "labelled":
        return (Update("self_supervision", (task.network, "encoder"), loss, weight, statistics=(task.network,)),)
    return (Update("extra_self_supervision", ("encoder",), loss, weight),)


def _adversarial(method: MethodConfig) -> tuple[Update, ...]:
    discriminator, generator = ADVERSARIAL
    return discriminator, replace(generator, weight=method.adversarial_weight)


def _weighted(updates: tuple[Update, ...], weight: float) -> tuple[Update, ...]:
    return tuple(replace(update, weight=weight) for update in updates)


def _reaching_generator(updates: tuple[Update, ...], method: MethodConfig) -> tuple[Update, ...]:
    """Let losses on synthesized images train G where the method wants that (PEoE, `gradient_into_generator`)."""
    if not images_attached(method):
        return updates
    return tuple(replace(update, trains=(*update.trains, "generator", "embedding")) for update in updates)


def images_attached(method: MethodConfig) -> bool:
    """Whether gradients flow from the losses on synthesized images into the generator."""
    joint = EXTRA_IMAGES[method.extra_images].generator == "joint"
    return joint and (REFINEMENT[method.refinement].attached or method.gradient_into_generator)


def generator_updates(method: MethodConfig) -> tuple[Update, ...]:
    """Stage 2: the adversarial updates with M frozen; a generator that stays frozen later has no embedding layer."""
    discriminator, generator = ADVERSARIAL
    trains = ("generator", "embedding") if EXTRA_IMAGES[method.extra_images].generator == "joint" else ("generator",)
    return discriminator, replace(generator, trains=trains)


def stages(
    method: MethodConfig,
    training: TrainingConfig,
    *,
    architecture: str = "multi_task",
    pretrain: bool = False,
    freeze_encoder: bool = False,
) -> tuple[Stage, ...]:
    """The training (paper B): M alone, then the generator with M frozen, then all together.

    The budget `TrainingConfig.steps` counts updates of M on labelled batches; a method without joint updates spends all of
    it in stage 1. A frozen encoder is taken out of every update.

    Raises:
        ConfigError: See `check_method`; also if a loss would train nothing of M because the encoder is frozen.
    """
    check_method(method)
    joint = joint_updates(method, simultaneous=training.optimizer_step == "combined")
    task = task_update(method)
    model = (task, *ARCHITECTURE_UPDATES.get(architecture, ()))
    has_generator = EXTRA_IMAGES[method.extra_images].generator != "none"
    joint_steps = round(training.steps * training.joint_share) if len(joint) > 1 else 0
    everything = (
        Stage("pretrain", (task,), training.pretrain_steps if pretrain else 0, training.batch_size, data="pretrain"),
        Stage("multi_task", model, training.steps - joint_steps, training.batch_size),
        Stage(
            "generator",
            generator_updates(method),
            training.generator_steps if has_generator and joint_steps else 0,
            training.generator_batch_size,
            data="generator",
        ),
        Stage("joint", (*model, *joint[1:]), joint_steps, training.batch_size),
    )
    schedule = tuple(_with_statistics(stage, training.statistics) for stage in everything if stage.steps)
    return tuple(_without_encoder(stage) for stage in schedule) if freeze_encoder else schedule


def _with_statistics(stage: Stage, policy: str) -> Stage:
    """Under the policy ``all``, every pass through M in training moves its running statistics."""
    if policy == "labelled" or not stage.trains_model:
        return stage
    moved = tuple(replace(u, statistics=tuple({*u.statistics, "encoder", "decoders"})) for u in stage.updates)
    return replace(stage, updates=moved)


def _without_encoder(stage: Stage) -> Stage:
    """The stage with an encoder that neither learns nor moves its statistics."""
    idle = [u.name for u in stage.updates if "encoder" in u.trains and not {"decoders", "generator"} & set(u.trains)]
    if idle:
        raise ConfigError(
            f"with a frozen encoder these losses would train nothing of M: {', '.join(idle)}; use --freeze-encoder with the "
            "recipe mt, or set --refinement none --self-supervision none --extra-uses labels"
        )
    kept = tuple(
        replace(
            update,
            trains=tuple(name for name in update.trains if name != "encoder"),
            statistics=tuple(name for name in update.statistics if name != "encoder"),
        )
        for update in stage.updates
    )
    return replace(stage, updates=kept)


def synthesize(step: Step, count: int) -> Batch:
    """``(x~, c) = G(x, c)``: images for which only the label is known (Algorithm 1, line 5).

    The label is the minibatch's for one scene per image, and random where several may hold (G.1). Where the images of the
    adversarial losses are still there (`Step.current_fakes`), these are the images.
    """
    if (
        step.current_fakes is not None
        and count == len(step.batch)
        and not step.multi_hot
        and not images_attached(step.method)
    ):
        return Batch(step.current_fakes.float(), {}, step.labels())
    labels = step.labels()[torch.arange(count, device=step.batch.scene.device) % len(step.batch)]
    if step.multi_hot:
        labels = random_multi_hot(labels, step)
    with torch.set_grad_enabled(images_attached(step.method)):
        images = step.networks["generator"](step.latent(count), labels)
    return Batch(images.float(), {}, labels)


def random_multi_hot(labels: torch.Tensor, step: Step) -> torch.Tensor:
    """Every class drawn on its own, as often as it occurs in the minibatch: its column, shuffled.

    A draw without any class keeps the image's own labels.
    """
    order = step.noise(*labels.shape).argsort(dim=0)
    shuffled = labels.gather(0, order)
    return torch.where(shuffled.sum(1, keepdim=True) > 0, shuffled, labels)
