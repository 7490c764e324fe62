"""Diversity of generated images, measured by their layouts, to detect mode collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.runs.data import ExperimentData
from mgm.runs.folder import RunFolder
from mgm.runs.saved_generators import SavedGenerator, stages_with_generator
from mgm.training.seeding import random_generator

SIDE = 8
"""Side in pixels of the grey images that are compared, which have a layout but no texture."""
LABELS, PER_LABEL = 8, 8
"""Number of scene labels (the most frequent ones), and number of images per label, that are compared."""
COLLAPSED = 0.5
"""Ratio to the diversity of real images below which a generator counts as collapsed."""


def layout_distances(images: Tensor) -> Tensor:
    """Distances ``[N, N]`` of images ``[N, C, H, W]``: 1 minus the correlation of their `SIDE` x `SIDE` grey values.

    0 for the same layout, regardless of brightness and contrast; about 1 for unrelated layouts.
    """
    grey = F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), SIDE).flatten(1).cpu()
    unit = F.normalize(grey - grey.mean(1, keepdim=True))
    return 1 - unit @ unit.T


def diversity(images: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean `layout_distances` of images ``[N, C, H, W]`` with the same label (``within``) and with different labels (``between``).

    NaN if there is no such pair; ``labels`` are integers ``[N]``.
    """
    distances, same = layout_distances(images), labels[:, None] == labels
    own = torch.eye(len(images), dtype=torch.bool)
    return {"within": float(distances[same & ~own].mean()), "between": float(distances[~same].mean())}


@torch.no_grad()
def generator_diversity(folder: RunFolder, data: ExperimentData, seed: int) -> dict[str, dict[str, float]] | None:
    """`diversity` of images from a run's latest generator (``generated``) and of training images with the same labels (``real``).

    None without a generator.
    """
    if not stages_with_generator(folder):
        return None
    device = data.reader.device
    generator = SavedGenerator.load(folder.path, device)
    kinds, counts = cast(tuple[Tensor, Tensor], generator.labels.unique(dim=0, return_counts=True))
    kinds = kinds[counts.argsort(descending=True, stable=True)[:LABELS]]
    random = random_generator(device, seed, "diversity")
    scenes = torch.from_numpy(data.reader.scenes[data.splits.train]).to(kinds)
    generated: list[Tensor] = []
    real: list[int] = []
    labels: list[int] = []
    for number, kind in enumerate(kinds):
        rows = (generator.labels == kind).all(1).nonzero().flatten()
        drawn = torch.randint(len(rows), (PER_LABEL,), generator=random, device=device)
        generated.append(generator.images(rows[drawn], kind.expand(PER_LABEL, -1), random))
        alike = (scenes == kind).all(1) if data.num_scenes else torch.ones(len(scenes), dtype=torch.bool)
        found = data.splits.train[alike.cpu().numpy()][:PER_LABEL].tolist()
        real += found
        labels += [number] * len(found)
    return {
        "generated": diversity(torch.cat(generated), torch.arange(len(kinds)).repeat_interleave(PER_LABEL)),
        "real": diversity(data.reader.batch(real, targets=False).images, torch.tensor(labels)),
    }


def diversity_shares(found: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """Ratios of the diversity of generated to real images, ``within`` and ``between`` labels, as far as they are known."""
    pairs = {name: (found["generated"].get(name), found["real"].get(name)) for name in ("within", "between")}
    return {name: a / b for name, (a, b) in pairs.items() if a is not None and b and a == a and b == b}


def has_collapsed(found: Mapping[str, Mapping[str, float | None]]) -> bool:
    """Whether neither noise nor scene changes the layout of generated images: all ratios are below `COLLAPSED`."""
    return 0 <= max(diversity_shares(found).values(), default=-1) < COLLAPSED


def diversity_sentence(found: Mapping[str, Mapping[str, float | None]]) -> str:
    """The result of `generator_diversity` in a sentence; empty if there is nothing to compare with."""
    words = {"within": "within a scene", "between": "between scenes"}
    parts = [f"{100 * share:.0f} % ({words[name]})" for name, share in diversity_shares(found).items()]
    if not parts:
        return ""
    differ = f"ayouts of generated images differ {' and '.join(parts)} as much as those of real images."
    if has_collapsed(found):
        return f"The generator has collapsed to nearly one layout, whatever scene and noise: l{differ}"
    return f"L{differ}"
