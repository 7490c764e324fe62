"""``labels.csv``: scene labels of images, one or several each, and their parts of the split."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from unicodedata import normalize

import numpy as np

from mgm.data.files import FileTree
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, TableSettings
from mgm.data.vocabulary import PARTS
from mgm.errors import DataError

_NAMES = ("name", "image", "file", "filename")
_LISTS = ("label", "scene")


@dataclass(frozen=True)
class SceneTable:
    """Scene labels of all images."""

    names: tuple[str, ...]
    """Names of the scenes (or objects) in index order."""
    rows: np.ndarray
    """``[N, K]`` float32, NaN for an image without a label."""
    multi_hot: bool
    """Whether images have, or may have, several labels."""
    unused: str = ""
    """Warning why existing labels are not used; empty if there is none."""


def no_scenes(count: int) -> SceneTable:
    """Table for images without scene labels."""
    return SceneTable((), np.zeros((count, 0), np.float32), False)


def scene_table(labels: Sequence[set[str] | None], multi_hot: bool = False, names: Sequence[str] = ()) -> SceneTable:
    """Build the table from the labels of each image.

    Args:
        labels: Labels of each image; None if unknown.
        multi_hot: Whether an image may have several labels even if none has.
        names: All labels in index order; empty: those that occur, sorted. With fewer than two names there is nothing to
            distinguish, and the result has no scenes.
    """
    names = tuple(names) or tuple(sorted(set().union(*(known for known in labels if known is not None))))
    if len(names) < 2:
        return no_scenes(len(labels))
    columns = {name: column for column, name in enumerate(names)}
    rows = np.full((len(labels), len(names)), np.nan, np.float32)
    for row, known in zip(rows, labels, strict=True):
        if known is not None:
            row[:] = 0
            row[[columns[name] for name in known]] = 1
    return SceneTable(names, rows, multi_hot or any(known is not None and len(known) != 1 for known in labels))


def read_table(tree: FileTree, settings: FolderSettings, pictures: Sequence[Picture]) -> SceneTable:
    """Read the table; its parts of the split and groups are written into ``pictures``.

    The first line names the columns. ``name`` (also ``image``, ``file``, ``filename``) is the path below rgb/, with or without
    ending, or the file name if it is unique. ``split`` is train, val or test. Columns that begin with ``label`` or ``scene`` hold
    names, several separated by ``;``. Any other column is a label of its own, with values 1 or 0. The settings may name other
    columns, which must then exist. Labels are only read if ``scenes`` is ``auto``.

    Raises:
        DataError: If it is not a table, lists an unknown image or an image twice, or has an invalid value; with the line number.
    """
    options, where = settings.table, tree.describe(settings.table.file)
    (_, header), *lines = _cells(tree, options.file)
    key = _column(options.name) or next((name for name in _NAMES if name in header), "name")
    split, group, scenes = _column(options.split), _column(options.group), settings.scenes == "auto"
    lists = [_column(name) for name in options.labels if scenes]
    needed = [key, *lists, *([split] if split != TableSettings.split else []), *([group] if group else [])]
    for name in needed:
        if name not in header:
            raise DataError(
                f"{where}: has no column {name!r}; the first line must name the columns, such as {','.join(needed)},label"
            )
    free = [name for name in header if name not in (key, split, group)]
    lists = lists or [name for name in free if scenes and name.startswith(_LISTS)]
    flags = [name for name in free if scenes and name not in lists and not options.labels]
    names = tree.lines(settings.scene_file) if settings.scene_file and (lists or flags) else ()
    aliases = _aliases(pictures)
    labels: list[set[str] | None] = [None] * len(pictures)
    seen: set[int] = set()
    for number, cells in lines:
        row, line = dict(zip(header, cells, strict=True)), f"{where}, line {number}"
        index = _find(aliases, row[key], line)
        if index in seen:
            raise DataError(f"{line}: image {row[key]!r} is listed twice; put its labels on one line, separated by ;")
        seen.add(index)
        if part := row.get(split, ""):
            if part.lower() not in PARTS:
                raise DataError(f"{line}: split is {part!r}; it must be train, val or test")
            pictures[index].part = PARTS[part.lower()]
        pictures[index].group = row.get(group, "")
        known = _labels_of(row, lists, flags, line)
        if names and (odd := (known or {""}) - set(names)):
            raise DataError(f"{line}: label {min(odd)!r} is not listed in {settings.scene_file}; use one that is")
        labels[index] = known
    if settings.complete and len(seen) < len(pictures):
        missing = next(index for index in range(len(pictures)) if index not in seen)
        raise DataError(
            f"{tree.describe(pictures[missing].rgb)}: is not listed in {options.file} ({len(pictures) - len(seen)} of "
            f"{len(pictures)} images are not); add the lines, or remove the files"
        )
    found = scene_table(labels, bool(flags), names)
    if (lists or flags) and not found.names:
        only = next((f"only the scene {min(known)!r}" for known in labels if known), "no scene label at all")
        found = replace(found, unused=f"{where} has {only}, so its scenes are not used: at least two are needed")
    return found


def _cells(tree: FileTree, file: str) -> list[tuple[int, list[str]]]:
    """Read the table as (line number, cells); every line has as many cells as the first.

    Raises:
        DataError: If the file is not such a table.
    """
    where = tree.describe(file)
    try:
        content = tree.read(file)
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        first, _, rest = text.partition("\n")
        # spreadsheets declare the separator in a line such as sep=;
        given = first.strip('\r\n"').lower().removeprefix("sep=")
        told = len(given) == 1 and "sep=" in first.lower()
        # otherwise the most frequent of the usual characters outside quotation marks
        separator = given if told else max(",;\t|", key=re.sub(r'"[^"]*"', "", first).count)
        reader = csv.reader(io.StringIO(rest if told else text, newline=""), delimiter=separator, skipinitialspace=True)
        table: list[tuple[int, list[str]]] = []
        start = 1 + told
        for row in reader:
            if any(cell.strip() for cell in row):
                table.append((start, [cell.strip() for cell in row]))
            start = reader.line_num + 1 + told
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{where}: is not CSV text in UTF-8 ({error}); save it again as CSV UTF-8") from None
    if not table:
        raise DataError(f"{where}: is empty; write a first line such as name,label, or remove the file")
    # spreadsheets leave empty columns at the end
    while len(table[0][1]) > 1 and all(not cells[-1] for _, cells in table if len(cells) == len(table[0][1])):
        table = [(number, cells[: len(table[0][1]) - 1]) for number, cells in table]
    header = [_column(cell) for cell in table[0][1]]
    if len(set(header)) < len(header) or "" in header:
        raise DataError(
            f"{where}: two columns have the same name, or a column has no name; name every column differently"
        )
    for number, cells in table[1:]:
        if len(cells) != len(header) and any("\n" in cell for cell in cells):
            raise DataError(
                f'{where}, line {number}: a quotation mark (") is opened here but not closed; remove or close it'
            )
        if len(cells) != len(header):
            raise DataError(
                f"{where}, line {number}: has {len(cells)} cells, but the first line has {len(header)}; "
                f"separate several labels of an image by ; {'in quotes' if separator == ';' else f'and not by {separator}'}"
            )
    return [(table[0][0], header), *table[1:]]


def _column(cell: str) -> str:
    """Name of a column: in lower case if it has a predefined meaning, unchanged if it is a label."""
    small = cell.lower()
    return small if small in (*_NAMES, "split") or small.startswith(_LISTS) else cell


def _aliases(pictures: Sequence[Picture]) -> dict[str, list[int]]:
    """Every accepted name of an image -> indices of the images with this name."""
    aliases: dict[str, list[int]] = {}
    for index, picture in enumerate(pictures):
        ending = "." + picture.rgb.rpartition(".")[2]
        first, _, rest = picture.name.partition("/")
        below = rest if first.lower() in PARTS else picture.name
        names = {picture.name, below, below.rpartition("/")[2]}
        names |= {name + ending for name in names} | {picture.rgb, picture.rgb.rpartition("/")[2]}
        for name in {normalize("NFC", name) for name in names}:
            aliases.setdefault(name, []).append(index)
    return aliases


def _find(aliases: dict[str, list[int]], name: str, where: str) -> int:
    found = aliases.get(normalize("NFC", name).replace("\\", "/"), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{where}: {len(found)} images are named {name!r}; give the path below rgb/")
    raise DataError(f"{where}: no image is named {name!r}; correct or remove the line")


def _labels_of(row: dict[str, str], lists: list[str], flags: list[str], where: str) -> set[str] | None:
    """The labels of a line; None if all its label cells are empty."""
    found = {label.strip() for name in lists for label in row[name].split(";") if label.strip()}
    known = bool(found)
    for name in flags:
        if row[name] not in ("", "0", "1"):
            call = "split" if row[name].lower() in PARTS else "label"
            raise DataError(
                f"{where}: column {name!r} holds {row[name]!r}; it must be 1, 0 or empty (or name the column {call!r}; if it is no "
                "label, name those that are in dataset.yaml: 'table: {labels: [label]}')"
            )
        known |= row[name] != ""
        if row[name] == "1":
            found.add(name)
    return found if known else None
