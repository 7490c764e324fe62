"""SimCLR's views as public code makes them: image by image, on the host, with Pillow."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

from mgm.method.selfsup.views import HUE, RATIO, SCALE, SIGMA, STRENGTH


def host_views(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two views of each image by the transforms of `mgm.method.selfsup.views`.

    Args:
        images: ``[B, 3, S, S]`` RGB in (-1, 1).
        seed: What the draws depend on.

    Returns:
        Two tensors of the same shape, on the same device.
    """
    chance = random.Random(seed)
    pixels = ((images.detach() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    pictures = [Image.fromarray(picture) for picture in pixels]
    first, second = (
        torch.stack([_tensor(_view(picture, chance)) for picture in pictures]).to(images.device) for _ in range(2)
    )
    return first, second


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(127.5).sub(1)


def _view(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Crop, flip, jitter, grey, blur."""
    picture = _crop(picture, chance)
    if chance.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if chance.random() < 0.5:
        picture = _jitter(picture, chance)
    if chance.random() < 0.2:
        picture = picture.convert("L").convert("RGB")
    if chance.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(*SIGMA)))
    return picture


def _crop(picture: Image.Image, chance: random.Random) -> Image.Image:
    side = picture.width
    area, ratio = chance.uniform(*SCALE), math.exp(chance.uniform(*map(math.log, RATIO)))
    width, height = min(1.0, math.sqrt(area * ratio)) * side, min(1.0, math.sqrt(area / ratio)) * side
    left, top = chance.uniform(0, side - width), chance.uniform(0, side - height)
    return picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def _jitter(picture: Image.Image, chance: random.Random) -> Image.Image:
    steps = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None]
    chance.shuffle(steps)
    for step in steps:
        if step:
            picture = step(picture).enhance(chance.uniform(1 - STRENGTH, 1 + STRENGTH))
        else:
            hue, saturation, value = picture.convert("HSV").split()
            turned = np.asarray(hue) + np.uint8(round(chance.uniform(-HUE, HUE) * 255) % 256)
            picture = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
    return picture
