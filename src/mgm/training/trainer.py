"""The generic training loop: stages, checkpoints, logs.

The method is in `algorithm`; how its updates are carried out, in `stepping`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from torch import Tensor, nn

from mgm.config import Experiment
from mgm.errors import RunError, TrainingDivergedError
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import EXTRA_IMAGES, synthesize
from mgm.method.networks import Networks
from mgm.method.step import Step
from mgm.networks.normalization import frozen_buffers
from mgm.networks.recomputation import recompute_blocks
from mgm.tasks.base import Task
from mgm.training.checkpoint import load_checkpoint, save_checkpoint
from mgm.training.compilation import begin_compiled_step, compile_networks, wants_compilation
from mgm.training.ema import WeightAverage
from mgm.training.evaluate import Scores
from mgm.training.layout import arrange, in_layout, memory_format
from mgm.training.metrics_log import Journal
from mgm.training.micro_batches import split_batch
from mgm.training.optimizer_steps import STEPPING
from mgm.training.optimizers import build_optimizers, match_layouts, set_rates
from mgm.training.schedules import SCHEDULES
from mgm.training.seeding import derive_seed
from mgm.training.updates import Stage
from mgm.types import Batch

EXPLODED = 1e6
"""A loss beyond this is taken as a diverged training, though it is still finite."""
SNAPSHOT_IMAGES = 128
"""Images whose latent means are kept with a generator."""
TIMED_PLACES = 10
"""Places of a stage with images of several sizes at which its cost is measured."""
LOG_EVERY = 20
"""Steps between looks at the losses; each look waits for the device."""

Feed = Callable[[int, int], Batch]
"""``feed(step, count)``: this process' part of the batch of a step, the same whenever it is asked for."""


class Progress:
    """What the trainer tells about its way. Whoever wants to show some of it overrides that; this one shows nothing."""

    def __enter__(self) -> object:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage begins, or goes on after a pause."""

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Steps were done; figures are the latest losses or scores."""

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """The model was scored on the validation set; ``score`` is the number by which the best is kept."""


@dataclass
class Position:
    """How far a training has come: everything that a checkpoint holds apart from weights."""

    stage: int = 0
    step: int = 0
    """Steps done in the stage."""
    best_score: float = float("-inf")
    best_step: int = -1
    journal_size: int = 0
    seconds: float = 0.0
    """Time spent training, in all sittings."""


@dataclass
class Trainer:
    """Runs stages from wherever the last checkpoint left them.

    Args:
        experiment: Settings.
        stages: What to do (`algorithm.stages`).
        networks: What to train, on the fabric's device.
        tasks: Task name -> task.
        feeds: Where batches come from: ``labelled``, and the names that stages and the method ask for.
        validate: Scores of a model on the validation set and the one number by which the best is kept.
        fabric: Device, precision, processes.
        folder: Where checkpoints go.
        progress: Told about every logged step.
        multi_hot: Whether an image may have several scene labels.
        annotate: Gives extra images their labels; by default they keep what they have.
    """

    experiment: Experiment
    stages: tuple[Stage, ...]
    networks: Networks
    tasks: dict[str, Task]
    feeds: dict[str, Feed]
    validate: Callable[[nn.Module], tuple[Scores, float]]
    fabric: Fabric
    folder: Path
    journal: Journal
    progress: Progress
    multi_hot: bool = False
    annotate: Callable[[Batch], Batch] = lambda extra: extra
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        config = self.experiment.training
        layout = memory_format(config, self.fabric.device)
        arrange(self.networks, layout)
        if config.checkpoint_activations:
            recompute_blocks(self.networks)
        self.optimizers = build_optimizers(self.networks, self.stages, config)
        self.stepping = STEPPING[config.optimizer_step](self.networks, self.optimizers, config, self.fabric.autocast)
        self.average = WeightAverage(self.networks.model, config.ema) if config.ema else None
        if wants_compilation(config, self.fabric.device):
            compile_networks(self.networks, config)
        # the parts of a minibatch share one draw of extra images
        self.feeds = {name: lru_cache(maxsize=1)(in_layout(feed, layout)) for name, feed in self.feeds.items()}
        self._clock = time.perf_counter()

    @property
    def evaluated_model(self) -> nn.Module:
        """The weights that are validated, tested and used: the moving average, where there is one."""
        return self.average.model if self.average else self.networks.model

    def run(self) -> None:
        """Do all that is left to do.

        Raises:
            TrainingDivergedError: If a loss is NaN or explodes; the last checkpoint stays as it was.
        """
        self._clock = time.perf_counter()
        while self.position.stage < len(self.stages):
            stage = self.stages[self.position.stage]
            self._run_stage(stage)
            if "generator" in stage.trains:
                self._save(f"generator_after_{stage.name}.pt", **self._generator_snapshot())
            self.position.stage += 1
            self.position.step = 0
            self.save()

    def enter_stage(self, number: int) -> None:
        """Stand in a stage, its networks ready to be trained and all others frozen."""
        self.position.stage = number
        self.networks.train()
        for name, network in self.networks.items():
            network.requires_grad_(name in self.stages[number].trains)

    def _run_stage(self, stage: Stage) -> None:
        config = self.experiment.training
        self.enter_stage(self.position.stage)
        self.progress.stage(stage.name, self.position.step, stage.steps)
        recent: list[dict[str, Tensor]] = []
        while self.position.step < stage.steps:
            recent.append(self.train_step(stage, self.position.step))
            self.position.step += 1
            done = self.position.step
            validates = stage.trains_model and stage.data == "labelled" and done % config.validate_every == 0
            saves = done % config.checkpoint_every == 0
            last = done == stage.steps
            if validates or saves or last or done % LOG_EVERY == 0:
                self._log(stage, recent)
                recent = []
            if validates or (last and stage.trains_model and stage.data == "labelled"):
                self._validate(stage)
            if saves and not last:
                self.save()

    def train_step(self, stage: Stage, index: int) -> dict[str, Tensor]:
        """One step of a stage: every update of it, in order (`stepping`).

        Returns:
            Update name -> its loss (of the last time, if the update stands several times), still on the device.
        """
        # the same in all processes: they have to take the same paths through the model
        model_seed = derive_seed(self.experiment.seed, "model", stage.name, index)
        config = self.experiment.training
        begin_compiled_step(self.networks, config)
        self.networks.model.begin_step(model_seed, self.steps_done / config.steps)
        progress = self.steps_done / config.steps if stage.data == "labelled" else index / stage.steps
        set_rates(self.optimizers.values(), SCHEDULES[config.schedule](progress, config.warm_up))
        earlier = sum(s.steps for s in self.stages[: self.position.stage] if s.data == stage.data)
        parts = config.accumulate
        whole = self._with_used_labels(self.feeds[stage.data](earlier + index, stage.batch_size), index)
        steps = [
            Step(
                self.networks,
                self.tasks,
                self.experiment.method,
                batch,
                derive_seed(self.experiment.seed, stage.name, index, rank()),
                lambda current: self._extra_images(current, index),
                multi_hot=self.multi_hot,
                defer_encoder=self.stepping.defers_encoder,
                simultaneous=self.stepping.simultaneous,
                keep_fakes=self.stepping.keeps_fakes,
                common_seed=model_seed,
                part=part,
                parts=parts,
            )
            for part, batch in enumerate(split_batch(whole, parts, self.tasks))
        ]
        losses = self.stepping(stage, *steps)
        if self.average and stage.trains_model:
            self.average.update(self.networks.model)
        return losses

    def representative_steps(self, stage: Stage) -> tuple[int, ...]:
        """Steps of a stage whose mean cost is that of all of its steps: images may have several sizes."""
        if not self.experiment.training.early_sizes or stage.data != "labelled":
            return (0,)
        return tuple(int((number + 0.5) / TIMED_PLACES * stage.steps) for number in range(TIMED_PLACES))

    def _extra_images(self, step: Step, index: int) -> Batch:
        method = self.experiment.method
        count = max(1, round(method.extra_ratio * len(step.batch)))
        if EXTRA_IMAGES[method.extra_images].generator == "none":
            whole = self.annotate(self.feeds[method.extra_images](index, count * step.parts * world_size()))
            whole = self._with_used_labels(whole, index)
            return split_batch(whole, step.parts, self.tasks)[step.part]
        with frozen_buffers(*self.networks.values()):
            return self._with_used_labels(self.annotate(synthesize(step, count)), index)

    def _with_used_labels(self, batch: Batch, index: int) -> Batch:
        """The batch with the labels that `ModelConfig.loss_stride` leaves.

        A pixel of a prediction at half the resolution lies between the labels that it could be held against: the choice
        changes from step to step.
        """
        model = self.experiment.model
        if model.decoder != "pyramid" or model.loss_stride == 1:
            return batch
        return batch.every(model.loss_stride, index % model.loss_stride)

    @torch.no_grad()
    def _generator_snapshot(self) -> dict[str, Any]:
        """The generator with the latent means of some labelled images, so that it can be used without the data."""
        batch = self.feeds["generator"](0, SNAPSHOT_IMAGES * world_size())
        step = Step(
            self.networks, self.tasks, self.experiment.method, batch, 0, lambda _: batch, multi_hot=self.multi_hot
        )
        means = torch.zeros(len(batch), step.latent_size, device=batch.images.device)
        if "embedding" in self.networks:
            with frozen_buffers(*self.networks.values()):
                means = self.networks["embedding"](step.features("labelled")[-1])
        return {"generator": self.networks["generator"].state_dict(), "latent_means": means, "labels": step.labels()}

    def _log(self, stage: Stage, recent: list[dict[str, Tensor]]) -> None:
        """Mean losses since the last look; stops a training that has diverged."""
        names = recent[-1].keys() if recent else ()
        means = {name: torch.stack([losses[name] for losses in recent]).float().mean().item() for name in names}
        done = self.position.step
        saved = (self.folder / "last.pt").exists()
        kept = f"The last good checkpoint is kept in {self.folder}" if saved else "No checkpoint had been saved yet"
        for name, value in means.items():
            if not abs(value) < EXPLODED:
                raise TrainingDivergedError(
                    f"stage {stage.name!r}, step {done}: the {name} loss is {value:g}. {kept}. "
                    "Try a lower learning rate, max_gradient_norm 1, or fp32."
                )
        if means:
            self.journal.write(stage=stage.name, step=done, losses=means)
            self.progress.step(done, means)

    def _validate(self, stage: Stage) -> None:
        """Score M on the validation set; keep the best weights."""
        scores, score = self.validate(self.evaluated_model)
        self.journal.write(stage=stage.name, step=self.position.step, validation=scores, score=score)
        self.progress.step(self.position.step, {"score": score})
        self.progress.validated(self.position.step, scores, score, self.evaluated_model)
        if score > self.position.best_score:
            self.position.best_score = score
            self.position.best_step = self.steps_done
            weights = {name: value.contiguous() for name, value in self.evaluated_model.state_dict().items()}
            self._save("best.pt", model=weights, step=self.steps_done, score=score)
        self.networks.train()

    @property
    def steps_done(self) -> int:
        """Steps of M on labelled batches over all stages so far: what budgets are counted in."""
        done = [(stage, stage.steps) for stage in self.stages[: self.position.stage]]
        if self.position.stage < len(self.stages):
            done.append((self.stages[self.position.stage], self.position.step))
        return sum(steps for stage, steps in done if stage.trains_model and stage.data == "labelled")

    def save(self) -> None:
        """Write the checkpoint from which `restore` continues bitwise."""
        now = time.perf_counter()
        self.position.seconds += now - self._clock
        self._clock = now
        self.position.journal_size = self.journal.size
        self._save(
            "last.pt",
            position=vars(self.position),
            networks=self.networks.state_dict(),
            optimizers={name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            average=self.average.state_dict() if self.average else None,
        )

    def _save(self, name: str, **state: Any) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder / name, state)
        if world_size() > 1:
            dist.barrier()

    def restore(self) -> bool:
        """Continue from the last checkpoint, if there is one.

        Raises:
            RunError: If the checkpoint does not fit the settings.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            self.journal.cut(0)
            return False
        state = load_checkpoint(path, self.fabric.device)
        try:
            self.networks.load_state_dict(state["networks"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
                match_layouts(optimizer)
            if self.average:
                self.average.load_state_dict(state["average"])
            self.position = Position(**state["position"])
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"{path} does not fit this run's settings ({reason}); start a new run in another folder"
            ) from None
        self.journal.cut(self.position.journal_size)
        return True
