"""``labels.csv``: scene labels of images, one or several each, and which part of the split they belong to."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mgm.data.files import FileTree
from mgm.data.folder.index import PARTS, Picture
from mgm.errors import DataError

FILE = "labels.csv"
_NAMES = ("name", "image", "file", "filename")
_LISTS = ("label", "scene")


@dataclass(frozen=True)
class SceneTable:
    """Scene labels of all images."""

    names: tuple[str, ...]
    """Of the scenes (or objects), sorted."""
    rows: np.ndarray
    """``[N, K]`` float32, NaN for an image without a label."""
    multi_hot: bool
    """Whether any image has several labels, or may have."""


def no_scenes(count: int) -> SceneTable:
    """The table of images without scene labels."""
    return SceneTable((), np.zeros((count, 0), np.float32), False)


def scenes_from_sets(labels: Sequence[set[str] | None], multi_hot: bool = False) -> SceneTable:
    """The table for the labels of each image; None where they are not known.

    Fewer than two different labels tell nothing apart and count as none.
    """
    names = tuple(sorted(set().union(*(known for known in labels if known is not None))))
    if len(names) < 2:
        return no_scenes(len(labels))
    columns = {name: column for column, name in enumerate(names)}
    rows = np.full((len(labels), len(names)), np.nan, np.float32)
    for row, known in zip(rows, labels, strict=True):
        if known is not None:
            row[:] = 0
            row[[columns[name] for name in known]] = 1
    return SceneTable(names, rows, multi_hot or any(known is not None and len(known) != 1 for known in labels))


def read_labels_file(tree: FileTree, pictures: Sequence[Picture]) -> SceneTable:
    """Read the file, and write its parts of the split into the pictures.

    The first line names the columns. One is ``name`` (also ``image``, ``file``): the path below rgb/, with or without ending,
    or the file name if that is unique. ``split`` says train, val or test. Columns that begin with ``label`` or ``scene`` hold
    names, several separated by ``;``. Any other column is a label itself, with 1 or 0 below it.

    Raises:
        DataError: If it is no table, or names an unknown image, an image twice, or a value that cannot be; with the line.
    """
    table = _read_table(tree)
    header, lines = table[0][1], table[1:]
    key = next((name for name in _NAMES if name in header), None)
    if key is None:
        raise DataError(
            f"{tree.describe(FILE)}: has no column 'name'; the first line must name the columns, as name,label"
        )
    places = _places(pictures)
    lists = [name for name in header if name.startswith(_LISTS)]
    flags = [name for name in header if name not in (key, "split", *lists)]
    labels: list[set[str] | None] = [None] * len(pictures)
    seen: set[int] = set()
    for number, cells in lines:
        row = dict(zip(header, cells, strict=True))
        where = f"{tree.describe(FILE)}, line {number}"
        index = _find(places, row[key], where)
        if index in seen:
            raise DataError(
                f"{where}: image {row[key]!r} is listed twice; put its labels into one line, separated by ;"
            )
        seen.add(index)
        if row.get("split"):
            if row["split"].lower() not in PARTS:
                raise DataError(f"{where}: split {row['split']!r} is none of train, val, test")
            pictures[index].part = PARTS[row["split"].lower()]
        labels[index] = _labels_of(row, lists, flags, where)
    return scenes_from_sets(labels, multi_hot=bool(flags))


def _read_table(tree: FileTree) -> list[tuple[int, list[str]]]:
    """Line numbers and cells; every line has as many as the first."""
    where = tree.describe(FILE)
    try:
        text = tree.read(FILE).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
        table = [
            (reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: is no CSV text in UTF-8 ({error}); save it again as CSV UTF-8") from None
    if not table:
        raise DataError(f"{where}: is empty; write a first line such as name,label, or remove the file")
    header = [_column(cell) for cell in table[0][1]]
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f"{where}: two columns have the same name, or one has none")
    for number, cells in table[1:]:
        if len(cells) != len(header):
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells, the first line has {len(header)}; "
                "several labels of an image are separated by ; not by ,"
            )
    return [(table[0][0], header), *table[1:]]


def _column(cell: str) -> str:
    """Name of a column: small letters where it means something, as it is where it is a label."""
    small = cell.lower()
    return small if small in (*_NAMES, "split") or small.startswith(_LISTS) else cell


def _places(pictures: Sequence[Picture]) -> dict[str, list[int]]:
    """What an image may be called -> which it may be."""
    places: dict[str, list[int]] = {}
    for index, picture in enumerate(pictures):
        file = picture.rgb.rpartition("/")[2]
        below = picture.name.partition("/")[2] if picture.name.partition("/")[0] in PARTS else picture.name
        ending = "." + file.rpartition(".")[2]
        stem = below.rpartition("/")[2]
        for alias in {
            picture.name,
            picture.name + ending,
            picture.rgb,
            below,
            below + ending,
            stem,
            stem + ending,
            file,
        }:
            places.setdefault(alias, []).append(index)
    return places


def _find(places: dict[str, list[int]], name: str, where: str) -> int:
    found = places.get(name.replace("\\", "/"), [])
    if len(found) != 1:
        what = (
            f"{len(found)} images are called {name!r}, give its path below rgb/"
            if found
            else f"no image is called {name!r}"
        )
        raise DataError(f"{where}: {what}; mend or remove the line")
    return found[0]


def _labels_of(row: dict[str, str], lists: list[str], flags: list[str], where: str) -> set[str] | None:
    """The labels of a line; None if it leaves all of its cells empty."""
    found = {label.strip() for name in lists for label in row[name].split(";") if label.strip()}
    known = bool(found)
    for name in flags:
        if row[name] not in ("", "0", "1"):
            raise DataError(
                f"{where}: column {name!r} holds {row[name]!r}; it must be 1, 0 or empty (or call the column 'label')"
            )
        known |= row[name] != ""
        if row[name] == "1":
            found.add(name)
    return found if known else None
