"""Edge texture, reshading and principal curvature: additional tasks of Taskonomy (Zamir et al., 2018).

Values are pixel values in [0, 1], encoded as in the data set. Zooming does not change them: reshading and edges do not depend
on distance, and the scale of the encoded curvature is specific to the data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from mgm.functional.precision import at_least_float32
from mgm.tasks.base import MetricInfo, Span, TaskMetrics
from mgm.tasks.files import CodedFiles, FileSettings
from mgm.tasks.legend import Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import paint
from mgm.tasks.regression import RegressionTask

ERROR_SCALE = 0.25
"""Absolute difference at the end of the error scale."""


@final
class L1Metrics(TaskMetrics):
    """Mean absolute difference over all valid pixels and channels of the data set."""

    ratios: ClassVar[Mapping[str, tuple[str, str]]] = {"l1": ("absolute", "count")}

    def __init__(self, device: torch.device | str) -> None:
        self._sums = StreamingSums({"count": 1, "absolute": 1}, device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add predictions and targets, ``[B, C, H, W]``."""
        valid = target.isfinite().all(dim=1, keepdim=True).expand_as(target)
        difference = at_least_float32(prediction)[valid] - target[valid]
        self._sums.update(count=valid.sum(), absolute=wide_sum(difference.abs()))

    def compute(self) -> dict[str, float]:
        """``l1``."""
        sums = self._sums.totals()
        return {"l1": ratio(sums["absolute"], sums["count"])}


class CodedTask(RegressionTask):
    """Regression of values in [0, 1], evaluated by the mean absolute difference."""

    metrics_info: ClassVar[dict[str, MetricInfo]] = {"l1": MetricInfo("L1", higher_is_better=False)}
    primary: ClassVar[str] = "l1"
    fixed_span: ClassVar[Span | None] = (0.0, 1.0)
    error_end: ClassVar[str] = f"{ERROR_SCALE:g}"
    file_settings: ClassVar[type[FileSettings]] = CodedFiles

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Mean absolute difference."""
        return L1Metrics(device)

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """Mean absolute difference over channels, divided by 0.25."""
        return (value - target).abs().mean(dim=1) / ERROR_SCALE

    def suspicions(self, target: Tensor) -> list[str]:
        """Warn of values that are the same everywhere, or outside 0 to 1."""
        known = target[target.isfinite()]
        outside = [f"{self.name} leaves 0..1"] if known.min() < 0 or known.max() > 1 else []
        return super().suspicions(target) + outside


@final
class EdgeTexture(CodedTask):
    """Strength of edges in the image itself."""

    name: ClassVar[str] = "edge_texture"
    title: ClassVar[str] = "Edge texture"
    colormap: ClassVar[str] = "gray"
    """Edges are white on black."""
    values: ClassVar[str] = "strength in [0, 1]"
    abbreviation: ClassVar[str] = "ET"


@final
class Reshading(CodedTask):
    """Shading of the scene under a single light at the camera."""

    name: ClassVar[str] = "reshading"
    title: ClassVar[str] = "Reshading"
    colormap: ClassVar[str] = "gray"
    """Lit surfaces are white."""
    values: ClassVar[str] = "brightness in [0, 1]"
    abbreviation: ClassVar[str] = "Re"


@final
class PrincipalCurvature(CodedTask):
    """The two principal curvatures of the surface; 0.5 means flat."""

    name: ClassVar[str] = "principal_curvature"
    title: ClassVar[str] = "Principal curvature"
    values: ClassVar[str] = "two curvatures coded in [0, 1], 0.5 is flat"
    abbreviation: ClassVar[str] = "PC"
    num_channels: ClassVar[int] = 2

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """The two curvatures as red and green, with blue at 0.5, so that a flat surface is grey."""
        return paint(torch.cat((value, torch.full_like(value[:, :1], 0.5)), dim=1))

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A square of all colours: the first curvature increases to the right, the second upwards."""
        across = torch.linspace(0, 1, 72).expand(72, 72)
        square = self.colour(torch.stack((across, across.T.flip(0)))[None])[0].permute(1, 2, 0).numpy()
        picture = np.dstack((square, np.full((72, 72), 255, np.uint8)))
        text = "first value to the right, second up, both from 0 to 1"
        return Legend(self.title, self.error_scale(), picture=picture, text=text, unlabelled=self.unlabelled(values))
