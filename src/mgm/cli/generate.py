"""``mgm generate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import check_png, parse
from mgm.errors import ConfigError


@dataclass(frozen=True)
class GenerateOptions:
    """Draw a grid of generated images, with a row per scene, from the generator of a run.

    Example: mgm generate runs/first --num 8 --out generated.png
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    num: int = 8
    """Images per scene."""
    out: Path = Path("generated.png")
    """PNG file to write."""
    stage: str = ""
    """Which saved generator to use: generator (before joint training) or joint (after it); empty: the latest."""
    seed: int = 0
    """Seed of the noise."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def generate(arguments: list[str]) -> None:
    """``mgm generate``."""
    options = parse(GenerateOptions, "generate", arguments)
    if options.num < 1:
        raise ConfigError(f"--num is {options.num}; it must be at least 1")
    check_png(options.out)
    if options.stage not in ("", "generator", "joint"):
        raise ConfigError(f"unknown stage {options.stage!r}. Choices: generator, joint")
    from mgm.functional.levels import shown_as_rgb
    from mgm.inference import generate as inference
    from mgm.report.figures.paper import generated_figure
    from mgm.runs.folder import RunFolder

    images = inference.generate(options.run, options.num, stage=options.stage, seed=options.seed, device=options.device)
    kind = RunFolder(options.run).info().image
    generated_figure(options.out, {"": {scene: shown_as_rgb(made, kind) for scene, made in images.items()}})
    print(options.out)
