"""Colour transforms with a parameter per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def hue(images: Float[Tensor, "B 3 H W"], turn: Float[Tensor, "B 1 1 1"]) -> Float[Tensor, "B 3 H W"]:
    """Rotate the hue of images in HSV; value and saturation are kept.

    With the hue ``h`` in sixths of the circle, a channel is ``v - c · clamp(min(k, 4 - k), 0, 1)`` with ``k = (n + h) mod 6`` and
    n = 5, 3, 1 for red, green, blue. Grey pixels have chroma ``c = 0`` and do not change.

    Args:
        images: ``[B, 3, H, W]``, RGB in (0, 1).
        turn: ``[B, 1, 1, 1]``, in turns of the colour circle.
    """
    top = images.amax(dim=1, keepdim=True)
    chroma = top - images.amin(dim=1, keepdim=True)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    red, green, blue = torch.split(images, 1, dim=1)
    sixths = torch.where(
        top == red,
        (green - blue) / divisor,
        torch.where(top == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    offsets = torch.arange(5, 0, -2, device=images.device).view(1, 3, 1, 1)
    k = (offsets + sixths + 6 * turn).remainder(6)
    return top - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
