"""Tasks that a data set defines (``tasks`` in its ``dataset.yaml``): numbers or classes per pixel, built from plain values.

Each definition yields a task class; equal definitions yield the same class. These classes are not added to `mgm.tasks.TASKS`:
the definition travels with the data (`mgm.types.DatasetInfo.own_tasks`), so that two data sets in one process may define the
same name differently.
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
from mgm.functional.precision import at_least_float32, widest_float
from mgm.tasks.base import Loss, MetricInfo, Span, Task, TaskMetrics
from mgm.tasks.files import ClassFiles, Colour, FileSettings, NumberFiles
from mgm.tasks.legend import Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import MAX_CLASSES, disc, paint, paint_vectors, palette
from mgm.tasks.regression import RegressionTask
from mgm.tasks.segmentation import Segmentation
from mgm.types import is_mapping, is_sequence

MAX_CHANNELS = 16
MAX_NAME = 40
"""Maximum length of a task's name in characters."""
SHOWN_CLASSES = 20
"""Maximum number of classes listed in the description of a task's values."""
ERROR_SHARE = 0.25
"""End of the error scale, as a fraction of the range."""
LARGEST = 1e30
"""Bound of the absolute value of a range's ends, well inside float32."""
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
"""Names that are already used by kinds of files, arrays of a store, entries of a result, or attributes of a network."""


@dataclass(frozen=True)
class NumberDefinition:
    """Definition of a task with numbers per pixel."""

    range: tuple[float, float]
    """Lowest and highest expected value, in the unit. Networks predict fractions of this range, and it is the colour scale."""
    channels: int = 1
    """Numbers per pixel."""
    title: str = ""
    """Used in tables and figures; empty: derived from the name."""
    unit: str = ""
    loss: Literal["l1", "l2", "log"] = "l1"
    """l1, l2: mean absolute or squared difference as a fraction of the range. log: mean absolute difference of logarithms; the
    network then predicts logarithms, and values must be above 0."""
    metrics: tuple[Literal["endpoint_error", "abs_error", "relative_error", "rmse", "r2"], ...] = ()
    """Metrics in the order of tables; the first one that is a mean over pixels is the primary one. Empty: all that apply."""
    flips: Literal["scalar", "vector"] = "scalar"
    """vector: the first channel is an x component, which changes sign when the image is flipped horizontally."""
    zoom: Literal["none", "divide"] = "none"
    """divide: values are distances from the camera, divided by the magnification when the image is zoomed."""

    def problem(self) -> str:
        """Error message about the first invalid value; empty if there is none."""
        low, high = self.range
        if not -LARGEST < low < high < LARGEST:
            return f"range is [{low:g}, {high:g}]; write the lowest value, then a higher one: range: [0, 40]"
        if not 1 <= self.channels <= MAX_CHANNELS:
            return f"channels is {self.channels}; it must be 1 to {MAX_CHANNELS}"
        if self.loss == "log" and low <= 0:
            return (
                f"loss is log, but the range [{low:g}, {high:g}] includes values without a logarithm; start it above 0"
            )
        if len(set(self.metrics)) < len(self.metrics):
            return "metrics names a metric twice; name each once"
        if self.metrics and not {*self.metrics} - {"rmse", "r2"}:
            return f"metrics is {' and '.join(self.metrics)} alone; add abs_error or relative_error, which the task is ranked by"
        if "relative_error" in self.metrics and low <= 0:
            return (
                f"metrics has relative_error, but the range [{low:g}, {high:g}] includes values that are not positive; "
                "start the range above 0, or leave the metric out"
            )
        if "endpoint_error" in self.metrics and self.flips != "vector":
            return "metrics has endpoint_error, the length of the difference of vectors; set flips: vector, or leave the metric out"
        if self.flips == "vector" and self.channels not in (2, 3):
            return f"flips is vector, but channels is {self.channels}; vectors need 2 or 3 channels"
        if self.zoom == "divide" and self.flips == "vector":
            return "zoom: divide is for distances, which are scalar; it cannot be combined with flips: vector"
        return ""


@dataclass(frozen=True)
class ClassDefinition:
    """Definition of a task with one class per pixel."""

    classes: tuple[str, ...]
    """Names in index order."""
    colours: dict[str, Colour] = field(default_factory=dict[str, Colour])
    """Class -> RGB in figures and legends, 0 to 255; other classes get a colour of the default palette."""
    title: str = ""
    """Used in tables and figures; empty: derived from the name."""
    loss: str = ""
    """Key of `Segmentation.losses`; empty: the default of ``semantic``."""

    def problem(self) -> str:
        """Error message about the first invalid value; empty if there is none."""
        if not 2 <= len(self.classes) <= MAX_CLASSES or len(set(self.classes)) < len(self.classes):
            return f"classes must be 2 to {MAX_CLASSES} different names"
        if odd := next((name for name in self.classes if not name.strip() or not name.isprintable()), None):
            return f"class name {odd!r} is blank or has characters that cannot be displayed; choose another name"
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
    """Split an entry of ``tasks`` in ``dataset.yaml`` into the checked definition, as plain values, and its file settings.

    ``classes`` is a list of names, or maps names to display colours. The colours of coloured label maps (``colours``) are also
    display colours; the classes may be named there, or by ``values``, instead of in ``classes``.

    Raises:
        ConfigError: If a key is unknown, or a value is invalid.
    """
    numbers = not {"classes", "colours", "values"} & entry.keys()
    keys = {
        kind: [[item.name for item in fields(part)] for part in parts]
        for kind, parts in {
            "numbers": (NumberDefinition, NumberFiles),
            "classes": (ClassDefinition, ClassFiles),
        }.items()
    }
    known, of_files = keys["numbers" if numbers else "classes"]
    for key in entry:
        if key in (*known, *of_files):
            continue
        if any(key in part for parts in keys.values() for part in parts):
            remedy = "give it classes: [NAME, NAME]" if numbers else "leave out classes, colours and values"
            raise ConfigError(
                f"tasks: {name}: {key!r} is for tasks with {'classes' if numbers else 'numbers'}; remove it, or {remedy}"
            )
        every = {word for parts in keys.values() for part in parts for word in part}
        raise ConfigError(f"tasks: {name}: {unknown('key', str(key), every)}")
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
            f"tasks: {name}: class {odd[0]!r} is in only one of classes and {'colours' if 'colours' in entry else 'values'}; "
            "both must name the same classes"
        )
    shown = classes if is_mapping(classes) and "classes" in entry else {}
    colours = coded if "colours" in entry else {}
    return {"classes": [*classes], "colours": colours | {key: colour for key, colour in shown.items() if colour}}


class OwnTask(Task):
    """Base class of tasks made by `define`."""

    definition: ClassVar[dict[str, Any]]
    """The definition as plain values, defaults included."""


def define(name: str, definition: Mapping[str, Any]) -> type[OwnTask]:
    """Make a task class from a definition as plain values: a `ClassDefinition` if it has ``classes``, else a `NumberDefinition`.

    Raises:
        ConfigError: If the definition is invalid, or the name is malformed or reserved.
    """
    return _define(name, json.dumps(definition, sort_keys=True, default=str))


@lru_cache(maxsize=1024)
def _define(name: str, text: str) -> type[OwnTask]:
    from pydantic import TypeAdapter, ValidationError

    if not re.fullmatch("[a-z][a-z0-9_]*", name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"tasks: {name!r} is not a valid task name; use up to {MAX_NAME} lower-case letters, digits and _, a letter first"
        )
    if name in RESERVED:
        raise ConfigError(f"tasks: {name!r} is a reserved name; choose another name")
    values = json.loads(text)
    kind = ClassDefinition if "classes" in values else NumberDefinition
    if kind is NumberDefinition and "range" not in values:
        raise ConfigError(f"tasks: {name}: give the range of its numbers, range: [LOW, HIGH], or classes: [NAME, NAME]")
    for key in values:
        if key not in (known := [item.name for item in fields(kind)]):
            raise ConfigError(f"tasks: {name}: {unknown('key', key, known)}")
    try:
        found = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"tasks: {name}: {first_problem(error)}") from None
    if not (found.title + getattr(found, "unit", "")).isprintable():
        raise ConfigError(f"tasks: {name}: title and unit must be one line of printable text")
    if problem := found.problem():
        raise ConfigError(f"tasks: {name}: {problem}")
    plain = json.loads(json.dumps(asdict(found)))
    if plain != values:  # equal definitions share one class, whether or not defaults are written out
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
    """A segmentation task that a data set defines, beside or instead of ``semantic``."""

    own_classes: ClassVar[tuple[str, ...]]
    own_palette: ClassVar[np.ndarray]

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        super().__init__(self.own_classes, loss)

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
    vector = found.flips == "vector"
    all_infos = {
        "endpoint_error": (f"endpoint_error{ending}", MetricInfo("end-point error", False, found.unit, precise)),
        "abs_error": (f"abs_error{ending}", MetricInfo("absolute error", False, found.unit, precise)),
        "relative_error": ("relative_error", MetricInfo("relative error", higher_is_better=False)),
        "rmse": (f"rmse{ending}", MetricInfo("RMSE", False, found.unit, precise)),
        "r2": ("r2", MetricInfo("R²", higher_is_better=True)),
    }
    apply = {"endpoint_error": vector, "relative_error": low > 0, "r2": not vector}
    wanted = found.metrics or [name for name in all_infos if apply.get(name, True)]
    infos = dict(all_infos[name] for name in wanted)
    sums = {
        "endpoint_error": ("distance", "pixels"),
        "abs_error": ("absolute", "count"),
        "relative_error": ("relative", "positive"),
    }
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
        "vector": vector,
        "divides": found.zoom == "divide",
        "own_metrics": type("OwnNumberMetrics", (NumberMetrics,), {"__module__": __name__, "ratios": ratios}),
    }


class NumberMetrics(TaskMetrics):
    """Mean absolute, relative and root mean square error over all valid pixels and channels of the data set, and R².

    R² is the coefficient of determination over all channels: 1 for exact predictions, 0 for the mean of the targets. For vectors
    also the end-point error, the mean length of the difference (Otte and Nagel, 1994).
    """

    def __init__(self, task: OwnNumbers, device: torch.device | str) -> None:
        self._task = task
        names = ("count", "absolute", "squared", "positive", "relative") + ("pixels", "distance") * task.vector
        sizes: dict[str, int] = dict.fromkeys(names, 1)
        sizes.update(dict.fromkeys(("labels", "shares", "squared_shares"), task.channels))
        self._sums = StreamingSums(sizes, device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add predictions (network outputs) and targets, ``[B, C, H, W]``."""
        labelled, value = self._task.valid(target), self._task.decode(prediction)
        valid = labelled.unsqueeze(1).expand_as(target)
        true = target[valid]
        difference = (value[valid] - true).abs()
        positive = true > 0
        apart = {}
        if self._task.vector:
            apart = {
                "pixels": labelled.sum(),
                "distance": wide_sum((value - target).square().sum(dim=1).sqrt()[labelled]),
            }
        low, high = self._task.ends
        shares = torch.where(valid, (target - low) / (high - low), 0).to(widest_float(target.device))
        self._sums.update(
            **apart,
            labels=valid.sum((0, 2, 3)),
            shares=shares.sum((0, 2, 3)),
            squared_shares=shares.square().sum((0, 2, 3)),
            count=valid.sum(),
            absolute=wide_sum(difference),
            squared=wide_sum(difference.square()),
            positive=positive.sum(),
            relative=wide_sum(difference[positive] / true[positive]),
        )

    def compute(self) -> dict[str, float]:
        """The metrics of the task's `metrics_info`."""
        sums = self._sums.totals()
        found = {name: ratio(sums[over], sums[under]) for name, (over, under) in self.ratios.items()}
        low, high = self._task.ends
        varying = (sums["squared_shares"] - sums["shares"].square() / sums["labels"].clamp(min=1)).sum()
        found["r2"] = 1 - ratio(sums["squared"], varying * (high - low) ** 2)
        rmse = math.sqrt(ratio(sums["squared"], sums["count"]))
        return {name: found.get(name, rmse) for name in self._task.metrics_info}


class OwnNumbers(OwnTask, RegressionTask):
    """A regression task that a data set defines. Predictions are 0 at the low end of the range and 1 at the high end."""

    ends: ClassVar[Span]
    """Low and high end of the range."""
    file_settings: ClassVar[type[FileSettings]] = NumberFiles
    stored_dtype: ClassVar[str] = "float32"  # elevations and temperatures need more than 11 bits
    logarithmic: ClassVar[bool]
    """Whether predictions from 0 to 1 are logarithmic in the value instead of linear."""
    divides: ClassVar[bool]
    """Whether values are divided by the magnification, see `NumberDefinition.zoom`."""
    own_metrics: ClassVar[type[NumberMetrics]]

    @property
    def value_format(self) -> str:
        """Shape, range and axes. Predictions are not clipped to the range."""
        axes = "; vector: x right, y down" if self.vector else ""
        return f"{super().value_format} in the data (predictions may lie beyond){axes}"

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """Raise `DataError` for infinite values."""
        if np.isinf(target).any():
            raise DataError(f"{where}: {cls.name} is infinite; mark pixels without a value by NaN")

    def valid(self, target: Tensor) -> Tensor:
        """Pixels whose every channel is finite and, for the loss ``log``, above 0."""
        known = super().valid(target)
        return known & (target > 0).all(dim=1) if self.logarithmic else known

    def encode(self, target: Tensor) -> Tensor:
        """Convert values to fractions of the range; NaN stays NaN."""
        low, high = self.ends
        if self.logarithmic:
            return (target / low).log() / math.log(high / low)
        return (target - low) / (high - low)

    def decode(self, prediction: Tensor) -> Tensor:
        """Convert fractions of the range to values, which may be outside the range."""
        low, high = self.ends
        share = at_least_float32(prediction)
        return low * (share * math.log(high / low)).exp() if self.logarithmic else low + share * (high - low)

    def mirror(self, prediction: Tensor) -> Tensor:
        """`flip`, applied to the decoded values of vectors."""
        return self.encode(self.flip(self.decode(prediction))) if self.vector else prediction.flip(-1)

    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Divide by the factor if the definition has ``zoom: divide``."""
        return target / factor.view(-1, 1, 1, 1) if self.divides else target

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Absolute error and RMSE in the unit, the relative error if the range is above 0, the end-point error of vectors."""
        return self.own_metrics(self, device)

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """Mean absolute difference over channels, or the length of a vector's difference, divided by a quarter of the range."""
        apart = value - target
        return (apart.square().sum(dim=1).sqrt() if self.vector else apart.abs().mean(dim=1)) / self.error_size

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """One channel is coloured by the colour map, a vector of two as optical flow (`paint_vectors`).

        Of other channels, the first three are red, green and blue; a missing blue is 0.5.
        """
        if self.num_channels == 1:
            return super().colour(value, span)
        if self._as_flow:
            return paint_vectors(value, self._longest)
        low, high = self.ends
        shares = (value[:, :3] - low) / (high - low)
        lacking = torch.where(shares[:, :1].isfinite(), 0.5, shares[:, :1])
        return paint(torch.cat((shares, lacking), dim=1)[:, :3])

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """A colour bar over the range, a disc of the colours of vectors, or the meaning of the colours of channels as text."""
        if self.num_channels == 1:
            return super().legend(values, span)
        if self._as_flow:
            places, opacity = disc()
            picture = torch.stack((*paint_vectors(places[None], 1)[0], opacity), dim=-1).numpy()
            rim = f"{self._longest:g}\N{NO-BREAK SPACE}{self.unit}".rstrip()
            text = f"hue: direction (x right, y down); white: 0, rim: {rim} or more"
            unlabelled = self.unlabelled(values)
            return Legend(self.title, self.error_scale(), picture=picture, text=text, unlabelled=unlabelled)
        shown = ("red", "green", "blue")[: self.num_channels]
        text = f"channels 1 to {len(shown)} as {', '.join(shown)}, each {self.values}"
        return Legend(self.title, self.error_scale(), text=text, unlabelled=self.unlabelled(values))

    @property
    def _as_flow(self) -> bool:
        """Whether values are coloured by direction and length."""
        return self.vector and self.num_channels == 2

    @property
    def _longest(self) -> float:
        """Length of a vector whose colour is fully saturated."""
        return max(map(abs, self.ends))

    def comparable(self, other: Task) -> bool:
        """Whether the other task has the same unit, number of channels and flips; the range may differ."""
        same = ("unit", "channels", "flips")
        return isinstance(other, OwnNumbers) and all(self.definition[key] == other.definition[key] for key in same)

    def suspicions(self, target: Tensor) -> list[str]:
        """Warn of values that are the same everywhere, or outside the range."""
        low, high = self.ends
        known = target[target.isfinite()]
        outside = [f"{self.name} leaves its range, {self.values}"] if known.min() < low or known.max() > high else []
        return super().suspicions(target) + outside

    def doubt_about(self, median: float) -> str:
        """Warn of a median outside the range, which suggests a wrong scale or unit."""
        low, high = self.ends
        if low <= median <= high:
            return ""
        return f"the median {self.name} is {median:.3g}, outside its range, {self.values}; check scale and unit"
