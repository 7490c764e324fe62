"""The random views of SimCLR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class TwoViews:
    """Two random views of each image, by the five transforms of SimCLR (paper A; Chen et al., 2020, appendix A).

    Resized crop (8 to 100 % of the area), flip (p = 0.5), colour jitter (p = 0.5), grey (p = 0.2), Gaussian blur
    (p = 0.5). Strengths are SimCLR's: brightness, contrast and saturation 0.8, hue 0.2; blur with a kernel of a tenth
    of the image and a standard deviation of 0.1 to 2 pixels. SimCLR itself jitters with p = 0.8; the paper says 0.5.
    Each image and view has draws of its own, except for the order of the four steps of the jitter: one per call.

    Example:
        >>> images = torch.rand(4, 3, 32, 32) * 2 - 1
        >>> view_a, view_b = TwoViews(32)(images, seed=0)
        >>> view_a.shape, view_b.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3, 32, 32]))
    """

    def __init__(self, image_size: int) -> None:
        """Views of ``image_size`` pixels a side, at least 8."""
        self.image_size = image_size
        self._transforms = _transforms(image_size)

    def __call__(self, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Draw the views.

        Args:
            images: ``[B, 3, H, W]``, RGB in (-1, 1), on any device.
            seed: What the draws depend on, and nothing else; the global random state is left as it was.

        Returns:
            Two tensors ``[B, 3, image_size, image_size]``, float32 RGB in (-1, 1), with a graph if the images
            have one.
        """
        # colour transforms are defined on (0, 1)
        views = ((images.float() + 1) / 2).clamp(0, 1).repeat(2, 1, 1, 1)
        with torch.autocast(images.device.type, enabled=False), _seeded(seed):
            for transform in self._transforms:
                views = transform(views)
        first, second = (views.clamp(0, 1) * 2 - 1).chunk(2)
        return first, second


def _transforms(size: int) -> tuple[Callable[[Tensor], Tensor], ...]:
    """The five transforms in SimCLR's order; they map ``[B, 3, H, W]`` in (0, 1) to the same."""
    from kornia import augmentation  # takes a third of a second to import

    kernel = max(size // 10, 2) // 2 * 2 + 1  # odd
    return (
        augmentation.RandomResizedCrop((size, size), scale=(0.08, 1.0), cropping_mode="resample"),
        augmentation.RandomHorizontalFlip(p=0.5),
        augmentation.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.5),
        augmentation.RandomGrayscale(p=0.2),
        augmentation.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's global generator, where kornia draws for all devices, and restore it afterwards."""
    before = torch.get_rng_state()
    # not torch.manual_seed, which would seed the GPUs as well
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
