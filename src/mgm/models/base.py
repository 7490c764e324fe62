"""The contract of a predictor ``M``: one encoder module, one decoder per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.errors import ConfigError
from mgm.networks.decoders import PyramidDecoders
from mgm.networks.encoder import Encoder
from mgm.types import Predictions


def task_of(head: str) -> str:
    """The task of a head of `MultiTaskModel.decoders`, which most heads are called after.

    ``TASK/NETWORK`` is an auxiliary head: it learns the task in another network than the one that predicts it
    (`mgm.models.task_groups`), and its predictions are not used.
    """
    return head.partition("/")[0]


class StepwiseModule(nn.Module, ABC):
    """A module whose passes in training depend on the step: on the progress of training, or on noise of that step."""

    @abstractmethod
    def begin_step(self, seed: int, progress: float) -> None:
        """Prepare for the passes of one step, by the arguments alone, so that a resumed run repeats them.

        Args:
            seed: Of this step's noise, the same in all processes.
            progress: Share of the training of M that is done, in [0, 1].
        """


class DecidingModule(nn.Module, ABC):
    """A module that decides anew on each pass which of its parts to use."""

    @abstractmethod
    def fix_decisions(self) -> None:
        """Take for good what it would decide now."""


class MultiTaskModel(nn.Module, ABC):
    """``M``: images to predictions of all tasks (paper 3.1), in two halves that are trained and frozen apart.

    How tasks share layers, in which architectures differ, lies inside the encoder and in what of its output a decoder
    reads. So whatever works on features (self-supervision, the embedding layer) works for every architecture.
    Subclasses are final and only say what the halves are; `mgm.models.MODELS` is the registry.

    Args:
        channels: Task -> channels of its prediction.
        config: Kinds and sizes of encoder and decoders; default: the paper's.

    Raises:
        ConfigError: If there is no task, or the settings describe no network.
    """

    takes_any_encoder: ClassVar[bool] = False
    """Whether the encoder may be another than the paper's ResNet (`mgm.models.encoders`)."""
    encoder: Encoder
    """``[B, C, H, W]`` to a pyramid of features."""
    decoders: nn.Module
    """The pyramid to head -> ``[B, C, H, W]``, for the tasks and auxiliary heads (`task_of`): all that lies between the
    features and the predictions, layers that tasks share there included."""

    def __init__(self, channels: Mapping[str, int], config: ModelConfig | None = None) -> None:
        super().__init__()
        if not channels:
            raise ConfigError("a model needs at least one task")
        self.tasks = tuple(channels)
        self.encoder, self.decoders = self.build(channels, config or ModelConfig())

    @staticmethod
    @abstractmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """The encoder and the decoders. Arguments as of the class."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The halves, and what else an architecture trains apart, by name; together all parameters."""
        return dict(self.named_children())

    @property
    def own_weights(self) -> dict[str, tuple[str, ...]]:
        """Task -> how the names of all weights begin that its prediction depends on, where tasks share none; empty: they share."""
        return {}

    def begin_step(self, seed: int, progress: float) -> None:
        """Tell every `StepwiseModule` inside that a training step begins; arguments as there."""
        for module in self.modules():
            if isinstance(module, StepwiseModule):
                module.begin_step(seed, progress)

    def fix_decisions(self) -> None:
        """Make a constant of what evaluation decides anew on each pass, so that a graph can be traced."""
        for module in self.modules():
            if isinstance(module, DecidingModule):
                module.fix_decisions()

    def start_at(self, constants: Mapping[str, Tensor]) -> None:
        """Let decoders that can begin with the best constant predictions, task -> ``[C]``; the paper's begin at random."""
        for module in self.decoders.modules():
            if isinstance(module, PyramidDecoders):
                module.start_at({head: constants[task_of(head)] for head in module.outputs})

    @property
    def feature_channels(self) -> int:
        """Channels of ``E(x)``, the coarsest features."""
        return self.encoder.channels[-1]

    @property
    def stride(self) -> int:
        """What both sides of an image have to be multiples of."""
        return max(self.encoder.strides)

    def forward(self, images: Tensor) -> Predictions:
        """Task -> prediction ``[B, C, H, W]``, without activation.

        Args:
            images: ``[B, ModelConfig.image_channels, H, W]`` in (-1, 1), both sides multiples of `stride`.

        Raises:
            ConfigError: If a side is not a multiple of the stride.
        """
        predictions = self.decoders(self.encoder(images))
        return {task: predictions[task] for task in self.tasks}
