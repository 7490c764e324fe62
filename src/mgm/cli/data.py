"""``mgm data``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from mgm.cli.parsing import parse
from mgm.config import ImageSize
from mgm.errors import ConfigError, unknown
from mgm.types import Aspect, Frame, parse_size

BAD_FILES = 1
"""Exit code of ``mgm data verify`` if a file is bad; a data set that cannot be opened at all gives 2."""


VERIFIED_SIDE = 32
"""Image size in pixels that ``mgm data verify`` converts to; files are still decoded at full resolution."""


@dataclass(frozen=True)
class ListOptions:
    """List the built-in data sets and the supported layouts.

    Example: mgm data list
    """


@dataclass(frozen=True)
class RenderOptions:
    """Render the built-in rooms into the cache (training does so itself if needed).

    Example: mgm data render --num-images 2000 --image-size 128
    """

    num_images: int = 1000
    """Number of rooms."""
    image_size: ImageSize = 64
    """Image size in pixels: the side of a square, or HEIGHTxWIDTH."""
    cache: str = ""
    """Folder for converted data; empty: $MGM_CACHE or ~/.cache/mgm."""


@dataclass(frozen=True)
class InspectOptions:
    """Summarise a data set, report suspicious labels and images, and draw a contact sheet.

    Example: mgm data inspect photos --out photos.png
    """

    data: tyro.conf.Positional[str]
    """Name or path: a folder, a zip archive, a store."""
    out: Path = Path("contact_sheet.png")
    """Contact sheet to write."""
    image_size: ImageSize = ""
    """Size of the images in pixels; empty: 128, or that of a store."""
    aspect: Aspect = "squeeze"
    """How images of another shape are fitted, as for `mgm train`."""
    num: int = 12
    """Samples on the contact sheet."""
    most: int = 2000
    """Maximum number of samples to read, evenly spaced over the data set; 0: all."""
    split: str = "random"
    """Kind of split for the sample counts (training, validation, test)."""


@dataclass(frozen=True)
class VerifyOptions:
    """Decode every file of a data set (or check a store's checksums) and list the bad ones; exit code 1 if there are any.

    Example: mgm data verify photos
    """

    data: tyro.conf.Positional[str]
    """Name or path: a folder, a zip archive, a store."""


@dataclass(frozen=True)
class PrepareOptions:
    """Convert a data set to arrays of one size (a store), which load fast and can be used wherever a data set is named.

    Example: mgm data prepare photos --out photos128 --image-size 128 --skip-bad
    """

    source: tyro.conf.Positional[str]
    """Name or path: a folder, a zip archive, another store."""
    out: Path
    """Folder to write the store to."""
    image_size: ImageSize = 128
    """Image size in pixels: the side of a square, or HEIGHTxWIDTH."""
    aspect: Aspect = "squeeze"
    """How images of another shape are fitted; `mgm train` needs the same setting."""
    tasks: tuple[str, ...] = ()
    """Tasks to keep; empty: all tasks of the data set."""
    skip_bad: bool = False
    """Skip samples with bad files and list them in the manifest."""
    force: bool = False
    """Replace an existing store as soon as the new one is complete."""
    workers: int = 0
    """Number of processes; 0: chosen automatically."""
    num_images: int = 0
    """Number of rooms to render, for the data set `rooms`; 0: 2,000."""


def data(arguments: list[str]) -> None:
    """``mgm data list|render|inspect|verify|prepare``."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: mgm data " + "|".join(DATA_VERBS))
        for name, (kind, _) in DATA_VERBS.items():
            print(f"  {name:<8}  {(kind.__doc__ or '').splitlines()[0]}")
        print("Example: mgm data inspect rooms --out rooms.png")
        return
    if arguments[0] not in DATA_VERBS:
        raise ConfigError(unknown("data command", arguments[0], DATA_VERBS))
    kind, run = DATA_VERBS[arguments[0]]
    run(parse(kind, f"data {arguments[0]}", arguments[1:]))


def _data_list(options: ListOptions) -> None:
    from mgm.data import DATASETS, OWN_FOLDER, STORE

    print("by name, or by the path of their files:")
    for name, entry in DATASETS.items():
        print(f"  {name:<18}  {entry.description}")
    print("by path:")
    for name, entry in {"a folder or zip": OWN_FOLDER, "a store": STORE}.items():
        print(f"  {name:<18}  {entry.description}")


def _data_render(options: RenderOptions) -> None:
    if options.num_images < 1:
        raise ConfigError(f"--num-images is {options.num_images}; it must be at least 1")
    from mgm.data.rooms import RoomsSource
    from mgm.data.store import cached_store

    store = cached_store(RoomsSource(options.num_images), options.image_size, options.cache)
    print(store.path)


def _data_inspect(options: InspectOptions) -> None:
    from mgm.data import open_source
    from mgm.data.store import StoreSource
    from mgm.report.inspect import inspect_source

    source = open_source(options.data)
    if isinstance(source, StoreSource) and not options.image_size:
        size = source.store.frame
    else:
        size = Frame(parse_size(options.image_size or 128), options.aspect)
    lines = inspect_source(
        source, options.out, size=size, num_shown=options.num, most=options.most, split=options.split
    )
    for line in lines:
        print(line)


def _data_verify(options: VerifyOptions) -> None:
    from mgm.data import open_source
    from mgm.data.base import find_bad
    from mgm.data.manifest import find_changed
    from mgm.data.progress import progress_bar
    from mgm.data.store import StoreSource

    source = open_source(options.data)
    if isinstance(source, StoreSource):
        checksums = source.store.manifest["checksums"]
        name, total = str(source.store.path), len(checksums)
        checks = find_changed(source.store.path, checksums)
    else:
        for warning in (*source.warnings(), *source.doubts()):
            print(f"warning: {warning}", file=sys.stderr)
        name, total = source.info.name, len(source)
        checks = find_bad(source, VERIFIED_SIDE)
    bad: list[str] = []
    with progress_bar(f"verifying {name}", total) as advance:
        for _, reason in checks:
            bad += [reason] if reason else []
            advance(1)
    for reason in bad:
        print(reason)
    if bad:
        print(f"{len(bad)} bad; replace the files, or leave them out: mgm data prepare --skip-bad", file=sys.stderr)
        sys.exit(BAD_FILES)
    print(f"all {len(source)} samples are good")


def _data_prepare(options: PrepareOptions) -> None:
    from mgm.data import open_source
    from mgm.data.preparing import SelectedTasks, check_target, existing_folder, needed_bytes
    from mgm.data.store import build_store

    if options.workers < 0:
        raise ConfigError(f"--workers is {options.workers}; it must be at least 1, or 0 for automatic")
    check_target(options.out, options.force)
    source = open_source(options.source, options.num_images)
    source = SelectedTasks(source, options.tasks) if options.tasks else source
    for warning in (*source.warnings(), *source.doubts()):
        print(f"warning: {warning}", file=sys.stderr)
    frame = Frame(parse_size(options.image_size), options.aspect)
    needed, free = needed_bytes(source, frame), shutil.disk_usage(existing_folder(options.out)).free
    print(
        f"{len(source)} images at {frame.in_words} with {', '.join(source.info.tasks)}: "
        f"{needed / 1e9:.3f} GB are needed, {free / 1e9:.1f} GB are free",
        flush=True,
    )
    path = Path(os.path.expanduser(options.source))
    store = build_store(
        source,
        frame,
        options.out,
        origin=str(path.resolve()) if path.exists() else options.source,
        skip_bad=options.skip_bad,
        replace=options.force,
        workers=options.workers,
    )
    skipped = store.manifest["skipped"]
    for reason in skipped:
        print(f"left out: {reason}")
    labelled = ", ".join(f"{task} {count}" for task, count in store.manifest["labelled"].items())
    print(f"{store.path}: {len(store)} images, {len(skipped)} left out; with labels: {labelled}")


DATA_VERBS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "list": (ListOptions, _data_list),
    "render": (RenderOptions, _data_render),
    "inspect": (InspectOptions, _data_inspect),
    "verify": (VerifyOptions, _data_verify),
    "prepare": (PrepareOptions, _data_prepare),
}
"""Subcommand of ``mgm data`` -> its options and the function that runs it."""
