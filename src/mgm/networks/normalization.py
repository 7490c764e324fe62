"""Batch, conditional batch and spectral normalisation, with buffers that can be frozen.

These are the layers whose forward pass changes buffers. Each has a flag ``update_statistics``, independent of the training mode,
so that a batch can be normalised with its own statistics without recording them. `frozen_buffers` turns it off.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.utils.parametrize import register_parametrization

from mgm.functional.distributed import gather, global_sum, world_size
from mgm.functional.precision import at_least_float32
from mgm.networks.conditioning import mean_over_classes

Moments = tuple[Tensor, Tensor, Tensor]
"""Mean ``[C]``, biased variance ``[C]`` and number of values per channel (scalar)."""


def batch_moments(values: Tensor) -> Moments:
    """Mean and variance per channel over the batches of all processes, without a graph (see `GlobalNormalisation`).

    Processes exchange counts, means and variances about their own means, which is numerically stable even for large means.

    Args:
        values: ``[B, C, H, W]`` float32 or float64; ``B`` may differ between processes.
    """
    channels = values.shape[1]
    mean, variance = torch.batch_norm_update_stats(values.detach(), None, None, 0.0)
    count = mean.new_full((1,), values.numel() / channels)
    gathered = gather(torch.cat([count, mean, variance]))
    counts, means, variances = torch.split(gathered, [1, channels, channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    variance = (counts * (variances + (means - mean).square())).sum(dim=0) / total
    return mean, variance, total


class GlobalNormalisation(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * gain + bias`` with the moments of all processes, differentiable once.

    The gradient accounts for the dependence of the moments on all values in all processes:
    ``dx = gain / σ · (dy - Σ dy / N - x̂ Σ (dy x̂) / N)``, with sums over all processes and the normalised value ``x̂``
    (Ioffe and Szegedy, 2015). It uses torch's fused kernels for evaluation mode, which read and write each value a few times
    instead of twenty.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, gain: Tensor | None, bias: Tensor | None, moments: Moments, eps: float
    ) -> Tensor:
        """Normalise ``[B, C, H, W]``."""
        mean, variance, _ = moments
        ctx.moments, ctx.eps = moments, eps
        ctx.save_for_backward(values, gain)
        return torch.native_batch_norm(values, gain, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        """Gradients of values, gain and bias; the latter two are this process's contribution."""
        values, gain = ctx.saved_tensors
        mean, variance, count = ctx.moments
        gradient = grad_outputs[0]
        gradient, along, total = torch.ops.aten.native_batch_norm_backward(
            gradient, values, gain, mean, variance, mean, variance, False, ctx.eps, [True, True, True]
        )
        inverse = torch.rsqrt(variance + ctx.eps)
        everyone = global_sum(torch.stack((along, total))) / count
        scale = inverse if gain is None else inverse * gain
        slope = -scale * inverse * everyone[0]
        offset = -scale * everyone[1] - slope * mean
        gradient = torch.addcmul(gradient, values, slope[:, None, None]).add_(offset[:, None, None])
        return gradient, None if gain is None else along, None if gain is None else total, None, None


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes; arguments as for `nn.BatchNorm2d`.

    With one process, it is torch's batch norm, except that a single value per channel (one image, 1x1 features) is not an error
    but has variance 0. `nn.SyncBatchNorm` is no alternative, because it only supports GPUs.
    """

    update_statistics: bool
    """Whether a forward pass in training mode updates the running statistics."""

    def __init__(self, num_features: int, *, affine: bool = True, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum, affine=affine)
        self.update_statistics = True

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise ``[B, C, H, W]`` with the batch's statistics (training mode) or with the running statistics."""
        if not self.training:
            return super().forward(input)
        if world_size() > 1 or input.numel() == input.shape[1]:
            return self._normalise_over_processes(input)
        if not self.update_statistics:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(input)

    def gain_and_bias(self) -> tuple[Tensor, Tensor]:
        """Factor and offset of the layer in evaluation mode, each ``[C]``, differentiable in its parameters."""
        assert self.running_mean is not None
        assert self.running_var is not None
        gain = self.weight * torch.rsqrt(self.running_var + self.eps)
        return gain, self.bias - gain * self.running_mean

    def _normalise_over_processes(self, images: Tensor) -> Tensor:
        values = at_least_float32(images)
        moments = batch_moments(values)
        if self.update_statistics:
            self._remember(*moments)
        with torch.autocast(values.device.type, enabled=False):
            normalised = cast(Tensor, GlobalNormalisation.apply(values, self.weight, self.bias, moments, self.eps))
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

    An image with several classes gets the mean of their gains and biases (G.1), an image without any class the mean over all
    classes. Running statistics have momentum 0.1, so that evaluation mode does not lag behind (the authors' 1e-4 needs 20,000
    steps).

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
        """Normalise ``[B, C, H, W]``, then scale and shift by the parameters of the classes ``[B, K]``, one-hot or multi-hot."""
        normalised = self.batch_norm(features)
        table = torch.cat([self.gains, self.biases], dim=1)
        gain, bias = mean_over_classes(table, labels).to(normalised.dtype)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(bias, normalised, gain)


class SpectralNorm(nn.Module):
    """Parametrisation ``W / σ(W)``, σ estimated by one power iteration per training pass (Miyato et al., 2018).

    Numerically the same as `torch.nn.utils.parametrizations.spectral_norm`, which however estimates σ in low precision under
    autocast and cannot pause the power iteration in training mode. The weight is ``[out, ...]``.
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
        for _ in range(
            0 if weight.is_meta else 15
        ):  # on the device meta there are no values, and its operators are slow
            self._advance(matrix)

    @torch.no_grad()
    def _advance(self, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Do one power iteration. Returns the new u, v and σ (``uᵀWv = |Wᵀu|``, since v has the direction of ``Wᵀu``)."""
        u = F.normalize(matrix @ self.v, dim=0, eps=1e-12)
        along = matrix.T @ u
        sigma = cast(Tensor, torch.linalg.vector_norm(along)).clamp(min=1e-12)
        v = along / sigma
        self.u.copy_(u)
        self.v.copy_(v)
        return u, v, sigma

    @torch.no_grad()
    def _estimate(self, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The current u, v and σ, as copies, since a later pass may advance them before this one's backward pass."""
        u, v = self.u.clone(), self.v.clone()
        return u, v, torch.dot(u, matrix @ v).clamp(min=1e-12)

    def forward(self, weight: Tensor) -> Tensor:
        """Divide the weight by its largest singular value, in the weight's own precision."""
        device = "cpu" if weight.is_meta else weight.device.type  # autocast does not know the device meta
        with torch.autocast(device, enabled=False):
            iterate = self._advance if self.training and self.update_statistics else self._estimate
            return cast(Tensor, _DividedByNorm.apply(weight, *iterate(weight.detach().flatten(1))))


class _DividedByNorm(torch.autograd.Function):
    """``W / σ`` with ``σ = uᵀWv`` and constant u, v; the same as autograd, but with a third of the kernels.

    With ``Ŵ = W / σ`` and the gradient ``g`` of Ŵ, the gradient of W is ``(g - ⟨g, Ŵ⟩ u vᵀ) / σ``.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
        normalised = weight / sigma
        ctx.save_for_backward(normalised, u, v, sigma)
        return normalised

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name of ctx
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None, None]:
        normalised, u, v, sigma = ctx.saved_tensors
        gradient = grad_outputs[0].flatten(1)
        share = torch.dot(gradient.flatten(), normalised.flatten())
        return (torch.addr(gradient, share * u, v, alpha=-1) / sigma).view_as(normalised), None, None, None


def spectral_norm(layer: nn.Module) -> nn.Module:
    """Apply spectral normalisation to the layer's ``weight``. Returns the layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer


def recording_layers(*modules: nn.Module) -> list[BatchNorm2d | SpectralNorm]:
    """The layers of ``modules`` whose forward passes change buffers."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, (BatchNorm2d, SpectralNorm))]


@contextmanager
def frozen_buffers(*modules: nn.Module) -> Generator[None]:
    """Context in which forward passes do not change any buffer of ``modules``.

    In training mode, batch norm still normalises with batch statistics but does not record them; spectral norm keeps its estimate.
    """
    layers = recording_layers(*modules)
    before = [layer.update_statistics for layer in layers]
    for layer in layers:
        layer.update_statistics = False
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.update_statistics = value
