"""Base class of tasks with real values: L1 loss by default, NaN for missing values, the median as the best constant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from mgm.functional.masked import masked_l1
from mgm.functional.precision import at_least_float32
from mgm.tasks.base import Loss, Span, Task
from mgm.tasks.legend import ColourScale, Legend
from mgm.tasks.pictures import paint_scale
from mgm.types import Frame, FrameLike

MEDIAN_VALUES = 2**22
"""Number of values per channel up to which a median is exact."""
SPAN_QUANTILES = (0.02, 0.98)
"""Quantiles of the values at the two ends of a colour scale that is fitted to the data."""
SPAN_VALUES = 2**18
"""Largest number of evenly spaced values that these quantiles are computed from."""


class RegressionTask(Task):
    """A task whose predictions are targets under a fixed encoding (`encode`, `decode`), by default the identity.

    Its losses receive the encoded target and a valid mask ``[B, 1, H, W]``.
    """

    num_channels: ClassVar[int] = 1
    losses: ClassVar[Mapping[str, Loss]] = {"l1": masked_l1}
    colormap: ClassVar[str] = "viridis"
    """Matplotlib colour map of a task with one channel."""
    fixed_span: ClassVar[Span | None] = None
    """Fixed ends of the colour scale; None: fitted to the data."""
    digits: ClassVar[int] = 2
    """Decimal places in texts."""

    @property
    def channels(self) -> int:
        """Number of channels of predictions and targets."""
        return self.num_channels

    @classmethod
    def target_shape(cls, size: FrameLike) -> tuple[int, ...]:
        """``(channels, height, width)``."""
        return (cls.num_channels, *Frame.of(size).size)

    def valid(self, target: Tensor) -> Tensor:
        """Pixels whose every channel is finite."""
        return target.isfinite().all(dim=1)

    def encode(self, target: Tensor) -> Tensor:
        """Convert a target to the perfect prediction for it; NaN stays NaN."""
        return target

    def decode(self, prediction: Tensor) -> Tensor:
        """The prediction unchanged, in at least float32."""
        return at_least_float32(prediction)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The chosen loss; by default the mean absolute difference over valid pixels and channels."""
        return self._loss(prediction, self.encode(target), self.valid(target).unsqueeze(1))

    def divergence(self, prediction: Tensor, estimate: Tensor) -> Tensor:
        """Mean absolute difference: the L1 loss corresponds to a Laplace likelihood."""
        return (at_least_float32(prediction) - at_least_float32(estimate)).abs().mean()

    def refinement_input(self, prediction: Tensor) -> Tensor:
        """The prediction unchanged."""
        return prediction

    def confidence(self, prediction: Tensor, mirrored: Tensor) -> Tensor:
        """1 minus the distance to the prediction for the flipped image, on the scale of `error`.

        For example, 0.8 means a difference of 20 cm in depth or 12° between normals; 0 means the end of the scale or more. If
        ``prediction`` is the average of both predictions, the distance is half of that between them.
        """
        return 1 - self.distance(self.decode(prediction), self.decode(mirrored)).clamp(0, 1)

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """Median of each channel over the valid pixels; 0 if there are none. See `channel_medians`."""
        return channel_medians(((self.encode(target), self.valid(target)) for target in targets), self.channels)

    def span(self, values: Iterable[Tensor]) -> Span:
        """`fixed_span`, or else the 2nd and 98th percentile of the valid values; (0, 1) if there are none."""
        if self.fixed_span is not None:
            return self.fixed_span
        known = self._known(values)
        if not len(known):
            return 0.0, 1.0
        spread = known[:: -(-len(known) // SPAN_VALUES)]
        low, high = (float(end) for end in spread.quantile(known.new_tensor(SPAN_QUANTILES)))
        return (low, high) if high - low > 1e-3 * max(abs(low), abs(high)) else (low - 0.5, high + 0.5)

    def _known(self, values: Iterable[Tensor]) -> Tensor:
        """``[N]`` float32: the entries of all valid pixels, on the CPU."""
        parts = [value.movedim(1, -1)[self.valid(value)] for value in map(self.batched, values)]
        return torch.cat([part.detach().float().cpu().flatten() for part in parts]) if parts else torch.zeros(0)

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Colour each value by `colormap`."""
        low, high = span or self.span([value])
        return paint_scale((value - low) / (high - low), self.colormap)

    def holes(self, value: Tensor) -> Tensor:
        """Pixels that are not finite. A predicted depth of 0 or less is not a hole: it gets the colour of the nearest depth."""
        return ~value.isfinite().all(dim=1)

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A colour bar with the values at its ends, and minimum, median and maximum of the data."""
        span = span or self.span(values)
        places = torch.linspace(*span, 256).clamp(min=min(span)).view(1, 1, 1, -1)
        colours = paint_scale((places - span[0]) / (span[1] - span[0]), self.colormap)[0, :, 0].T.numpy()
        known = self._known(values)
        text = "no values"
        if len(known):
            low, middle, high = (known.min().item(), known.median().item(), known.max().item())
            low, middle, high = (f"{number:z.{self.digits}f}" for number in (low, middle, high))
            text = f"{low} to {high}, median {middle}\N{NO-BREAK SPACE}{self.unit}".rstrip()
            text += "" if self.fixed_span else " (colours: 2nd to 98th percentile)"
        ends = (f"{end:z.{self.digits}f} {self.unit}".rstrip() for end in span)
        scale = ColourScale(colours, *ends)
        return Legend(self.title, self.error_scale(), scale=scale, text=text, unlabelled=self.unlabelled(values))

    def describe(self, value: Tensor) -> str:
        """The numbers with their unit."""
        if not value.isfinite().all():
            return "unknown"
        text = vector_text(value, self.digits) if len(value) > 1 else f"{value.item():z.{self.digits}f}"
        return f"{text} {self.unit}".rstrip()

    def describe_difference(self, first: Tensor, second: Tensor) -> str:
        """The primary metric between the two values."""
        metrics = self.metrics()
        metrics.update(self.encode(first[None]), second[None])
        apart = metrics.compute()[self.primary]
        if apart != apart:
            return "nothing to compare"
        return f"{self.metrics_info[self.primary].text(apart)} apart on average"

    def suspicions(self, target: Tensor) -> list[str]:
        """Warn of values that are the same everywhere."""
        values = target.movedim(1, -1)[self.valid(target)]
        same = values.numel() > 1 and bool(values.min() == values.max())
        return [f"{self.name} is the same everywhere"] if same else []

    def error(self, value: Tensor, target: Tensor) -> Tensor:
        """`distance` to the target, clipped to [0, 1]."""
        return torch.where(self.valid(target), self.distance(value, target).clamp(0, 1), float("nan"))

    @abstractmethod
    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """``[B, H, W]``: distance between value and target; 1 is the end of the error scale (`error_end`)."""


def channel_medians(batches: Iterable[tuple[Tensor, Tensor]], channels: int, limit: int = MEDIAN_VALUES) -> Tensor:
    """Lower median of each channel of a stream, ``[C]`` float32; 0 without any valid pixel. Deterministic, in bounded memory.

    Keeps every ``stride``-th valid pixel. When there are more than ``limit``, it triples the stride and keeps every third. The
    stride is odd so that it visits all columns of an image whose width is a power of two.

    Args:
        batches: Values ``[B, C, H, W]`` and their valid masks ``[B, H, W]``.
        channels: C, used for the result of a stream without valid pixels.
        limit: Number of pixels up to which the result is exact.
    """
    kept: list[Tensor] = []
    stride, seen, total = 1, 0, 0
    for values, valid in batches:
        pixels = values.movedim(1, -1)[valid].detach().float().cpu()  # [N, C]
        kept.append(pixels[-seen % stride :: stride])
        seen += len(pixels)
        total += len(kept[-1])
        while total > limit:
            stride *= 3
            kept = [torch.cat(kept)[::3]]
            total = len(kept[0])
    return torch.cat(kept).median(dim=0).values if total else torch.zeros(channels)


def vector_text(value: Tensor, digits: int = 2) -> str:
    """Format ``[C]`` numbers as ``(0.10, −0.25)``."""
    return "(" + ", ".join(f"{float(number):z.{digits}f}".replace("-", "−") for number in value) + ")"
