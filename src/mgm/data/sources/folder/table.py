"""``labels.csv``: scene labels of images, one or several each, and which part of the split they belong to."""

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
from mgm.data.sources.folder.settings import FolderSettings
from mgm.data.vocabulary import PARTS
from mgm.errors import DataError

_NAMES = ("name", "image", "file", "filename")
_LISTS = ("label", "scene")


@dataclass(frozen=True)
class SceneTable:
    """Scene labels of all images."""

    names: tuple[str, ...]
    """Of the scenes (or objects), in index order."""
    rows: np.ndarray
    """``[N, K]`` float32, NaN for an image without a label."""
    multi_hot: bool
    """Whether any image has several labels, or may have."""
    unused: str = ""
    """Why labels that are there are none of these, in words."""


def no_scenes(count: int) -> SceneTable:
    """The table of images without scene labels."""
    return SceneTable((), np.zeros((count, 0), np.float32), False)


def scene_table(labels: Sequence[set[str] | None], multi_hot: bool = False, names: Sequence[str] = ()) -> SceneTable:
    """The table for the labels of each image; None where they are not known.

    Args:
        labels: Of each image.
        multi_hot: Whether several labels are possible even if no image has them.
        names: All labels in index order; empty: those that occur, sorted. Fewer than two different labels tell nothing apart
            and count as none.
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
    """Read the table, and write its parts of the split and its groups into the pictures.

    The first line names the columns. One is ``name`` (also ``image``, ``file``): the path below rgb/, with or without ending,
    or the file name if that is unique. ``split`` says train, val or test. Columns that begin with ``label`` or ``scene`` hold
    names, several separated by ``;``. Any other column is a label itself, with 1 or 0 below it. The settings may name
    other columns.

    Raises:
        DataError: If it is no table, or names an unknown image, an image twice, or a value that cannot be; with the line.
    """
    options, where = settings.table, tree.describe(settings.table.file)
    (_, header), *lines = _cells(tree, options.file)
    key = options.name or next((name for name in _NAMES if name in header), "name")
    needed = [key] if not options.name else [key, options.split, *options.labels, *filter(None, [options.group])]
    for name in needed:
        if name not in header:
            raise DataError(
                f"{where}: has no column {name!r}; the first line must name the columns, as {','.join(needed)},label"
            )
    lists = list(options.labels) or [name for name in header if name.startswith(_LISTS) and name != options.group]
    flags = [] if options.labels else [n for n in header if n not in (key, options.split, options.group, *lists)]
    names = tree.lines(settings.scene_file) if settings.scene_file else ()
    aliases = _aliases(pictures)
    labels: list[set[str] | None] = [None] * len(pictures)
    seen: set[int] = set()
    for number, cells in lines:
        row, line = dict(zip(header, cells, strict=True)), f"{where}, line {number}"
        index = _find(aliases, row[key], line)
        if index in seen:
            raise DataError(f"{line}: image {row[key]!r} is listed twice; put its labels into one line, separated by ;")
        seen.add(index)
        if part := row.get(options.split, ""):
            if part.lower() not in PARTS:
                raise DataError(f"{line}: split {part!r} is none of train, val, test")
            pictures[index].part = PARTS[part.lower()]
        pictures[index].group = row.get(options.group, "")
        known = _labels_of(row, lists, flags, line)
        if names and not (known and known <= set(names)):
            raise DataError(f"{line}: needs a label that is listed in {settings.scene_file}, not {row[lists[0]]!r}")
        labels[index] = known
    if settings.complete and len(seen) < len(pictures):
        missing = next(index for index in range(len(pictures)) if index not in seen)
        raise DataError(
            f"{tree.describe(pictures[missing].rgb)}: not listed in {options.file} ({len(pictures) - len(seen)} such "
            "images); add the lines or remove the files"
        )
    found = scene_table(labels, bool(flags), names)
    if (lists or flags) and not found.names:
        only = next((f"only the scene {min(known)!r}" for known in labels if known), "no scene label at all")
        found = replace(found, unused=f"{where} has {only}, so its scenes are not used: it takes two to tell apart")
    return found


def _cells(tree: FileTree, file: str) -> list[tuple[int, list[str]]]:
    """Line numbers and cells; every line has as many as the first."""
    where = tree.describe(file)
    try:
        content = tree.read(file)
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        first, _, rest = text.partition("\n")
        given = first.strip('\r\n"').lower().removeprefix("sep=")  # what spreadsheets understand
        told = len(given) == 1 and "sep=" in first.lower()
        separator = given if told else _separator(first)
        reader = csv.reader(io.StringIO(rest if told else text, newline=""), delimiter=separator, skipinitialspace=True)
        table: list[tuple[int, list[str]]] = []
        start = 1 + told
        for row in reader:
            if any(cell.strip() for cell in row):
                table.append((start, [cell.strip() for cell in row]))
            start = reader.line_num + 1 + told
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{where}: is no CSV text in UTF-8 ({error}); save it again as CSV UTF-8") from None
    if not table:
        raise DataError(f"{where}: is empty; write a first line such as name,label, or remove the file")
    while len(table[0][1]) > 1 and all(not cells[-1] for _, cells in table if len(cells) == len(table[0][1])):
        table = [
            (number, cells[: len(table[0][1]) - 1]) for number, cells in table
        ]  # columns that spreadsheets leave over
    header = [_column(cell) for cell in table[0][1]]
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f"{where}: two columns have the same name, or one has none")
    for number, cells in table[1:]:
        if len(cells) != len(header) and any("\n" in cell for cell in cells):
            raise DataError(
                f'{where}, line {number}: a quotation mark (") is opened there and not closed; remove or close it'
            )
        if len(cells) != len(header):
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells, the first line has {len(header)}; "
                f"several labels of an image are separated by ; {'in quotes' if separator == ';' else f'not by {separator}'}"
            )
    return [(table[0][0], header), *table[1:]]


def _separator(header: str) -> str:
    """What parts the cells of the first line: of the usual characters that one which occurs outside of names most often."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=unquoted.count)


def _column(cell: str) -> str:
    """Name of a column: in lower case where it has a meaning, as it is where it is a label."""
    small = cell.lower()
    return small if small in (*_NAMES, "split") or small.startswith(_LISTS) else cell


def _aliases(pictures: Sequence[Picture]) -> dict[str, list[int]]:
    """What an image may be called -> the images that it may be."""
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
    many = f"{len(found)} images are called {name!r}, give its path below rgb/"
    raise DataError(f"{where}: {many if found else f'no image is called {name!r}'}; mend or remove the line")


def _labels_of(row: dict[str, str], lists: list[str], flags: list[str], where: str) -> set[str] | None:
    """The labels of a line; None if it leaves all of its cells empty."""
    found = {label.strip() for name in lists for label in row[name].split(";") if label.strip()}
    known = bool(found)
    for name in flags:
        if row[name] not in ("", "0", "1"):
            call = "split" if row[name].lower() in PARTS else "label"
            raise DataError(
                f"{where}: column {name!r} holds {row[name]!r}; it must be 1, 0 or empty (or call the column {call!r})"
            )
        known |= row[name] != ""
        if row[name] == "1":
            found.add(name)
    return found if known else None
