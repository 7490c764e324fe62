"""What the losses of one training step see: networks, images, noise; and what they may share with one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mgm.config import MethodConfig
from mgm.tasks.base import Task
from mgm.training.seeding import derive_seed, random_generator
from mgm.types import Batch, Predictions


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
        defer_encoder: Collect the gradients of all losses at the encoder's output, for one backward pass through it.
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
    ) -> None:
        self.networks = networks
        self.tasks = tasks
        self.method = method
        self.batch = batch
        self.seed = seed
        self.multi_hot = multi_hot
        self._draw_extra = draw_extra
        self._defer_encoder = defer_encoder
        self._extra: Batch | None = None
        self._features: dict[str, Tensor] = {}
        self._predictions: dict[str, Predictions] = {}
        self._fakes: Tensor | None = None
        self._deferred: list[tuple[Tensor, Tensor]] = []
        self._draws = 0

    def images_of(self, source: str) -> Batch:
        """``"labelled"``: the minibatch; ``"extra"``: the step's extra images."""
        if source == "labelled":
            return self.batch
        if self._extra is None:
            self._extra = self._draw_extra(self)
        return self._extra

    def encode(self, images: Tensor) -> Tensor:
        """E(x), ``[B, C, H/16, W/16]``; with deferred gradients a leaf that collects them.

        Images that carry a graph are not deferred: their gradient has to run on into what made them.
        """
        features = self.networks["encoder"](images)
        if images.requires_grad or not (self._defer_encoder and features.requires_grad):
            return features
        leaf = features.detach().requires_grad_()
        self._deferred.append((features, leaf))
        return leaf

    def features(self, source: str) -> Tensor:
        """E(x) of a source, shared by all losses that ask before E changes."""
        if source not in self._features:
            self._features[source] = self.encode(self.images_of(source).images)
        return self._features[source]

    def predictions(self, source: str) -> Predictions:
        """M(x) of a source, shared likewise."""
        if source not in self._predictions:
            features = self.features(source)
            self._predictions[source] = {task: decoder(features) for task, decoder in self.decoders.items()}
        return self._predictions[source]

    @property
    def decoders(self) -> dict[str, nn.Module]:
        """Task -> decoder, for the tasks of this step."""
        decoders = self.networks["decoders"]
        assert isinstance(decoders, nn.ModuleDict)
        return {task: decoders[task] for task in self.tasks}

    def refinement_inputs(self, predictions: Predictions) -> Predictions:
        """Predictions in the form in which R reads them."""
        return {name: task.refinement_input(predictions[name]) for name, task in self.tasks.items()}

    def stream_seed(self, *names: object) -> int:
        """Seed of a random stream of this step."""
        return derive_seed(self.seed, *names)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal numbers; every call of a step draws anew."""
        self._draws += 1
        device = self.batch.images.device
        generator = random_generator(device, self.seed, "noise", self._draws)
        return torch.randn(*shape, generator=generator, device=device)

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
            fakes = self._fakes = self.networks["generator"](self.latent(len(self.batch)), self.labels())
        return fakes

    def latent(self, count: int) -> Tensor:
        """``z = embed(E(x)) + noise`` (paper 3.2, Figure 3), ``[count, L]``; x cycles through the minibatch.

        Without an embedding layer (a generator that is trained apart, MGM/j) ``z`` is the noise.
        """
        noise = self.noise(count, self.latent_size)
        if "embedding" not in self.networks:
            return noise
        shift = self.networks["embedding"](self.features("labelled"))
        return noise + shift[torch.arange(count, device=shift.device) % len(shift)]

    def forget(self, changed: tuple[str, ...]) -> None:
        """Drop what was computed with networks that have changed."""
        changed_set = set(changed)
        if changed_set & {"encoder", "policy"}:
            self._features.clear()
        if changed_set & {"encoder", "policy", "decoders"}:
            self._predictions.clear()
        if changed_set & {"encoder", "policy", "embedding", "generator"}:
            self._fakes = None
            if self._extra is not None and self._extra.images.requires_grad:
                self._extra = None
                self._features.pop("extra", None)
                self._predictions.pop("extra", None)

    @property
    def encoder_outputs(self) -> list[Tensor]:
        """Leaves at which deferred gradients collect."""
        return [leaf for _, leaf in self._deferred]

    def backward_through_encoder(self, parameters: list[nn.Parameter]) -> None:
        """Send the collected gradients through E, all at once."""
        pairs = [(features, leaf.grad) for features, leaf in self._deferred if leaf.grad is not None]
        if pairs:
            outputs, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(outputs, gradients, inputs=parameters)
