"""Public data sets that `FolderSource` reads with a settings file: the YAML files in ``presets/``.

- ``nyuv2``: NYU Depth V2 as compact image files. Silberman et al., ECCV 2012.
- ``camvid``: CamVid. Brostow, Fauqueur, Cipolla, Pattern Recognition Letters 2009.
- ``mtan_nyuv2``, ``mtan_cityscapes``: as preprocessed for MTAN. Liu, Johns, Davison, CVPR 2019.
- ``authors``: the layout of zpbao/multi-task-oriented_generative_modeling. Bao, Hebert, Wang, ICML 2022.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mgm.data.files import open_tree
from mgm.data.sources.folder.settings import FolderSettings, parse_settings
from mgm.data.sources.folder.source import SEMANTIC, FolderSource
from mgm.errors import ConfigError, unknown

_MTAN_LABELS = ("label", "label_19", "label_7", "label_2")


def preset(name: str) -> FolderSettings:
    """Load the settings of a preset."""
    file = Path(__file__).parent / "presets" / f"{name}.yaml"
    return parse_settings(file.read_bytes(), str(file))


def open_preset(name: str, path: Path | str) -> FolderSource:
    """Open a folder or zip archive in the layout of a preset; see `FolderSource` for the errors."""
    return FolderSource(path, preset(name), name)


def open_authors(path: Path | str) -> FolderSource:
    """Open the layout of the authors' code: normals in ``nm`` or ``sn``; 40 classes, unless ``classes.txt`` names them."""
    settings, names = preset("authors"), open_tree(path).names()
    if "classes.txt" not in names:
        settings = replace(settings, num_classes=40)
    if any(name.startswith("sn/") for name in names):
        normals = replace(settings.files("normal"), folder="sn")
        settings = replace(settings, tasks={**settings.tasks, "normal": normals})
    return FolderSource(path, settings, "authors")


def open_mtan(path: Path | str, labels: str = "") -> FolderSource:
    """Open MTAN's arrays of NYUv2 or Cityscapes.

    The label folder ``labels`` is by default ``label``, else the one with the most classes; `ConfigError` if there is none.
    """
    names = open_tree(path).names()
    choices = [folder for folder in _MTAN_LABELS if any(f"/{folder}/" in name for name in names)]
    if labels and labels not in choices:
        raise ConfigError(unknown("label folder", labels, choices))
    labels = labels or next(iter(choices), "label")
    settings = preset("mtan_cityscapes" if set(choices) & set(_MTAN_LABELS[1:]) else "mtan_nyuv2")
    if labels in ("label_7", "label_2"):
        settings = replace(settings, classes=(), num_classes=int(labels.removeprefix("label_")))
    maps = replace(settings.class_files, folder=labels)
    return FolderSource(path, replace(settings, tasks={**settings.tasks, SEMANTIC: maps}), "mtan", labels)
