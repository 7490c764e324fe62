"""Training budget in minutes: measures the cost of steps on this machine, and fits the number of steps to the time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.distributed import global_sum, world_size
from mgm.method.algorithm import stages
from mgm.training.trainer import Trainer
from mgm.training.updates import Stage

WARM_UP_STEPS = 2
"""Untimed steps before each measurement, in which caches are filled and kernels selected."""
MEASURED_STEPS = 4
MEASURED_S = 2.0
"""Minimum number of steps and of seconds for which a stage is measured, divided among `Trainer.representative_steps`."""
LEAST_STEPS = 20
"""Minimum number of updates of the model in a training."""
RESERVE = 0.03
"""Fraction of the budget reserved for reading data, checkpoints and figures."""


@dataclass(frozen=True)
class Cost:
    """Duration of the parts of a training on this machine."""

    step_s: Mapping[str, float]
    """Stage -> seconds per step, averaged over its image sizes."""
    validation_s: float
    """Seconds per validation."""
    final_s: float
    """Seconds of the final evaluation."""

    def total_s(self, experiment: Experiment) -> float:
        """Estimated seconds of a whole run."""
        schedule, every = stages(experiment), experiment.training.validate_every
        validations = sum(math.ceil(stage.steps / every) for stage in schedule if stage.trains_on_labels)
        steps = sum(stage.steps * self.step_s[stage.name] for stage in schedule)
        return steps + validations * self.validation_s + self.final_s


def measure(trainer: Trainer, num_final: float) -> Cost:
    """Time some steps of every stage.

    The networks of the trainer change, so it must not be used for training afterwards. The final evaluation takes as long as
    ``num_final`` validations.
    """
    step_s: dict[str, float] = {}
    for number, stage in enumerate(trainer.stages):
        trainer.enter_stage(number)
        indices = trainer.representative_steps(stage)
        step_s[stage.name] = fmean(_step_s(trainer, stage, index, len(indices)) for index in indices)
    begin = time.perf_counter()
    trainer.validate(trainer.evaluated_model)
    validation_s = time.perf_counter() - begin
    return Cost(step_s, validation_s, num_final * validation_s)


def _step_s(trainer: Trainer, stage: Stage, index: int, places: int) -> float:
    trainer.position.step = index
    seconds: list[float] = []
    least = WARM_UP_STEPS + max(1, MEASURED_STEPS // places)
    while len(seconds) < least or sum(seconds[WARM_UP_STEPS:]) < MEASURED_S / places:
        begin = time.perf_counter()
        for loss in trainer.train_step(stage, index).values():
            loss.item()  # waits for the device
        spent = torch.tensor(time.perf_counter() - begin, device=trainer.fabric.device)
        seconds.append(global_sum(spent).item() / world_size())  # so all processes take the same number of steps
    trainer.position.step = 0
    return fmean(seconds[WARM_UP_STEPS:])


def fit_to_minutes(experiment: Experiment, minutes: float, cost: Cost) -> Experiment:
    """Scale all numbers of steps, the generator's included, so that the run takes about ``minutes`` of wall time.

    The steps of the settings give the proportions of the stages and the interval of validations.

    Raises:
        ConfigError: If there is time for fewer than `LEAST_STEPS` steps.
    """
    available_s = 60 * minutes * (1 - RESERVE) - cost.final_s
    factor = available_s / (cost.total_s(experiment) - cost.final_s)
    fitted = _scaled(experiment, factor)
    # rounding of steps, and the additional validation at the end of a stage, can exceed the budget
    while fitted.training.steps >= LEAST_STEPS and cost.total_s(fitted) > available_s + cost.final_s:
        factor *= 0.99
        fitted = _scaled(experiment, factor)
    if fitted.training.steps < LEAST_STEPS:
        least = _scaled(experiment, 1.1 * LEAST_STEPS / experiment.training.steps)
        needed = math.ceil(10 * cost.total_s(least) / 60 / (1 - RESERVE)) / 10
        raise ConfigError(
            f"minutes is {minutes:g}, but {LEAST_STEPS} steps of {experiment.recipe} with their evaluation take {needed:g} on "
            "this machine; give more, or take a smaller --preset"
        )
    return fitted


def _scaled(experiment: Experiment, factor: float) -> Experiment:
    """Multiply all numbers of steps by a factor; 0 stays 0."""

    def times(steps: int) -> int:
        return max(1, round(steps * factor)) if steps else 0

    training = experiment.training
    scaled = replace(
        training,
        steps=max(1, int(training.steps * factor)),
        generator_steps=times(training.generator_steps),
        pretrain_steps=times(training.pretrain_steps) if experiment.data.pretrain else training.pretrain_steps,
        validate_every=times(training.validate_every),
        checkpoint_every=min(times(training.validate_every), training.checkpoint_every),
    )
    return replace(experiment, training=scaled)
