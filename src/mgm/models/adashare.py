"""AdaShare (Sun et al., 2020): every task selects or skips each block of one shared encoder, by a learned policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.models.base import DecidingModule, MultiTaskModel, StepwiseModule
from mgm.networks.blocks import BasicBlock
from mgm.networks.decoders import DecodersOfParts
from mgm.networks.encoder import Encoder, ResNetEncoder
from mgm.types import Features

Gates = Sequence[Sequence[float | Tensor]]
"""Block -> task -> 1 (selected), 0 (skipped), or a scalar tensor of that value through which a gradient reaches the policy."""


@dataclass(frozen=True)
class PolicySchedule:
    """When the policy learns, in shares of the training of M. The defaults follow the authors' settings for NYUv2.

    Before `warm_up` every task selects every block. From then on decisions are sampled and learned, for the last block
    first and for all from `curriculum` on. From `fixed` on the decisions are the likelier ones and only the weights train;
    the paper trains a new network with them instead, which would be twice the budget.
    """

    warm_up: float = 0.2
    curriculum: float = 0.4
    fixed: float = 0.7
    first_temperature: float = 5.0
    last_temperature: float = 0.5


class Policy(StepwiseModule):
    """The probability ``α_lk = σ(logit_lk)`` with which task k selects block l, of L blocks and K tasks.

    A decision is sampled by the Gumbel-Max trick and differentiated by its relaxation (Sun et al., eq. 1, 2): of two
    classes only the difference of logits and of Gumbel noises counts, the latter a logistic number ``g``. So task k
    selects block l iff ``logit + g > 0``, and the gradient is that of ``σ((logit + g) / τ)``.

    Deviation: decisions in training are 0 or 1 (straight-through), not relaxed, so the weights are trained under the same
    kind of decisions as they are used with. Without noise (evaluation, warm-up, blocks that the curriculum has not
    reached, the end of training) the likelier decision holds. A policy starts in favour of selecting everything.
    """

    INITIAL_LOGIT: ClassVar[float] = 1.0
    """α = 0.73 (the authors begin undecided): the change from the warm-up to sampled decisions is gentle."""

    def __init__(self, num_blocks: int, num_tasks: int, schedule: PolicySchedule | None = None) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.full((num_blocks, num_tasks), self.INITIAL_LOGIT))
        self.schedule = schedule or PolicySchedule()
        self.begin_step(seed=0, progress=0.0)

    def begin_step(self, seed: int, progress: float) -> None:
        """Draw this step's noise; arguments as of `StepwiseModule`."""
        self.progress = progress
        uniform = torch.rand(self.logits.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self._noise = torch.logit(uniform, eps=1e-9).float()

    @property
    def num_open(self) -> int:
        """How many blocks, counted from the last, are sampled and learned in this step."""
        schedule = self.schedule
        if not schedule.warm_up <= self.progress < schedule.fixed:
            return 0
        span = schedule.curriculum - schedule.warm_up
        share = (self.progress - schedule.warm_up) / span if span > 0 else 1.0
        return min(len(self.logits), 1 + int(share * len(self.logits)))

    @property
    def temperature(self) -> float:
        """τ of this step, which falls by the same factor every step of the learning time."""
        schedule = self.schedule
        span = schedule.fixed - schedule.warm_up
        share = min(max((self.progress - schedule.warm_up) / span, 0.0), 1.0) if span > 0 else 1.0
        return schedule.first_temperature * (schedule.last_temperature / schedule.first_temperature) ** share

    def _selection(self) -> Tensor:
        """``[L, K]`` of exactly 0 and 1, with the gradient of the relaxed decisions."""
        is_open = torch.arange(len(self.logits)) >= len(self.logits) - self.num_open
        noise = self._noise * (is_open[:, None] & self.training)
        scores = self.logits + noise.to(self.logits.device)
        relaxed = torch.sigmoid(scores / self.temperature)
        return (scores > 0).to(relaxed.dtype) + (relaxed - relaxed.detach())

    def decisions(self) -> Gates:
        """Decisions of this step, or in evaluation the likelier ones, as plain numbers."""
        return cast(list[list[float]], self._selection().detach().tolist())

    def gates(self) -> Gates:
        """`decisions`, with those that are being learned as tensors that carry a gradient to the policy."""
        closed = len(self.logits) - self.num_open
        selection = self._selection()
        decided = cast(list[list[float]], selection[:closed].detach().tolist())
        return [*decided, *(list(row) for row in selection[closed:])]

    def sparsity(self) -> Tensor:
        """``L_sparsity = Σ_lk log α_lk`` over the blocks that are being learned (Sun et al., eq. 3), a scalar."""
        return F.logsigmoid(self._open_logits()).sum()

    def sharing(self) -> Tensor:
        """``L_sharing = Σ_l (L - l)/L Σ_{k<j} |α_lk - α_lj|``, ``l`` from 0 (Sun et al., eq. 4), a scalar.

        Early blocks should be shared. Over the blocks that are being learned.
        """
        probabilities = torch.sigmoid(self._open_logits())
        total, count = len(self.logits), len(probabilities)
        weights = torch.arange(count, 0, -1, device=probabilities.device) / total
        apart = (probabilities[:, :, None] - probabilities[:, None, :]).abs().triu(1).sum(dim=(1, 2))
        return (weights * apart).sum()

    def _open_logits(self) -> Tensor:
        return self.logits[len(self.logits) - self.num_open :]


class AdaShareEncoder(Encoder, DecidingModule):
    """A ResNet in which each task takes its own path; the features of all tasks stand one after another in the channels.

    A skipped block leaves its shortcut. Tasks share the computation as far as they have decided alike, so with every
    block selected a pass does what `ResNetEncoder` does, running statistics included.
    """

    decide: Callable[[], Gates]
    """Decisions of a pass: those of the policy that it follows; until then everything is selected."""

    def __init__(self, num_tasks: int, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = ResNetEncoder(config.image_channels, config.depth, config.widths, config.encoder_stride)
        self.num_tasks = num_tasks
        self.channels = tuple(num_tasks * channels for channels in self.trunk.channels)
        self.strides = self.trunk.strides
        self.decide = self.everything

    @property
    def blocks(self) -> list[BasicBlock]:
        """The residual blocks, first to last."""
        return [block for stage in self.trunk.stages for block in stage.children() if isinstance(block, BasicBlock)]

    def everything(self) -> Gates:
        """Every block selected by every task."""
        return [[1.0] * self.num_tasks for _ in self.blocks]

    def follow(self, policy: Policy) -> None:
        """Take decisions from a policy, which stays a module of its own: its parameters are not those of the encoder."""
        self.decide = policy.decisions

    def fix_decisions(self) -> None:
        """Take for good the paths that the policy favours now."""
        favoured = self.decide()
        self.decide = lambda: favoured

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; the channels of a level are those of all tasks. No gradient reaches the policy."""
        return self.take(images, self.decide())

    def take(self, images: Tensor, gates: Gates) -> Features:
        """The same along given paths: ``gates`` for every block and task."""
        fine, pooled = self.trunk.stem(images)
        levels = [torch.cat([fine] * self.num_tasks, dim=1)]
        paths = [(pooled, list(range(self.num_tasks)))]
        rows = iter(gates)
        for stage in self.trunk.stages:
            for block, row in zip(stage.children(), rows):  # noqa: B905 - the rows go on in the next stage
                assert isinstance(block, BasicBlock)
                paths = [
                    (_gated(block, features, row[tasks[0]]), tasks)
                    for features, together in paths
                    for tasks in _alike(together, row)
                ]
            ends = {task: features for features, tasks in paths for task in tasks}
            levels.append(torch.cat([ends[task] for task in range(self.num_tasks)], dim=1))
        return levels


def _alike(tasks: Sequence[int], row: Sequence[float | Tensor]) -> list[list[int]]:
    """The tasks in groups that decide alike; one whose decision carries a gradient goes its own way."""
    groups: dict[float | int, list[int]] = {}
    for task in tasks:
        gate = row[task]
        groups.setdefault(id(gate) if isinstance(gate, Tensor) else gate, []).append(task)
    return list(groups.values())


def _gated(block: BasicBlock, features: Tensor, gate: float | Tensor) -> Tensor:
    """``relu(gate * residual + shortcut)``, computing the residual only where it counts."""
    if isinstance(gate, Tensor):
        return F.relu(gate * block.residual(features) + block.shortcut(features))
    return block(features) if gate else F.relu(block.shortcut(features))


class AdaShareNetwork(MultiTaskModel):
    """AdaShare as a predictor. Arguments: see `MultiTaskModel`.

    The losses of M train the encoder under the decisions of the step; the policy, a part of its own, is trained apart from it
    by the task losses, the sparsity and the sharing loss (`mgm.method.losses.policy_loss`). With everything selected and the
    paper's decoders it is `MultiTaskNetwork`, and starts from the same weights; of pyramid decoders each task has layers of its
    own here.

    Example:
        >>> model = AdaShareNetwork({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["depth"].shape
        torch.Size([1, 1, 64, 64])
        >>> sorted(model.parts)
        ['decoders', 'encoder', 'policy']
    """

    policy: Policy

    def __init__(self, channels: Mapping[str, int], config: ModelConfig | None = None) -> None:
        super().__init__(channels, config)
        assert isinstance(self.encoder, AdaShareEncoder)
        self.policy = Policy(len(self.encoder.blocks), len(channels))
        self.encoder.follow(self.policy)

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """The encoder with a path per task; a decoder reads the end of its own."""
        encoder = AdaShareEncoder(len(channels), config)
        parts = [encoder.trunk] * len(channels)
        return encoder, DecodersOfParts(parts, [{task: size} for task, size in channels.items()], config)
