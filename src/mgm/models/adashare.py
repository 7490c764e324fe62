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
"""``gates[block][task]``: 1 (selected), 0 (skipped), or a scalar tensor with that value, whose gradient reaches the policy."""


@dataclass(frozen=True)
class PolicySchedule:
    """When the policy is trained, in fractions of M's training. The defaults follow the authors' settings for NYUv2.

    Before `warm_up`, every task selects every block. From then on, decisions are sampled and learned, starting with the last
    block and including all blocks from `curriculum` on. From `fixed` on, the more likely decisions are used and only the
    weights are trained; the paper instead trains a new network with them, which would double the budget.
    """

    warm_up: float = 0.2
    curriculum: float = 0.4
    fixed: float = 0.7
    first_temperature: float = 5.0
    last_temperature: float = 0.5


class Policy(StepwiseModule):
    """The probabilities ``α_lk = σ(logit_lk)`` that task k selects block l, for L blocks and K tasks.

    Decisions are sampled with the Gumbel-Max trick and differentiated through its relaxation (Sun et al., eq. 1, 2). With two
    classes, only the differences of logits and of Gumbel noises matter, and the latter is logistic noise ``g``. So task k
    selects block l iff ``logit + g > 0``, and the gradient is that of ``σ((logit + g) / τ)``.

    Deviation: decisions in training are 0 or 1 (straight-through), not relaxed, so that the weights are trained with the kind
    of decisions that they are used with. Without noise (evaluation, warm-up, blocks that the curriculum has not reached, the
    end of training), the more likely decision is taken. Initially, every task favours every block.
    """

    INITIAL_LOGIT: ClassVar[float] = 1.0
    """α = 0.73 (the authors start at 0.5), so that the transition from warm-up to sampled decisions is gentle."""

    def __init__(self, num_blocks: int, num_tasks: int, schedule: PolicySchedule | None = None) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.full((num_blocks, num_tasks), self.INITIAL_LOGIT))
        self.schedule = schedule or PolicySchedule()
        self.begin_step(seed=0, progress=0.0)

    def begin_step(self, seed: int, progress: float) -> None:
        """Draw the noise of a step; arguments as for `StepwiseModule.begin_step`."""
        self.progress = progress
        uniform = torch.rand(self.logits.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self._noise = torch.logit(uniform, eps=1e-9).float()

    @property
    def num_open(self) -> int:
        """Number of blocks, counted from the last, whose decisions are sampled and learned in this step."""
        schedule = self.schedule
        if not schedule.warm_up <= self.progress < schedule.fixed:
            return 0
        span = schedule.curriculum - schedule.warm_up
        share = (self.progress - schedule.warm_up) / span if span > 0 else 1.0
        return min(len(self.logits), 1 + int(share * len(self.logits)))

    @property
    def temperature(self) -> float:
        """Temperature τ of this step, which decays exponentially while the policy is trained."""
        schedule = self.schedule
        span = schedule.fixed - schedule.warm_up
        share = min(max((self.progress - schedule.warm_up) / span, 0.0), 1.0) if span > 0 else 1.0
        return schedule.first_temperature * (schedule.last_temperature / schedule.first_temperature) ** share

    def _selection(self) -> Tensor:
        """Decisions ``[L, K]``, exactly 0 or 1, with the gradient of the relaxed decisions."""
        is_open = torch.arange(len(self.logits)) >= len(self.logits) - self.num_open
        noise = self._noise * (is_open[:, None] & self.training)
        scores = self.logits + noise.to(self.logits.device)
        relaxed = torch.sigmoid(scores / self.temperature)
        return (scores > 0).to(relaxed.dtype) + (relaxed - relaxed.detach())

    def decisions(self) -> Gates:
        """Decisions of this step (in evaluation, the more likely ones) as plain numbers."""
        return cast(list[list[float]], self._selection().detach().tolist())

    def gates(self) -> Gates:
        """`decisions`, in which those being learned are tensors with a gradient to the policy."""
        closed = len(self.logits) - self.num_open
        selection = self._selection()
        decided = cast(list[list[float]], selection[:closed].detach().tolist())
        return [*decided, *(list(row) for row in selection[closed:])]

    def sparsity(self) -> Tensor:
        """``L_sparsity = Σ_lk log α_lk``, a scalar, over the blocks whose decisions are being learned (Sun et al., eq. 3)."""
        return F.logsigmoid(self._open_logits()).sum()

    def sharing(self) -> Tensor:
        """``L_sharing = Σ_l (L - l)/L Σ_{k<j} |α_lk - α_lj|``, a scalar, with ``l`` from 0 (Sun et al., eq. 4).

        Encourages tasks to share blocks, early ones above all. The sum is over the blocks whose decisions are being learned.
        """
        probabilities = torch.sigmoid(self._open_logits())
        total, count = len(self.logits), len(probabilities)
        weights = torch.arange(count, 0, -1, device=probabilities.device) / total
        apart = (probabilities[:, :, None] - probabilities[:, None, :]).abs().triu(1).sum(dim=(1, 2))
        return (weights * apart).sum()

    def _open_logits(self) -> Tensor:
        return self.logits[len(self.logits) - self.num_open :]


class AdaShareEncoder(Encoder, DecidingModule):
    """A ResNet in which each task takes its own path; the features of all tasks are concatenated along the channels.

    A skipped block is replaced by its shortcut. Tasks share the computation up to their first different decision, so with
    every block selected, a forward pass equals that of `ResNetEncoder`, including running statistics.
    """

    decide: Callable[[], Gates]
    """Returns the decisions of a forward pass; selects everything until `follow` sets a policy."""

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
        """Use the decisions of a policy; its parameters do not become parameters of the encoder."""
        self.decide = policy.decisions

    def fix_decisions(self) -> None:
        """Fix the current decisions of the policy from now on."""
        favoured = self.decide()
        self.decide = lambda: favoured

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; each level has the channels of all tasks. No gradient reaches the policy."""
        return self.take(images, self.decide())

    def take(self, images: Tensor, gates: Gates) -> Features:
        """Forward pass with given ``gates`` for every block and task; gradients reach gates that are tensors."""
        fine, pooled = self.trunk.stem(images)
        levels = [torch.cat([fine] * self.num_tasks, dim=1)]
        paths = [(pooled, list(range(self.num_tasks)))]
        rows = iter(gates)
        for stage in self.trunk.stages:
            for block, row in zip(stage.children(), rows):  # noqa: B905 - the next stage continues with the remaining rows
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
    """Group tasks by equal decisions; a task whose decision carries a gradient forms its own group."""
    groups: dict[float | int, list[int]] = {}
    for task in tasks:
        gate = row[task]
        groups.setdefault(id(gate) if isinstance(gate, Tensor) else gate, []).append(task)
    return list(groups.values())


def _gated(block: BasicBlock, features: Tensor, gate: float | Tensor) -> Tensor:
    """``relu(gate * residual + shortcut)``, without computing the residual if the gate is 0."""
    if isinstance(gate, Tensor):
        return F.relu(gate * block.residual(features) + block.shortcut(features))
    return block(features) if gate else F.relu(block.shortcut(features))


class AdaShareNetwork(MultiTaskModel):
    """AdaShare as a multi-task model. Arguments: see `MultiTaskModel`.

    The losses of M train the encoder with the decisions of the step. The policy is a separate part, trained by the task losses
    plus sparsity and sharing losses (`mgm.method.losses.policy_loss`). With everything selected and the paper's decoders, it
    equals `MultiTaskNetwork` and starts from the same weights; with pyramid decoders, each task has its own pyramid here.

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
        """The encoder with a path per task, and decoders that each read the features of their task's path."""
        encoder = AdaShareEncoder(len(channels), config)
        parts = [encoder.trunk] * len(channels)
        return encoder, DecodersOfParts(parts, [{task: size} for task, size in channels.items()], config)
