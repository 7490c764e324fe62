"""Adversarial hinge losses (Lim and Ye, "Geometric GAN", 2017), as in SAGAN (Zhang et al., 2019, eq. 4).

With equal batch sizes in all processes, the mean over processes is the loss of the global batch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32


def discriminator_hinge_loss(real_scores: Float[Tensor, "..."], fake_scores: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """``mean(max(0, 1 - D(real))) + mean(max(0, 1 + D(fake)))``: 2 for scores of 0, and 0 if all scores are beyond the margin.

    Scores are unbounded and of any shape; the result is a scalar, float32.
    """
    real = F.relu(1 - at_least_float32(real_scores)).mean()
    fake = F.relu(1 + at_least_float32(fake_scores)).mean()
    return real + fake


def generator_hinge_loss(fake_scores: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """``-mean(D(fake))``, a scalar, float32."""
    return -at_least_float32(fake_scores).mean()
