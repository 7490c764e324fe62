"""Unit vectors: angles between them and their coding as colours."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32

SHORTEST = 0.1
"""`shortened` divides shorter vectors by this length in place of their own."""


def angle_degrees(first: Float[Tensor, "B C *place"], second: Float[Tensor, "..."]) -> Float[Tensor, "B *place"]:
    """Angle between vectors of any length in degrees, exact also near 0 and 180, where the arc cosine is not.

    W. Kahan, "How futile are mindless assessments of roundoff" (2006), section 12: for unit vectors ``u``, ``v`` the
    angle is ``2 atan2(|u - v|, |u + v|)``. For metrics: its gradient is not finite at 0.

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
    """Vectors ``[B, C, ...]`` scaled to length 1, those shorter than 0.1 by the factor 10.

    So gradients with respect to the vectors are at most 10 times those with respect to their directions, and the zero vector stays,
    at 90 degrees from every other one. For losses; values are made by `unit_vectors`.
    """
    vectors = at_least_float32(vectors)
    return vectors / length(vectors, SHORTEST)


def length(vectors: Float[Tensor, "B C *place"], shortest: float) -> Float[Tensor, "B 1 *place"]:
    """Euclidean norm along the second dimension, which is kept; ``shortest`` at least, where its gradient is 0 and not infinite.

    On a CPU it takes a tenth of the time of `torch.linalg.vector_norm`, which is slow along any other dimension than the last.
    """
    return vectors.square().sum(dim=1, keepdim=True).clamp(min=shortest**2).sqrt()


def encode_normals(normals: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Components in (-1, 1) to (0, 1), as in the 8-bit pictures that normals are stored in."""
    return (normals + 1) / 2


def unit_vectors(vectors: Float[Tensor, "*shape"], dim: int = 1) -> Float[Tensor, "*shape"]:
    """Vectors of three components along ``dim`` scaled to length 1, at least float32.

    The zero vector, without direction, becomes ``(0, 0, -1)``, which faces the viewer (z is forward).
    """
    vectors = at_least_float32(vectors)
    norm = cast(Tensor, vectors.norm(dim=dim, keepdim=True))
    shape = [1] * vectors.ndim
    shape[dim] = 3
    towards_viewer = vectors.new_tensor([0.0, 0.0, -1.0]).view(shape)
    return torch.where(norm > 1e-6, vectors / norm.clamp(min=1e-6), towards_viewer)


def decode_normals(encoded: Float[Tensor, "B 3 *place"]) -> Float[Tensor, "B 3 *place"]:
    """Components ``[B, 3, ...]`` in (0, 1), or beyond, to unit vectors; see `unit_vectors`."""
    return unit_vectors(at_least_float32(encoded) * 2 - 1)
