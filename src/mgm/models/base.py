"""The contract of a predictor ``M``: one encoder module, one decoder per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.errors import ConfigError
from mgm.networks.encoder import WIDTHS
from mgm.types import Predictions


def task_of(head: str) -> str:
    """The task of an entry of `MultiTaskModel.decoders`.

    Most are called after their task. ``TASK/NETWORK`` is an auxiliary head, which learns the task in another network than
    the one that predicts it (`mgm.models.task_groups`): it is trained like any other, and its predictions are not used.
    """
    return head.partition("/")[0]


class StepwiseModule(nn.Module, ABC):
    """A module whose passes in training depend on the step: on how far training has come, or on noise of that step."""

    @abstractmethod
    def begin_step(self, seed: int, progress: float) -> None:
        """Prepare for the passes of one step; the arguments alone say how, so that a resumed run repeats them.

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

    What architectures differ in, how tasks share layers, lies inside the encoder and in what of its output a decoder
    reads. Whatever works on features (self-supervision, the embedding layer) therefore works for every architecture.
    Subclasses are final and only say what the halves are; `mgm.models.MODELS` is the registry.

    Args:
        channels: Task -> channels of its prediction.
        depth: Layers of the encoder: 10, 18 or 34 (ST_l, MT_l; Table 8); decoders match it.
        widths: Channels of the encoder's four stages.
        structure: What else an architecture's `build` takes.

    Raises:
        ConfigError: If there is no task, the depth is unknown or ``widths`` is not four positive numbers.
    """

    takes_backbone: ClassVar[bool] = False
    """Whether the encoder may be a pre-trained one (`mgm.networks.pretrained`)."""
    encoder: nn.Module
    """``[B, 3, H, W]`` to features ``[B, F, H/16, W/16]``; its ``out_channels`` is ``F``."""
    decoders: nn.ModuleDict
    """Task -> module from the features, all of them, to ``[B, C, H, W]``; see also `task_of`."""

    def __init__(
        self, channels: Mapping[str, int], depth: int = 18, widths: Sequence[int] = WIDTHS, **structure: Any
    ) -> None:
        super().__init__()
        if not channels:
            raise ConfigError("a model needs at least one task")
        self.tasks = tuple(channels)
        self.encoder, decoders = self.build(channels, depth, widths, **structure)
        self.decoders = nn.ModuleDict(decoders)

    @classmethod
    def from_config(cls, channels: Mapping[str, int], config: ModelConfig) -> Self:
        """The network that settings describe.

        Args:
            channels: Task -> channels of its prediction.
            config: Of its fields an architecture takes those that concern it.

        Raises:
            ConfigError: If they do not fit the tasks, or see above.
        """
        backbone = {"backbone": config.backbone} if cls.takes_backbone else {}
        return cls(channels, config.depth, config.widths, **backbone)

    @staticmethod
    @abstractmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int]
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """The encoder, with an attribute ``out_channels``, and the decoders.

        Arguments as of the class; one whose networks follow from more than these names it as a further one with a default.
        """

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The halves, and whatever else an architecture has to be trained apart, by name; together all parameters."""
        return dict(self.named_children())

    def begin_step(self, seed: int, progress: float) -> None:
        """Tell every `StepwiseModule` inside that a training step begins; arguments as there."""
        for module in self.modules():
            if isinstance(module, StepwiseModule):
                module.begin_step(seed, progress)

    def fix_decisions(self) -> None:
        """Make a constant of whatever evaluation decides anew on each pass, so that a graph of it can be traced."""
        for module in self.modules():
            if isinstance(module, DecidingModule):
                module.fix_decisions()

    @property
    def feature_channels(self) -> int:
        """Channels ``F`` of the features."""
        channels = self.encoder.out_channels
        assert isinstance(channels, int)
        return channels

    def decode(self, features: Tensor) -> Predictions:
        """Features ``[B, F, H/16, W/16]`` to each task's prediction ``[B, C, H, W]``."""
        return {task: self.decoders[task](features) for task in self.tasks}

    def forward(self, images: Tensor) -> Predictions:
        """Predictions of all tasks.

        Args:
            images: ``[B, 3, H, W]`` RGB in (-1, 1), both sides multiples of 16.

        Returns:
            Task -> ``[B, C, H, W]``, without activation.

        Raises:
            ConfigError: If a side is not a multiple of 16.
        """
        return self.decode(self.encoder(images))
