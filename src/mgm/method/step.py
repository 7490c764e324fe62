"""What the losses of one training step see: networks, images, noise; and what they may share with one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mgm.config import MethodConfig
from mgm.tasks.base import Task
from mgm.training.seeding import derive_seed, random_generator
from mgm.types import Batch, Features, Predictions


class Step:
    """One step on one minibatch.

    Whatever two losses have in common (features, predictions, synthesized images) is computed once and forgotten as soon as a
    network that it came from has changed, so sharing never alters the result.

    Args:
        networks: Network name -> module.
        tasks: Task name -> task, the tasks to learn.
        method: Weights and options of the losses.
        batch: Labelled images.
        seed: Seed of this step's noise and views.
        draw_extra: Makes the step's extra images; called at most once unless they carry a graph.
        multi_hot: Whether an image may have several scene labels.
        defer_encoder: Collect the gradients of the losses that share features at the encoder's output, for one backward pass
            through it; what one loss alone has encoded (views) is differentiated with it, and its memory free again.
        simultaneous: All losses are computed at the same weights, so that D's and G's share what D makes of synthesized images.
        keep_fakes: Let the images of the last adversarial update serve as synthesized ones although G has made a step since.
        common_seed: Seed of what has to be random in the same way in all processes.
        part: Which part of the step's minibatch ``batch`` is, from 0.
        parts: How many parts it was split into (`TrainingConfig.accumulate`).
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        tasks: dict[str, Task],
        method: MethodConfig,
        batch: Batch,
        seed: int,
        draw_extra: Callable[[Step], Batch],
        *,
        multi_hot: bool = False,
        defer_encoder: bool = False,
        simultaneous: bool = False,
        keep_fakes: bool = False,
        common_seed: int = 0,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.networks = networks
        self.tasks = tasks
        self.method = method
        self.batch = batch
        self.seed = seed
        self.multi_hot = multi_hot
        self.common_seed = common_seed
        self.part = part
        self.parts = parts
        self.simultaneous = simultaneous
        self._draw_extra = draw_extra
        self._defer_encoder = defer_encoder
        self._keep_fakes = keep_fakes
        self._extra: Batch | None = None
        self._features: dict[str, Features] = {}
        self._predictions: dict[str, Predictions] = {}
        self._fakes: Tensor | None = None
        self._fake_scores: Tensor | None = None
        self.current_fakes: Tensor | None = None
        """What `fakes` made, without a graph, as long as G is what it was then (or ``keep_fakes``)."""
        self._fakes_noise: Tensor | None = None
        self._deferred: list[tuple[Tensor, Tensor]] = []
        self._draws = 0

    @property
    def is_last(self) -> bool:
        """Whether no other part of the minibatch follows."""
        return self.part == self.parts - 1

    def images_of(self, source: str) -> Batch:
        """``"labelled"``: the minibatch; ``"extra"``: the step's extra images."""
        if source == "labelled":
            return self.batch
        if self._extra is None:
            self._extra = self._draw_extra(self)
        return self._extra

    def encode(self, images: Tensor) -> Tensor:
        """E(x), the coarsest features ``[B, C, h, w]``, for one loss alone; see `features` for what several losses read."""
        return self.networks["encoder"](images)[-1]

    def features(self, source: str) -> Features:
        """The pyramid of a source, shared by all losses that ask before E changes.

        With deferred gradients its levels are leaves that collect them.
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
        """Head -> prediction for the images of a source, shared likewise; heads that only help to train among them."""
        if source not in self._predictions:
            self._predictions[source] = self.networks["decoders"](self.features(source))
        return self._predictions[source]

    def predictions(self, source: str) -> Predictions:
        """M(x) of a source, without auxiliary heads (`mgm.models.base.task_of`)."""
        predictions = self.all_predictions(source)
        return {task: predictions[task] for task in self.tasks}

    def refinement_inputs(self, predictions: Predictions) -> Predictions:
        """Predictions in the form in which R reads them."""
        return {name: task.refinement_input(predictions[name]) for name, task in self.tasks.items()}

    def stream_seed(self, *names: object) -> int:
        """Seed of a random stream of this step."""
        return derive_seed(self.seed, *names)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal numbers, a row per image; every call of a step draws anew, and each part its own rows."""
        self._draws += 1
        device = self.batch.images.device
        generator = random_generator(device, self.seed, "noise", self._draws)
        rows, *others = shape
        return torch.randn(rows * self.parts, *others, generator=generator, device=device)[self.part * rows :][:rows]

    @property
    def latent_size(self) -> int:
        """Length of the generator's latent."""
        size = self.networks["generator"].latent_size
        assert isinstance(size, int)
        return size

    def labels(self) -> Tensor:
        """Scene labels of the minibatch for conditioning, ``[B, max(1, K)]``.

        An unknown label is a row of zeros (no active class); data without scene labels have one class for all images.
        """
        scene = self.batch.scene
        return scene.nan_to_num(0.0) if scene.shape[1] else scene.new_ones(len(scene), 1)

    def fakes(self) -> Tensor:
        """G(z, c) for the minibatch's features and labels, with a graph, shared by D's and G's losses."""
        fakes = self._fakes
        if fakes is None:
            if self._fakes_noise is None:
                self._fakes_noise = self.noise(len(self.batch), self.latent_size)
            latent = self.latent(len(self.batch), self._fakes_noise)
            fakes = self._fakes = self.networks["generator"](latent, self.labels())
            self.current_fakes = fakes.detach()
        return fakes

    def fake_scores(self) -> Tensor:
        """D(x~, c) for these images, ``[B]``, with a graph through D and them; shared by losses that ask before D changes."""
        scores = self._fake_scores
        if scores is None:
            scores = self._fake_scores = self.networks["discriminator"](self.fakes(), self.labels())
        return scores

    def latent(self, count: int, noise: Tensor | None = None) -> Tensor:
        """``z = embed(E(x)) + noise`` (paper 3.2, Figure 3), ``[count, L]``; x cycles through the minibatch.

        Without an embedding layer (a generator that is trained apart, MGM/j) ``z`` is the noise. Without ``noise`` it is
        drawn.
        """
        noise = self.noise(count, self.latent_size) if noise is None else noise
        if "embedding" not in self.networks:
            return noise
        shift = self.networks["embedding"](self.features("labelled")[-1])
        return noise + shift[torch.arange(count, device=shift.device) % len(shift)]

    def forget(self, changed: tuple[str, ...]) -> None:
        """Drop what was computed with networks that have changed."""
        changed_set = set(changed)
        if "discriminator" in changed_set:
            self._fake_scores = None
        if changed_set & {"encoder", "policy"}:
            self._features.clear()
        if changed_set & {"encoder", "policy", "decoders"}:
            self._predictions.clear()
        if changed_set & {"encoder", "policy", "embedding", "generator"}:
            self._fakes = self._fakes_noise = self._fake_scores = None
            if not self._keep_fakes:
                self.current_fakes = None
            if self._extra is not None and self._extra.images.requires_grad:
                self._extra = None
                self._features.pop("extra", None)
                self._predictions.pop("extra", None)

    def keep(self, read: set[str]) -> None:
        """Drop the graphs of what no later loss reads (`Update.reads`); whoever asks all the same has it computed again."""
        for source in self._predictions.keys() - read:
            del self._predictions[source]
        if "fakes" not in read:
            self._fakes = self._fake_scores = None

    def release(self) -> None:
        """Drop what takes memory, so that the step's other parts have room.

        What is asked for again is computed again from the same images and noise.
        """
        self._features.clear()
        self._predictions.clear()
        self._deferred.clear()
        self._fakes = self._fake_scores = self.current_fakes = None
        if self._extra is not None and self._extra.images.requires_grad:
            self._extra = None

    @property
    def encoder_outputs(self) -> list[Tensor]:
        """Leaves at which deferred gradients collect."""
        return [leaf for _, leaf in self._deferred]

    def encoder_gradient(self, loss: Tensor) -> Tensor:
        """The gradient of a scalar with respect to all parameters of E, as one vector; graphs and ``.grad`` stay as they are."""
        parameters = list(self.networks["encoder"].parameters())
        reached = torch.autograd.grad(loss, [*parameters, *self.encoder_outputs], retain_graph=True, allow_unused=True)
        own, at_outputs = reached[: len(parameters)], reached[len(parameters) :]
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, own, strict=True)]
        pairs = [(level, g) for (level, _), g in zip(self._deferred, at_outputs, strict=True) if g is not None]
        if pairs:  # all levels in one pass
            levels, collected = zip(*pairs, strict=True)
            through = torch.autograd.grad(levels, parameters, collected, retain_graph=True, allow_unused=True)
            gradients = [a if b is None else a + b for a, b in zip(gradients, through, strict=True)]
        return torch.cat([gradient.flatten() for gradient in gradients])

    def backward_through_encoder(self, parameters: list[nn.Parameter]) -> None:
        """Send the collected gradients through E, all at once; what is encoded from here on is differentiated with its loss."""
        pairs = [(features, leaf.grad) for features, leaf in self._deferred if leaf.grad is not None]
        if pairs:
            outputs, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(outputs, gradients, inputs=parameters)
        self._deferred.clear()
        self._defer_encoder = False
