"""Random views for SimCLR, batched and without synchronising with the device."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mgm.functional.blur import blur, blur_kernels
from mgm.functional.colours import hue
from mgm.functional.resizing import window_grid
from mgm.functional.transfer import to_device
from mgm.types import Size, SizeSetting, parse_size

SCALE = (0.08, 1.0)
"""Range of a crop's area, as a fraction of the image's."""
RATIO = (3 / 4, 4 / 3)
"""Range of a crop's aspect ratio (width / height), in coordinates in which the image is a square."""
ATTEMPTS = 10
"""Random crops to try before the whole image is used, as in torchvision."""
STRENGTH, HUE = 0.8, 0.2
"""Colour jitter: largest relative change of brightness, contrast and saturation; largest hue shift as a fraction of the circle."""
SIGMA = (0.1, 2.0)
"""Standard deviation of the blur in pixels."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in greyscale (ITU-R BT.601)."""

Draws = dict[str, np.ndarray]
"""Parameter of the transforms -> its random values ``[B]``, one per view."""


class TwoViews:
    """Two random views of each image, by the five transforms of SimCLR (paper A; Chen et al., 2020, appendix A).

    Resized crop (8 to 100 % of the area), flip (p = 0.5), colour jitter (p = 0.5), greyscale (p = 0.2), Gaussian blur
    (p = 0.5). Strengths are SimCLR's: brightness, contrast and saturation 0.8, hue 0.2; blur with a kernel of a tenth
    of the image and a standard deviation of 0.1 to 2 pixels. SimCLR itself jitters with p = 0.8; the paper says 0.5.
    Parameters are drawn for each view of each image, but the order of the jitter's steps is the same for the whole call.

    Saturation, hue and greyscale apply to RGB only. Images with other channels get brightness, contrast (about the mean of each
    channel) and, if there are several channels, a random factor per channel, all of strength 0.8.

    This does not use kornia, whose transforms synchronise with the device (74 times a call) and launch four times as many
    kernels. Here all parameters are drawn on the host, copied at once, and applied to every view; a view that skips a transform
    gets a neutral parameter. The single steps equal those of kornia and torchvision, against which they are tested.

    Example:
        >>> images = torch.rand(4, 3, 32, 32) * 2 - 1
        >>> view_a, view_b = TwoViews(32)(images, seed=0)
        >>> view_a.shape, view_b.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3, 32, 32]))
    """

    def __init__(self, image_size: SizeSetting) -> None:
        """Set the size of the views in pixels, at least 8 per side."""
        self.image_size = parse_size(image_size)
        self.kernel_size = max(min(self.image_size) // 10, 2) // 2 * 2 + 1  # odd

    def __call__(self, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Two views ``[B, C, *image_size]``, float32 in (-1, 1), with a graph if the images have one.

        Args:
            images: ``[B, C, H, W]``, RGB or other channels in (-1, 1), on any device.
            seed: Seed of all random parameters; the global random state is not used.
        """
        random = np.random.default_rng(seed)
        num_channels = images.shape[1]
        steps = JITTER if num_channels == 3 else CHANNEL_JITTER
        order = random.permutation(list(steps))
        draws = draw(random, 2 * len(images), num_channels)
        kernels = blur_kernels(draws["sigma"], self.kernel_size)
        table = np.concatenate([np.stack(list(draws.values()), axis=1), kernels], axis=1, dtype=np.float32)
        columns = to_device(torch.from_numpy(table), images.device)
        value = {name: columns[:, number, None, None, None] for number, name in enumerate(draws)}
        value["gains"] = columns[:, len(draws) - num_channels : len(draws), None, None]
        with torch.autocast(images.device.type, enabled=False):
            # colours are defined on (0, 1)
            views = ((images.float() + 1) / 2).clamp(0, 1).repeat(2, 1, 1, 1)
            views = crop(views, columns[:, :4], self.image_size)
            for name in order:
                views = steps[name](views, value[name])
            if num_channels == 3:
                views = torch.lerp(views, grey(views), value["grey"])
            views = blur(views, columns[:, len(draws) :])
            first, second = (views.clamp(0, 1) * 2 - 1).chunk(2)
        return first, second


def draw(random: np.random.Generator, count: int, num_channels: int = 3) -> Draws:
    """Draw the transform parameters of ``count`` views.

    The first four entries are the windows of `crop`. For images that are not RGB, the last ``num_channels`` entries are the
    factors of the channels.
    """
    area = random.uniform(*SCALE, (count, ATTEMPTS))
    ratio = np.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1]), (count, ATTEMPTS)))
    widths, heights = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (widths <= 1) & (heights <= 1)
    chosen = fits.argmax(axis=1)[:, None]
    none_fits = ~fits.any(axis=1)
    width, height = (
        np.where(none_fits, 1.0, np.take_along_axis(sides, chosen, 1)[:, 0]) for sides in (widths, heights)
    )
    mirrored = np.where(random.random(count) < 0.5, -1.0, 1.0)
    jittered = random.random(count) < 0.5
    factors = np.where(jittered[:, None], random.uniform(1 - STRENGTH, 1 + STRENGTH, (count, 3)), 1.0)
    draws = {
        "half_width": mirrored * width,
        "half_height": height,
        "x": random.uniform(-1, 1, count) * (1 - width),
        "y": random.uniform(-1, 1, count) * (1 - height),
        "brightness": factors[:, 0],
        "contrast": factors[:, 1],
        "saturation": factors[:, 2],
        "hue": np.where(jittered, random.uniform(-HUE, HUE, count), 0.0),
        "grey": random.random(count) < 0.2,
        "sigma": np.where(random.random(count) < 0.5, random.uniform(*SIGMA, count), 0.0),
    }
    if num_channels != 3:
        changed = jittered[:, None] & (num_channels > 1)
        gains = np.where(changed, random.uniform(1 - STRENGTH, 1 + STRENGTH, (count, num_channels)), 1.0)
        draws |= {f"gain {channel}": gains[:, channel] for channel in range(num_channels)}
    return draws


def crop(images: Tensor, windows: Tensor, size: Size) -> Tensor:
    """Crop a window of each image and resize it bilinearly to ``[B, C, *size]``.

    Args:
        images: ``[B, C, H, W]``.
        windows: ``[B, 4]``: half the width (negative: mirrored), half the height, x and y of the centre; the image spans
            -1 .. 1.
        size: Height and width of the result.
    """
    grid = window_grid(windows[:, :2], windows[:, 2:], size)
    # border padding, because zeros would darken the outermost half pixel
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def grey(images: Tensor) -> Tensor:
    """Convert RGB ``[B, 3, H, W]`` to greyscale ``[B, 1, H, W]``."""
    red, green, blue = torch.split(images, 1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images by the factor ``[B, 1, 1, 1]``, clipped to (0, 1)."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each image's difference from its mean grey value by the factor, clipped to (0, 1)."""
    return torch.lerp(grey(images).mean(dim=(1, 2, 3), keepdim=True), images, factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's difference from its grey value by the factor, clipped to (0, 1)."""
    return torch.lerp(grey(images), images, factor).clamp(0, 1)


JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}
"""Steps of the colour jitter; each takes images ``[B, 3, H, W]`` in (0, 1) and a parameter per image."""


def channel_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's difference from the mean of its channel by the factor, clipped to (0, 1)."""
    return torch.lerp(images.mean(dim=(2, 3), keepdim=True), images, factor).clamp(0, 1)


CHANNEL_JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": brightness,
    "contrast": channel_contrast,
    "gains": brightness,
}
"""Steps of the jitter for images ``[B, C, H, W]`` that are not RGB; the gains are ``[B, C, 1, 1]``."""
