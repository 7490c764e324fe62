"""Import of annotations from labelling tools (COCO, CVAT, Pascal VOC): polygons and masks become label maps in a data folder."""

from __future__ import annotations

import csv
import io
import logging
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import abspath
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mgm.data.coco import Sources, arrange_coco
from mgm.data.images import MAX_PIXELS
from mgm.data.progress import progress_bar
from mgm.data.vocabulary import PARTS
from mgm.errors import ConfigError, DataError, choose
from mgm.tasks.files import Colour
from mgm.tasks.pictures import palette

if TYPE_CHECKING:
    import datumaro

FORMATS = {"coco": "coco", "cvat": "cvat", "voc": "voc_segmentation"}
"""Name of a format -> its reader in datumaro."""
LAYOUTS = {
    "coco": """
  annotations/instances_train.json   images/train/0001.jpg    (COCO, CVAT; also val, test, default)
  result.json                        images/0001.jpg          (Label Studio)
  train/_annotations.coco.json       train/0001.jpg           (Roboflow; also valid, test)""",
    "cvat": """
  annotations.xml                    images/0001.jpg          (CVAT for images)""",
    "voc": """
  SegmentationClass/0001.png         JPEGImages/0001.jpg
  ImageSets/Segmentation/train.txt   labelmap.txt             (names and colours of the classes)""",
}
"""Name of a format -> its files, for messages."""
OUTSIDE = ("background", "ignore")
"""Meaning of pixels outside all annotations: the class background, or no label."""
IGNORED = ("ignored", "void", "ignore")
"""Names of classes that mean no label; Pascal VOC uses one for the borders of objects."""
NO_LABEL = 255


@dataclass(frozen=True)
class Imported:
    """Result of `import_annotations`."""

    num_images: int
    classes: list[str]
    remarks: list[str]
    """Annotations that were left out, one line per kind."""


def import_annotations(kind: str, folder: Path, out: Path, *, outside: str = "background") -> Imported:
    """Convert annotations to a data folder: ``rgb/``, ``semantic/``, ``classes.txt`` and, if they are split, ``labels.csv``.

    If the annotations define colours of the classes, the label maps have them as their palette.

    Overlapping annotations are drawn by layer (z order); within a layer, smaller ones are drawn over larger ones.

    Args:
        kind: Key of `FORMATS`.
        folder: The export of the labelling tool, with the images.
        out: A new or empty folder.
        outside: One of `OUTSIDE`. An existing class named background is kept either way.

    Raises:
        ConfigError: If ``kind`` or ``outside`` is unknown, or the optional dependency is missing.
        DataError: If ``out`` is not empty, or nothing can be read from ``folder``.
    """
    reader = choose("format", kind, FORMATS)
    if outside not in OUTSIDE:
        raise ConfigError(f"outside is {outside!r}. Choices: {', '.join(OUTSIDE)}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out}: already exists; choose another folder with --out")
    items, names, colours, sources = _read(folder, kind, reader)
    if alike := {name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1}:
        raise DataError(
            f"{folder}: has categories of the same name: {', '.join(sorted(alike))}; rename or merge them in the labelling tool"
        )
    classes = [name for name in names if name not in IGNORED]
    background = next((name for name in classes if name.casefold() == "background"), "background")
    if outside == "background" and background not in classes:
        classes = [background, *classes]
    numbers = [classes.index(name) if name in classes else NO_LABEL for name in names]
    if len(classes) > NO_LABEL:
        raise DataError(f"{folder}: has {len(classes)} classes; a label map can hold at most {NO_LABEL}")
    empty = classes.index(background) if outside == "background" else NO_LABEL
    shown = _png_palette(classes, colours)
    left_out: Counter[str] = Counter()
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as begun:
        target = Path(begun) / "whole"
        parts: list[tuple[str, str]] = []
        found, taken = set[int](), set[str]()
        with progress_bar(f"reading {kind}", len(items)) as advance:
            for item in items:
                advance(1)
                source, part = sources.get((item.subset, item.id), (Path(), ""))
                if not source.is_file() or not Path(abspath(source)).is_relative_to(abspath(folder)):
                    left_out["annotated images that are not in the folder, or several times"] += 1
                    continue
                name = _name_below(item.id, folder)
                while name.casefold() in taken:
                    name = f"{name}_{item.subset}"
                taken.add(name.casefold())
                labels = np.full(_annotated_size(item, source), empty, np.uint8)
                for mask, label in _masks(item.annotations, labels.shape, left_out):
                    labels[mask] = numbers[label]
                found.update(np.unique(labels).tolist())
                _write_sample(target, name, source, labels, shown)
                parts.append((name, part))
        if not parts:
            raise DataError(
                f"{folder}: none of the {len(items)} annotated images was found; put them beside the annotations"
            )
        (target / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        if len({part for _, part in parts} - {""}) > 1:
            (target / "labels.csv").write_text(_table(parts), encoding="utf-8")
        if out.is_dir():
            out.rmdir()
        target.rename(out)
    remarks = [f"left out: {count} {what}" for what, count in left_out.items()]
    if unused := [name for index, name in enumerate(classes) if index not in found and name != background]:
        remarks.append(f"classes that no pixel has: {', '.join(unused)}")
    return Imported(len(parts), classes, remarks)


def _png_palette(classes: Sequence[str], colours: Mapping[str, Colour]) -> list[int]:
    """Palette of label maps with the given colours, others from the default palette; empty if no colour is given."""
    if not colours:
        return []
    # 256 entries: with a shorter palette PNG uses too few bits to store 255
    shown = np.zeros((NO_LABEL + 1, 3), np.uint8)
    shown[: len(classes)] = palette(len(classes))
    for index, name in enumerate(classes):
        shown[index] = colours.get(name, shown[index])
    return shown.ravel().tolist()


def _write_sample(target: Path, name: str, source: Path, labels: np.ndarray, shown: Sequence[int]) -> None:
    """Copy an image, and write its label map with a palette if there is one."""
    picture, label_map = target / "rgb" / f"{name}{source.suffix.lower()}", target / "semantic" / f"{name}.png"
    for path in (picture, label_map):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, picture)
    drawn = Image.fromarray(labels)
    if shown:
        drawn.putpalette(shown)
    drawn.save(label_map)


def _read(
    folder: Path, kind: str, reader: str
) -> tuple[list[datumaro.DatasetItem], list[str], dict[str, Colour], Sources]:
    """Read all annotated images, the class names by index, their colours if they have some, and the files of the images."""
    try:
        import datumaro
        from datumaro.components.errors import DatasetNotFoundError
    except ImportError as error:
        raise ConfigError("mgm import needs datumaro, which is not installed: pip install 'mgm[import]'") from error
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; give the folder that the labelling tool exported")
    root = logging.getLogger()  # datumaro's readers warn through the root logger
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            place, sources = folder, Sources()
            if kind == "coco":
                place = Path(scratch) / "arranged"
                sources = arrange_coco(folder, place)
            dataset = datumaro.Dataset.import_from(str(place), reader)
            items = sorted(dataset, key=lambda item: (item.subset, item.id))
        categories = dataset.categories()
        names = [label.name for label in categories[datumaro.AnnotationType.label]]  # type: ignore[reportGeneralTypeIssues]
        painted: Any = categories.get(datumaro.AnnotationType.mask)
        colours: dict[str, Colour] = (
            {names[index]: colour for index, colour in painted.colormap.items()} if painted else {}
        )
    except DataError as error:
        raise DataError(f"{error}; expected one of{LAYOUTS[kind]}") from None
    except Exception as error:  # datumaro's readers raise many kinds
        reason = str(error.__cause__ or error).partition("\n")[0]
        if isinstance(error.__cause__, AssertionError):  # of datumaro's list of categories, which takes no name twice
            reason = f"the category {reason!r} seems to be defined twice; rename or merge it in the labelling tool"
        expected = f"; expected{LAYOUTS[kind]}" if isinstance(error.__cause__ or error, DatasetNotFoundError) else ""
        raise DataError(f"{folder}: cannot be read as {kind} annotations: {reason}{expected}") from error
    finally:
        root.setLevel(level)
    if kind != "coco":
        for item in items:
            path = Path(getattr(item.media, "path", "") or "")
            sources[item.subset, item.id] = path, PARTS.get(item.subset.lower(), "")
    return items, names, colours, sources


def _masks(
    annotations: Sequence[datumaro.Annotation], size: tuple[int, int], left_out: Counter[str]
) -> list[tuple[np.ndarray, int]]:
    """Masks ``[H, W]`` and class indices, in drawing order; counts in ``left_out`` what is skipped."""
    from datumaro import Bbox, Ellipse, Mask, Polygon
    from datumaro.util.mask_tools import rles_to_mask

    found: list[tuple[int, int, np.ndarray, int]] = []
    areas = [annotation for annotation in annotations if isinstance(annotation, Polygon | Ellipse | Mask)]
    groups = {area.group for area in areas} - {0}
    for annotation in annotations:  # in COCO, every area is accompanied by its bounding box, in the same group
        accompanies = isinstance(annotation, Bbox) and annotation.group in groups
        if not isinstance(annotation, Polygon | Ellipse | Mask) and not accompanies:
            left_out[f"annotations that are not areas ({annotation.type.name})"] += 1
    for area in areas:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools warns about NumPy 2
            if isinstance(area, Mask):
                mask = np.asarray(area.image, dtype=bool)
            else:
                corners = area.points if isinstance(area, Polygon) else area.as_polygon()
                mask = rles_to_mask([corners], size[1], size[0]).astype(bool)
        if area.label is None or mask.shape != size:
            left_out["areas without a class, or with a different size than the image"] += 1
            continue
        found.append((area.z_order, -int(mask.sum()), mask, area.label))
    return [(mask, label) for _, _, mask, label in sorted(found, key=lambda entry: entry[:2])]


def _annotated_size(item: datumaro.DatasetItem, picture: Path) -> tuple[int, int]:
    """Height and width of the image when it was annotated: the coordinates are its pixels. Raises `DataError` if it was too large.

    The image may have been resized since. Its label map is resized where it is read, which refuses another shape.
    """
    media: Any = item.media
    if media.has_size and media.size:
        height, width = media.size
    else:
        with Image.open(picture) as image:
            width, height = image.size
    if not 0 < height * width <= MAX_PIXELS:
        raise DataError(f"{picture}: its annotations are for {width} x {height} pixels; correct them")
    return height, width


def _name_below(name: str, folder: Path) -> str:
    """Check an image's name: it must not lead out of the folder that is written. Raises `DataError`."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise DataError(f"{folder}: lists an image {name!r}, which is outside of the folder; correct the annotations")
    return str(path)


def _table(parts: Sequence[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("name", "split"), *parts])
    return text.getvalue()
