"""Batch, conditional batch and spectral normalisation, and how to hold their buffers still.

These are the layers whose forward pass changes something. Each has a switch ``update_statistics``, separate from the
training mode: a batch can be normalised with its own statistics without being remembered. `frozen_buffers` turns it
off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from mgm.functional.distributed import gather_batch, world_size
from mgm.functional.precision import at_least_float32
from mgm.networks.conditioning import mean_over_classes


def batch_moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel over the batches of all processes, differentiable.

    Every process sends its count, mean and centred sum of squares, so nothing cancels when the mean is large.

    Args:
        values: ``[B, C, H, W]`` float32 or float64; ``B`` may differ between processes.

    Returns:
        Mean ``[C]``, biased variance ``[C]``, and the number of values per channel (scalar).
    """
    channels = values.shape[1]
    mean = values.mean(dim=(0, 2, 3))
    squares = (values - mean[:, None, None]).square().sum(dim=(0, 2, 3))
    count = mean.new_full((1,), values.numel() / channels)
    counts, means, squares = gather_batch(torch.cat([count, mean, squares])[None]).split([1, channels, channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    variance = (squares + counts * (means - mean).square()).sum(dim=0) / total
    return mean, variance, total


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose batch is that of all processes.

    With one process it is torch's, kernels included, except that a single value per channel (one image, 1x1 features)
    is no error: its variance is 0. `nn.SyncBatchNorm` would do on GPUs alone.

    Args:
        num_features: Channels ``C``.
        affine: Whether to learn a gain and a bias per channel.
    """

    update_statistics: bool
    """Whether a forward pass in training mode moves the running statistics (momentum 0.1)."""

    def __init__(self, num_features: int, *, affine: bool = True) -> None:
        super().__init__(num_features, eps=1e-5, momentum=0.1, affine=affine)
        self.update_statistics = True

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise ``[B, C, H, W]`` with the batch's statistics (training mode) or the running ones."""
        if not self.training:
            return super().forward(input)
        if world_size() > 1 or input.numel() == input.shape[1]:
            return self._normalise_over_processes(input)
        if not self.update_statistics:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(input)

    def _normalise_over_processes(self, images: Tensor) -> Tensor:
        values = at_least_float32(images)
        mean, variance, count = batch_moments(values)
        if self.update_statistics:
            self._remember(mean.detach(), variance.detach(), count.detach())
        gain = torch.rsqrt(variance + self.eps)
        if self.affine:
            gain = gain * self.weight
        normalised = (values - mean[:, None, None]) * gain[:, None, None]
        if self.affine:
            normalised = normalised + self.bias[:, None, None]
        return normalised.to(images.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked.add_(1)


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation with a learned gain and bias per class (paper eq. 1; De Vries et al., 2017).

    An image with several classes gets the mean of their gains and biases (G.1), one without any class the mean over
    all classes. Running statistics have momentum 0.1, so that evaluation mode does not lag behind (the authors' 1e-4
    needs 20,000 steps).

    Args:
        num_features: Channels ``C``.
        num_labels: Classes ``K``.

    Example:
        >>> norm = ConditionalBatchNorm2d(num_features=8, num_labels=3)
        >>> norm(torch.randn(2, 8, 4, 4), torch.tensor([[1.0, 0, 0], [0, 1, 1]])).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, num_features: int, num_labels: int) -> None:
        super().__init__()
        self.batch_norm = BatchNorm2d(num_features, affine=False)
        self.gains = nn.Parameter(torch.ones(num_labels, num_features))
        self.biases = nn.Parameter(torch.zeros(num_labels, num_features))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Normalise, then scale and shift by the classes' parameters.

        Args:
            features: ``[B, C, H, W]``.
            labels: ``[B, K]`` float, one-hot or multi-hot.

        Returns:
            ``[B, C, H, W]``.
        """
        normalised = self.batch_norm(features)
        gain = mean_over_classes(self.gains, labels).to(normalised.dtype)
        bias = mean_over_classes(self.biases, labels).to(normalised.dtype)
        return torch.addcmul(bias[:, :, None, None], normalised, gain[:, :, None, None])


class SpectralNorm(nn.Module):
    """Parametrisation ``W / σ(W)``, σ estimated by one power iteration per training pass (Miyato et al., 2018).

    The same numbers as `torch.nn.utils.parametrizations.spectral_norm`, which under autocast would estimate σ in low
    precision and which cannot pause the iteration without leaving training mode.

    Args:
        weight: ``[out, ...]``, the weight to normalise.
    """

    u: Tensor
    v: Tensor
    update_statistics: bool
    """Whether a forward pass in training mode advances the power iteration."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.update_statistics = True
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn_like(matrix[0]), dim=0))
        for _ in range(15):
            self._advance(matrix)

    @torch.no_grad()
    def _advance(self, matrix: Tensor) -> None:
        self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=1e-12))
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0, eps=1e-12))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its largest singular value, in the weight's own precision."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training and self.update_statistics:
                self._advance(matrix.detach())
            # copies: the next pass may advance u and v before this one is differentiated
            sigma = self.u.clone() @ (matrix @ self.v.clone())
            return weight / sigma.clamp(min=1e-12)


def spectral_norm(layer: nn.Module) -> nn.Module:
    """Normalise the layer's ``weight`` by its largest singular value; returns the layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer


@contextmanager
def frozen_buffers(*modules: nn.Module) -> Iterator[None]:
    """Let no forward pass change a buffer of ``modules`` inside the block.

    Batch norm still normalises with the batch's statistics in training mode; it only does not remember them. Spectral
    norm keeps its estimate. Afterwards every layer is as before.
    """
    layers = [
        layer for module in modules for layer in module.modules() if isinstance(layer, (BatchNorm2d, SpectralNorm))
    ]
    before = [layer.update_statistics for layer in layers]
    for layer in layers:
        layer.update_statistics = False
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.update_statistics = value
