"""The training step that MGM's losses are given: the generic step plus extra and synthesized images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mgm.config import MethodConfig
from mgm.tasks.base import Task
from mgm.training.step import Step, StepInputs
from mgm.types import Batch, Predictions


class JointStep(Step):
    """A step with extra images, synthesized images and scene labels.

    Args:
        networks: Network name -> module.
        tasks: Task name -> task, the tasks to learn.
        inputs: See `StepInputs`.
        method: Weights and options of the losses.
        draw: Makes the images of a source for this step; called once per source, unless the images carry a graph, which a change of
            its networks invalidates.
        multi_hot: Whether an image may have several scene labels.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        tasks: dict[str, Task],
        inputs: StepInputs,
        method: MethodConfig,
        draw: Callable[[JointStep, str], Batch],
        *,
        multi_hot: bool = False,
    ) -> None:
        super().__init__(networks, tasks, inputs)
        self.method = method
        self.multi_hot = multi_hot
        self._draw = draw
        self._drawn: dict[str, Batch] = {}
        self._views: Counter[str] = Counter()
        self._fakes: Tensor | None = None
        self._fake_scores: Tensor | None = None
        self._fakes_noise: Tensor | None = None
        self.current_fakes: Tensor | None = None
        """The images of `fakes`, detached, until a network that they depend on changes."""

    def images_of(self, source: str) -> Batch:
        """The images of a source.

        Args:
            source: ``"labelled"``: the minibatch; ``"extra"``: extra images; ``"taught"``: extra images labelled by M's moving
                average.
        """
        if source == "labelled":
            return self.batch
        if source not in self._drawn:
            self._drawn[source] = self._draw(self, source)
        return self._drawn[source]

    def refinement_inputs(self, predictions: Predictions) -> Predictions:
        """Convert predictions ``[B, C, H, W]`` to inputs of R."""
        return {name: task.refinement_input(predictions[name]) for name, task in self.tasks.items()}

    def views_seed(self, source: str) -> int:
        """Seed for random views of a source; a new one at each call."""
        self._views[source] += 1
        again = self._views[source] - 1
        return self.stream_seed("views", source, *([again] if again else []))

    @property
    def latent_size(self) -> int:
        """Dimension of the generator's latent vector."""
        size = self.networks["generator"].latent_size
        assert isinstance(size, int)
        return size

    def labels(self) -> Tensor:
        """Scene labels of the minibatch that condition G and D, ``[B, max(1, K)]``.

        An unknown label is a row of zeros; data without scene labels get one class for all images.
        """
        scene = self.batch.scene
        return scene.nan_to_num(0.0) if scene.shape[1] else scene.new_ones(len(scene), 1)

    def latent(self, count: int, noise: Tensor | None = None) -> Tensor:
        """``z = embed(E(x)) + noise`` (paper 3.2, Figure 3), ``[count, L]``; x cycles through the minibatch.

        Without an embedding layer (a generator that is not trained jointly, MGM/j), ``z`` is the noise alone.

        Args:
            count: Number of latents.
            noise: ``[count, L]``; None: drawn from the step's random stream.
        """
        noise = self.noise(count, self.latent_size) if noise is None else noise
        if "embedding" not in self.networks:
            return noise
        shift = self.networks["embedding"](self.features("labelled")[-1])
        return noise + shift[torch.arange(count, device=shift.device) % len(shift)]

    def fakes(self) -> Tensor:
        """``x~ = G(z, c)``, ``[B, C, H, W]``, for the minibatch's features and labels; cached, with its graph, for D and G."""
        fakes = self._fakes
        if fakes is None:
            if self._fakes_noise is None:
                self._fakes_noise = self.noise(len(self.batch), self.latent_size)
            latent = self.latent(len(self.batch), self._fakes_noise)
            fakes = self._fakes = self.networks["generator"](latent, self.labels())
            self.current_fakes = fakes.detach()
        return fakes

    def fake_scores(self) -> Tensor:
        """``D(x~, c)``, ``[B]``, with a graph through D and the images; cached until D or the images change."""
        scores = self._fake_scores
        if scores is None:
            scores = self._fake_scores = self.networks["discriminator"](self.fakes(), self.labels())
        return scores

    def forget(self, changed: tuple[str, ...]) -> None:
        """Drop cached results that depend on networks that have changed."""
        super().forget(changed)
        changed_set = set(changed)
        if "discriminator" in changed_set:
            self._fake_scores = None
        if changed_set & {"encoder", "policy", "embedding", "generator"}:
            self._fakes = self._fakes_noise = self._fake_scores = self.current_fakes = None
            for source in self._forget_attached():
                self._features.pop(source, None)
                self._predictions.pop(source, None)

    def keep(self, read: set[str]) -> None:
        """Drop the graphs of cached results that no later loss reads."""
        super().keep(read)
        if "fakes" not in read:
            self._fakes = self._fake_scores = None

    def release(self) -> None:
        """Drop all cached images and scores to free memory for the next micro-batch."""
        super().release()
        self._fakes = self._fake_scores = self.current_fakes = None
        self._forget_attached()

    def _forget_attached(self) -> list[str]:
        """Drop drawn images that carry a graph. Returns their sources."""
        attached = [source for source, batch in self._drawn.items() if batch.images.requires_grad]
        for source in attached:
            del self._drawn[source]
        return attached
