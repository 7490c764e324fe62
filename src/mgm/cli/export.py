"""``mgm export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse
from mgm.errors import ConfigError, unknown

WEIGHTS = "safetensors"
"""The format that every model folder contains."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a trained model to a folder for sharing: weights, configuration, model card, and graphs that run without mgm.

    The folder can be loaded with mgm.load and uploaded to the Hugging Face Hub.

    Example: mgm export runs/first --format safetensors,onnx --out models/first
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run or of an exported model."""
    out: Path | None = None
    """Model folder to write, new or empty; default: models/ and the name of the run's folder."""
    format: str = WEIGHTS
    """Formats to write, separated by commas: safetensors (always written), torch (a torch.export program), onnx."""
    seeds: tuple[Path, ...] = ()
    """Runs that differ only in their seed; the model card then gives the spread of the scores."""
    name: str = ""
    """Title of the model card; default: the folder's name."""
    license: str = "unknown"
    """Licence of the weights for the model card, by the Hub's identifier: apache-2.0, cc-by-nc-4.0, ..."""
    data_license: str = ""
    """Licence of the training data for the model card; default: the one that the data set states, else unknown."""


def export(arguments: list[str]) -> None:
    """``mgm export``."""
    options = parse(ExportOptions, "export", arguments)
    formats = [name.strip() for name in options.format.split(",") if name.strip()]
    from mgm.inference.export import GRAPHS, export_run
    from mgm.inference.model_card import CardDetails

    for name in formats:
        if name != WEIGHTS and name not in GRAPHS:
            raise ConfigError(unknown("format", name, (WEIGHTS, *GRAPHS)))
    out = options.out or Path("models") / options.run.resolve().name
    details = CardDetails(options.name or out.resolve().name, options.license, options.data_license)
    graphs = [name for name in formats if name != WEIGHTS]
    differences = export_run(options.run, out, graphs, seeds=options.seeds, details=details)
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    for name, difference in differences.items():
        print(f"{GRAPHS[name].file} differs from PyTorch by no more than {difference:.1e}")
