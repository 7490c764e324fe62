"""``mgm import``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse


@dataclass(frozen=True)
class ImportOptions:
    """Convert the polygons and masks of a labelling tool to a data folder with class maps (extra: import).

    Example: mgm import coco export --out cells
    """

    format: tyro.conf.Positional[str]
    """Format of the annotations: coco, cvat, voc."""
    folder: tyro.conf.Positional[Path]
    """Folder with the annotations and the images."""
    out: Path
    """Data folder to write, to be given as --data."""
    outside: str = "background"
    """Label of pixels outside all annotations: background (a class of its own), or ignore (no label)."""


def import_(arguments: list[str]) -> None:
    """``mgm import``."""
    options = parse(ImportOptions, "import", arguments)
    from mgm.data.annotations import import_annotations

    done = import_annotations(options.format, options.folder, options.out, outside=options.outside)
    for remark in done.remarks:
        print(remark)
    print(f"{options.out}: {done.num_images} images, {len(done.classes)} classes: {', '.join(done.classes)}")
    print(f"next: mgm data inspect {options.out}")
