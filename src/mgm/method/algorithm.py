"""The paper's Algorithm 1 as data: the updates of one training step, and the stages of a training.

Nothing is computed here. The losses are in `losses` and `selfsup`, the images of line 5 in `extra_images`, and
`mgm.training.optimizer_steps` carries out the updates. Each variant in the paper is a change of the listing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mgm.config import Experiment, MethodConfig
from mgm.errors import ConfigError, choose
from mgm.method.balancing import BALANCES
from mgm.method.checks import check_method
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.losses import (
    detached_refinement_loss,
    discriminator_loss,
    estimation_loss,
    generator_loss,
    policy_loss,
    refinement_loss,
    task_loss,
)
from mgm.method.selfsup import SELF_SUPERVISION, SimCLR
from mgm.training.updates import Stage, Update

Listing = tuple[Update, ...]
"""The updates of one step, in order."""

_simclr = SimCLR()

# An `Update` names the networks it trains, its loss, its images, the networks whose buffers change, and what it shares
# with other losses.
TASK = Update("task", ("encoder", "decoders"), task_loss, statistics=("encoder", "decoders"), reads=("labelled",))
ADVERSARIAL: Listing = (
    # G makes its images in D's loss and G's loss reuses them, so the buffers of G change here
    Update(
        "discriminator",
        ("discriminator",),
        discriminator_loss,
        statistics=("discriminator", "generator"),
        reads=("fakes",),
    ),
    # the gradient reaches E through the embedding layer
    Update("generator", ("generator", "embedding", "encoder"), generator_loss, reads=("fakes",)),
)

ALGORITHM_1: Listing = (
    # 1: L_multi(y, M(x)) updates all of M
    TASK,
    # 2: L_CE(c, R(M(x))) updates R and E
    Update("refinement", ("refinement", "encoder"), refinement_loss, statistics=("refinement",), reads=("labelled",)),
    # 3: NT-Xent on two views of x updates E_self and E
    Update("self_supervision", (_simclr.network, "encoder"), _simclr.loss, statistics=(_simclr.network,)),
    # 4: the adversarial losses update D, then G, the embedding layer and E; twice per minibatch
    *ADVERSARIAL,
    *ADVERSARIAL,
    # 5: on x~ = G(x, c), L_CE(c, R(M(x~))) updates E alone
    Update("extra_refinement", ("encoder",), refinement_loss, "extra", reads=("extra",)),
    # 6: NT-Xent on two views of x~ updates E
    Update("extra_self_supervision", ("encoder",), _simclr.loss, "extra"),
)
"""One step of joint training (paper, Algorithm 1)."""

LABELS = Update("extra_task", ("encoder", "decoders"), task_loss, "extra", reads=("extra",))
"""Not in the paper's listing: the task losses on extra images that have labels."""
CONSISTENCY = Update("consistency", ("encoder", "decoders"), task_loss, "taught", reads=("taught",))
"""Not in the paper's listing: the task losses on extra images labelled by the moving average of M (`mgm.method.consistency`)."""

ARCHITECTURE_UPDATES: dict[str, Listing] = {
    # AdaShare alternates between training the weights and the policy that selects each task's blocks
    "adashare": (Update("policy", ("policy",), policy_loss),),
}
"""Architecture -> further updates that it needs after the task update."""


def changed(listing: Listing, name: str, **changes: object) -> Listing:
    """The listing with some fields replaced in all updates called ``name``."""
    return tuple(replace(update, **changes) if update.name == name else update for update in listing)  # type: ignore[arg-type]


def without(listing: Listing, *names: str) -> Listing:
    """The listing without the updates of these names."""
    return tuple(update for update in listing if update.name not in names)


GENERATION = ("generator", "embedding")
"""Networks besides M that a loss on synthesized images trains if its gradient does not stop at the images."""


def _end_to_end(listing: Listing) -> Listing:
    passed = ("encoder", "decoders", "refinement")
    listing = changed(listing, "refinement", trains=passed)
    return changed(listing, "extra_refinement", trains=(*passed, *GENERATION))


REFINEMENT: dict[str, Callable[[Listing], Listing]] = {
    # EM-like learning (3.2): labelled images train R and E, synthesized ones only E, with R fixed
    "eml": lambda listing: listing,
    # the same with an explicit E-step (eq. 4, 5)
    "eml_explicit": lambda listing: changed(listing, "extra_refinement", loss=estimation_loss),
    # plain end-to-end training (D.2): the scene loss updates every network it passes through
    "peoe": _end_to_end,
    # loosely separate training (D.2): R learns from M's detached predictions; E learns from R on extra images only
    "lset": lambda listing: changed(listing, "refinement", trains=("refinement",), loss=detached_refinement_loss),
    "none": lambda listing: without(listing, "refinement", "extra_refinement"),
}
"""`MethodConfig.refinement` -> its change of the listing (paper Tables 5 and C4 to C6)."""


def _self_supervised(listing: Listing, name: str) -> Listing:
    if name == "none":
        return without(listing, "self_supervision", "extra_self_supervision")
    task = SELF_SUPERVISION[name]()
    network = task.network
    listing = changed(listing, "self_supervision", trains=(network, "encoder"), loss=task.loss, statistics=(network,))
    return changed(listing, "extra_self_supervision", loss=task.loss)


def _with_extra_images(listing: Listing, method: MethodConfig) -> Listing:
    """Adapt lines 4 to 6 to the source and the uses of the extra images."""
    if EXTRA_IMAGES[method.extra_images].generator != "joint":
        listing = without(listing, "discriminator", "generator")
        listing = tuple(replace(u, trains=tuple(n for n in u.trains if n not in GENERATION)) for u in listing)
    uses = () if method.extra_images == "none" else method.extra_uses
    listing = without(listing, *(f"extra_{use}" for use in ("refinement", "self_supervision") if use not in uses))
    further = {"labels": LABELS, "consistency": CONSISTENCY}
    return (*listing, *(update for use, update in further.items() if use in uses))


def _adversarial_updates(listing: Listing, count: int) -> Listing:
    """Repeat line 4 ``count`` times instead of twice."""
    names = [update.name for update in listing]
    if "discriminator" not in names:
        return listing
    start = names.index("discriminator")
    return (*listing[:start], *ADVERSARIAL * count, *without(listing[start:], "discriminator", "generator"))


def _weighted(listing: Listing, method: MethodConfig) -> Listing:
    weights = {
        "refinement": method.refinement_weight,
        "extra_refinement": method.refinement_weight,
        "self_supervision": method.self_supervision_weight,
        "extra_self_supervision": method.self_supervision_weight,
        "generator": method.adversarial_weight,
        "extra_task": method.label_weight,
        "consistency": method.consistency_weight,
    }
    return tuple(replace(update, weight=weights.get(update.name, 1.0)) for update in listing)


def _as_control(listing: Listing, count: int) -> Listing:
    """Append ``count`` auxiliary updates on extra images, in place of the generator updates that would have trained the encoder.

    So the control updates the encoder exactly as often as MGM does, on labelled images.
    """
    auxiliary = [u for u in reversed(listing) if u.name in ("extra_refinement", "extra_self_supervision")]
    return (*listing, *(auxiliary[number % len(auxiliary)] for number in range(count if auxiliary else 0)))


def _into_generator(listing: Listing) -> Listing:
    """Let every loss on synthesized images train G (in the paper's algorithm, gradients stop at the images)."""
    return tuple(
        replace(update, trains=tuple(dict.fromkeys((*update.trains, *GENERATION))))
        if update.source == "extra"
        else update
        for update in listing
    )


def images_attached(listing: Listing) -> bool:
    """Whether losses on synthesized images train the generator, so that the images need a graph."""
    return any(update.source == "extra" and "generator" in update.trains for update in listing)


def joint_updates(method: MethodConfig, *, combined: bool = False) -> Listing:
    """The updates of one step of joint training for a variant of the method.

    Args:
        method: The variant.
        combined: All losses are computed at the same weights, where a second adversarial update would repeat the first; so there
            is only one.

    Raises:
        ConfigError: If the refinement is unknown.
    """
    listing = choose("refinement", method.refinement, REFINEMENT)(ALGORITHM_1)
    listing = _self_supervised(listing, method.self_supervision)
    if method.gradient_into_generator:
        listing = _into_generator(listing)
    listing = _with_extra_images(listing, method)
    adversarial = 1 if combined else method.generator_updates
    listing = _adversarial_updates(listing, adversarial)
    if method.extra_images == "labelled" and "labels" not in method.extra_uses:
        listing = _as_control(listing, adversarial)
    listing = _weighted(listing, method)
    balance = BALANCES[method.balance]
    return tuple(balance(update) if update.loss is task_loss else update for update in listing)


def generator_updates(method: MethodConfig) -> Listing:
    """The updates of stage 2: adversarial, with M frozen. A generator that is not trained jointly later has no embedding layer."""
    joint = EXTRA_IMAGES[method.extra_images].generator == "joint"
    return changed(ADVERSARIAL, "generator", trains=("generator", "embedding") if joint else ("generator",))


def stages(experiment: Experiment) -> tuple[Stage, ...]:
    """The stages of a training (paper B): M alone, then the generator with M frozen, then all networks jointly.

    The budget `TrainingConfig.steps` counts updates of M on labelled batches. A method without joint updates repeats the updates
    of stage 1 in stage 3, so that every recipe has the same schedule and the same checkpoints to select from. A frozen encoder
    is removed from every update.

    Raises:
        ConfigError: See `check_method`; also if a loss would train no part of M because the encoder is frozen.
    """
    method, training = experiment.method, experiment.training
    check_method(method)
    joint = joint_updates(method, combined=training.optimizer_step == "combined")
    if not method.supervised:
        views = next(update for update in joint if update.name == "self_supervision")
        alone = replace(views, statistics=views.trains)  # no other update sets the encoder's batch-norm statistics
        return (Stage("self_supervision", (alone,), training.steps, training.batch_size, data="photographs"),)
    model = (joint[0], *ARCHITECTURE_UPDATES.get(experiment.model.architecture, ()))
    has_generator = EXTRA_IMAGES[method.extra_images].generator != "none"
    last_steps = round(training.steps * training.joint_share)
    joint_steps = last_steps if len(joint) > 1 else 0
    generator_steps = training.generator_steps if has_generator and joint_steps else 0
    schedule = (
        Stage("pretrain", joint[:1], experiment.pretrain_steps, training.batch_size, data="pretrain"),
        Stage("multi_task", model, training.steps - last_steps, training.batch_size),
        Stage("generator", generator_updates(method), generator_steps, training.generator_batch_size, data="generator"),
        Stage("joint" if joint_steps else "continued", (*model, *joint[1:]), last_steps, training.batch_size),
    )
    schedule = tuple(_with_statistics(stage, training.statistics) for stage in schedule if stage.steps)
    return tuple(_without_encoder(stage) for stage in schedule) if experiment.model.freeze_encoder else schedule


def _with_statistics(stage: Stage, policy: str) -> Stage:
    """With the policy ``all``, let every update of a stage that trains M update M's batch-norm statistics."""
    if policy == "labelled" or not stage.trains_model:
        return stage
    moved = tuple(replace(u, statistics=tuple({*u.statistics, "encoder", "decoders"})) for u in stage.updates)
    return replace(stage, updates=moved)


def _without_encoder(stage: Stage) -> Stage:
    """The stage with the encoder frozen, batch-norm statistics included."""
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
