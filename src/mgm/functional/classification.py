"""Classification losses for scene labels (the weak labels of images)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.masked import masked_mean
from mgm.functional.precision import at_least_float32


def labelled_rows(scene: Float[Tensor, "B K"]) -> Bool[Tensor, " B"]:
    """Which images have a scene label, ``[B]`` bool; a row of ``[B, K]`` with any NaN is a missing label."""
    return ~scene.isnan().any(dim=1)


def scene_log_likelihood(
    logits: Float[Tensor, "B K"], scene: Float[Tensor, "B K"], multi_hot: bool
) -> Float[Tensor, " B"]:
    """``log P(c | y)`` per image, the scene term of the refinement (paper eq. 2-5).

    Args:
        logits: ``[B, K]``, unbounded.
        scene: ``[B, K]`` one-hot (or any distribution over classes), or multi-hot in {0, 1}; NaN rows are missing.
        multi_hot: Whether an image may have several labels (paper G.1); then classes are independent and their log-likelihoods
            are averaged, which keeps the scale independent of K.

    Returns:
        ``[B]``, float32, at most 0; 0 without gradient if the label is missing.
    """
    labelled = labelled_rows(scene).unsqueeze(1)
    # replace rows without a label by zeros, so that NaN in them does not reach the gradient
    scores = torch.where(labelled, at_least_float32(logits), 0.0)
    label = torch.where(labelled, scene, 0.0).to(scores.dtype)
    if multi_hot:
        per_image = -F.binary_cross_entropy_with_logits(scores, label, reduction="none").mean(dim=1)
    else:
        per_image = (label * F.log_softmax(scores, dim=1)).sum(dim=1)
    return torch.where(labelled.squeeze(1), per_image, 0.0)


def scene_loss(logits: Float[Tensor, "B K"], scene: Float[Tensor, "B K"], multi_hot: bool) -> Float[Tensor, ""]:
    """Cross-entropy of the scene label: multi-class, or binary and averaged over classes if ``multi_hot``.

    Args:
        logits: ``[B, K]``, unbounded.
        scene: ``[B, K]`` one-hot or multi-hot; a row of NaN is a missing label.
        multi_hot: Whether an image may have several labels.

    Returns:
        Scalar, float32: the mean over the labelled images of all processes; 0 with a graph if there is none.
    """
    return masked_mean(-scene_log_likelihood(logits, scene, multi_hot), labelled_rows(scene))
