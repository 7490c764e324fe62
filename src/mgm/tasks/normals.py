"""Surface normals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from mgm.functional.masked import masked_l1, masked_mean
from mgm.functional.precision import at_least_float32
from mgm.functional.vectors import angle_degrees, decode_normals, encode_normals, length, shortened, unit_vectors
from mgm.tasks.base import Loss, MetricInfo, Span, TaskMetrics
from mgm.tasks.files import FileSettings, NormalFiles
from mgm.tasks.legend import Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import disc, paint
from mgm.tasks.regression import RegressionTask, vector_text

WITHIN_DEG = {"within_11_25": 11.25, "within_22_5": 22.5, "within_30": 30.0}
"""Metric -> angle in degrees below which a normal counts as correct (Fouhey et al., 2013)."""

BINS_PER_DEGREE = 100
"""Histogram bins per degree: the resolution of the streaming median."""

ERROR_SCALE_DEG = 60.0
"""Angle at the end of the error scale."""

LENGTH_TOLERANCE = 0.05
"""Largest deviation from 1 of the length of a stored normal."""

DIRECTIONS = (("to the left", "to the right"), ("up", "down"), ("towards the viewer", "away"))
"""For each camera axis, its negative and its positive direction in words."""


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
        """Add predictions encoded in (0, 1) and targets as unit vectors, ``[B, 3, H, W]``."""
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
    """Median in units of bins: the centre of the bin that holds the lower median; exact to half a bin; NaN if all counts are 0.

    Args:
        histogram: ``[bins]``, counts.
    """
    cumulated = histogram.cumsum(0)
    if not cumulated[-1] > 0:
        return float("nan")
    return float(torch.searchsorted(cumulated, cumulated[-1] / 2)) + 0.5


SMALLEST = 1e-7
"""Distance between unit vectors (6e-6 degrees) below which the loss ``angle`` treats them as equal."""


def cosine_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``1 - cos`` of the angle between predicted and true normals, both encoded in (0, 1), ``[B, 3, H, W]``.

    The length of a predicted vector has no influence unless it is nearly 0 (`shortened`).
    """
    u, v = _directions(prediction, target, mask)
    return masked_mean(1 - (u * v).sum(dim=1, keepdim=True), mask)


def l1_cosine_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L1 plus `cosine_loss`: L1 also constrains the length, the cosine only the direction."""
    return masked_l1(prediction, target, mask) + cosine_loss(prediction, target, mask)


def angle_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean angle in radians between predicted and true normals, both encoded in (0, 1): the primary metric as a loss.

    The gradient of the arc cosine (Bae et al., ICCV 2021) is infinite at a correct prediction. ``2 atan2(|u - v|, |u + v|)`` is
    the same angle, and its gradient with respect to the direction has length 1 everywhere, except at 0 and 180 degrees, where
    it is 0 here.
    """
    u, v = _directions(prediction, target, mask)
    return masked_mean(2 * torch.atan2(length(u - v, SMALLEST), length(u + v, SMALLEST)), mask)


def _directions(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Decode both to vectors. Masked-out pixels get the same vector in both, so that their gradients are finite."""
    u, v = (shortened(torch.where(mask, at_least_float32(code), 1.0) * 2 - 1) for code in (prediction, target))
    return u, v


@final
class SurfaceNormals(RegressionTask):
    """Surface normals, trained with L1 on the vector encoded in (0, 1) (paper A) or with a loss on the angle.

    Targets are unit vectors in the camera frame (x right, y down, z forward), so a surface facing the viewer has negative z.
    A pixel without a normal is NaN or the zero vector.
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
        """Map components from (-1, 1) to (0, 1)."""
        return encode_normals(target)

    def decode(self, prediction: Tensor) -> Tensor:
        """Unit vectors; a vector without a direction becomes one that faces the viewer."""
        return decode_normals(prediction)

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """The mean direction, encoded; without any valid pixel, the direction towards the viewer."""
        total = torch.zeros(3, dtype=torch.float64)
        for target in targets:
            total += target.movedim(1, -1)[self.valid(target)].cpu().double().sum(dim=0)
        return encode_normals(unit_vectors(total, dim=0)).float()

    def mirror(self, prediction: Tensor) -> Tensor:
        """Flip the pixels, and mirror the encoded x about 0.5, which encodes 0."""
        flipped = prediction.flip(-1)
        return torch.cat((1 - flipped[:, :1], flipped[:, 1:]), dim=1)

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Mean and median angle, the paper's angle and L1 between encoded vectors, and fractions within three angles."""
        return NormalMetrics(device)

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Red is right, green up, blue towards the viewer, as most tools show normals."""
        absent = self.holes(value).unsqueeze(1)
        shown = value * value.new_tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
        return paint(encode_normals(shown).masked_fill(absent, float("nan")))

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """Angle between the vectors, divided by 60 degrees."""
        return angle_degrees(value, target) / ERROR_SCALE_DEG

    def holes(self, value: Tensor) -> Tensor:
        """Pixels without a normal."""
        return ~self.has_normal(value)

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A ball seen by the viewer, coloured by its normals."""
        places, opacity = disc()
        depth = -(1 - places.square().sum(dim=0)).clamp(min=0).sqrt()
        ball = self.colour(torch.stack((*places, depth))[None])[0]
        picture = torch.stack((*ball, opacity), dim=-1).numpy()
        text = "as on a ball: right is red, up is green, towards the viewer is blue"
        return Legend(self.title, self.error_scale(), picture=picture, text=text, unlabelled=self.unlabelled(values))

    def describe(self, value: Tensor) -> str:
        """The vector, and the main direction that the surface faces."""
        if not self.has_normal(value[None, :, None, None]).all():
            return "unknown"
        axis = int(value.abs().argmax())
        return f"{vector_text(value)}, facing {DIRECTIONS[axis][int(value[axis] > 0)]}"

    def suspicions(self, target: Tensor) -> list[str]:
        """Warn of normals that are the same everywhere, are not of unit length, or face away from the camera."""
        normals = target.movedim(1, -1)[target.isfinite().all(dim=1)].double()
        found = super().suspicions(target)
        if ((normals.norm(dim=1) - 1).abs() > LENGTH_TOLERANCE).double().mean() > 0.01:
            return [*found, "normals are not of unit length"]
        if (normals[:, 2] > 0).double().mean() > 0.5:
            return [*found, "most normals face away from the camera (axes opengl instead of opencv?)"]
        return found
