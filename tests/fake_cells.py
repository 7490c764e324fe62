"""A folder of another field: two segmentations of its own, a heat map in °C, a displacement in pixels."""

from pathlib import Path

import numpy as np

from fake_folder import npy
from fakes import png, write_files

SETTINGS = """
tasks:
  cells: {classes: {background: [235, 225, 230], cytoplasm: [205, 120, 160], nucleus: [80, 30, 120]}}
  damage: {classes: [none, torn], values: {none: 10, torn: 20}, folder: marks}
  heat: {title: Temperature, unit: °C, range: [35, 42], scale: 0.01, missing: 0, outside: missing}
  drift: {unit: px, range: [-8, 8], channels: 2, flips: vector}
"""


def cell_arrays(index: int, side: int = 32) -> dict[str, np.ndarray]:
    """A picture and its labels; the heat is unknown in the first row, and outside its range in the second."""
    rng = np.random.default_rng(index)
    cells = rng.integers(0, 3, (4, 4)).repeat(side // 4, 0).repeat(side // 4, 1).astype(np.uint8)
    heat = np.linspace(36, 41, side)[:, None].repeat(side, 1)
    heat[0], heat[1] = 0, 50
    drift = np.stack([np.linspace(-4, 4, side)[None].repeat(side, 0), np.full((side, side), index % 5)], axis=2)
    rgb = (cells[:, :, None] * 60 + rng.integers(0, 60, (side, side, 3))).astype(np.uint8)
    return {"rgb": rgb, "cells": cells, "damage": (cells == 1).astype(np.uint8), "heat": heat, "drift": drift}


def write_cells(folder: Path, count: int = 12, settings: str = SETTINGS) -> Path:
    """The folder."""
    files: dict[str, bytes] = {"dataset.yaml": settings.encode()}
    for index in range(count):
        arrays = cell_arrays(index)
        files |= {
            f"rgb/{index:02d}.png": png(arrays["rgb"]),
            f"cells/{index:02d}.png": png(arrays["cells"]),
            f"marks/{index:02d}.png": png(arrays["damage"] * 10 + 10),
            f"heat/{index:02d}.png": png((arrays["heat"] * 100).round().astype(np.uint16)),
            f"drift/{index:02d}.npy": npy(arrays["drift"].astype(np.float32)),
        }
    return write_files(folder, files)
