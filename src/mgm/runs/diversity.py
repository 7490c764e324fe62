"""How much the layouts of generated images differ, so that a generator that draws one and the same image shows."""

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
"""Images are compared as grey pictures of this many pixels a side: layout without texture."""
LABELS, PER_LABEL = 8, 8
"""Images that are compared: of the most frequent scene labels, and of each."""
COLLAPSED = 0.5
"""Share of the diversity of real images below which a generator is said to have collapsed."""


def layout_distances(images: Tensor) -> Tensor:
    """``[N, N]``: 1 minus the correlation of images ``[N, 3, H, W]``, each as `SIDE` x `SIDE` grey values.

    0 for the same layout, whatever its brightness and contrast; about 1 for layouts that have nothing in common.
    """
    grey = F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), SIDE).flatten(1).cpu()
    unit = F.normalize(grey - grey.mean(1, keepdim=True))
    return 1 - unit @ unit.T


def diversity(images: Tensor, labels: Tensor) -> dict[str, float]:
    """Means of `layout_distances` ``within`` a label and ``between`` labels; without a pair of a kind, NaN.

    Args:
        images: ``[N, 3, H, W]``.
        labels: ``[N]``, equal numbers for images of the same kind.
    """
    distances, same = layout_distances(images), labels[:, None] == labels
    own = torch.eye(len(images), dtype=torch.bool)
    return {"within": float(distances[same & ~own].mean()), "between": float(distances[~same].mean())}


@torch.no_grad()
def generator_diversity(folder: RunFolder, data: ExperimentData, seed: int) -> dict[str, dict[str, float]] | None:
    """`diversity` of images from a run's latest generator, and of training images with the same labels; None without one.

    Returns:
        ``generated`` and ``real`` -> ``within`` and ``between``.
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
    """``within`` and ``between`` of generated images as shares of those of real ones, as far as they are known."""
    pairs = {name: (found["generated"].get(name), found["real"].get(name)) for name in ("within", "between")}
    return {name: a / b for name, (a, b) in pairs.items() if a is not None and b and a == a and b == b}


def has_collapsed(found: Mapping[str, Mapping[str, float | None]]) -> bool:
    """Whether neither noise nor scene changes the layout of generated images: all shares are below `COLLAPSED`."""
    return 0 <= max(diversity_shares(found).values(), default=-1) < COLLAPSED


def diversity_sentence(found: Mapping[str, Mapping[str, float | None]]) -> str:
    """What the numbers of `generator_diversity` say; empty where there is nothing to compare with."""
    words = {"within": "within a scene", "between": "between scenes"}
    parts = [f"{100 * share:.0f} % ({words[name]})" for name, share in diversity_shares(found).items()]
    if not parts:
        return ""
    differ = f"ayouts of generated images differ {' and '.join(parts)} as much as those of real images."
    if has_collapsed(found):
        return f"The generator has collapsed to nearly one layout, whatever scene and noise: l{differ}"
    return f"L{differ}"
