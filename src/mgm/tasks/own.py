"""Tasks that a data set defines (``tasks`` in its ``dataset.yaml``): numbers per pixel, or classes, from plain values.

A definition makes a class, the same one for the same definition; none is entered in `mgm.tasks.TASKS`. So what a name means is
never known to the process as a whole, only to what carries the definition (`mgm.types.DatasetInfo.own_tasks`): data sets may
define the same name differently side by side.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mgm.errors import ConfigError, DataError, first_problem, unknown
from mgm.functional.masked import masked_l1, masked_l2
from mgm.functional.precision import at_least_float32
from mgm.tasks.base import Loss, MetricInfo, Span, Task, TaskMetrics
from mgm.tasks.files import ClassFiles, Colour, FileSettings, NumberFiles
from mgm.tasks.legend import Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import MAX_CLASSES, paint, palette
from mgm.tasks.regression import RegressionTask
from mgm.tasks.segmentation import Segmentation
from mgm.types import is_mapping, is_sequence

MAX_CHANNELS = 16
MAX_NAME = 40
"""Characters of a task's name."""
SHOWN_CLASSES = 20
"""Classes that are listed where the values of a task are explained."""
ERROR_SHARE = 0.25
"""Share of the range at the end of the scale of error maps."""
LARGEST = 1e30
"""Bound of the ends of a range, well inside float32."""
RESERVED = {
    "rgb",
    "mask",
    "image",
    "images",
    "scene",
    "scenes",
    "labelled",
    "names",
    "name_ends",
    "splits",
    "all",
    "mean",
} | {*dir(torch.nn.ModuleDict)}
"""Names that something else has: kinds of files, arrays of a store, entries of a result, attributes of a network."""


@dataclass(frozen=True)
class NumberDefinition:
    """Numbers per pixel."""

    range: tuple[float, float]
    """Lowest and highest value that is expected, in the unit: networks put out shares of it, colours are drawn over it."""
    channels: int = 1
    """Numbers per pixel."""
    title: str = ""
    """In tables and pictures; empty: made of the name."""
    unit: str = ""
    loss: Literal["l1", "l2", "log"] = "l1"
    """Mean absolute or squared difference as a share of the range; log: the absolute difference of logarithms, so that ratios
    count (the network then puts out logarithms, and values are above 0)."""
    metrics: tuple[Literal["abs_error", "relative_error", "rmse"], ...] = ()
    """Scores, in the order of tables; the task is judged by the first one that is a mean over pixels. Empty: all that there are."""
    flips: Literal["scalar", "vector"] = "scalar"
    """vector: the first channel points to the right and changes sign in the mirrored image."""
    zoom: Literal["none", "divide"] = "none"
    """divide: values are distances from the camera; what looks twice as large is half as far away."""

    def problem(self) -> str:
        """The first value that cannot be, in words; empty: none."""
        low, high = self.range
        if not -LARGEST < low < high < LARGEST:
            return f"range is [{low:g}, {high:g}]; write the lowest value, then a higher one: range: [0, 40]"
        if not 1 <= self.channels <= MAX_CHANNELS:
            return f"channels is {self.channels}; it must be 1 to {MAX_CHANNELS}"
        if self.loss == "log" and low <= 0:
            return f"loss is log, and the range [{low:g}, {high:g}] includes values without a logarithm; let it begin above 0"
        if len(set(self.metrics)) < len(self.metrics) or self.metrics == ("rmse",):
            return "metrics must be different ones, and abs_error or relative_error among them, by which the task is judged"
        if "relative_error" in self.metrics and low <= 0:
            return f"metrics has relative_error, and the range [{low:g}, {high:g}] includes values that nothing is relative to"
        if self.flips == "vector" and self.channels not in (2, 3):
            return f"flips is vector, and channels is {self.channels}; vectors have 2 or 3"
        if self.zoom == "divide" and self.flips == "vector":
            return "zoom is divide and flips is vector; distances are scalar"
        return ""


@dataclass(frozen=True)
class ClassDefinition:
    """Classes."""

    classes: tuple[str, ...]
    """Names in index order."""
    colours: dict[str, Colour] = field(default_factory=dict[str, Colour])
    """Class -> RGB, 0 to 255, in pictures and legends; the others have one of the usual colours."""
    title: str = ""
    """In tables and pictures; empty: made of the name."""
    loss: str = ""
    """Key of `Segmentation.losses`; empty: as for ``semantic``."""

    def problem(self) -> str:
        """The first value that cannot be, in words; empty: none."""
        if not 2 <= len(self.classes) <= MAX_CLASSES or len(set(self.classes)) < len(self.classes):
            return f"classes must be 2 to {MAX_CLASSES} different names"
        if odd := next((name for name in self.classes if not name.strip() or not name.isprintable()), None):
            return f"class {odd!r} has characters that cannot be shown; write a name"
        for name, colour in self.colours.items():
            if name not in self.classes:
                return unknown("class of colours", name, self.classes)
            if not all(0 <= part <= 255 for part in colour):
                return f"colour {list(colour)} must be three numbers in 0..255"
        return (
            unknown("loss", self.loss, Segmentation.losses)
            if self.loss and self.loss not in Segmentation.losses
            else ""
        )


def split_entry(name: str, entry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An entry of ``tasks`` in ``dataset.yaml``: the checked definition as plain values, and what is said about files.

    ``classes`` may be names, or names with their colours; where label maps are coloured (``colours``), their colours are those of
    pictures too, and may name the classes.

    Raises:
        ConfigError: If a key is unknown, or a value cannot be.
    """
    numbers = not {"classes", "colours", "values"} & entry.keys()
    kinds = (NumberDefinition, NumberFiles) if numbers else (ClassDefinition, ClassFiles)
    known, of_files = ([item.name for item in fields(kind)] for kind in kinds)
    for key in entry:
        if key not in (*known, *of_files):
            raise ConfigError(f"tasks: {name}: {unknown('key', str(key), [*known, *of_files])}")
    definition = {key: value for key, value in entry.items() if key in known}
    if not numbers:
        definition |= _classes_and_colours(name, entry)
    return define(name, definition).definition, {key: value for key, value in entry.items() if key in of_files}


def _classes_and_colours(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    coded: object = entry.get("colours") or entry.get("values") or {}
    classes: object = entry.get("classes", coded)
    if not is_mapping(coded) or not (is_mapping(classes) or is_sequence(classes)):
        raise ConfigError(
            f"tasks: {name}: write classes: [soil, leaf], or with colours: {{soil: [120, 80, 40], leaf: [0, 160, 0]}}"
        )
    if coded and (odd := sorted(map(str, coded.keys() ^ set(map(str, classes))))):
        raise ConfigError(
            f"tasks: {name}: class {odd[0]!r} is in only one of classes and {'colours' if 'colours' in entry else 'values'}"
        )
    shown = classes if is_mapping(classes) and "classes" in entry else {}
    colours = coded if "colours" in entry else {}
    return {"classes": [*classes], "colours": colours | {key: colour for key, colour in shown.items() if colour}}


class OwnTask(Task):
    """What all tasks of a definition have."""

    definition: ClassVar[dict[str, Any]]
    """Plain values, all of them, see `define`."""


def define(name: str, definition: Mapping[str, Any]) -> type[OwnTask]:
    """The task of a definition, as plain values: those of `ClassDefinition` if it has ``classes``, else of `NumberDefinition`.

    Raises:
        ConfigError: If it defines no task, or the name is that of something else.
    """
    return _define(name, json.dumps(definition, sort_keys=True, default=str))


@lru_cache(maxsize=1024)
def _define(name: str, text: str) -> type[OwnTask]:
    from pydantic import TypeAdapter, ValidationError

    if not re.fullmatch("[a-z][a-z0-9_]*", name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"tasks: {name!r} is no name of a task: up to {MAX_NAME} lower-case letters, digits and _, a letter first"
        )
    if name in RESERVED:
        raise ConfigError(f"tasks: {name!r} means something else here; choose another name")
    values = json.loads(text)
    kind = ClassDefinition if "classes" in values else NumberDefinition
    if kind is NumberDefinition and "range" not in values:
        raise ConfigError(f"tasks: {name}: give range: [LOW, HIGH] of its numbers, or classes: [NAME, NAME]")
    for key in values:
        if key not in (known := [item.name for item in fields(kind)]):
            raise ConfigError(f"tasks: {name}: {unknown('key', key, known)}")
    try:
        found = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"tasks: {name}: {first_problem(error)}") from None
    if not (found.title + getattr(found, "unit", "")).isprintable():
        raise ConfigError(f"tasks: {name}: title and unit must be lines of text")
    if problem := found.problem():
        raise ConfigError(f"tasks: {name}: {problem}")
    plain = json.loads(json.dumps(asdict(found)))
    if plain != values:  # one class, however much of it was written out
        return define(name, plain)
    title = found.title or name.replace("_", " ").capitalize()
    shared: dict[str, Any] = {"__module__": __name__, "name": name, "title": title, "definition": plain}
    if isinstance(found, ClassDefinition):
        return type("OwnClasses", (OwnClasses,), shared | _class_attributes(found))
    return type("OwnNumbers", (OwnNumbers,), shared | _number_attributes(found))


def _class_attributes(found: ClassDefinition) -> dict[str, Any]:
    colours = palette(len(found.classes))
    for name, colour in found.colours.items():
        colours[found.classes.index(name)] = colour
    shown = ", ".join(f"{index} {name}" for index, name in enumerate(found.classes[:SHOWN_CLASSES]))
    more = ", ..." if len(found.classes) > SHOWN_CLASSES else ""
    attributes: dict[str, Any] = {
        "values": f"class index: {shown}{more}",
        "own_classes": found.classes,
        "own_palette": colours,
    }
    if found.loss:
        losses = {found.loss: Segmentation.losses[found.loss], **Segmentation.losses}
        attributes |= {"losses": losses, "recommended_loss": found.loss}
    return attributes


class OwnClasses(OwnTask, Segmentation):
    """Classes of a data set's own, beside or in place of ``semantic``."""

    own_classes: ClassVar[tuple[str, ...]]
    own_palette: ClassVar[np.ndarray]

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        super().__init__(self.own_classes, loss)

    @classmethod
    def has_labels(cls, target: np.ndarray, num_classes: int) -> bool:
        """Whether any pixel has a class of its own, whatever ``semantic`` has."""
        return super().has_labels(target, len(cls.own_classes))

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """See `Segmentation.check_target`."""
        super().check_target(target, len(cls.own_classes), where)

    @property
    def palette(self) -> np.ndarray:
        """The colours of the definition."""
        return self.own_palette


def _number_attributes(found: NumberDefinition) -> dict[str, Any]:
    low, high = found.range
    word = "_".join(re.findall(r"\w+", found.unit))
    ending = f"_{word}" if word else ""
    size = math.log10(high - low)
    precise = min(max(0, 4 - math.floor(size)), 12)
    all_infos = {
        "abs_error": (f"abs_error{ending}", MetricInfo("absolute error", False, found.unit, precise)),
        "relative_error": ("relative_error", MetricInfo("relative error", higher_is_better=False)),
        "rmse": (f"rmse{ending}", MetricInfo("RMSE", False, found.unit, precise)),
    }
    wanted = found.metrics or [name for name in all_infos if low > 0 or name != "relative_error"]
    infos = dict(all_infos[name] for name in wanted)
    sums = {"abs_error": ("absolute", "count"), "relative_error": ("relative", "positive")}
    ratios = {all_infos[name][0]: sums[name] for name in wanted if name in sums}
    losses: dict[str, Loss] = {"log": masked_l1} if found.loss == "log" else {"l1": masked_l1, "l2": masked_l2}
    wrong = ERROR_SHARE * (high - low)
    return {
        "unit": found.unit,
        "values": f"{low:g} to {high:g} {found.unit}".rstrip(),
        "metrics_info": infos,
        "primary": next(iter(ratios)),
        "losses": {found.loss: losses[found.loss], **losses},
        "num_channels": found.channels,
        "ends": (low, high),
        "fixed_span": (low, high),
        "error_size": wrong,
        "error_end": f"{wrong:g} {found.unit}".rstrip(),
        "digits": min(max(0, math.ceil(2.5 - size)), 12),
        "calibratable": found.zoom == "divide" and found.channels == 1,
        "logarithmic": found.loss == "log",
        "vector": found.flips == "vector",
        "divides": found.zoom == "divide",
        "own_metrics": type("OwnNumberMetrics", (NumberMetrics,), {"__module__": __name__, "ratios": ratios}),
    }


class NumberMetrics(TaskMetrics):
    """Mean absolute, relative and root mean square error over all valid pixels and channels of the data set."""

    def __init__(self, task: OwnNumbers, device: torch.device | str) -> None:
        self._task = task
        names = ("count", "absolute", "squared", "positive", "relative")
        self._sums = StreamingSums(dict.fromkeys(names, 1), device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in predictions as a network puts them out, and targets, ``[B, C, H, W]``."""
        valid = self._task.valid(target).unsqueeze(1).expand_as(target)
        true = target[valid]
        difference = (self._task.decode(prediction)[valid] - true).abs()
        positive = true > 0
        self._sums.update(
            count=valid.sum(),
            absolute=wide_sum(difference),
            squared=wide_sum(difference.square()),
            positive=positive.sum(),
            relative=wide_sum(difference[positive] / true[positive]),
        )

    def compute(self) -> dict[str, float]:
        """The scores of the task's `metrics_info`."""
        sums = self._sums.totals()
        found = {name: ratio(sums[over], sums[under]) for name, (over, under) in self.ratios.items()}
        rmse = math.sqrt(ratio(sums["squared"], sums["count"]))
        return {name: found.get(name, rmse) for name in self._task.metrics_info}


class OwnNumbers(OwnTask, RegressionTask):
    """Numbers of a data set's own. What a network puts out is 0 at the low end of the range and 1 at the high one."""

    ends: ClassVar[Span]
    """The range."""
    file_settings: ClassVar[type[FileSettings]] = NumberFiles
    stored_dtype: ClassVar[str] = "float32"  # elevations and temperatures need more than 11 bits
    logarithmic: ClassVar[bool]
    """Whether the way from 0 to 1 is one of equal ratios instead of equal steps."""
    divides: ClassVar[bool]
    own_metrics: ClassVar[type[NumberMetrics]]

    @property
    def value_format(self) -> str:
        """Shape and range; what is predicted is not cut off at its ends."""
        return f"{super().value_format} in the data (predictions may lie beyond)"

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """Raise `DataError` for infinite values."""
        if np.isinf(target).any():
            raise DataError(f"{where}: {cls.name} is infinite; mark pixels without a value by NaN")

    def valid(self, target: Tensor) -> Tensor:
        """Pixels whose every channel is finite and, where logarithms are learned, above 0."""
        known = super().valid(target)
        return known & (target > 0).all(dim=1) if self.logarithmic else known

    def encode(self, target: Tensor) -> Tensor:
        """Values to shares of the range; NaN stays NaN."""
        low, high = self.ends
        if self.logarithmic:
            return (target / low).log() / math.log(high / low)
        return (target - low) / (high - low)

    def decode(self, prediction: Tensor) -> Tensor:
        """Shares of the range to values, which may lie outside."""
        low, high = self.ends
        share = at_least_float32(prediction)
        return low * (share * math.log(high / low)).exp() if self.logarithmic else low + share * (high - low)

    def mirror(self, prediction: Tensor) -> Tensor:
        """`flip` of what is meant."""
        return self.encode(self.flip(self.decode(prediction))) if self.vector else prediction.flip(-1)

    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Divided by the factor, if the definition says so."""
        return target / factor.view(-1, 1, 1, 1) if self.divides else target

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Absolute error and RMSE in the unit; where the range begins above 0 also the relative error."""
        return self.own_metrics(self, device)

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """1 at a quarter of the range, averaged over channels."""
        return (value - target).abs().mean(dim=1) / self.error_size

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """One channel by the colour map; of several the first three as red, green and blue, the missing one half lit."""
        if self.num_channels == 1:
            return super().colour(value, span)
        low, high = self.ends
        shares = (value[:, :3] - low) / (high - low)
        lacking = torch.where(shares[:, :1].isfinite(), 0.5, shares[:, :1])
        return paint(torch.cat((shares, lacking), dim=1)[:, :3])

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A colour bar over the range; of several channels what each colour means."""
        if self.num_channels == 1:
            return super().legend(values, span)
        shown = ("red", "green", "blue")[: self.num_channels]
        text = f"channels 1 to {len(shown)} as {', '.join(shown)}, each {self.values}"
        return Legend(self.title, self.error_scale(), text=text, unlabelled=self.unlabelled(values))

    def comparable(self, other: Task) -> bool:
        """With numbers of the same unit and kind, whatever their range."""
        same = ("unit", "channels", "flips")
        return isinstance(other, OwnNumbers) and all(self.definition[key] == other.definition[key] for key in same)

    def suspicions(self, target: Tensor) -> list[str]:
        """Values that are the same everywhere, or outside the range."""
        low, high = self.ends
        known = target[target.isfinite()]
        outside = [f"{self.name} leaves its range, {self.values}"] if known.min() < low or known.max() > high else []
        return super().suspicions(target) + outside

    def doubt_about(self, median: float) -> str:
        """A scale other than that of the range."""
        low, high = self.ends
        if low <= median <= high:
            return ""
        return f"the median {self.name} is {median:.3g}, outside its range, {self.values}; are scale and unit right?"
