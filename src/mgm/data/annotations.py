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

from mgm.data.coco import COCO_LAYOUT, Sources, arrange_coco
from mgm.data.cvat import complete_cvat
from mgm.data.images import MAX_PIXELS, decode
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
    "coco": COCO_LAYOUT,
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
"""Names, in any case, of classes that mean no label; Pascal VOC uses one for the borders of objects."""
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

    Overlapping annotations are drawn by layer (z order); within a layer, smaller objects are drawn over larger ones.

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
    left_out: Counter[str] = Counter()
    items, names, colours, sources = _read(folder, kind, reader, left_out)
    if alike := {name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1}:
        raise DataError(
            f"{folder}: has categories of the same name: {', '.join(sorted(alike))}; rename or merge them in the labelling tool"
        )
    classes = [name for name in names if name.casefold() not in IGNORED]
    background = next((name for name in classes if name.casefold() == "background"), "background")
    if outside == "background" and background not in classes:
        classes = [background, *classes]
    if len(classes) > NO_LABEL:
        raise DataError(f"{folder}: has {len(classes)} classes; a label map can hold at most {NO_LABEL}")
    empty = classes.index(background) if outside == "background" else NO_LABEL
    known = [classes.index(name) if name in classes else NO_LABEL for name in names]
    drawn = _Drawing(
        kind,
        np.array([*known, *[NO_LABEL] * 256], np.uint8),
        {colour: names.index(name) for name, colour in colours.items()},
        empty,
        left_out,
    )
    shown = _png_palette(classes, colours)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as begun:
        target = Path(begun) / "whole"
        parts: list[tuple[str, str]] = []
        unlabelled = 0
        found, taken, used = set[int](), set[str](), set[Path]()
        with progress_bar(f"reading {kind}", len(items)) as advance:
            for item in items:
                advance(1)
                source, part = sources.get((item.subset, item.id), (Path(), ""))
                if not source.is_file() or not Path(abspath(source)).is_relative_to(abspath(folder)):
                    left_out["annotated images that are not in the folder, or several times"] += 1
                    continue
                if source in used:  # in Pascal VOC, trainval.txt lists all images of train.txt and val.txt again
                    left_out[f"images that are listed again (in {item.subset})"] += 1
                    continue
                used.add(source)
                name = _name_below(item.id, folder)
                while name.casefold() in taken:
                    name = f"{name}_{item.subset}"
                taken.add(name.casefold())
                labels = drawn.label_map(item, source)
                found.update([] if labels is None else np.unique(labels).tolist())
                unlabelled += labels is None
                _write_sample(target, name, source, labels, shown)
                parts.append((name, part))
        if not parts:
            raise DataError(
                f"{folder}: none of the {len(items)} annotated images was found; put them beside the annotations"
            )
        if unlabelled == len(parts):
            raise DataError(f"{folder}: none of the {unlabelled} images has a label map; expected{LAYOUTS[kind]}")
        (target / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        if len({part for _, part in parts} - {""}) > 1:
            (target / "labels.csv").write_text(_table(parts), encoding="utf-8")
        if out.is_dir():
            out.rmdir()
        target.rename(out)
    remarks = [f"left out: {count} {what}" for what, count in left_out.items()]
    if unlabelled:
        remarks.append(f"{unlabelled} images have no label, as they have no file in SegmentationClass")
    if drawn.blank and outside == "background":
        remarks.append(
            f"{drawn.blank} images have no annotation, so they are all {background}; --outside ignore leaves them unlabelled"
        )
    if unused := [name for index, name in enumerate(classes) if index not in found and name != background]:
        remarks.append(f"classes that no pixel has: {', '.join(unused)}")
    return Imported(len(parts), classes, remarks)


@dataclass
class _Drawing:
    """Makes the label maps of an import."""

    kind: str
    numbers: np.ndarray
    """Index of a class in the annotations -> that in the label maps, or `NO_LABEL`."""
    indices: Mapping[Colour, int]
    """Colour of a class in label maps of Pascal VOC -> its index in the annotations."""
    empty: int
    """Label outside of all annotations."""
    left_out: Counter[str]
    """What is skipped -> how often."""
    blank: int = 0
    """Number of images without an area so far."""

    def label_map(self, item: datumaro.DatasetItem, picture: Path) -> np.ndarray | None:
        """The label map ``[H, W]`` of an image; None if it has none."""
        if self.kind == "voc":
            stored = _voc_classes(item, picture, self.indices)
            return None if stored is None else self.numbers[stored]
        labels = np.full(_annotated_size(item, picture), self.empty, np.uint8)
        masks = _masks(item.annotations, labels.shape, self.left_out)
        for mask, label in masks:
            labels[mask] = self.numbers[label]
        self.blank += not masks
        return labels


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


def _write_sample(target: Path, name: str, source: Path, labels: np.ndarray | None, shown: Sequence[int]) -> None:
    """Copy an image, and write its label map, if it has one, with a palette if there is one."""
    picture, label_map = target / "rgb" / f"{name}{source.suffix.lower()}", target / "semantic" / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, picture)
    if labels is not None:
        label_map.parent.mkdir(parents=True, exist_ok=True)
        drawn = Image.fromarray(labels)
        if shown:
            drawn.putpalette(shown)
        drawn.save(label_map)


def _read(
    folder: Path, kind: str, reader: str, left_out: Counter[str]
) -> tuple[list[datumaro.DatasetItem], list[str], dict[str, Colour], Sources]:
    """Read all annotated images, the class names by index, their colours if they have some, and the files of the images.

    Images of a part of the split are first. In COCO, annotations of one group are one object; otherwise each has its own group.
    """
    try:
        import datumaro
        from datumaro.components.errors import DatasetImportError, DatasetNotFoundError
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
                sources = arrange_coco(folder, place, left_out)
            dataset = datumaro.Dataset.import_from(str(place), reader)
            items = list(dataset)
        categories = dataset.categories()
        names = [label.name for label in categories[datumaro.AnnotationType.label]]  # type: ignore[reportGeneralTypeIssues]
        painted: Any = categories.get(datumaro.AnnotationType.mask)
        colours: dict[str, Colour] = (
            {names[index]: colour for index, colour in painted.colormap.items()} if painted else {}
        )
        if kind == "cvat":
            complete_cvat(folder, items, names, left_out)
    except DataError:
        raise
    except Exception as error:  # datumaro's readers raise many kinds
        # only the outermost error says nothing; that of an item names the item
        cause = error.__cause__ if error.__cause__ and type(error) is DatasetImportError else error
        reason = str(cause).partition("\n")[0]
        if isinstance(cause, AssertionError):  # of datumaro's list of categories, which takes no name twice
            reason = f"the category {reason!r} seems to be defined twice; rename or merge it in the labelling tool"
        expected = f"; expected{LAYOUTS[kind]}" if isinstance(cause, DatasetNotFoundError) else ""
        raise DataError(f"{folder}: cannot be read as {kind} annotations: {reason}{expected}") from error
    finally:
        root.setLevel(level)
    if kind != "coco":
        for item in items:
            path = Path(getattr(item.media, "path", "") or "")
            sources[item.subset, item.id] = path, PARTS.get(item.subset.lower(), "")
            for number, annotation in enumerate(item.annotations):
                annotation.group = number

    def order(item: datumaro.DatasetItem) -> tuple[bool, str, str]:
        _, part = sources.get((item.subset, item.id), (None, ""))
        return not part, item.subset, item.id

    return sorted(items, key=order), names, colours, sources


def _voc_classes(item: datumaro.DatasetItem, picture: Path, indices: Mapping[Colour, int]) -> np.ndarray | None:
    """Class indices ``[H, W]`` of the label map of Pascal VOC; None if the image has none.

    Datumaro's masks are not used: with SegmentationObject, all pixels outside of objects have one class there.
    """
    from datumaro.util.mask_tools import load_mask

    root = picture.parents[len(PurePosixPath(item.id).parts)]
    path = root / "SegmentationClass" / f"{item.id}.png"
    return load_mask(str(path), indices) if path.is_file() else None


def _masks(
    annotations: Sequence[datumaro.Annotation], size: tuple[int, int], left_out: Counter[str]
) -> list[tuple[np.ndarray, int]]:
    """Masks ``[H, W]`` and class indices, in drawing order; counts in ``left_out`` what is skipped."""
    from datumaro import Bbox, Mask, Polygon
    from datumaro.util.mask_tools import rles_to_mask

    objects: dict[tuple[int, int, int], np.ndarray] = {}
    areas = [annotation for annotation in annotations if isinstance(annotation, Polygon | Mask)]
    groups = {area.group for area in areas}
    for annotation in annotations:  # in COCO, every area is accompanied by its bounding box, in the same group
        accompanies = isinstance(annotation, Bbox) and annotation.group in groups
        if not isinstance(annotation, Polygon | Mask) and not accompanies:
            left_out[f"annotations that are not areas ({annotation.type.name})"] += 1
    for area in areas:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools warns about NumPy 2
            if isinstance(area, Mask):
                mask = np.asarray(area.image, dtype=bool)
            else:
                mask = rles_to_mask([area.points], size[1], size[0]).astype(bool)
        if area.label is None or mask.shape != size:
            left_out["areas without a class, or with a different size than the image"] += 1
            continue
        key = area.z_order, area.group, area.label
        objects[key] = objects[key] | mask if key in objects else mask
    drawn = sorted(objects.items(), key=lambda entry: (entry[0][0], -int(entry[1].sum())))
    return [(mask, label) for (_, _, label), mask in drawn]


def _annotated_size(item: datumaro.DatasetItem, picture: Path) -> tuple[int, int]:
    """Height and width of the image when it was annotated: the coordinates are its pixels. Raises `DataError` if it was too large.

    The image may have been resized since. Its label map is resized where it is read, which refuses another shape.
    """
    media: Any = item.media
    if media.has_size and media.size:
        height, width = media.size
    else:
        width, height = decode(picture)[0].size
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
