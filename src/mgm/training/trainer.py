"""The training loop: stages, checkpoints, logs. It knows updates and networks only by name, and is independent of the method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from mgm.config import TrainingConfig
from mgm.data.files import schema
from mgm.errors import Interrupted, RunError, TrainingDivergedError, reason_of
from mgm.functional.distributed import rank, world_size
from mgm.networks.recomputation import recompute_blocks
from mgm.tasks.base import Task
from mgm.training.checkpoint import Position, SavedModel, TrainingState, load_checkpoint, save_checkpoint
from mgm.training.compilation import begin_compiled_step, compile_networks
from mgm.training.ema import WeightAverage
from mgm.training.evaluate import Scores
from mgm.training.gradients import GradientShares, compares
from mgm.training.memory_format import arrange, memory_format
from mgm.training.metrics_log import MetricsLog
from mgm.training.micro_batches import split_batch
from mgm.training.networks import Networks
from mgm.training.optimizer_steps import OPTIMIZER_STEPS, Autocast
from mgm.training.optimizers import build_optimizers, match_layouts, optimizer_names, set_rates
from mgm.training.schedules import SCHEDULES
from mgm.training.seeding import derive_seed
from mgm.training.selection import Skills, mean_skill
from mgm.training.signals import HeldSignals, held_signals
from mgm.training.step import Step, StepInputs
from mgm.training.updates import Stage, trained_networks
from mgm.types import Batch

EXPLODED = 1e6
"""Loss above which a training counts as diverged, even if it is finite."""
TIMED_PLACES = 10
"""Number of steps, spread over a stage, at which the cost of a stage with images of several sizes is measured."""
WHOLE = "all"
"""Key in `Position.best` for a model that is selected as a whole."""
LOG_EVERY = 20
"""Steps between reads of the losses; each read synchronises with the device."""

Loader = Callable[[int, int], Batch]
"""``loader(step, count)``: this process's share of the batch of ``count`` images for a step; deterministic."""


class Progress:
    """Callbacks of the trainer; subclasses override those that they need."""

    def __enter__(self) -> object:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def stage(self, name: str, done: int, total: int, best: float) -> None:
        """A stage starts or resumes; ``done`` of its ``total`` steps are done, with ``best`` as best score (-inf: none)."""

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Losses or scores were logged after step ``done``."""

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """The model was scored on the validation set; ``score`` selects the best model."""

    def stopped(self, done: int, waited: int) -> None:
        """The stage ends early, after ``waited`` validations without a better score."""


@dataclass
class Trainer:
    """Trains the stages in order, starting from the last checkpoint if there is one.

    Args:
        config: Optimisers, precision, intervals of validation and checkpoints.
        seed: Seed of noise and views.
        stages: The training schedule.
        networks: Networks to train, on the fabric's device.
        tasks: Task name -> task.
        loaders: Name (`Stage.data`) -> loader.
        make_step: Makes the step object of a micro-batch, which is passed to the losses.
        validate: Returns a model's scores on the validation set, and each task's skill, which selects the best model.
        fabric: Device, precision, processes.
        folder: Folder for checkpoints.
        log: Metrics log for losses and scores.
        progress: Callbacks.
        artifacts: Returns file name -> state to save beside the checkpoints after a stage.
        after_stage: Called when a stage is done and its checkpoint is written.
    """

    config: TrainingConfig
    seed: int
    stages: tuple[Stage, ...]
    networks: Networks
    tasks: dict[str, Task]
    loaders: dict[str, Loader]
    make_step: Callable[[StepInputs], Step]
    validate: Callable[[nn.Module], tuple[Scores, Skills]]
    fabric: Fabric
    folder: Path
    log: MetricsLog
    progress: Progress
    artifacts: Callable[[Stage], Mapping[str, Mapping[str, Any]]] = lambda stage: {}
    after_stage: Callable[[Trainer], None] = lambda trainer: None
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        config = self.config
        arrange(self.networks, memory_format(config, self.fabric.device))
        if config.checkpoint_activations:
            recompute_blocks(self.networks)
        self.optimizers = build_optimizers(self.networks, self.stages, config)
        kind = OPTIMIZER_STEPS[config.optimizer_step]
        self.optimizer_step = kind(self.networks, self.optimizers, config, cast(Autocast, self.fabric.autocast))
        self.average = WeightAverage(self.networks.model, config.ema) if config.ema else None
        if config.compile != "never":
            compile_networks(self.networks, config.compile, self.fabric.device)
        self._clock = time.perf_counter()
        self._recent: list[dict[str, Tensor]] = []  # losses since the last log entry
        self._signals = HeldSignals()

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to validate, test and use: the moving average if there is one, otherwise M."""
        return self.average.model if self.average else self.networks.model

    def run(self) -> None:
        """Train all remaining steps.

        Raises:
            TrainingDivergedError: If a loss is NaN or explodes; the last checkpoint is kept.
            Interrupted: If a signal stops the training; the current step is finished and saved first.
        """
        self._clock = time.perf_counter()
        with held_signals() as self._signals:
            while self.position.stage < len(self.stages):
                stage = self.stages[self.position.stage]
                self._run_stage(stage)
                for name, state in self.artifacts(stage).items():
                    self._save(name, **state)
                self.position.stage += 1
                self.position.step = self.position.waited = 0
                self.position.top = -math.inf
                self.save()
                self.after_stage(self)
                if number := self._signals.agreed(self.fabric.device):
                    raise Interrupted(number, f"stopped; all steps of stage {stage.name!r} are saved")

    def enter_stage(self, number: int) -> None:
        """Start a stage: thaw the networks that it trains and freeze all others."""
        self.position.stage = number
        self.networks.train()
        for name, network in self.networks.items():
            network.requires_grad_(name in self.stages[number].trains)

    def _run_stage(self, stage: Stage) -> None:
        config = self.config
        self.enter_stage(self.position.stage)
        self.progress.stage(stage.name, self.position.step, stage.steps, self.position.top)
        while self.position.step < stage.steps:
            self._recent.append(self.train_step(stage, self.position.step))
            self.position.step += 1
            if self.optimizer_step.shares:
                measured = self.optimizer_step.shares.figures()
                self.log.write(stage=stage.name, step=self.position.step, gradients=measured)
            done = self.position.step
            validates = stage.trains_on_labels and done % config.validate_every == 0
            saves = done % config.checkpoint_every == 0
            last = done == stage.steps
            logs = validates or saves or last or done % LOG_EVERY == 0
            # several processes agree on signals only at log steps, where they synchronise anyway
            stops = not last and (logs or world_size() == 1) and self._signals.agreed(self.fabric.device)
            if logs or stops:
                self._check_losses(stage)
            if logs:
                self._log(stage)
            if validates or (last and stage.trains_on_labels):
                self._validate(stage)
                if not last and self._out_of_patience(stage):
                    return
            if stops or (saves and not last):
                self.save()
            if stops:
                raise Interrupted(stops, f"stopped; step {done} of stage {stage.name!r} is saved")

    def train_step(self, stage: Stage, index: int) -> dict[str, Tensor]:
        """Carry out one step of a stage: all its updates in order (`optimizer_steps`).

        Returns:
            Update name -> loss, still on the device; the last loss of an update that occurs several times.
        """
        # the same in all processes, which must take the same path through the model
        model_seed = derive_seed(self.seed, "model", stage.name, index)
        config = self.config
        begin_compiled_step(self.networks, config.compile)
        self.networks.model.begin_step(model_seed, self.steps_done / config.steps)
        progress = self.steps_done / config.steps if stage.data == "labelled" else index / stage.steps
        set_rates(self.optimizers.values(), SCHEDULES[config.schedule](progress, config.warm_up))
        earlier = sum(s.steps for s in self.stages[: self.position.stage] if s.data == stage.data)
        whole = self.loaders[stage.data](earlier + index, stage.batch_size)
        seed = derive_seed(self.seed, stage.name, index, rank())
        average = self.average.model if self.average else None
        steps = [
            self.make_step(
                StepInputs(
                    batch, index, seed, model_seed, number, config.accumulate, self.optimizer_step.combined, average
                )
            )
            for number, batch in enumerate(split_batch(whole, config.accumulate, self.tasks))
        ]
        every = config.gradients_every if config.compile == "never" and compares(stage) else 0
        self.optimizer_step.shares = GradientShares() if every and index % every == 0 else None
        losses = self.optimizer_step(stage, steps)
        if self.average and stage.trains_model:
            self.average.update(self.networks.model)
        return losses

    def representative_steps(self, stage: Stage) -> tuple[int, ...]:
        """Indices of steps whose mean cost estimates that of the whole stage; several if image sizes differ between steps."""
        if not self.config.early_sizes or stage.data != "labelled":
            return (0,)
        return tuple(int((number + 0.5) / TIMED_PLACES * stage.steps) for number in range(TIMED_PLACES))

    def _mean_losses(self) -> dict[str, float]:
        """Update name -> mean loss since the last log entry."""
        names = self._recent[-1].keys() if self._recent else ()
        return {name: torch.stack([losses[name] for losses in self._recent]).float().mean().item() for name in names}

    def _check_losses(self, stage: Stage) -> None:
        """Raise `TrainingDivergedError` if a mean loss is NaN or above `EXPLODED`."""
        done = self.position.step
        saved = (self.folder / "last.pt").exists()
        kept = f"The last good checkpoint is kept in {self.folder}" if saved else "No checkpoint had been saved yet"
        for name, value in self._mean_losses().items():
            if not abs(value) < EXPLODED:
                raise TrainingDivergedError(
                    f"stage {stage.name!r}, step {done}: the {name} loss is {value:g}. {kept}. "
                    "Try a lower learning rate, max_gradient_norm 1, or fp32."
                )

    def _log(self, stage: Stage) -> None:
        if means := self._mean_losses():
            self.log.write(stage=stage.name, step=self.position.step, losses=means)
            self.progress.step(self.position.step, means)
        self._recent = []

    def _validate(self, stage: Stage) -> None:
        """Score M on the validation set and keep the best weights.

        The run's model is selected in the last stage, because a recipe is judged by its joint training, not by the multi-task
        training before it. The best model of earlier stages is saved separately.
        """
        # evaluate without compilation: it takes little time, and its batches have more shapes
        eager = self.config.compile != "never"
        with torch.compiler.set_stance("force_eager") if eager else nullcontext():
            scores, skills = self.validate(self.evaluated_model)
        score = mean_skill(skills)
        self.log.write(stage=stage.name, step=self.position.step, validation=scores, score=score)
        self.progress.step(self.position.step, {"score": score})
        self.progress.validated(self.position.step, scores, score, self.evaluated_model)
        warming = self.steps_done < self.config.warm_up * self.config.steps
        self.position.waited = self.position.waited + 1 if score <= self.position.top and not warming else 0
        self.position.top = max(self.position.top, score)
        if stage is self.stages[-1]:
            self._keep(self.position.best, skills, "best.pt")
        else:
            self._keep(
                self.position.earlier, skills, "best_earlier.pt", "best.pt"
            )  # best.pt until the last stage has one
        self.networks.train()

    def _out_of_patience(self, stage: Stage) -> bool:
        """Whether to stop the stage early (`TrainingConfig.patience`); the schedule of the next stage is not affected."""
        position, config = self.position, self.config
        if not config.patience or position.waited < config.patience:
            return False
        position.stopped[stage.name] = position.step
        self.log.write(stage=stage.name, step=position.step, stopped=position.waited)
        self.progress.stopped(position.step, position.waited)
        return True

    def _keep(self, best: dict[str, tuple[float, int]], skills: Skills, name: str, *copies: str) -> None:
        """Save the model if its score is better than the best so far; networks that share no layer are selected one by one.

        Args:
            best: Entry of `Position` to compare with and to update.
            skills: Skills of the current model.
            name: File with the best weights so far.
            copies: Further files to write the same weights to.
        """
        own, mean = self.networks.model.own_weights, mean_skill(skills)
        found = {task: mean if math.isnan(skills[task]) else skills[task] for task in own} or {WHOLE: mean}
        before = {part: best.get(part, (math.nan, 0))[0] for part in found}
        # NaN: without a previous score, as without a validation set, keep the latest weights
        better = [part for part, score in found.items() if math.isnan(before[part]) or score > before[part]]
        if not better:
            return
        weights = {key: value.contiguous() for key, value in self.evaluated_model.state_dict().items()}
        if len(better) < len(found) and self.fabric.is_global_zero:  # only this process writes
            kept = tuple(prefix for part, prefixes in own.items() if part not in better for prefix in prefixes)
            saved = load_checkpoint(self.folder / name, SavedModel, self.fabric.device)["model"]
            weights |= {key: value for key, value in saved.items() if key.startswith(kept)}
        best |= {part: (found[part], self.steps_done) for part in better}
        for file in (name, *copies):
            self._save(file, model=weights)

    @property
    def stages_as_trained(self) -> tuple[Stage, ...]:
        """The stages with the number of steps they were actually trained for."""
        return tuple(replace(stage, steps=self.position.stopped.get(stage.name, stage.steps)) for stage in self.stages)

    @property
    def steps_done(self) -> int:
        """Steps of M on labelled batches over all stages so far, in which budgets are counted.

        This is the position in the schedule, so steps skipped by early stopping (`TrainingConfig.patience`) count as done.
        """
        done = [(stage, stage.steps) for stage in self.stages[: self.position.stage]]
        if self.position.stage < len(self.stages):
            done.append((self.stages[self.position.stage], self.position.step))
        return sum(steps for stage, steps in done if stage.trains_on_labels)

    def save(self) -> None:
        """Write the checkpoint ``last.pt``, from which `restore` continues bitwise."""
        now = time.perf_counter()
        self.position.seconds += now - self._clock
        self._clock = now
        self.position.log_size = self.log.size
        self._save(
            "last.pt",
            position=vars(self.position),
            networks=self.networks.state_dict(),
            optimizers={name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            recent=self._recent,
            average=self.average.state_dict() if self.average else None,
        )

    def _save(self, name: str, **state: Any) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder / name, state)
        if world_size() > 1:
            dist.barrier()

    def _checked(self, state: TrainingState) -> Position:
        """The position in a checkpoint; raises `ValueError` if it is outside the schedule."""
        position = schema(Position).validate_python(state["position"])
        ends = [*(stage.steps for stage in self.stages), 0]
        if not (0 <= position.stage < len(ends) and 0 <= position.step <= ends[position.stage]):
            raise ValueError(f"there is no step {position.step} of stage {position.stage}")
        return position

    def adopt(self, state: TrainingState) -> None:
        """Continue from the checkpoint of another run that has trained the same first stages.

        Args:
            state: Checkpoint of the other run. Networks and optimisers that those stages do not train stay unchanged.
        """
        position = self._checked(state)
        done = self.stages[: position.stage]
        trained = (*self.networks.model.parts, *trained_networks(done))
        prefixes = ("model.", *(f"others.{name}." for name in trained))
        kept = {name: value for name, value in state["networks"].items() if name.startswith(prefixes)}
        self.networks.load_state_dict(self.networks.state_dict() | kept)
        for stage in done:
            for name in optimizer_names(stage.updates, self.config.optimizer_step):
                self.optimizers[name].load_state_dict(state["optimizers"][name])
                match_layouts(self.optimizers[name])
        if self.average:
            self.average.load_state_dict(state["average"] or {})
        self.position = position
        self.position.shared_seconds = position.seconds
        self._clock = time.perf_counter()  # until now, something else was trained, such as the run's baseline

    def restore(self) -> bool:
        """Load the last checkpoint. Returns whether there was one.

        Raises:
            RunError: If the checkpoint cannot be read or does not match the settings.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            self.log.cut(0)
            return False
        state = load_checkpoint(path, TrainingState, self.fabric.device)
        try:
            self.networks.load_state_dict(state["networks"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
                match_layouts(optimizer)
            if self.average:
                self.average.load_state_dict(state["average"] or {})
            self.position = self._checked(state)
            self._recent = state["recent"]
        except Exception as error:  # optimisers raise many kinds of errors for mismatched states
            raise RunError(
                f"{path} does not fit this run's settings ({reason_of(error)}); start a new run in another folder"
            ) from None
        self.log.cut(self.position.log_size)
        return True
