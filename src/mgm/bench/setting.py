"""What is measured, and how. Imports no torch: the command's options are made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment

TASKS = ("semantic", "depth", "normal")
"""The paper's tasks on NYUv2."""


@dataclass(frozen=True)
class BenchSetting:
    """What is measured, and how."""

    preset: str = "paper"
    """Scale of the encoder, decoders and refinement: paper, small, quick, tiny."""
    size: int = 64
    """Side of the images in pixels: 32, 64, 128 or 256."""
    width: int = 32
    """Base number of channels of generator and discriminator (paper: 64)."""
    batch: int = 16
    """Images per step (paper: 32)."""
    data: str = "rooms"
    """Data set, by name or path."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    rounds: int = 5
    """Times that each variant is measured; they take turns."""

    def experiment(self) -> Experiment:
        """The full method at this scale.

        Raises:
            ConfigError: If a value is out of range.
        """
        for name in ("size", "width", "batch", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        base = make_experiment("mgm", self.preset)
        experiment = replace(
            base,
            data=replace(
                base.data,
                data=self.data,
                image_size=self.size,
                tasks=TASKS,
                num_images=6 * self.batch + 40,
                fraction=1.0,
            ),
            model=replace(base.model, generator_width=self.width, discriminator_width=self.width),
            training=replace(
                base.training,
                batch_size=self.batch,
                generator_batch_size=self.batch,
                device=self.device,
                optimizer_step="separate",
                channels_last="never",  # a variant of its own
                ema=0.0,
            ),
            method=replace(base.method, generator_updates=2),
        )
        from mgm.runs.checks import check_experiment  # imports torch, which options do not wait for

        check_experiment(experiment)
        return experiment
