"""CVAT annotations: what datumaro's reader leaves out or takes without a check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from os.path import splitext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgm.data.files import visible_files
from mgm.errors import DataError

if TYPE_CHECKING:
    import datumaro

_READ = ("box", "polygon", "polyline", "points", "mask", "tag")
"""Elements that datumaro reads; it skips all others."""


def complete_cvat(
    folder: Path, items: Sequence[datumaro.DatasetItem], names: Sequence[str], left_out: Counter[str]
) -> None:
    """Add the ellipses to the images' annotations, as polygons; other shapes that were not read are counted in ``left_out``.

    Raises:
        DataError: If the annotations are of a video, or a mask is damaged.
    """
    from datumaro import Polygon
    from defusedxml import ElementTree

    found = {(item.subset, item.id): item for item in items}
    for file in sorted(path for path in visible_files(folder) if path.suffix.lower() == ".xml"):
        annotations = ElementTree.parse(file)
        if annotations.find("track") is not None:  # datumaro would draw objects where they have left the video, too
            raise DataError(f"{file}: is in the format 'CVAT for video'; export it as 'CVAT for images'")
        for image in annotations.iterfind("image"):
            name = image.get("name", "")
            item = found.get((image.get("subset", file.stem), splitext(name)[0]))
            for shape in image:
                if shape.tag == "ellipse" and item is not None:
                    label = names.index(shape.get("label")) if shape.get("label") in names else None
                    layer = int(shape.get("z_order", 0))
                    item.annotations.append(Polygon(_ellipse(shape.attrib), label=label, z_order=layer))
                elif shape.tag == "mask":
                    _check_mask(shape.attrib, image.attrib, f"{file}: image {name!r}")
                elif shape.tag not in _READ:
                    left_out[f"annotations that are not areas ({shape.tag})"] += 1


def _ellipse(values: Mapping[str, str]) -> list[float]:
    """Corners x, y of an ellipse, which is rotated clockwise by some degrees."""
    x, y, width, height, turn = (float(values.get(key, 0)) for key in ("cx", "cy", "rx", "ry", "rotation"))
    around, turn = np.linspace(0, 2 * np.pi, 360, endpoint=False), np.radians(turn)
    across, down = width * np.cos(around), height * np.sin(around)
    corners = [x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)]
    return np.stack(corners, 1).ravel().tolist()


def _check_mask(mask: Mapping[str, str], image: Mapping[str, str], where: str) -> None:
    """Raise `DataError` if a mask does not fill its box, or the box leaves the image."""
    left, top, width, height = (int(mask[key]) for key in ("left", "top", "width", "height"))
    fits = 0 <= left <= int(image["width"]) - width and 0 <= top <= int(image["height"]) - height
    if not fits or sum(map(int, mask["rle"].split(","))) != width * height:
        raise DataError(f"{where}: a mask of {mask.get('label')!r} is damaged; correct or export it again")
