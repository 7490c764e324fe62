"""What the losses of one training step see, and what they may share with one another."""

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
    """What the trainer gives to one step on one minibatch, or on one of its micro-batches."""

    batch: Batch
    """Labelled images."""
    index: int
    """Number of the step in its stage."""
    seed: int
    """Seed of the step's noise and views, another one in every process."""
    common_seed: int
    """Seed of what has to be random in the same way in all processes."""
    micro_batch: int = 0
    """Which micro-batch of the minibatch ``batch`` is."""
    num_micro_batches: int = 1
    """How many there are (`TrainingConfig.accumulate`)."""
    combined: bool = False
    """All losses are computed at the same weights (``optimizer_step: combined``). The gradients of the losses that share features
    collect at the encoder's output, for one backward pass through it."""
    average: nn.Module | None = None
    """The moving average of the model, where there is one (`TrainingConfig.ema`)."""


class Step:
    """One step of training a multi-task model on labelled images.

    What losses have in common (features, predictions) is computed once and forgotten as soon as a network that it came
    from has changed, so sharing never alters the result.

    Args:
        networks: Network name -> module; ``encoder`` and ``decoders`` among them.
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
        """The images of a source; here there are ``"labelled"`` ones alone."""
        return {"labelled": self.batch}[source]

    def encode(self, images: Tensor) -> Tensor:
        """``E(x)``, the coarsest features ``[B, C, h, w]``, for one loss alone; losses share `features`."""
        return self.networks["encoder"](images)[-1]

    def features(self, source: str) -> Features:
        """The feature pyramid of a source, shared by all losses that ask before the encoder changes.

        With combined updates its levels are leaves that collect gradients.
        """
        if source not in self._features:
            images = self.images_of(source).images
            levels = self.networks["encoder"](images)
            # images with a graph: the gradient has to run on into what made them
            defers = self._defer_encoder and not images.requires_grad
            self._features[source] = [self._leaf(level) for level in levels] if defers else levels
        return self._features[source]

    def _leaf(self, level: Tensor) -> Tensor:
        """A leaf in place of a level of features, whose gradient is sent through the encoder later."""
        if not level.requires_grad:
            return level
        leaf = level.detach().requires_grad_()
        self._deferred.append((level, leaf))
        return leaf

    def all_predictions(self, source: str) -> Predictions:
        """Head -> prediction for the images of a source, shared likewise; auxiliary heads included."""
        if source not in self._predictions:
            self._predictions[source] = self.networks["decoders"](self.features(source))
        return self._predictions[source]

    def predictions(self, source: str) -> Predictions:
        """``M(x)`` of a source, without auxiliary heads (`mgm.models.base.task_of`)."""
        predictions = self.all_predictions(source)
        return {task: predictions[task] for task in self.tasks}

    def stream_seed(self, *names: object) -> int:
        """Seed of a random stream of this step."""
        return derive_seed(self.inputs.seed, *names)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal numbers, a row per image, new ones at every call; each micro-batch has its own rows."""
        self._draws += 1
        device = self.batch.images.device
        generator = random_generator(device, self.inputs.seed, "noise", self._draws)
        rows, *others = shape
        drawn = torch.randn(rows * self.inputs.num_micro_batches, *others, generator=generator, device=device)
        return drawn[self.inputs.micro_batch * rows :][:rows]

    def forget(self, changed: tuple[str, ...]) -> None:
        """Drop what was computed with networks that have changed."""
        changed_set = set(changed)
        if changed_set & {"encoder", "policy"}:
            self._features.clear()
        if changed_set & {"encoder", "policy", "decoders"}:
            self._predictions.clear()

    def keep(self, read: set[str]) -> None:
        """Drop the graphs of what no later loss reads (`Update.reads`); if asked for all the same, it is computed again."""
        for source in self._predictions.keys() - read:
            del self._predictions[source]

    def release(self) -> None:
        """Drop what takes memory; it is computed again, from the same images and noise, where it is asked for again."""
        self._features.clear()
        self._predictions.clear()
        self._deferred.clear()

    @property
    def encoder_outputs(self) -> list[Tensor]:
        """Leaves at which deferred gradients collect."""
        return [leaf for _, leaf in self._deferred]

    def encoder_gradient(self, loss: Tensor) -> Tensor:
        """Gradient of a scalar with respect to all parameters of the encoder, as one vector; graphs and ``.grad`` stay."""
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
        """Send the collected gradients through the encoder, all at once; what is encoded later has its own backward pass."""
        pairs = [(features, leaf.grad) for features, leaf in self._deferred if leaf.grad is not None]
        if pairs:
            outputs, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(outputs, gradients, inputs=list(self.networks["encoder"].parameters()))
        self._deferred.clear()
        self._defer_encoder = False


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], given: Sequence[Tensor] | None = None
) -> list[Tensor | None]:
    """Gradients of ``outputs``, weighed by ``given``, with respect to inputs; None where an input is not reached."""
    return list(torch.autograd.grad(outputs, inputs, given, retain_graph=True, allow_unused=True))
