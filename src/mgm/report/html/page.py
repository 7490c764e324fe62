"""Writing the HTML page of a run or an experiment."""

from __future__ import annotations

from pathlib import Path

from mgm.data.files import write_text
from mgm.errors import ConfigError, RunError
from mgm.experiments.study_records import ExperimentFolder
from mgm.report.html.experiment import experiment_page
from mgm.report.html.run import run_page
from mgm.runs.folder import RunFolder
from mgm.training.checkpoint import make_folder

FORMATS = (".html", ".htm")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run or an experiment, by default ``report.html`` in its folder; returns the file.

    Raises:
        ConfigError: If ``out`` is not the name of an HTML file.
        RunError: If the folder holds neither, is damaged, or the page cannot be written; no file is left behind then.
    """
    path = out or folder / "report.html"
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out is {path}, but the page is HTML; give a file name that ends in .html")
    if path.is_dir():
        raise ConfigError(f"--out is {path}, which is a folder; name a file in it, such as {path / 'report.html'}")
    page = make_page(folder)
    make_folder(path.parent)
    write_text(path, page)
    return path


def make_page(folder: Path) -> str:
    """Make the HTML page of a run or an experiment.

    Raises:
        RunError: If the folder holds neither, or is damaged.
    """
    if ExperimentFolder(folder).exists:
        return experiment_page(ExperimentFolder(folder))
    if RunFolder(folder).exists:
        return run_page(RunFolder(folder))
    inside = sorted(place for place in folder.iterdir() if ExperimentFolder(place).exists) if folder.is_dir() else []
    remedy = f"did you mean {inside[0]}?" if inside else "give a folder written by mgm train or mgm experiment"
    raise RunError(f"{folder} holds neither a run (config.yaml) nor an experiment (experiment.json); {remedy}")
