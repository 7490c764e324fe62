"""Unit vectors: angles, normalisation, and encoding as colours."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32

SHORTEST = 0.1
"""Minimum length by which `shortened` divides."""


def angle_degrees(first: Float[Tensor, "B C *place"], second: Float[Tensor, "..."]) -> Float[Tensor, "B *place"]:
    """Angle in degrees between vectors of any length, accurate even near 0 and 180, where the arc cosine is not.

    For unit vectors ``u``, ``v``, the angle is ``2 atan2(|u - v|, |u + v|)`` (W. Kahan, "How futile are mindless assessments of
    roundoff", 2006, section 12). It is meant for metrics, since its gradient is not finite at 0.

    Args:
        first: ``[B, C, ...]``, vectors along the second dimension.
        second: Same shape, or one that broadcasts.

    Returns:
        ``[B, ...]`` in [0, 180]. A zero vector is 90 degrees from every other one.
    """
    u = F.normalize(at_least_float32(first), dim=1)
    v = F.normalize(at_least_float32(second), dim=1)
    difference, total = cast(Tensor, (u - v).norm(dim=1)), cast(Tensor, (u + v).norm(dim=1))
    return torch.rad2deg(2 * torch.atan2(difference, total))


def shortened(vectors: Float[Tensor, "B C *place"]) -> Float[Tensor, "B C *place"]:
    """Scale vectors ``[B, C, ...]`` to length 1, or by a factor of 10 if they are shorter than 0.1.

    So gradients with respect to the vectors are at most 10 times those with respect to their directions, and the zero vector stays
    zero, at 90 degrees to every other vector. This is for losses; for final values, use `unit_vectors`.
    """
    vectors = at_least_float32(vectors)
    return vectors / length(vectors, SHORTEST)


def length(vectors: Float[Tensor, "B C *place"], shortest: float) -> Float[Tensor, "B 1 *place"]:
    """Euclidean norm along the second dimension (kept), at least ``shortest``; below that its gradient is 0 instead of infinite.

    On a CPU it takes a tenth of the time of `torch.linalg.vector_norm`, which is slow along dimensions other than the last.
    """
    return vectors.square().sum(dim=1, keepdim=True).clamp(min=shortest**2).sqrt()


def encode_normals(normals: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map components from (-1, 1) to (0, 1), as in the 8-bit images in which normals are stored."""
    return (normals + 1) / 2


def unit_vectors(vectors: Float[Tensor, "*shape"], dim: int = 1) -> Float[Tensor, "*shape"]:
    """Scale vectors with three components along ``dim`` to length 1, float32 or wider.

    The zero vector becomes ``(0, 0, -1)``, which faces the viewer (z points forward).
    """
    vectors = at_least_float32(vectors)
    norm = cast(Tensor, vectors.norm(dim=dim, keepdim=True))
    shape = [1] * vectors.ndim
    shape[dim] = 3
    towards_viewer = vectors.new_tensor([0.0, 0.0, -1.0]).view(shape)
    return torch.where(norm > 1e-6, vectors / norm.clamp(min=1e-6), towards_viewer)


def decode_normals(encoded: Float[Tensor, "B 3 *place"]) -> Float[Tensor, "B 3 *place"]:
    """Map encoded components ``[B, 3, ...]`` in (0, 1), or outside of it, to unit vectors; see `unit_vectors`."""
    return unit_vectors(at_least_float32(encoded) * 2 - 1)
