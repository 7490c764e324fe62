"""Folders of images that are no RGB: tiles of four channels with 12 of 16 bits, grey of one channel; a height map, two classes."""

import io
from pathlib import Path

import numpy as np
import tifffile

from fake_folder import npy
from fakes import png, write_files

TASKS = """
tasks:
  height: {unit: m, range: [0, 40]}
  cover: {classes: [ground, tree]}
"""
TILES = "rgb: {channels: 4, range: [0, 4095], show: [2, 1, 0]}" + TASKS
GREY = "rgb: {channels: 1}" + TASKS


def tile(index: int, channels: int = 4, side: int = 32) -> np.ndarray:
    """``[H, W, C]`` uint16, 0 to 4095."""
    return np.random.default_rng(index).integers(0, 4096, (side, side, channels)).astype(np.uint16)


def tiff(values: np.ndarray, **how) -> bytes:
    """A TIFF file."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **how)
    return stream.getvalue()


def interleaved(values: np.ndarray) -> bytes:
    """A TIFF file of ``[H, W, C]``, as remote sensing has them."""
    return tiff(values, photometric="minisblack", planarconfig="contig")


def write_tiles(folder: Path, count: int = 12, settings: str = TILES, channels: int = 4) -> Path:
    """The folder; images of one channel are 8-bit PNG."""
    files: dict[str, bytes] = {"dataset.yaml": settings.encode()}
    for index in range(count):
        values = tile(index, channels)
        image = (
            {"png": png((values[:, :, 0] // 16).astype(np.uint8))} if channels == 1 else {"tif": interleaved(values)}
        )
        files |= {f"rgb/{index:02d}.{ending}": content for ending, content in image.items()}
        cover = (values[:, :, -1] > 3000).astype(np.uint8)
        files |= {f"height/{index:02d}.npy": npy(20.0 * cover), f"cover/{index:02d}.png": png(cover)}
    return write_files(folder, files)
