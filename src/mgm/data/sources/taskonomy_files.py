"""Files of Taskonomy in its current and older layouts, matched by building, point and view.

Folder and file name often name the same domain differently; only the folder decides the domain of a file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mgm.data.files import FileTree
from mgm.errors import DataError

FOLDERS = {
    "rgb": "rgb",
    "depth_zbuffer": "depth_zbuffer",
    "depth": "depth_zbuffer",
    "depth_euclidean": "depth_euclidean",
    "mist": "depth_euclidean",
    "normal": "normal",
    "principal_curvature": "principal_curvature",
    "curvature": "principal_curvature",
    "reshading": "reshading",
    "reshade": "reshading",
    "edge_texture": "edge_texture",
    "edge2d": "edge_texture",
    "segment_semantic": "segment_semantic",
    "segmentsemantic": "segment_semantic",
    "class_scene": "class_scene",
    "places": "class_scene",
    "mask_valid": "mask_valid",
}
"""Name of a folder, current or old -> domain."""
DOMAINS = tuple(dict.fromkeys(FOLDERS.values()))
COMPONENT = "taskonomy"
"""Folder between domain and building in downloads that contain several components."""
_FILE = re.compile(r"(point_\d+_view_\d+)(?:_domain_\w+)?\.(png|npy)", re.IGNORECASE)

TINY = {
    "train": "hanson merom klickitat onaga leonardo marstons newfields pinesdale lakeville cosmos benevolence pomaria tolstoy "
    "shelbyville allensville wainscott beechwood coffeen stockman hiteman woodbine lindenwood forkland mifflinburg ranchester",
    "val": "wiconisco corozal collierville markleeville darden",
    "test": "ihlen muleshoe uvalda noxapater mcdade",
}
"""Buildings of the tiny split (`splits_taskonomy.zip` of StanfordVL/taskonomy)."""
SUBSET = ("allensville", "benevolence", "coffeen")
"""Buildings of the MGM paper's small data set, appendix G.2."""


@dataclass(frozen=True)
class Listing:
    """The files of all images with an RGB file, stored compactly because there may be millions."""

    buildings: list[str]
    """Building of each image, prefixed by its component unless that is ``taskonomy``."""
    stems: list[str]
    """``point_P_view_V`` of each image."""
    places: list[tuple[str, str]]
    """Folder with a trailing slash, and the rest of the file name after the stem."""
    files: np.ndarray
    """``[images, domains]`` index into ``places``, or -1 if an image has no such file."""
    without_picture: int
    """Number of views with labels but without an RGB file."""

    def __len__(self) -> int:
        return len(self.stems)

    def file(self, index: int, domain: str) -> str | None:
        """Relative name of an image's file in a domain; None if it has none."""
        place = int(self.files[index, DOMAINS.index(domain)])
        if place < 0:
            return None
        folder, rest = self.places[place]
        return f"{folder}{self.stems[index]}{rest}"

    def has(self, domain: str) -> np.ndarray:
        """``[images]`` bool: which images have a file in this domain."""
        return self.files[:, DOMAINS.index(domain)] >= 0

    def take(self, kept: np.ndarray) -> Listing:
        """The listing of the images with the indices ``kept``."""
        return Listing(
            [self.buildings[index] for index in kept],
            [self.stems[index] for index in kept],
            self.places,
            self.files[kept],
            self.without_picture,
        )


def list_images(tree: FileTree, buildings: Sequence[str] = ()) -> Listing:
    """Find all images and their label files, of some or (empty) all buildings.

    Layouts: domain first (``rgb/BUILDING/``, ``rgb/taskonomy/BUILDING/``), building first (``BUILDING/rgb/``), or a single building
    (``rgb/``).

    Raises:
        DataError: If there is no image, or two files are the same label of one image.
    """
    wanted = {name.lower() for name in buildings}
    places: dict[tuple[str, str], int] = {}
    images: dict[tuple[str, str], list[int]] = {}
    for name in tree.names():
        folder, _, base = name.rpartition("/")
        match = _FILE.fullmatch(base)
        found = _domain(folder, tree.path.name) if match else None
        if match is None or found is None or (wanted and building_name(found[1]) not in wanted):
            continue
        domain, building = found
        if (match[2].lower() == "npy") != (domain == "class_scene"):
            continue
        row = images.setdefault((building, match[1]), [-1] * len(DOMAINS))
        place = places.setdefault((f"{folder}/", base[len(match[1]) :]), len(places))
        column = DOMAINS.index(domain)
        if row[column] >= 0:
            first = list(places)[row[column]]
            raise DataError(
                f"{tree.describe(name)}: is the {domain} of the same image as {first[0]}{match[1]}{first[1]}; remove one of them"
            )
        row[column] = place
    keys = sorted(key for key, row in images.items() if row[DOMAINS.index("rgb")] >= 0)
    if not keys:
        among = f" of {', '.join(buildings)}" if buildings else ""
        raise DataError(
            f"{tree.path}: has no image rgb/BUILDING/point_P_view_V_domain_rgb.png{among}; download the domain rgb"
        )
    files = np.array([images[key] for key in keys], dtype=np.int32)
    return Listing([key[0] for key in keys], [key[1] for key in keys], list(places), files, len(images) - len(keys))


def building_name(building: str) -> str:
    """Name of a building without its component, in lower case, as in the lists of splits."""
    return building.rpartition("/")[2].lower()


def _domain(folder: str, root: str) -> tuple[str, str] | None:
    """Domain and building of a folder; None if it is not a folder of Taskonomy."""
    parts = folder.split("/")
    for position, part in enumerate(parts):
        if part in FOLDERS:
            rest = [other for other in parts[:position] + parts[position + 1 :] if other != COMPONENT]
            return FOLDERS[part], "/".join(rest) or root
    return None


def split_buildings(tree: FileTree, kind: str) -> dict[str, set[str]]:
    """Buildings of ``train``, ``val`` and ``test`` in a split by building: tiny, medium, full or fullplus.

    A list ``*KIND.csv`` with columns id, train, val, test in the top folder takes precedence; only the tiny list is built in.

    Raises:
        DataError: If there is no list, or it is malformed.
    """
    names = [name for name in tree.names() if "/" not in name and re.fullmatch(rf"(.*[_-])?{kind}\.csv", name.lower())]
    if not names:
        if kind == "tiny":
            return {part: set(text.split()) for part, text in TINY.items()}
        raise DataError(
            f"{tree.path}: the split {kind!r} needs its list of buildings; put train_val_test_{kind}.csv of Taskonomy's "
            "splits_taskonomy.zip beside the folders of the data"
        )
    table = csv.DictReader(tree.lines(names[0]))
    missing = {"id", "train", "val", "test"} - set(table.fieldnames or ())
    if missing:
        raise DataError(
            f"{tree.describe(names[0])}: has no column {sorted(missing)[0]!r}; it needs id, train, val, test"
        )
    parts: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for line, entry in enumerate(table, start=2):
        chosen = [part for part in parts if (entry[part] or "").strip().lower() in ("1", "1.0", "true")]
        if len(chosen) > 1:
            raise DataError(
                f"{tree.describe(names[0])}, line {line}: the building is in {' and '.join(chosen)}; it must be in only one"
            )
        for part in chosen:
            parts[part].add(entry["id"].strip().lower())
    return parts
