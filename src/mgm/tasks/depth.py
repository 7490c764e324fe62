"""Depth in metres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from mgm.functional.log_depth import gradient_matching, log_error
from mgm.functional.masked import masked_l1, masked_mean
from mgm.functional.precision import at_least_float32
from mgm.tasks.base import Loss, MetricInfo, TaskMetrics
from mgm.tasks.files import DepthFiles, FileSettings
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.regression import RegressionTask

PLAUSIBLE_MEDIANS_M = (0.05, 100.0)
"""Range of plausible median depths. A smaller one suggests kilometres or fractions, a larger one millimetres."""

CLOSEST_M = 1e-3
"""Predictions are clamped to this minimum in ratios, which are undefined for 0 and negative depths."""


@final
class DepthMetrics(TaskMetrics):
    """Standard depth metrics (Eigen et al., 2014), each over all valid pixels of the data set."""

    ratios: ClassVar[Mapping[str, tuple[str, str]]] = {"abs_error_m": ("absolute", "count")}

    def __init__(self, device: torch.device | str) -> None:
        names = ("count", "absolute", "relative", "squared", "close")
        self._sums = StreamingSums(dict.fromkeys(names, 1), device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add predictions and targets in metres, ``[B, 1, H, W]``."""
        valid = Depth.has_depth(target)
        predicted = at_least_float32(prediction)[valid]
        true = target[valid]
        difference = (predicted - true).abs()
        positive = predicted.clamp(min=CLOSEST_M)
        self._sums.update(
            count=valid.sum(),
            absolute=wide_sum(difference),
            relative=wide_sum(difference / true),
            squared=wide_sum(difference.square()),
            close=(torch.maximum(positive / true, true / positive) < 1.25).sum(),
        )

    def compute(self) -> dict[str, float]:
        """The four scores of `Depth.metrics_info`."""
        sums = self._sums.totals()
        mean = {name: ratio(sums[name], sums["count"]) for name in ("absolute", "relative", "squared", "close")}
        return {
            "abs_error_m": mean["absolute"],
            "relative_error": mean["relative"],
            "rmse_m": mean["squared"] ** 0.5,
            "delta1": mean["close"],
        }


GRADIENT_WEIGHT = 0.5
"""Weight of the gradient matching term in the loss ``log_gradient`` (Li & Snavely, 2018; Ranftl et al., 2020)."""


def log_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of log depth (`mgm.functional.log_depth.log_error`)."""
    return masked_mean(log_error(prediction, target, mask).abs(), mask)


def log_gradient_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of log depth, plus a term that matches its spatial gradients."""
    error = log_error(prediction, target, mask)
    return masked_mean(error.abs(), mask) + GRADIENT_WEIGHT * gradient_matching(error, mask)


def l1_log_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L1 in metres (the primary metric) plus L1 of log depth, which gives near pixels more weight."""
    return masked_l1(prediction, target, mask) + log_loss(prediction, target, mask)


@final
class Depth(RegressionTask):
    """Depth in metres, predicted without encoding (paper A) and trained with L1 or a loss on log depth."""

    name: ClassVar[str] = "depth"
    title: ClassVar[str] = "Depth"
    abbreviation: ClassVar[str] = "DE"
    unit: ClassVar[str] = "m"
    values: ClassVar[str] = "metres along the optical axis"
    hub_tag: ClassVar[str] = "depth-estimation"
    caveat: ClassVar[str] = (
        "Metres hold for cameras with about the field of view of the training images; others need a factor."
    )
    metrics_info: ClassVar[dict[str, MetricInfo]] = {
        "abs_error_m": MetricInfo("absolute error", higher_is_better=False, unit="m"),
        "relative_error": MetricInfo("relative error", higher_is_better=False),
        "rmse_m": MetricInfo("RMSE", higher_is_better=False, unit="m"),
        "delta1": MetricInfo("δ < 1.25", higher_is_better=True),
    }
    primary: ClassVar[str] = "abs_error_m"
    losses: ClassVar[Mapping[str, Loss]] = {
        "l1": masked_l1,
        "log": log_loss,
        "log_gradient": log_gradient_loss,
        "l1_log": l1_log_loss,
    }
    recommended_loss: ClassVar[str] = "l1_log"
    calibratable: ClassVar[bool] = True
    colormap: ClassVar[str] = "viridis_r"
    """Near is bright, far is dark."""
    error_end: ClassVar[str] = "1 m"
    file_settings: ClassVar[type[FileSettings]] = DepthFiles

    @staticmethod
    def has_depth(target: Tensor) -> Tensor:
        """Bool, same shape as ``target``: finite and above 0. Many sensors write 0 for a missing value."""
        return target.isfinite() & (target > 0)

    def valid(self, target: Tensor) -> Tensor:
        """Pixels with a finite depth above 0."""
        return self.has_depth(target).squeeze(1)

    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Divide depth by the factor: an object that looks twice as large is half as far away."""
        return target / factor.view(-1, 1, 1, 1)

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Absolute error, relative error, RMSE, and fraction of pixels within 25 %."""
        return DepthMetrics(device)

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """Absolute difference in metres."""
        return (value - target).abs().squeeze(1)

    def suspicions(self, target: Tensor) -> list[str]:
        """Warn of depth that is the same everywhere, or negative."""
        negative = ["depth is negative"] if bool((target[target.isfinite()] < 0).any()) else []
        return super().suspicions(target) + negative

    def doubt_about(self, median: float) -> str:
        """Warn of a median that suggests a unit other than metres."""
        low, high = PLAUSIBLE_MEDIANS_M
        if median > high:
            return f"the median depth is {median:.0f} m; is it in millimetres?"
        return f"the median depth is {median:.2g} m; is it in metres?" if median < low else ""
