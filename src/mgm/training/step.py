"""One training step as its losses see it: images, and features and predictions that losses share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mgm.tasks.base import Task
from mgm.training.seeding import derive_seed, random_generator
from mgm.types import Batch, Features, Predictions


@dataclass(frozen=True)
class StepInputs:
    """What the trainer passes to a step on a minibatch or on one of its micro-batches."""

    batch: Batch
    """Labelled images."""
    index: int
    """Index of the step within its stage."""
    seed: int
    """Seed of the step's noise and views; different in each process."""
    common_seed: int
    """Seed for random choices that must be the same in all processes."""
    micro_batch: int = 0
    """Index of the micro-batch within the minibatch."""
    num_micro_batches: int = 1
    """Number of micro-batches per minibatch (`TrainingConfig.accumulate`)."""
    combined: bool = False
    """Whether all losses are computed at the same weights (``optimizer_step: combined``). Losses that share features then add up
    their gradients at the encoder's output, for a single backward pass through the encoder."""
    average: nn.Module | None = None
    """The moving average of the model, if there is one (`TrainingConfig.ema`)."""


class Step:
    """One training step of a multi-task model on labelled images.

    Features and predictions are computed once for all losses and dropped as soon as a network that they depend on has
    changed, so sharing never alters the result.

    Args:
        networks: Network name -> module, including ``encoder`` and ``decoders``.
        tasks: Task name -> task, the tasks to learn.
        inputs: See `StepInputs`.
    """

    def __init__(self, networks: Mapping[str, nn.Module], tasks: dict[str, Task], inputs: StepInputs) -> None:
        self.networks = networks
        self.tasks = tasks
        self.inputs = inputs
        self.batch = inputs.batch
        self._defer_encoder = inputs.combined
        self._features: dict[str, Features] = {}
        self._predictions: dict[str, Predictions] = {}
        self._deferred: list[tuple[Tensor, Tensor]] = []
        self._draws = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the first micro-batch of the minibatch."""
        return self.inputs.micro_batch == 0

    def images_of(self, source: str) -> Batch:
        """The images of a source; this class knows only ``"labelled"``."""
        return {"labelled": self.batch}[source]

    def encode(self, images: Tensor) -> Tensor:
        """``E(x)``, the coarsest features ``[B, C, h, w]``, for a single loss; for features that losses share, use `features`."""
        return self.networks["encoder"](images)[-1]

    def features(self, source: str) -> Features:
        """The feature pyramid of a source, cached until the encoder changes.

        With combined updates, its levels are leaves that accumulate gradients.
        """
        if source not in self._features:
            images = self.images_of(source).images
            levels = self.networks["encoder"](images)
            # if the images have a graph, gradients must flow through the encoder into them at once
            defers = self._defer_encoder and not images.requires_grad
            self._features[source] = [self._leaf(level) for level in levels] if defers else levels
        return self._features[source]

    def _leaf(self, level: Tensor) -> Tensor:
        """Replace a feature map by a leaf, whose gradient `backward_through_encoder` propagates later."""
        if not level.requires_grad:
            return level
        leaf = level.detach().requires_grad_()
        self._deferred.append((level, leaf))
        return leaf

    def all_predictions(self, source: str) -> Predictions:
        """Head -> prediction for the images of a source, auxiliary heads included; cached until M changes."""
        if source not in self._predictions:
            self._predictions[source] = self.networks["decoders"](self.features(source))
        return self._predictions[source]

    def predictions(self, source: str) -> Predictions:
        """``M(x)`` of a source, without auxiliary heads (`mgm.models.base.task_of`)."""
        predictions = self.all_predictions(source)
        return {task: predictions[task] for task in self.tasks}

    def stream_seed(self, *names: object) -> int:
        """Seed of a named random stream of this step, another one for each micro-batch."""
        number = self.inputs.micro_batch
        return derive_seed(self.inputs.seed, *names, *([number] if number else []))

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise, one row per image; new values at each call, and different rows for each micro-batch."""
        self._draws += 1
        device = self.batch.images.device
        generator = random_generator(device, self.inputs.seed, "noise", self._draws)
        rows, *others = shape
        drawn = torch.randn(rows * self.inputs.num_micro_batches, *others, generator=generator, device=device)
        return drawn[self.inputs.micro_batch * rows :][:rows]

    def forget(self, changed: tuple[str, ...]) -> None:
        """Drop cached results that depend on networks that have changed."""
        changed_set = set(changed)
        if changed_set & {"encoder", "policy"}:
            self._features.clear()
        if changed_set & {"encoder", "policy", "decoders"}:
            self._predictions.clear()

    def keep(self, read: set[str]) -> None:
        """Drop predictions that no later loss declares in `Update.reads`; if needed after all, they are recomputed."""
        for source in self._predictions.keys() - read:
            del self._predictions[source]

    def release(self) -> None:
        """Drop all cached tensors to free memory; if needed again, they are recomputed from the same images and noise."""
        self._features.clear()
        self._predictions.clear()
        self._deferred.clear()

    @property
    def encoder_outputs(self) -> list[Tensor]:
        """Leaves at the encoder's output that accumulate deferred gradients."""
        return [leaf for _, leaf in self._deferred]

    def encoder_gradient(self, loss: Tensor) -> Tensor:
        """Gradient ``[P]`` of a scalar loss with respect to all encoder parameters; keeps the graph, does not change ``.grad``."""
        parameters = list(self.networks["encoder"].parameters())
        reached = _gradients([loss], [*parameters, *self.encoder_outputs])
        own, at_outputs = reached[: len(parameters)], reached[len(parameters) :]
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, own, strict=True)]
        pairs = [(level, g) for (level, _), g in zip(self._deferred, at_outputs, strict=True) if g is not None]
        if pairs:  # all levels in one pass
            levels, collected = zip(*pairs, strict=True)
            through = _gradients(levels, parameters, collected)
            gradients = [a if b is None else a + b for a, b in zip(gradients, through, strict=True)]
        return torch.cat([gradient.flatten() for gradient in gradients])

    def backward_through_encoder(self) -> None:
        """Propagate the accumulated gradients through the encoder in one pass; later features are not deferred any more."""
        pairs = [(features, leaf.grad) for features, leaf in self._deferred if leaf.grad is not None]
        if pairs:
            outputs, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(outputs, gradients, inputs=list(self.networks["encoder"].parameters()))
        self._deferred.clear()
        self._defer_encoder = False


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], given: Sequence[Tensor] | None = None
) -> list[Tensor | None]:
    """Gradients of ``outputs``, weighted by ``given``, with respect to ``inputs``; None for inputs that do not contribute."""
    return list(torch.autograd.grad(outputs, inputs, given, retain_graph=True, allow_unused=True))
