"""Interface of the multi-task model ``M``: an encoder, and decoders for the tasks."""

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
    """The task of a head of `MultiTaskModel.decoders`, given the head's name.

    Most heads have the name of their task. ``TASK/NETWORK`` is an auxiliary head, which learns the task in a network other than
    the one that predicts it (`mgm.models.task_groups`); its predictions are not used.
    """
    return head.partition("/")[0]


class StepwiseModule(nn.Module, ABC):
    """A module whose forward passes in training depend on the step, by the training's progress or by noise."""

    @abstractmethod
    def begin_step(self, seed: int, progress: float) -> None:
        """Prepare for the forward passes of a step. Depends only on the arguments, so that resumed runs repeat it exactly.

        Args:
            seed: Seed of the step's noise, the same in all processes.
            progress: Fraction of M's training that is done, in [0, 1].
        """


class DecidingModule(nn.Module, ABC):
    """A module that decides in each forward pass which of its parts to use."""

    @abstractmethod
    def fix_decisions(self) -> None:
        """Fix the decisions that it would make now."""


class MultiTaskModel(nn.Module, ABC):
    """``M``: maps images to predictions of all tasks (paper 3.1) by an encoder and decoders, which can be trained separately.

    Architectures differ in how tasks share layers. This is hidden in the encoder and in which of its features a decoder reads,
    so that whatever works on features (self-supervision, the embedding layer) works for every architecture. Subclasses are
    final and only implement `build`; `mgm.models.MODELS` is the registry.

    Args:
        channels: Task -> channels of its prediction.
        config: Kinds and sizes of encoder and decoders; default: the paper's.

    Raises:
        ConfigError: If there is no task or the settings are invalid.
    """

    takes_any_encoder: ClassVar[bool] = False
    """Whether encoders other than the paper's ResNet are supported (`mgm.models.encoders`)."""
    encoder: Encoder
    """Maps images ``[B, C, H, W]`` to a pyramid of features."""
    decoders: nn.Module
    """Maps the pyramid to head -> ``[B, C, H, W]``, for tasks and auxiliary heads (`task_of`). Includes any layers that tasks share
    between features and predictions."""

    def __init__(self, channels: Mapping[str, int], config: ModelConfig | None = None) -> None:
        super().__init__()
        if not channels:
            raise ConfigError("a model needs at least one task")
        self.tasks = tuple(channels)
        self.encoder, self.decoders = self.build(channels, config or ModelConfig())

    @staticmethod
    @abstractmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """Build the encoder and the decoders; arguments as for the class."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Name -> separately trained part: ``encoder``, ``decoders``, and any others; together they hold all parameters."""
        return dict(self.named_children())

    @property
    def own_weights(self) -> dict[str, tuple[str, ...]]:
        """Task -> prefixes of the names of all weights that its prediction depends on; empty if tasks share weights."""
        return {}

    def begin_step(self, seed: int, progress: float) -> None:
        """Call `StepwiseModule.begin_step` of all such modules; arguments as there."""
        for module in self.modules():
            if isinstance(module, StepwiseModule):
                module.begin_step(seed, progress)

    def fix_decisions(self) -> None:
        """Fix all decisions that depend on the forward pass, so that the model can be traced."""
        for module in self.modules():
            if isinstance(module, DecidingModule):
                module.fix_decisions()

    def start_at(self, constants: Mapping[str, Tensor]) -> None:
        """Initialise pyramid decoders to the best constant predictions; the paper's decoders keep their random initialisation.

        Args:
            constants: Task -> output ``[C]``.
        """
        for module in self.decoders.modules():
            if isinstance(module, PyramidDecoders):
                module.start_at({head: constants[task_of(head)] for head in module.outputs})

    @property
    def feature_channels(self) -> int:
        """Channels of ``E(x)``, the coarsest features."""
        return self.encoder.channels[-1]

    @property
    def stride(self) -> int:
        """The total stride in pixels; both sides of an image must be multiples of it."""
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
