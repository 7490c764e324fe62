"""The ways to carry out a joint step that are held against one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from mgm.bench.host_views import host_views
from mgm.bench.rates import tf32
from mgm.bench.reference import TRAINS, ReferenceStep, Views
from mgm.bench.workbench import Workbench, tensors_held
from mgm.config import Experiment


@dataclass(frozen=True)
class Runner:
    """A variant, ready to run."""

    step: Callable[[int], object]
    """Carries out the step of a number."""
    held: Callable[[], Iterable[Tensor]]
    """Tensors that are in memory before it."""


@dataclass(frozen=True)
class Variant:
    """A way to carry out the joint step."""

    description: str
    build: Callable[[Workbench], Runner]
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")
    """Where it is measured."""
    tf32: bool = False
    """Whether a GPU may compute float32 in TF32, as torch by itself lets convolutions."""

    def runner(self, bench: Workbench) -> Runner:
        """The variant, ready to run."""
        built = self.build(bench)

        def step(number: int) -> object:
            with tf32(self.tf32):
                return built.step(number)

        return Runner(step, built.held)


def reference(views: Views, *, foreach: bool | None = None) -> Callable[[Workbench], Runner]:
    """The public code's order, see `mgm.bench.reference`."""

    def build(bench: Workbench) -> Runner:
        experiment = replace(bench.experiment, model=replace(bench.experiment.model, identities="off"))
        networks = bench.networks(experiment, frozenset(name for names in TRAINS.values() for name in names))
        step = ReferenceStep(networks, bench.tasks, views, foreach=foreach)
        feed = bench.feeds(experiment)["labelled"]
        return Runner(
            lambda number: step(feed(number, bench.setting.batch), number),
            lambda: tensors_held(networks, step.optimizers),
        )

    return build


def ours(change: Callable[[Experiment], Experiment]) -> Callable[[Workbench], Runner]:
    """The trainer's joint step under changed settings."""

    def build(bench: Workbench) -> Runner:
        trainer = bench.trainer(change(bench.experiment), "joint")
        stage = trainer.stages[trainer.position.stage]
        return Runner(
            lambda number: trainer.train_step(stage, number),
            lambda: tensors_held(trainer.networks, trainer.optimizers),
        )

    return build


def _settings(**changes: dict[str, object]) -> Callable[[Experiment], Experiment]:
    """Change fields of an experiment's groups: ``model={"identities": "off"}``."""

    def change(experiment: Experiment) -> Experiment:
        groups = {group: replace(getattr(experiment, group), **fields) for group, fields in changes.items()}
        return replace(experiment, **groups)

    return change


_PLAIN: dict[str, object] = {"identities": "off"}
_SHARED: dict[str, object] = {"optimizer_step": "shared"}
_COMBINED: dict[str, object] = {"optimizer_step": "combined"}
_BF16: dict[str, object] = {"precision": "bf16"}
_LAST: dict[str, object] = {"channels_last": "always"}

VARIANTS: dict[str, Variant] = {
    "reference": Variant("passes as in the authors' public code", reference(host_views)),
    "reference_foreach": Variant("the same, Adam over all tensors at once", reference(host_views, foreach=True), ()),
    "paper_order": Variant("one optimiser per loss, no identities", ours(_settings(model=_PLAIN))),
    "paper_order_identities": Variant("one optimiser per loss", ours(_settings())),
    "paper_order_bf16": Variant("one optimiser per loss, bfloat16", ours(_settings(training=_BF16))),
    "shared": Variant(
        "paper's order, E(x) shared by the losses on labelled images, no identities",
        ours(_settings(model=_PLAIN, training=_SHARED)),
    ),
    "shared_identities": Variant(
        "paper's order, E(x) shared by the losses on labelled images", ours(_settings(training=_SHARED))
    ),
    "shared_bf16": Variant("the same, bfloat16", ours(_settings(training={**_SHARED, **_BF16}))),
    "combined": Variant(
        "one backward pass, one optimiser per network, one adversarial update (presets quick, small)",
        ours(_settings(training=_COMBINED)),
    ),
    "combined_bf16": Variant("the same, bfloat16", ours(_settings(training={**_COMBINED, **_BF16}))),
    "reference_tf32": Variant("the reference, in TF32", reference(host_views), ("cuda",), tf32=True),
    "paper_order_tf32": Variant("one optimiser per loss, in TF32", ours(_settings()), ("cuda",), tf32=True),
    "paper_order_channels_last": Variant(
        "the same, channels last", ours(_settings(training=_LAST)), ("cuda",), tf32=True
    ),
    "paper_order_bf16_graphs": Variant(
        "one optimiser per loss, bfloat16, CUDA graphs",
        ours(_settings(training={**_BF16, "compile": "graphs"})),
        ("cuda",),
    ),
    "combined_bf16_channels_last": Variant(
        "combined, bfloat16, channels last",
        ours(_settings(training={**_COMBINED, **_BF16, **_LAST})),
        ("cuda",),
    ),
    "combined_bf16_compiled": Variant(
        "combined, bfloat16, channels last, compiled",
        ours(_settings(training={**_COMBINED, **_BF16, **_LAST, "compile": "gpu"})),
        ("cuda",),
    ),
}
"""Name -> variant; the first is what the others are held against."""

COUNTED: dict[str, Variant] = {
    # views on the host launch nothing
    "reference": replace(VARIANTS["reference"], build=reference(lambda images, seed: (images, images))),
    "reference_foreach": replace(
        VARIANTS["reference_foreach"], build=reference(lambda images, seed: (images, images), foreach=True)
    ),
    **{name: VARIANTS[name] for name in ("paper_order", "shared")},
    **{
        name: replace(VARIANTS[name], build=ours(_settings(model={"identities": "on"}, training=training)))
        for name, training in {
            "paper_order_identities": {},
            "shared_identities": _SHARED,
            "combined": _COMBINED,
        }.items()
    },
}
"""The same for counting on fake tensors, which the host cannot read; with all identities or none, whatever a CPU prefers."""
