"""Picture files that commands write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.report.generated import generated_sheet
from mgm.training.checkpoint import make_folder, write_atomically


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write ``[H, W, 3]`` uint8 as PNG.

    Raises:
        RunError: If the place cannot be written to.
    """
    make_folder(path.parent)
    write_atomically(path, lambda file: Image.fromarray(pixels).save(file, format="PNG"))


def write_generated(path: Path, images: Mapping[str, Tensor]) -> None:
    """A grid of generated images, a row per scene."""
    make_folder(path.parent)
    per_scene = len(next(iter(images.values())))
    generated_sheet(path, {"": torch.cat(list(images.values()))}, list(images), per_scene)
