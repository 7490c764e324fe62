"""``mgm predict``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import AsTheRun, parse, unless_given
from mgm.errors import ConfigError

if TYPE_CHECKING:
    from mgm.data.geometry import Intrinsics
    from mgm.types import Size


@dataclass(frozen=True)
class PredictOptions:
    """Predict every task for photographs of any size.

    Photographs are files, folders (searched recursively), quoted patterns such as "photos/**/*.jpg", or - for a list of files on
    standard input. The results for a folder keep its sub-folders.

    Example: mgm predict runs/first photo.jpg holiday --out predictions --save png,depth16
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run or of an exported model."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Photographs: files, folders, patterns, or -."""
    out: Path = Path("predictions")
    """Folder for the results; their file names start with that of the photograph."""
    save: str = "png,npy,sheet"
    """Files to write: png (coloured), npy (values), sheet (all tasks with legends), depth16 (16-bit PNG in millimetres), labels
    (classes as a palette PNG), confidence (per pixel; takes twice as long), ply (point cloud)."""
    fit: str = "auto"
    """How a photograph is fitted to the network's size: resize (ignores the aspect ratio), pad (repeats its edges), tile
    (overlapping windows); auto: as in training (squeeze: resize; letterbox: pad; crop: tile, so that nothing is cut off)."""
    detail: float = 1.0
    """For tile: length of the photograph's shorter side in window sides; 1: one window spans it; 0: full resolution."""
    flip_average: AsTheRun = False
    """Average each prediction with the one for the mirrored photograph; takes twice as long."""
    fov: float = 0.0
    """For ply: horizontal field of view of the photographs in degrees."""
    intrinsics: str = ""
    """For ply: fx,fy,cx,cy of the camera, in pixels of the upright photograph, with pixel centres at whole numbers."""
    skip_bad: bool = False
    """Skip unreadable photographs and list them at the end; by default, one of them stops the command before it writes anything."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def predict(arguments: list[str]) -> None:
    """``mgm predict``."""
    options = parse(PredictOptions, "predict", arguments)
    if not options.images:
        raise ConfigError("no images given; usage: mgm predict RUN IMAGE... --out DIR")
    kinds = tuple(kind.strip() for kind in options.save.split(",") if kind.strip())
    if not kinds:
        raise ConfigError("--save names nothing to write; give png, say")
    camera = _camera(options, kinds)
    from mgm.api import predict_files
    from mgm.runs.devices import single_device
    from mgm.runs.listing import unfinished

    done = predict_files(
        options.run,
        options.images,
        options.out,
        save=kinds,
        fit=options.fit,
        detail=options.detail,
        flip_average=unless_given(arguments, "flip-average", options.flip_average),
        camera=camera,
        skip_bad=options.skip_bad,
        device=options.device,
        written=print,
    )
    if note := unfinished(options.run):
        print(f"mgm: note: {note}", file=sys.stderr)
    if done.failed:
        bad = [message for _, message in done.failed]
        print(f"left out {len(bad)} of {len(bad) + done.images}:", *bad, sep="\n  ", file=sys.stderr)
    rate = f"{done.images_per_second:.1f} images/s on {single_device(options.device)}"
    print(f"images: {done.images} in {done.seconds:.1f} s, {rate}", file=sys.stderr)


def _camera(options: PredictOptions, kinds: tuple[str, ...]) -> Callable[[Size], Intrinsics] | None:
    """A function from a photograph's size to its camera; None if no point cloud is requested.

    Raises:
        ConfigError: If a point cloud is requested without a camera, a camera is given without a point cloud, or its numbers are
            invalid.
    """
    given = [name for name, value in (("--fov", options.fov), ("--intrinsics", options.intrinsics)) if value]
    if "ply" not in kinds:
        if given:
            raise ConfigError(f"{given[0]} is for point clouds; add ply to --save, or leave it out")
        return None
    if len(given) != 1:
        raise ConfigError(
            "a point cloud needs the camera: give --fov DEGREES (60 is usual for a phone held upright or a webcam) or "
            f"--intrinsics fx,fy,cx,cy{', not both' if given else ''}"
        )
    from mgm.data.geometry import Intrinsics

    if options.fov:
        if not 0 < options.fov < 180:
            raise ConfigError(f"--fov is {options.fov:g}; it is an angle above 0 and below 180 degrees")
        return lambda size: Intrinsics.from_field_of_view(options.fov, *size)
    try:
        fx, fy, cx, cy = (float(number) for number in options.intrinsics.split(","))
    except ValueError:
        raise ConfigError(f"--intrinsics is {options.intrinsics!r}; it must be four numbers: fx,fy,cx,cy") from None

    def fitting(size: Size) -> Intrinsics:
        height, width = size
        if not (fx > 0 and fy > 0 and 0 <= cx < width and 0 <= cy < height):
            raise ConfigError(
                f"--intrinsics do not fit a photograph of {width} x {height} pixels: focal lengths must be above 0 and the optical "
                "centre inside; they count in pixels of the photograph itself"
            )
        return Intrinsics(fx, fy, cx, cy)

    return fitting
