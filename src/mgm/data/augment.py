"""Random augmentation of images together with their labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mgm.errors import ConfigError
from mgm.functional.blur import blur, blur_kernels
from mgm.functional.colours import hue
from mgm.functional.resizing import window_grid
from mgm.functional.transfer import to_device
from mgm.tasks.base import Task
from mgm.types import Batch, Size, SizeSetting, Targets, parse_size


class PairedAugmentation:
    """Random flips, rotations, crops with zoom, and photometric changes of a batch, on its device.

    Per image: a horizontal and a vertical flip, each with probability 1/2; a rotation by a random number of right angles; a
    window of random position and size, resized to the whole image (``zoom`` is log-uniform; below 1 the window is larger than
    the image); then brightness, contrast, saturation, hue, blur and noise. Saturation and hue apply to RGB only; images with
    other channels get a random factor per channel instead.
    Each task adjusts its values to a flip, a rotation and a zoom: normals change sign in x or rotate, and depth is divided by
    the zoom (a scene that is closer by this factor looks the same). Pixels outside the original image are invalid in all tasks.

    Kornia is not used: there, labels out of view become class 0, flipped normals keep their sign, and depth keeps its value.
    Approximations: an off-centre window is treated as if seen by the same camera; ``edge_texture`` is only moved, although a
    magnified or blurred image has different edges.

    Args:
        tasks: Task name -> task, for every target in the batches.
        image_size: Size of the resulting images in pixels.
        flip: Whether to flip horizontally.
        vertical_flip: Whether to flip vertically.
        quarter_turns: Whether to rotate by right angles; needs square images.
        zoom: Smallest and largest magnification.
        colour: Largest relative change of brightness, contrast and saturation (or channels), in [0, 1).
        hue: Largest rotation of the hue as a fraction of the colour circle, in [0, 0.5].
        blur: Largest standard deviation of the Gaussian blur, in pixels.
        noise: Largest standard deviation of the Gaussian noise, as a fraction of the colour range.
        outside: Fill beyond the image border, for zooms below 1: mid-grey, or a reflection of the image.

    Raises:
        ConfigError: If a setting is out of range.
    """

    def __init__(
        self,
        tasks: dict[str, Task],
        image_size: SizeSetting,
        *,
        flip: bool = True,
        vertical_flip: bool = False,
        quarter_turns: bool = False,
        zoom: tuple[float, float] = (1.0, 1.5),
        colour: float = 0.2,
        hue: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        outside: Literal["grey", "reflection"] = "grey",
    ) -> None:
        if not 0 < zoom[0] <= zoom[1] < math.inf:
            raise ConfigError(f"zoom is {zoom[0]:g} {zoom[1]:g}; it must be two positive numbers in ascending order")
        if not 0 <= colour < 1:
            raise ConfigError(f"colour is {colour:g}; it must lie in [0, 1)")
        if not 0 <= hue <= 0.5:
            raise ConfigError(f"hue is {hue:g}; it must lie in [0, 0.5], where 0.5 is half the colour circle")
        height, width = size = parse_size(image_size)
        if quarter_turns and height != width:
            raise ConfigError(
                f"quarter_turns is on, but images of {height}x{width} would change shape; use square images, or --vertical-flip"
            )
        if not 0 <= blur <= min(size) / 8:
            raise ConfigError(
                f"blur is {blur:g}; it must lie in [0, {min(size) / 8:g}], up to an eighth of the image's side"
            )
        if not 0 <= noise <= 1:
            raise ConfigError(f"noise is {noise:g}; it must lie in [0, 1]")
        self._flip, self._vertical_flip, self._quarter_turns = flip, vertical_flip, quarter_turns
        self._blur, self._noise = blur, noise
        self._tasks = dict(tasks)
        self._size = size
        self._zoom = zoom
        self._colour = colour
        self._hue = hue
        self._outside = outside

    def __call__(self, batch: Batch, seed: int) -> Batch:
        """Augment a batch of images and targets of one size; returns a copy, with images ``[B, C, *image_size]``.

        The result depends only on the batch and the seed; the global random state is neither used nor changed.
        """
        count, device = len(batch), batch.images.device
        generator = torch.Generator().manual_seed(seed)
        draws = to_device(torch.rand(count, 7, generator=generator), device)
        turns = to_device(torch.rand(count, generator=generator), device)
        more = torch.rand(count, 4, generator=generator)
        upside_down = (more[:, 0] < 0.5) & self._vertical_flip
        mirrored = ((draws[:, 0] < 0.5) & self._flip) ^ to_device(upside_down, device)
        quarters = 2 * upside_down + (4 * more[:, 1]).long() * self._quarter_turns
        images, targets = flip(batch, mirrored, self._tasks)
        images, targets = turn(images, targets, quarters % 4, self._tasks)
        low, high = self._zoom
        factor = low * (high / low) ** draws[:, 1]
        room = (1 - 1 / factor).abs()[:, None]
        half_sides = (1 / factor)[:, None].expand(-1, 2)
        grid = window_grid(half_sides, (2 * draws[:, 2:4] - 1) * room, self._size)
        inside = (grid.abs() <= 1).all(dim=-1)
        # grey is filled in below: zero padding in grid_sample would blend into the outermost half pixel, which has a label
        padding = "border" if self._outside == "grey" else "reflection"
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)
        if self._outside == "grey":
            images = images * inside[:, None]
        targets = {
            name: self._tasks[name].zoom(_move(self._tasks[name], target, grid, inside), factor)
            for name, target in targets.items()
        }
        if images.shape[1] == 3:
            images = self._recolour(images, draws[:, 4:7], turns)
        else:
            gains = to_device(torch.rand(count, images.shape[1], generator=generator), device)
            images = self._rescale(images, draws[:, 4:6], gains)
        if self._blur:
            kernels = blur_kernels((self._blur * more[:, 2]).numpy(), 2 * math.ceil(3 * self._blur) + 1)
            images = blur(images, torch.from_numpy(kernels).to(images))
        if self._noise:
            deviation = 2 * self._noise * more[:, 3, None, None, None]  # images are in -1 .. 1, a range of 2
            noise = torch.randn(images.shape, generator=generator) * deviation
            images = (images + noise.to(images)).clamp(-1, 1)
        return replace(batch, images=images, targets=targets)

    def _recolour(self, images: Tensor, draws: Tensor, turns: Tensor) -> Tensor:
        """Scale brightness, contrast and saturation by factors in 1 - p .. 1 + p, clip to the colour range, then rotate the hue."""
        if self._colour > 0:
            brightness, contrast, saturation = (1 + self._colour * (2 * draws - 1)).T[:, :, None, None, None]
            colours = (images + 1) / 2 * brightness
            grey = colours.mean(dim=1, keepdim=True)
            middle = grey.mean(dim=(2, 3), keepdim=True)
            colours = grey + saturation * (colours - grey)
            colours = middle + contrast * (colours - middle)
            images = colours.clamp(0, 1) * 2 - 1
        if self._hue > 0:
            turn = self._hue * (2 * turns - 1)
            images = hue((images + 1) / 2, turn[:, None, None, None]) * 2 - 1
        return images

    def _rescale(self, images: Tensor, draws: Tensor, gains: Tensor) -> Tensor:
        """Scale brightness, each of several channels, and contrast about each channel's mean by factors in 1 - p .. 1 + p; clip."""
        if self._colour == 0:
            return images
        brightness, contrast = (1 + self._colour * (2 * draws - 1)).T[:, :, None, None, None]
        several = images.shape[1] > 1
        levels = (images + 1) / 2 * brightness * (1 + self._colour * several * (2 * gains - 1))[:, :, None, None]
        middle = levels.mean(dim=(2, 3), keepdim=True)
        return (middle + contrast * (levels - middle)).clamp(0, 1) * 2 - 1


def resize(batch: Batch, size: Size, tasks: dict[str, Task]) -> Batch:
    """Resize a batch: images bilinearly with antialiasing, labels by nearest neighbour."""
    whole = batch.images.new_ones(len(batch), 2)
    grid = window_grid(whole, torch.zeros_like(whole), size)
    inside = torch.ones_like(grid[..., 0], dtype=torch.bool)
    images = F.interpolate(batch.images, size, mode="bilinear", antialias=True)
    targets = {name: _move(tasks[name], target, grid, inside) for name, target in batch.targets.items()}
    return replace(batch, images=images, targets=targets)


def flip(batch: Batch, mirrored: Tensor, tasks: dict[str, Task]) -> tuple[Tensor, Targets]:
    """Flip the images and targets selected by ``mirrored`` ``[B]`` bool horizontally; returns all images and targets."""
    images = torch.where(_per_image(mirrored, batch.images), batch.images.flip(-1), batch.images)
    targets = {
        name: torch.where(_per_image(mirrored, target), tasks[name].flip(target), target)
        for name, target in batch.targets.items()
    }
    return images, targets


def turn(images: Tensor, targets: Targets, quarters: Tensor, tasks: dict[str, Task]) -> tuple[Tensor, Targets]:
    """Rotate each image and its targets counter-clockwise by ``quarters`` ``[B]`` right angles, 0 to 3 (0 or 2 if not square)."""
    turned = dict(targets)
    for number in map(int, quarters.unique()):
        if number:
            chosen = to_device(quarters == number, images.device)
            images = torch.where(_per_image(chosen, images), torch.rot90(images, number, (-2, -1)), images)
            turned = {
                name: torch.where(_per_image(chosen, target), tasks[name].turn(target, number), target)
                for name, target in turned.items()
            }
    return images, turned


def _move(task: Task, target: Tensor, grid: Tensor, inside: Tensor) -> Tensor:
    """Sample the nearest label at every point of the grid; invalid outside the image."""
    planes = target if target.ndim == 4 else target[:, None]
    moved = F.grid_sample(planes.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    moved = (moved if target.ndim == 4 else moved[:, 0]).to(target.dtype)
    return torch.where(inside[:, None] if target.ndim == 4 else inside, moved, task.missing_value)


def _per_image(choice: Tensor, values: Tensor) -> Tensor:
    """Reshape ``[B]`` to ``[B, 1, ...]``, to broadcast against ``values``."""
    return choice.reshape(-1, *(1 for _ in values.shape[1:]))
