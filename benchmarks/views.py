"""CPU time of the SimCLR views of a batch, by this package and by kornia, measured alternately in one process.

python benchmarks/views.py --json results/views.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import kornia
import kornia.augmentation as K
import torch
from torch import Tensor, nn

from mgm.method.selfsup.views import HUE, RATIO, SCALE, SIGMA, STRENGTH, TwoViews


def kornia_views(size: int) -> nn.Module:
    """The same five transforms in kornia, with the same distributions of their parameters."""
    kernel = TwoViews(size).kernel_size
    jitter = K.ColorJitter(STRENGTH, STRENGTH, STRENGTH, HUE, p=0.5)
    return nn.Sequential(
        K.RandomResizedCrop((size, size), scale=SCALE, ratio=RATIO),
        K.RandomHorizontalFlip(),
        jitter,
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((kernel, kernel), SIGMA, p=0.5),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for batch, size in ((16, 64), (8, 128)):
        images = torch.rand(batch, 3, size, size) * 2 - 1
        ours, theirs = TwoViews(size), kornia_views(size)

        def two_of_kornia(index: int, images: Tensor = images, views: nn.Module = theirs) -> Tensor:
            return views(((images + 1) / 2).repeat(2, 1, 1, 1)) * 2 - 1

        def two_of_ours(index: int, images: Tensor = images, views: TwoViews = ours) -> tuple[Tensor, Tensor]:
            return views(images, index)

        ways: dict[str, Callable[[int], object]] = {"mgm": two_of_ours, "kornia": two_of_kornia}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for index in range(options.rounds):
            for name, way in ways.items():
                start = time.process_time()
                way(index)
                seconds[name].append(time.process_time() - start)
        row = {name: 1000 * statistics.median(times[2:]) for name, times in seconds.items()}
        found[f"{batch} images of {size} px"] = row
        print(f"{batch} images of {size} px: mgm {row['mgm']:.1f} ms, kornia {row['kornia']:.1f} ms")
    if options.json:
        versions = {"torch": torch.__version__, "kornia": kornia.__version__}
        options.json.write_text(json.dumps({"ms_of_processor_time": found, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
