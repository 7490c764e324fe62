"""Segmentation losses: cross-entropy, class-balanced cross-entropy, and cross-entropy with Dice or Lovász loss.

All take logits ``[B, K, H, W]``, labels ``[B, H, W]`` (`mgm.types.IGNORE_INDEX` where unlabelled) and the mask ``[B, H, W]`` of
labelled pixels. All return a scalar, float32 or wider, scaled for averaging gradients over processes (see
`mgm.functional.distributed`). Class counts are over all processes. Without any label, the loss is 0 with a graph.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.distributed import global_sum, global_total, world_size
from mgm.functional.masked import masked_mean
from mgm.functional.precision import at_least_float32, widest_float
from mgm.types import IGNORE_INDEX

RAREST_SHARE = 0.01
"""Lower bound of a class's share of the pixels for its weight, so that single pixels do not dominate a step."""

LEVELS = 1024
"""Number of bins into which the Lovász loss sorts errors."""


def cross_entropy_loss(
    logits: Float[Tensor, "B K H W"], labels: Int[Tensor, "B H W"], mask: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Cross-entropy in nats, averaged over labelled pixels."""
    per_pixel = F.cross_entropy(at_least_float32(logits), labels, ignore_index=IGNORE_INDEX, reduction="none")
    return masked_mean(per_pixel, mask)


def balanced_cross_entropy_loss(
    logits: Float[Tensor, "B K H W"], labels: Int[Tensor, "B H W"], mask: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Cross-entropy with class weights ``1 / sqrt(p)``, where ``p`` is the class's share of the labelled pixels.

    The square root is a compromise between weighting pixels and weighting classes equally. ``p`` is computed from the batch, which
    needs no pass over the data, and is at least 1 %, so that weights differ by at most a factor of ten. Weights are divided by
    their mean over pixels, which preserves the scale of the loss.
    """
    counts = global_sum(class_counts(labels, mask, logits.shape[1]))
    shares = counts / counts.sum().clamp(min=1)
    weights = shares.clamp(min=RAREST_SHARE).rsqrt()
    scores = at_least_float32(logits)
    weights = (weights / (shares * weights).sum().clamp(min=1)).to(scores.dtype)
    return masked_mean(F.cross_entropy(scores, labels, weights, ignore_index=IGNORE_INDEX, reduction="none"), mask)


def dice_cross_entropy_loss(
    logits: Float[Tensor, "B K H W"], labels: Int[Tensor, "B H W"], mask: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Cross-entropy plus the soft Dice loss, ``mean_c 1 - 2 sum(p_c y_c) / (sum(p_c) + sum(y_c))`` (Milletari et al., 2016).

    The mean is over the classes that occur in the batch; the sums are over all labelled pixels of the batch.
    """
    log_likelihood, per_pixel = _log_likelihood(logits, labels)
    counts = class_counts(labels, mask, logits.shape[1])
    # not a matrix product, which autocast would compute in half precision
    predicted = (log_likelihood.exp() * mask.unsqueeze(1)).sum(dim=(0, 2, 3))
    right = torch.where(mask, (-per_pixel).exp(), 0.0).flatten()
    hits = torch.zeros_like(predicted).index_add(0, labels.masked_fill(~mask, 0).flatten(), right)
    hits, predicted, count = global_total(torch.stack([hits, predicted, counts.to(hits.dtype)])).unbind()
    dice = 1 - 2 * hits / (predicted + count).clamp(min=1)
    present = count > 0
    return masked_mean(per_pixel, mask) + torch.where(present, dice, 0.0).sum() / present.sum().clamp(min=1)


def lovasz_cross_entropy_loss(
    logits: Float[Tensor, "B K H W"], labels: Int[Tensor, "B H W"], mask: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Cross-entropy plus the Lovász-Softmax loss, a surrogate of ``1 - IoU`` (Berman et al., CVPR 2018, eq. 11).

    For each class that occurs in the batch, the errors ``|y_c - p_c|`` of all labelled pixels are sorted in descending order, and
    each error is weighted by the increase of the Jaccard loss that its pixel causes. Here errors are sorted into bins of width
    1 / 1024 (within a bin, pixels of the class come first). That takes a quarter of the time of sorting, and the counts of several
    processes can be added. The Jaccard loss is submodular, so the result is at most 1 / 1024 below the exact one.
    """
    log_likelihood, per_pixel = _log_likelihood(logits, labels)
    num_classes = logits.shape[1]
    counts = global_sum(class_counts(labels, mask, num_classes))
    classes = counts.nonzero().flatten()
    cross_entropy = masked_mean(per_pixel, mask)
    if not len(classes):
        return cross_entropy
    # pixels of the class itself have the error 1 - p, all others p
    own = torch.where(mask, (-per_pixel).exp(), 1.0)
    others = log_likelihood.index_select(1, classes).exp()  # [B, P, H, W]
    row = torch.zeros(num_classes, dtype=torch.int64, device=labels.device)
    row[classes] = torch.arange(len(classes), device=labels.device)
    row = row[labels.masked_fill(~mask, 0)]  # [B, H, W]: index of a pixel's class among those present
    own_cell = _level(1 - own) + row * (LEVELS + 1)
    first = torch.arange(len(classes), dtype=torch.int32, device=labels.device) * (LEVELS + 1)
    cell = _level(others).add_(first.view(1, -1, 1, 1))  # [B, P, H, W]
    falsely = cell.gather(1, row.unsqueeze(1)).squeeze(1)  # cells of pixels' own classes, to be subtracted
    size = len(classes) * (LEVELS + 1)
    hits = torch.bincount(own_cell[mask], minlength=size)
    misses = torch.bincount(cell.flatten(), minlength=size) - torch.bincount(falsely[mask], minlength=size)
    if not mask.all():
        misses -= torch.bincount(cell.movedim(1, -1)[~mask].flatten(), minlength=size)
    gain_of_own, gain_of_others = _jaccard_gains(global_sum(torch.stack([hits, misses])), counts[classes])
    gain_of_own, gain_of_others = gain_of_own.to(own.dtype), gain_of_others.to(own.dtype)
    # index_select, because indexing with brackets takes three times as long
    gains = gain_of_others.index_select(0, cell.flatten()).view_as(cell)
    weighed = (gains * others).sum(dim=1) - gain_of_others[falsely] * own + gain_of_own[own_cell] * (1 - own)
    return cross_entropy + torch.where(mask, weighed, 0.0).sum() * world_size() / len(classes)


def class_counts(
    labels: Int[Tensor, "B H W"], mask: Bool[Tensor, "B H W"], num_classes: int
) -> Int[Tensor, "{num_classes}"]:
    """Number of labelled pixels of each class, ``[K]`` int64."""
    return torch.bincount(labels.masked_fill(~mask, num_classes).flatten(), minlength=num_classes + 1)[:num_classes]


def _log_likelihood(
    logits: Float[Tensor, "B K H W"], labels: Int[Tensor, "B H W"]
) -> tuple[Float[Tensor, "B K H W"], Float[Tensor, "B H W"]]:
    """Log-likelihood of all classes ``[B, K, H, W]``, and negative log-likelihood of the label ``[B, H, W]`` (0 if unlabelled)."""
    log_likelihood = F.log_softmax(at_least_float32(logits), dim=1)
    return log_likelihood, F.nll_loss(log_likelihood, labels, ignore_index=IGNORE_INDEX, reduction="none")


def _level(errors: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Bins of errors in [0, 1], int32."""
    return (errors.detach() * LEVELS).int().clamp_(0, LEVELS)  # also for NaN, which the loss then propagates


def _jaccard_gains(
    cells: Int[Tensor, "2 cells"], count: Int[Tensor, " P"]
) -> tuple[Float[Tensor, " cells"], Float[Tensor, " cells"]]:
    """Increase of the Jaccard loss when a pixel is added to those with larger errors.

    If ``F`` pixels of the class and ``B`` other pixels are wrong, the loss of a class of ``G`` pixels is ``1 - (G - F) / (G + B)``.

    Args:
        cells: ``[2, P * bins]``: number of pixels of the class, and of others, by class and bin.
        count: ``[P]``: number of pixels of each class.

    Returns:
        The increases by a pixel of the class, and by another pixel: each ``[P * bins]``, averaged over the bin.
    """
    by_level = torch.unflatten(cells.to(widest_float(cells.device)), 1, (len(count), -1))
    so_far = torch.flip(torch.cumsum(torch.flip(by_level, (2,)), 2), (2,))  # including this bin
    (own_so_far, others_so_far), others = so_far.unbind(), by_level[1]
    before = count.unsqueeze(1) + others_so_far - others
    gain_of_own = 1 / before
    gain_of_others = (count.unsqueeze(1) - own_so_far) / (before * (before + others))
    return gain_of_own.flatten(), gain_of_others.flatten()
