"""``mgm import``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse


@dataclass(frozen=True)
class ImportOptions:
    """Turn annotations of a labelling tool into a folder of one's own: polygons and masks become class maps (extra: import).

    Example: mgm import coco export --out cells
    """

    format: tyro.conf.Positional[str]
    """What the tool wrote: coco, cvat, voc."""
    folder: tyro.conf.Positional[Path]
    """The annotations, with the images."""
    out: Path
    """Folder to make, for --data."""
    outside: str = "background"
    """What pixels are that nothing is drawn on: background (a class), or ignore (without a label)."""


def import_(arguments: list[str]) -> None:
    """``mgm import``."""
    options = parse(ImportOptions, "import", arguments)
    from mgm.data.annotations import import_annotations

    done = import_annotations(options.format, options.folder, options.out, outside=options.outside)
    for remark in done.remarks:
        print(remark)
    print(f"{options.out}: {done.num_images} images, {len(done.classes)} classes: {', '.join(done.classes)}")
    print(f"next: mgm data inspect {options.out}")
