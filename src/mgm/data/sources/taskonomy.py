"""Taskonomy: six dense tasks and scene labels of indoor buildings, in its current and its older distribution.

Zamir, Sax, Shen, Guibas, Malik, Savarese: Taskonomy: Disentangling Task Transfer Learning, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import open_tree
from mgm.data.images import read_rgb
from mgm.data.resizing import fitted, resize_image, resize_target
from mgm.data.scene_labels import one_hot
from mgm.data.sources import taskonomy_values as values
from mgm.data.sources.taskonomy_files import SUBSET, Listing, building_name, list_images, split_buildings
from mgm.data.splits import random_split
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import TASKS
from mgm.types import DatasetInfo, FrameLike, Sample

READER_VERSION = 1
MIN_SCENE_IMAGES = 1000
"""Only scene categories with more images than this are kept, as in the paper."""
SUBSET_MIN_SCENE_IMAGES = 50
"""The same for the subset of three buildings, which has a twentieth of the images."""
_READERS = {
    "semantic": ("segment_semantic", values.read_semantic),
    "normal": ("normal", values.read_normal),
    "edge_texture": ("edge_texture", values.read_edges),
    "reshading": ("reshading", values.read_reshading),
    "principal_curvature": ("principal_curvature", values.read_curvature),
}
"""Task -> its domain and reader. Depth is not listed: it has two possible domains."""
_TASKS = ("semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature")
_MASKED = ("normal", "reshading", "principal_curvature")
_BY_BUILDING = ("tiny", "medium", "full", "fullplus")
_KINDS = ("random", "subset", *_BY_BUILDING)
_NO_SCENE, _UNREADABLE = -1, -2


class TaskonomySource(DataSource):
    """Taskonomy in a folder or zip archive; see `mgm.data.sources.taskonomy_files.list_images` for the layouts.

    Files are matched by (building, point, view). A missing label file gives an invalid target for that task. Depth is the z-buffer
    if there are any z-buffer files, else the Euclidean distance. The scene label is the category with the highest of the 365
    scores in ``class_scene``. Only categories with more than ``min_scene_images`` images are kept and, as in the paper, images of
    other categories are left out. If no category has enough images, there are no scene labels and no image is left out: use a
    smaller number.

    Args:
        path: The folder or zip archive.
        buildings: Names of the buildings to use; all by default.
        min_scene_images: See above; 0 keeps every category that occurs.

    Raises:
        ConfigError: If ``min_scene_images`` is negative.
        DataError: If there are no images.
    """

    split_kinds = _KINDS

    def __init__(
        self, path: Path | str, buildings: Sequence[str] = (), min_scene_images: int = MIN_SCENE_IMAGES
    ) -> None:
        if min_scene_images < 0:
            raise ConfigError(f"min_scene_images is {min_scene_images}; it must be at least 0")
        self._tree = open_tree(path)
        self._settings = {"buildings": sorted(buildings), "min_scene_images": min_scene_images}
        images = list_images(self._tree, buildings)
        self._depth = "depth_zbuffer" if images.has("depth_zbuffer").any() else "depth_euclidean"
        places = self._read_places(images)
        counts = np.bincount(places[places >= 0], minlength=values.NUM_PLACES)
        self._kept = np.flatnonzero(counts > min_scene_images)
        in_scope = (places < 0) | np.isin(places, self._kept) if len(self._kept) else np.full(len(images), True)
        self._images = images.take(np.flatnonzero(in_scope))
        self._places = places[in_scope]
        self._info = self._describe(_scene_note(places, self._kept, int((~in_scope).sum()), min_scene_images))

    @property
    def info(self) -> DatasetInfo:
        """The tasks that have files, 17 classes, and the kept scene categories."""
        return self._info

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, settings, number of images, and a hash of all files."""
        return {
            "reader": "taskonomy",
            "version": READER_VERSION,
            "count": len(self),
            **self._settings,
            "files": self._tree.digest(),
        }

    def __len__(self) -> int:
        """Number of images with a kept (or unknown) scene category."""
        return len(self._images)

    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample; see `DataSource.read`."""
        rgb_name = self._images.file(index, "rgb")
        assert rgb_name is not None
        where = self._tree.describe(rgb_name)
        rgb = self._tree.decode(rgb_name, read_rgb)
        depth = self._plane(index, self._depth, values.read_depth, where, rgb)
        mask = self._plane(index, "mask_valid", values.read_mask, where, rgb)
        valid = np.full(rgb.shape[:2], True) if depth is None else np.isfinite(depth)
        valid = valid if mask is None else valid & mask
        solid = values.shrink(valid, values.MASK_GROWTH_PX)
        full: dict[str, np.ndarray | None] = {"depth": None if depth is None else np.where(valid, depth, np.nan)}
        for task, (domain, read) in _READERS.items():
            plane = self._plane(index, domain, read, where, rgb)
            if plane is not None and task in _MASKED:
                plane = np.where(solid if plane.ndim == 2 else solid[:, :, None], plane, np.nan)
            full[task] = plane
        return Sample(
            image=resize_image(rgb, size),
            targets={
                task: TASKS[task].missing_target(size) if (plane := full[task]) is None else resize_target(plane, size)
                for task in self._info.tasks
            },
            scene=self._scene(index),
            name=f"{self._images.buildings[index]}/{self._images.stems[index]}",
        )

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``random``: 80 / 10 / 10 %, as in the paper. ``subset``: the same, of the buildings allensville, benevolence and coffeen
        only. ``tiny``, ``medium``, ``full``, ``fullplus``: by building; all but tiny need their CSV list in the top folder.

        Raises:
            ConfigError: If ``kind`` is none of these.
            DataError: If a list is missing, or a part would be empty.
        """
        if kind not in _KINDS:
            raise ConfigError(unknown("split of taskonomy", kind, _KINDS))
        names = np.array([building_name(building) for building in self._images.buildings])
        if kind in _BY_BUILDING:
            parts: list[np.ndarray] = []
            for part, chosen in split_buildings(self._tree, kind).items():
                parts.append(np.flatnonzero(np.isin(names, sorted(chosen))))
                if len(parts[-1]) == 0:
                    raise DataError(
                        f"{self._tree.path}: has no image of the {part} buildings of the split {kind!r} "
                        f"({', '.join(sorted(chosen)[:3])}, ...); download some, or use the split 'random'"
                    )
            return Splits(*parts)
        chosen = np.flatnonzero(np.isin(names, SUBSET)) if kind == "subset" else np.arange(len(self))
        held_out = max(1, round(len(chosen) / 10))
        inner = random_split(len(chosen), held_out, held_out, seed)
        return Splits(chosen[inner.train], chosen[inner.validation], chosen[inner.test])

    def _describe(self, scene_note: str) -> DatasetInfo:
        domains = {task: domain for task, (domain, _) in _READERS.items()} | {"depth": self._depth}
        tasks = tuple(task for task in _TASKS if self._images.has(domains[task]).any())
        missing = {task: int((~self._images.has(domains[task])).sum()) for task in tasks}
        lacking = ", ".join(f"{count} without {task}" for task, count in missing.items() if count)
        along = "optical axis" if self._depth == "depth_zbuffer" else "ray (Euclidean; no z-buffer is here)"
        return DatasetInfo(
            name="taskonomy",
            tasks=tasks,
            classes=values.CLASSES if "semantic" in tasks else (),
            scenes=tuple(f"places_{category:03d}" for category in self._kept),
            notes={
                **{name: note for name, note in values.NOTES.items() if name in (*tasks, "mask")},
                "depth": f"metres along the {along}, value / 512",
                "scene": scene_note,
                "files": f"{len(self)} images; {lacking or 'all have every label'}; "
                f"{self._images.without_picture} views with labels but no picture are not used",
                "split": "random mixes views of one building; tiny, medium, full keep buildings apart",
            },
        )

    def _plane(
        self, index: int, domain: str, read: Callable[[bytes, str], np.ndarray], where: str, rgb: np.ndarray
    ) -> np.ndarray | None:
        """Full-size values of a domain; None if this image has no such file."""
        name = self._images.file(index, domain)
        if name is None:
            return None
        return fitted(self._tree.decode(name, read), self._tree.describe(name), rgb, where)

    def _read_places(self, images: Listing) -> np.ndarray:
        """``[images]`` Places category; negative if there is no file, or a damaged one (an error when the sample is read)."""
        places = np.full(len(images), _NO_SCENE)
        for index in np.flatnonzero(images.has("class_scene")):
            name = images.file(int(index), "class_scene")
            assert name is not None
            try:
                places[index] = self._tree.decode(name, values.read_place)
            except DataError:
                places[index] = _UNREADABLE
        return places

    def _scene(self, index: int) -> np.ndarray:
        place = int(self._places[index])
        if place == _UNREADABLE:
            name = self._images.file(index, "class_scene")
            assert name is not None
            self._tree.decode(name, values.read_place)  # raises the error of the damaged file
        known = len(self._kept) and place >= 0
        return one_hot(int(np.searchsorted(self._kept, place)) if known else -1, len(self._kept))


def open_subset(path: Path | str) -> TaskonomySource:
    """Open the paper's small data set: three buildings, scene categories with more than 50 images."""
    return TaskonomySource(path, buildings=SUBSET, min_scene_images=SUBSET_MIN_SCENE_IMAGES)


def _scene_note(places: np.ndarray, kept: np.ndarray, left_out: int, least: int) -> str:
    """The entry about scene labels in `DatasetInfo.notes`."""
    damaged = int((places == _UNREADABLE).sum())
    trouble = f"; {damaged} damaged files" if damaged else ""
    if not (places >= 0).any():
        return f"no class_scene files that can be read: no scene labels{trouble}"
    if len(kept) == 0:
        return (
            f"no category of class_scene has more than {least} images: no scene labels{trouble}; "
            "set min_scene_images lower"
        )
    return (
        f"best of 365 Places scores (class_scene), the {len(kept)} categories with more than {least} images; {left_out} images of "
        f"other categories are left out, {int((places == _NO_SCENE).sum())} have no scene file{trouble}"
    )
