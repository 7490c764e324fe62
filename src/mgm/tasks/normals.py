"""Surface normals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from mgm.functional.masked import masked_l1, masked_mean
from mgm.functional.precision import at_least_float32
from mgm.functional.vectors import angle_degrees, decode_normals, encode_normals, length, shortened, unit_vectors
from mgm.tasks.base import Loss, MetricInfo, Span, TaskMetrics
from mgm.tasks.files import FileSettings, NormalFiles
from mgm.tasks.legend import Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import paint
from mgm.tasks.regression import RegressionTask, vector_text

WITHIN_DEG = {"within_11_25": 11.25, "within_22_5": 22.5, "within_30": 30.0}
"""Metric -> angle below which a normal counts as right (Fouhey et al., 2013)."""

BINS_PER_DEGREE = 100
"""Resolution of the streamed median."""

ERROR_SCALE_DEG = 60.0
"""Angle at the end of the scale of error maps."""

LENGTH_TOLERANCE = 0.05
"""By how much the length of a stored normal may differ from 1."""

DIRECTIONS = (("to the left", "to the right"), ("up", "down"), ("towards the viewer", "away"))
"""Per axis of the camera, what faces its negative and its positive end."""


@final
class NormalMetrics(TaskMetrics):
    """Angles between predicted and true normals, over all valid pixels of the data set."""

    ratios: ClassVar[Mapping[str, tuple[str, str]]] = {
        "angle_deg": ("angle", "count"), "angle_coded_rad": ("coded", "count"), "l1_coded": ("l1", "count")
    }  # fmt: skip

    def __init__(self, device: torch.device | str) -> None:
        sizes = {"count": 1, "angle": 1, "coded": 1, "l1": 1, "histogram": 180 * BINS_PER_DEGREE}
        self._sums = StreamingSums(sizes | dict.fromkeys(WITHIN_DEG, 1), device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in (0, 1)-encoded predictions and unit vectors, ``[B, 3, H, W]``."""
        valid = SurfaceNormals.has_normal(target)
        predicted = at_least_float32(prediction).movedim(1, -1)[valid]  # [N, 3]
        true = target.movedim(1, -1)[valid]
        angle = angle_degrees(decode_normals(predicted), true)
        coded = angle_degrees(predicted, encode_normals(true)).deg2rad()
        bins = (angle * BINS_PER_DEGREE).long().clamp(max=180 * BINS_PER_DEGREE - 1)
        self._sums.update(
            count=valid.sum(),
            angle=wide_sum(angle),
            coded=wide_sum(coded),
            l1=wide_sum((predicted - encode_normals(true)).abs().mean(dim=1)),
            histogram=torch.bincount(bins, minlength=180 * BINS_PER_DEGREE),
            **{name: (angle < limit).sum() for name, limit in WITHIN_DEG.items()},
        )

    def compute(self) -> dict[str, float]:
        """The seven scores of `SurfaceNormals.metrics_info`."""
        sums = self._sums.totals()
        return {
            "angle_deg": ratio(sums["angle"], sums["count"]),
            "angle_median_deg": histogram_median(sums["histogram"]) / BINS_PER_DEGREE,
            "angle_coded_rad": ratio(sums["coded"], sums["count"]),
            "l1_coded": ratio(sums["l1"], sums["count"]),
            **{name: ratio(sums[name], sums["count"]) for name in WITHIN_DEG},
        }


def histogram_median(histogram: Tensor) -> float:
    """Median in units of bins: the centre of the bin of the lower median, so exact to half a bin; NaN without a count.

    Args:
        histogram: ``[bins]``, counts.
    """
    cumulated = histogram.cumsum(0)
    if not cumulated[-1] > 0:
        return float("nan")
    return float(torch.searchsorted(cumulated, cumulated[-1] / 2)) + 0.5


SMALLEST = 1e-7
"""Distance between unit vectors (6 millionths of a degree) below which they count as the same in the loss ``angle``."""


def cosine_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``1 - cos`` of the angle between predicted and true normals, both encoded in (0, 1), ``[B, 3, H, W]``.

    The length of a prediction does not matter, unless it is next to 0 (`shortened`).
    """
    u, v = _directions(prediction, target, mask)
    return masked_mean(1 - (u * v).sum(dim=1, keepdim=True), mask)


def l1_cosine_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L1 plus `cosine_loss`: the one keeps the length, the other sees directions alone."""
    return masked_l1(prediction, target, mask) + cosine_loss(prediction, target, mask)


def angle_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean angle in radians between predicted and true normals, both encoded in (0, 1): what normals are judged by.

    The gradient of the arc cosine (Bae et al., ICCV 2021) is infinite where a prediction is right;
    ``2 atan2(|u - v|, |u + v|)`` is the same angle, and its gradient with respect to the direction has length 1
    everywhere (but for 0 and 180 degrees, where it is 0 here).
    """
    u, v = _directions(prediction, target, mask)
    return masked_mean(2 * torch.atan2(length(u - v, SMALLEST), length(u + v, SMALLEST)), mask)


def _directions(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of encoded normals; the same ones where masked out, so that their gradients are finite."""
    u, v = (shortened(torch.where(mask, at_least_float32(code), 1.0) * 2 - 1) for code in (prediction, target))
    return u, v


@final
class SurfaceNormals(RegressionTask):
    """Direction that the surface faces: L1 on the vector encoded in (0, 1) (paper A), or a loss of the angle.

    Targets are unit vectors in the camera's frame, x to the right, y down, z forward, so that a surface facing the viewer
    has a negative z; a pixel without a normal is NaN, or the zero vector.
    """

    name: ClassVar[str] = "normal"
    title: ClassVar[str] = "Surface normals"
    abbreviation: ClassVar[str] = "SN"
    values: ClassVar[str] = "unit vectors: x right, y down, z forward"
    unit: ClassVar[str] = "°"
    num_channels: ClassVar[int] = 3
    vector: ClassVar[bool] = True
    metrics_info: ClassVar[dict[str, MetricInfo]] = {
        "angle_deg": MetricInfo("mean angle", higher_is_better=False, unit="°"),
        "angle_median_deg": MetricInfo("median angle", higher_is_better=False, unit="°"),
        "angle_coded_rad": MetricInfo("paper's angle", higher_is_better=False, unit="rad"),
        "l1_coded": MetricInfo("paper's L1", higher_is_better=False),
        "within_11_25": MetricInfo("within 11.25°", higher_is_better=True),
        "within_22_5": MetricInfo("within 22.5°", higher_is_better=True),
        "within_30": MetricInfo("within 30°", higher_is_better=True),
    }
    primary: ClassVar[str] = "angle_deg"
    error_end: ClassVar[str] = f"{ERROR_SCALE_DEG:g}°"
    losses: ClassVar[Mapping[str, Loss]] = {
        "l1": masked_l1,
        "cosine": cosine_loss,
        "l1_cosine": l1_cosine_loss,
        "angle": angle_loss,
    }
    recommended_loss: ClassVar[str] = "l1_cosine"
    file_settings: ClassVar[type[FileSettings]] = NormalFiles

    @staticmethod
    def has_normal(target: Tensor) -> Tensor:
        """``[B, H, W]`` bool: finite and not the zero vector."""
        return target.isfinite().all(dim=1) & (target != 0).any(dim=1)

    def valid(self, target: Tensor) -> Tensor:
        """Pixels with a normal."""
        return self.has_normal(target)

    def encode(self, target: Tensor) -> Tensor:
        """Components from (-1, 1) to (0, 1)."""
        return encode_normals(target)

    def decode(self, prediction: Tensor) -> Tensor:
        """Unit vectors; what has no direction faces the viewer."""
        return decode_normals(prediction)

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """The mean direction, encoded; towards the viewer without any valid pixel."""
        total = torch.zeros(3, dtype=torch.float64)
        for target in targets:
            total += target.movedim(1, -1)[self.valid(target)].cpu().double().sum(dim=0)
        return encode_normals(unit_vectors(total, dim=0)).float()

    def mirror(self, prediction: Tensor) -> Tensor:
        """Pixels change place, and the coded x is mirrored about 0.5, its zero."""
        flipped = prediction.flip(-1)
        return torch.cat((1 - flipped[:, :1], flipped[:, 1:]), dim=1)

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Mean and median angle, the paper's angle between encoded vectors and its loss, shares within three angles."""
        return NormalMetrics(device)

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Red to the right, green up, blue towards the viewer, as most tools show normals."""
        absent = self.holes(value).unsqueeze(1)
        shown = value * value.new_tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
        return paint(encode_normals(shown).masked_fill(absent, float("nan")))

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """1 at an angle of 60 degrees."""
        return angle_degrees(value, target) / ERROR_SCALE_DEG

    def holes(self, value: Tensor) -> Tensor:
        """Pixels without a normal."""
        return ~self.has_normal(value)

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A ball as the viewer sees it, in the colours of its normals."""
        across = torch.linspace(-1.02, 1.02, 72).expand(72, 72)
        square = across**2 + across.T**2
        ball = self.colour(torch.stack((across, across.T, -(1 - square).clamp(min=0).sqrt()))[None])[0]
        picture = np.dstack((ball.permute(1, 2, 0).numpy(), np.uint8(255) * (square <= 1).numpy()))
        text = "as on a ball: right is red, up is green, towards the viewer is blue"
        return Legend(self.title, self.error_scale(), picture=picture, text=text, unlabelled=self.unlabelled(values))

    def describe(self, value: Tensor) -> str:
        """The vector and which way the surface mostly faces."""
        if not self.has_normal(value[None, :, None, None]).all():
            return "unknown"
        axis = int(value.abs().argmax())
        return f"{vector_text(value)}, facing {DIRECTIONS[axis][int(value[axis] > 0)]}"

    def suspicions(self, target: Tensor) -> list[str]:
        """Normals that are the same everywhere, of another length than 1, or that face away from the camera."""
        normals = target.movedim(1, -1)[target.isfinite().all(dim=1)].double()
        found = super().suspicions(target)
        if ((normals.norm(dim=1) - 1).abs() > LENGTH_TOLERANCE).double().mean() > 0.01:
            return [*found, "normals are not of unit length"]
        if (normals[:, 2] > 0).double().mean() > 0.5:
            return [*found, "most normals face away from the camera (axes opengl instead of opencv?)"]
        return found
