"""Input images of a command line, and the names of their results."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgm.data.files import list_endings, visible_files
from mgm.data.images import ENDINGS, PICTURE_ENDINGS
from mgm.errors import ConfigError, DataError

STDIN = "-"
"""Argument that stands for a list of files on standard input, one per line."""


@dataclass(frozen=True)
class PhotographFile:
    """An image file and the name of its results."""

    path: Path
    name: str
    """Path relative to the folder that was given, without suffix, so that results keep the folder structure."""

    def __str__(self) -> str:
        """Its name, by which lists of images that were left out refer to it."""
        return self.name


def find_photographs(
    arguments: Sequence[str], lines: Iterable[str], out: Path, *, arrays: bool = False
) -> list[PhotographFile]:
    """The images that the arguments name, in their order and without duplicates.

    Args:
        arguments: Files; folders, which are searched recursively; patterns such as ``"photos/**/*.jpg"``; or `STDIN`.
        lines: Lines of standard input, read only if `STDIN` is among the arguments.
        out: Folder of the results; folders and patterns do not match images inside it.
        arrays: Whether ``.npy`` and ``.npz`` files in folders count as images.

    Raises:
        DataError: If a folder holds no image, or a pattern or standard input yields no file.
        ConfigError: If the results of two images would have the same name, or would count as images the next time because ``out``
            is the folder that is searched.
    """
    found: dict[str, PhotographFile] = {}
    for argument in arguments:
        for photograph in _matching(argument, lines, out, ENDINGS if arrays else PICTURE_ENDINGS):
            # many file systems ignore case
            other = found.setdefault(photograph.name.casefold(), photograph)
            if os.path.realpath(other.path) != os.path.realpath(photograph.path):
                common = "" if other.path.parent == photograph.path.parent else "give their common folder, "
                raise ConfigError(
                    f"{other.path} and {photograph.path} are both called {photograph.name!r}; their results would overwrite "
                    f"each other: rename one, {common}or use another --out for each"
                )
    return list(found.values())


def _matching(argument: str, lines: Iterable[str], out: Path, endings: frozenset[str]) -> Iterator[PhotographFile]:
    if argument == STDIN:
        named = [Path(line.strip()) for line in lines if line.strip()]
        if not named:
            raise DataError("standard input names no file; give one path per line")
        yield from (PhotographFile(path, path.stem) for path in named)
    elif Path(argument).is_dir():
        yield from _below(Path(argument), out, endings)
    elif glob.has_magic(argument) and not Path(argument).exists():
        yield from _like(argument, out)
    else:
        yield PhotographFile(Path(argument), Path(argument).stem)


def _below(folder: Path, out: Path, endings: frozenset[str]) -> Iterator[PhotographFile]:
    """All images below a folder, except hidden files and earlier results."""
    files = _without_results(sorted(visible_files(folder)), folder, out)
    pictures = [path for path in files if path.suffix.lower() in endings]
    if others := list_endings(path.name for path in files if path.suffix.lower() not in endings):
        logging.getLogger("mgm").warning("%s: not read: %s", folder, others)
    yield from (PhotographFile(path, path.relative_to(folder).with_suffix("").as_posix()) for path in pictures)
    if not pictures:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(endings))}); name the files themselves")


def _like(pattern: str, out: Path) -> Iterator[PhotographFile]:
    """All files that match a pattern, named relative to its fixed leading folders."""
    fixed: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file()]
    files = _without_results(paths, root, out)
    if not files:
        raise DataError(f"no file matches {pattern!r}; check the pattern and put it in quotes")
    yield from (PhotographFile(path, path.relative_to(root).with_suffix("").as_posix()) for path in files)


def _without_results(paths: list[Path], root: Path, out: Path) -> list[Path]:
    """The files outside the folder of results; it matters only if that folder lies below the one that is searched."""
    if root.resolve() == out.resolve():
        raise ConfigError(
            f"{out} is the folder of the images; results there would count as images the next time, so choose another folder "
            f"with --out, such as {out / 'predictions'}"
        )
    if root.resolve() not in out.resolve().parents:
        return paths
    return [path for path in paths if out.resolve() not in path.resolve().parents]
