"""``mgm data``: what data sets there are and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.commands import parse
from mgm.errors import ConfigError, unknown


@dataclass(frozen=True)
class ListOptions:
    """List the built-in data sets and the layouts that are understood.

    Example: mgm data list
    """


@dataclass(frozen=True)
class RenderOptions:
    """Render the embedded rooms into the cache (training does it by itself).

    Example: mgm data render --num-images 2000 --image-size 128
    """

    num_images: int = 1000
    """How many rooms."""
    image_size: int = 64
    """Side in pixels."""
    cache: str = ""
    """Folder for converted data; empty: $MGM_CACHE or ~/.cache/mgm."""


@dataclass(frozen=True)
class InspectOptions:
    """Say what a data set holds, and draw a contact sheet of it.

    Example: mgm data inspect ../shared/data/camvid --out camvid.png
    """

    data: tyro.conf.Positional[str]
    """Name or path."""
    out: Path = Path("contact_sheet.png")
    """Picture to write."""
    image_size: int = 128
    """Side of the pictures in pixels."""
    num: int = 12
    """Samples in the picture."""


def data(arguments: list[str]) -> None:
    """``mgm data list|render|inspect``."""
    verbs = {
        "list": (ListOptions, _data_list),
        "render": (RenderOptions, _data_render),
        "inspect": (InspectOptions, _data_inspect),
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: mgm data " + "|".join(verbs))
        for name, (kind, _) in verbs.items():
            print(f"  {name:<8}  {(kind.__doc__ or '').splitlines()[0]}")
        return
    if arguments[0] not in verbs:
        raise ConfigError(unknown("data command", arguments[0], verbs))
    kind, run = verbs[arguments[0]]
    run(parse(kind, f"data {arguments[0]}", arguments[1:]))  # type: ignore[arg-type]


def _data_list(options: ListOptions) -> None:
    from mgm.data import DATASETS

    for name, entry in DATASETS.items():
        print(f"{name:<10}  {entry.description}")


def _data_render(options: RenderOptions) -> None:
    from mgm.data.rooms import RoomsSource
    from mgm.data.store import cached_store

    store = cached_store(RoomsSource(options.num_images), options.image_size, options.cache)
    print(store.path)


def _data_inspect(options: InspectOptions) -> None:
    from mgm.data import open_source
    from mgm.report.files import inspect_source

    for line in inspect_source(open_source(options.data), options.image_size, options.num, options.out):
        print(line)
