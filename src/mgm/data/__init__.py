"""Data sets: reading, splitting, converting, loading and augmentation.

`DATASETS` lists the built-in data sets; `open_source` opens one by name or path. This file imports neither NumPy nor torch, so
that the command line can list data sets without delay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mgm.data.vocabulary import PARTS, naming_hint
from mgm.errors import ConfigError, DataError, unknown

if TYPE_CHECKING:
    from mgm.data.base import DataSource
    from mgm.data.files import FileTree

DEFAULT_ROOMS = 2000


@dataclass(frozen=True)
class Dataset:
    """A registry entry: how to recognise, obtain and open a data set."""

    description: str
    """One line for lists."""
    open: Callable[[Path | None, int], DataSource]
    """Opens the data set, given its path (None if it is generated) and the number of images (0: all, or the default)."""
    recognises: Callable[[FileTree], bool]
    """Whether the files look like this data set."""
    layout: str
    """Contents of its folder; empty for a generated data set."""
    instructions: str = ""
    """How to obtain it."""
    folder: str = ""
    """Name of its folder or zip archive below ``$MGM_DATA``; empty: the name of the entry."""


def _rooms(path: Path | None, num_images: int) -> DataSource:
    from mgm.data.rooms import RoomsSource

    return RoomsSource(num_images=num_images or DEFAULT_ROOMS, seed=0)


def _reader(module: str, opener: str, *first: object, **settings: object) -> Callable[[Path | None, int], DataSource]:
    """Make an opener that calls ``opener`` of ``mgm.data.<module>``; the module is imported on the call."""

    def open_it(path: Path | None, num_images: int) -> DataSource:
        return getattr(import_module(f"mgm.data.{module}"), opener)(*first, path, **settings)

    return open_it


def _never(tree: FileTree) -> bool:
    return False


def _matches(*patterns: str) -> Callable[[FileTree], bool]:
    """Make a test for files of which, for each pattern, at least one name matches."""

    def check(tree: FileTree) -> bool:
        return all(any(re.search(pattern, file) for file in tree.names()) for pattern in patterns)

    return check


DATASETS: dict[str, Dataset] = {
    "rooms": Dataset(
        "procedural rooms, rendered on first use: six tasks with exact labels, scene labels, any number of images",
        _rooms,
        _never,
        "",
    ),
    "nyuv2": Dataset(
        "NYU Depth V2, 1,449 indoor photographs: 40 classes, depth, derived normals, 27 scene types",
        _reader("sources.folder.presets", "open_preset", "nyuv2"),
        _matches("^semantic40/", r"^index\.csv$"),
        "rgb/NNNN.jpg, depth/NNNN.png, semantic40/NNNN.png, normal/NNNN.jpg, index.csv, classes40.txt, scene_types.txt "
        "(a folder or a zip)",
        "NYU Depth V2 is distributed for research by its authors; convert it to this layout",
    ),
    "camvid": Dataset(
        "CamVid, 701 road photographs: 11 classes, which also serve as multi-hot weak labels",
        _reader("sources.folder.presets", "open_preset", "camvid"),
        # the names of its videos tell it from a folder of one's own with the same layout
        _matches(
            "^train/rgb/(0001TP|0006R0|0016E5|Seq05VD)_", "^train/semantic/", "^val/", "^test/", r"^classes\.txt$"
        ),
        "{train,val,test}/rgb/NAME.jpg, {train,val,test}/semantic/NAME.png, classes.txt (a folder or a zip)",
        "CamVid is distributed for research by the University of Cambridge; convert it to this layout",
    ),
    "nyuv2_mat": Dataset(
        "NYU Depth V2 as distributed, 1,449 images: 40 classes, depth, normals, 27 scene types",
        _reader("sources.nyuv2_mat", "NYUv2MatSource"),
        _matches(r"^nyu_depth_v2_labeled\.mat$"),
        "nyu_depth_v2_labeled.mat, classMapping40.mat, splits.mat (for the official split), normals_gt/ (if you have it)",
        "NYU Depth V2 is distributed for research by its authors",
    ),
    "nyuv2_mat13": Dataset(
        "NYU Depth V2 as distributed, with 13 classes",
        _reader("sources.nyuv2_mat", "NYUv2MatSource", num_classes=13),
        _never,
        "as nyuv2_mat",
        "NYU Depth V2 is distributed for research by its authors",
        "nyuv2_mat",
    ),
    "taskonomy": Dataset(
        "Taskonomy: all six tasks, 17 classes, the scene categories with more than 1,000 images",
        _reader("sources.taskonomy", "TaskonomySource"),
        _matches(r"(^|/)rgb/(.*/)?point_\d+_view_\d+(_domain_\w+)?\.png$"),
        "DOMAIN/BUILDING/point_P_view_V_domain_DOMAIN.png, or BUILDING/DOMAIN/..., class_scene as .npy (a folder or a zip)",
        "Taskonomy is distributed for non-commercial research by Stanford and EPFL",
    ),
    "taskonomy_small": Dataset(
        "the buildings allensville, benevolence and coffeen of Taskonomy, scene categories with more than 50 images",
        _reader("sources.taskonomy", "open_subset"),
        _never,
        "as taskonomy",
        "Taskonomy is distributed for non-commercial research by Stanford and EPFL",
        "taskonomy",
    ),
    "cityscapes": Dataset(
        "Cityscapes, 3,475 labelled street photographs: 19 classes, depth, 30 multi-hot weak labels",
        _reader("sources.cityscapes", "CityscapesSource"),
        _matches(r"_leftImg8bit\.png$"),
        "{leftImg8bit,gtFine,disparity,camera}/{train,val}/CITY/CITY_SEQ_FRAME_*, or one city's leftImg8bit/train/CITY "
        "(a folder or a zip)",
        "Cityscapes is distributed for non-commercial use after registration",
    ),
    "cityscapes_zurich": Dataset(
        "the 122 photographs of Zurich of Cityscapes",
        _reader("sources.cityscapes", "CityscapesSource", cities=("zurich",)),
        _never,
        "as cityscapes",
        "Cityscapes is distributed for non-commercial use after registration",
        "cityscapes",
    ),
    "mtan": Dataset(
        "NYUv2 or Cityscapes as preprocessed for MTAN: 13, 19, 7 or 2 classes, depth, normals",
        _reader("sources.folder.presets", "open_mtan"),
        _matches(r"^(train|val)/image/[^/]+\.npy$"),
        "{train,val}/{image,label or label_7 or label_19,depth,normal}/NUMBER.npy (a folder or a zip)",
        "the preprocessed data sets are distributed on the page of MTAN's authors",
    ),
    "authors": Dataset(
        "the layout of the public code of MGM's authors: segmentation, depth, normals, scenes",
        _reader("sources.folder.presets", "open_authors"),
        _matches(r"^(ss|de)/[^/]+/[^/]+\.npy$|^(nm|sn|msk)/[^/]+/"),
        "{rgb,ss,de,nm or sn,msk}/SCENE/NAME, ss and de as .npy (a folder or a zip)",
        "convert your data to this layout",
    ),
}
"""Built-in data sets by name."""

STORE = Dataset(
    "a store, made by `mgm data prepare` from any other data set",
    _reader("store", "StoreSource"),
    _matches(r"^manifest\.json$", r"^image\.npy$"),
    "any name",
)
OWN_FOLDER = Dataset(
    "your own images: rgb/ and a folder per task, matched by name; dataset.yaml and labels.csv if needed",
    _reader("sources.folder", "FolderSource"),
    _matches(rf"(?i)^(({'|'.join(PARTS)})/)?rgb/"),
    "rgb/NAME.jpg, {semantic,depth,normal,...}/NAME.png, also below {train,val,test}/ (a folder or a zip); see docs/data.md",
)
SETTINGS_FILE = "dataset.yaml"
"""A folder with this file is always read as the user's own data set."""


def recognise(tree: FileTree) -> Dataset | None:
    """Recognise a data set by its files: a store, a built-in data set, or the user's own folder; None if unknown."""
    if STORE.recognises(tree):
        return STORE
    if SETTINGS_FILE in tree.names():
        return OWN_FOLDER
    return next((entry for entry in (*DATASETS.values(), OWN_FOLDER) if entry.recognises(tree)), None)


def open_source(name_or_path: str, num_images: int = 0) -> DataSource:
    """Open a data set by its name or by the path of its files.

    Args:
        name_or_path: ``rooms``; another built-in name, which is looked up in ``$MGM_DATA`` as folder ``<name>`` or archive
            ``<name>.zip``; or the path of a folder, zip archive or store, which is recognised by its contents. Names take
            precedence over paths: write ``./rooms`` for a folder of that name.
        num_images: Number of rooms to render (0: 2,000). Other data sets are always opened whole, so that one converted store
            serves every limit: apply `mgm.data.splits.limit_training` to their splits.

    Raises:
        ConfigError: If it is neither a built-in name nor an existing path.
        DataError: If files are missing or the layout is unknown; the message says what to do.
    """
    if name_or_path in DATASETS:
        entry = DATASETS[name_or_path]
        return entry.open(_installed(name_or_path, entry) if entry.layout else None, num_images)
    path = Path(os.path.expanduser(name_or_path))
    if not path.exists():
        if os.sep not in name_or_path and "." not in name_or_path:
            raise ConfigError(f"{unknown('data set', name_or_path, DATASETS)}, or the path of a folder or zip archive")
        raise DataError(
            f"{path}: does not exist; give the folder or zip archive of a data set, or one of {', '.join(DATASETS)}"
        )
    from mgm.data.files import open_tree

    if path.suffix.lower() == ".mat":
        return DATASETS["nyuv2_mat"].open(path, num_images)
    tree = open_tree(path)
    entry = recognise(tree)
    if entry:
        return entry.open(path, num_images)
    folders = [] if path.is_file() else sorted(f"{folder.name}/" for folder in path.iterdir() if folder.is_dir())
    empty = [name for name in folders if not any(file.startswith(name) for file in tree.names())]
    if empty or not tree.names():
        raise DataError(
            f"{path}: has no files{' in ' if empty else ''}{', '.join(empty)}; put images into rgb/, see docs/data.md"
        )
    known = {**DATASETS, "your own": OWN_FOLDER}
    layouts = "\n".join(
        f"  {name}: {entry.layout}" for name, entry in known.items() if entry.layout and not entry.folder
    )
    inner = next((match[1] for name in tree.names() if (match := re.match(r"(?i)(.+?)/rgb/", name))), "")
    hint = f"; {path / inner} has a folder rgb/: give that path" if inner else naming_hint(tree.names())
    raise DataError(f"{path}: the layout is not recognised{hint}. Known layouts:\n{layouts}")


def open_photographs(name_or_path: str) -> DataSource:
    """Open images without labels: those of a data set, else all images below a folder or in a zip archive.

    A folder with images only below ``rgb/`` counts as a plain folder. Raises the errors of `open_source`.
    """
    from mgm.data.files import open_tree
    from mgm.data.images import PICTURE_ENDINGS
    from mgm.data.sources.photographs import PhotographsSource

    path = Path(os.path.expanduser(name_or_path))
    if name_or_path in DATASETS or not path.exists() or path.suffix.lower() == ".mat":
        return open_source(name_or_path)
    tree = open_tree(path)
    entry = recognise(tree)
    pictures = (name for name in tree.names() if Path(name).suffix.lower() in PICTURE_ENDINGS)
    unlabelled = all("rgb" in name.lower().split("/")[:-1] for name in pictures)
    if entry is None or (entry is OWN_FOLDER and unlabelled):
        return PhotographsSource(path)
    return open_source(name_or_path)


def _installed(name: str, entry: Dataset) -> Path:
    """Folder or archive of a built-in data set below ``$MGM_DATA``."""
    root = os.path.expanduser(os.environ.get("MGM_DATA", ""))
    folder = entry.folder or name
    places = [Path(root) / folder, Path(root) / f"{folder}.zip"] if root else []
    for place in places:
        if place.exists():
            return place
    searched = f"not in {' or '.join(map(str, places))}" if places else "$MGM_DATA is not set"
    raise DataError(
        f"data set {name!r} was not found ({searched}). {entry.instructions}: {entry.layout}; then put it into "
        f"$MGM_DATA/{folder}{'' if entry.folder else ', or give its path instead of the name'}"
    )
