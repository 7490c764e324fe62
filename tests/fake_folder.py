"""Writes folders of one's own, in the forms that people have them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from fakes import jpeg, png, write_files

SIDE = (40, 30)
"""Width and height of the pictures."""
PALETTE = [number * 37 % 256 for number in range(768)]


def palette_png(labels: np.ndarray) -> bytes:
    """Labels as the indices of a palette picture."""
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.ravel())
    picture.putpalette(PALETTE)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def tiff(array: np.ndarray) -> bytes:
    """A picture of fractions."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "TIFF")
    return stream.getvalue()


def picture_arrays(index: int, size: tuple[int, int] = SIDE) -> dict[str, np.ndarray]:
    """A picture and its labels: three classes and 255, depth in metres with a hole, normals that face the camera."""
    width, height = size
    rng = np.random.default_rng(index)
    semantic = np.zeros((height, width), np.uint8)
    semantic[height // 2 :] = 1
    semantic[height // 4 : height // 2, : width // 2] = 2 if index % 2 else 0
    semantic[:2] = 255
    depth = np.repeat(np.linspace(4, 1 + index % 3, height)[:, None], width, axis=1)
    depth[-3:] = 0
    normal = np.zeros((height, width, 3))
    normal[: height // 2] = (0, 0, -1)
    normal[height // 2 :] = (0, -0.8, -0.6)
    return {
        "rgb": rng.integers(0, 256, (height, width, 3)).astype(np.uint8),
        "semantic": semantic,
        "depth": depth,
        "normal": normal,
    }


def own_files(
    count: int, tasks: tuple[str, ...] = ("semantic", "depth", "normal"), scenes: bool = True
) -> dict[str, bytes]:
    """Relative name -> content: jpg pictures, palette labels, depth in millimetres of 16 bits, coded normals, labels.csv."""
    files: dict[str, bytes] = {}
    lines = ["name,label"]
    for index in range(count):
        arrays = picture_arrays(index)
        name = f"photo_{index:03d}"
        files[f"rgb/{name}.jpg"] = jpeg(arrays["rgb"])
        contents = {
            "semantic": palette_png(arrays["semantic"]),
            "depth": png((arrays["depth"] * 1000).astype(np.uint16)),
            "normal": png(((arrays["normal"] + 1) * 127.5).round().astype(np.uint8)),
        }
        files |= {f"{task}/{name}.png": contents[task] for task in tasks}
        lines.append(f"{name},{('kitchen', 'office', 'hall')[index % 3]}")
    if scenes:
        files["labels.csv"] = "\n".join(lines).encode()
    return files


def write_own(folder: Path, count: int = 12, **options) -> Path:
    """The folder."""
    return write_files(folder, own_files(count, **options))
