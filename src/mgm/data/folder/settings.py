"""``dataset.yaml``: what the numbers in the files of a folder mean. All of it may be left out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from mgm.data.files import FileTree
from mgm.errors import DataError, first_problem, unknown
from mgm.types import IGNORE_INDEX

FILE = "dataset.yaml"
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """Where the files of one kind lie."""

    folder: str = ""
    """Name of the folder; empty: that of the task."""
    suffix: str = ""
    """What file names have behind the name of the picture, e.g. ``_depth`` for ``0001_depth.png``."""


@dataclass(frozen=True)
class SemanticLayer(Layer):
    """Label maps."""

    ignore: tuple[int, ...] = (IGNORE_INDEX,)
    """Labels of pixels without a class."""
    colours: dict[str, Colour] = field(default_factory=dict)
    """Class -> its colour, for label maps in colours; other colours are pixels without a class only if listed in
    ``ignore_colours``."""
    ignore_colours: tuple[Colour, ...] = ((0, 0, 0),)
    """Colours of pixels without a class, unless one of the classes has that colour."""


@dataclass(frozen=True)
class DepthLayer(Layer):
    """Depth maps."""

    unit: Literal["", "m", "cm", "mm"] = ""
    """Of the numbers; empty: mm for whole numbers, m for fractions."""
    scale: float = 0.0
    """Metres per number, instead of a unit."""
    missing: tuple[float, ...] = (0.0,)
    """Numbers that mean no value; so do negative, infinite and NaN ones."""
    max_m: float = 0.0
    """Larger values in metres mean no value; 0: no limit."""


@dataclass(frozen=True)
class NormalLayer(Layer):
    """Normal maps."""

    axes: Literal["opencv", "opengl"] = "opencv"
    """opencv: x right, y down, z forward; opengl: x right, y up, z towards the camera."""


@dataclass(frozen=True)
class CodedLayer(Layer):
    """Maps of values in [0, 1]."""

    maximum: float = 0.0
    """Number that stands for 1; 0: 255 in 8 bits, 65,535 in 16, and 1 for fractions."""


@dataclass(frozen=True)
class SplitSettings:
    """Sizes of the split that is made with a seed."""

    validation: float = 0.15
    """Share of the labelled images for choosing the model."""
    test: float = 0.15
    """Share of the labelled images for the test."""


@dataclass(frozen=True)
class FolderSettings:
    """All of the file."""

    name: str = ""
    """Name of the data set; empty: that of the folder."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order; empty: from ``classes.txt``, the colours, or the labels that occur."""
    scenes: Literal["auto", "folders", "none"] = "auto"
    """Scene labels: from ``labels.csv`` or else the folders below rgb; from these folders; none."""
    rgb: Layer = field(default_factory=Layer)
    semantic: SemanticLayer = field(default_factory=SemanticLayer)
    depth: DepthLayer = field(default_factory=DepthLayer)
    normal: NormalLayer = field(default_factory=NormalLayer)
    edge_texture: CodedLayer = field(default_factory=CodedLayer)
    reshading: CodedLayer = field(default_factory=CodedLayer)
    principal_curvature: CodedLayer = field(default_factory=CodedLayer)
    split: SplitSettings = field(default_factory=SplitSettings)
    notes: dict[str, str] = field(default_factory=dict)
    """What readers of results have to know."""

    def layer(self, task: str) -> Layer:
        """Where the files of ``rgb`` or a task lie."""
        return getattr(self, task)

    def maximum(self, task: str) -> float:
        """Number that stands for 1 in the files of a task of values in [0, 1]; 0: see `CodedLayer`."""
        layer = self.layer(task)
        return layer.maximum if isinstance(layer, CodedLayer) else 0.0

    def folder(self, task: str) -> str:
        """Name of the folder of ``rgb`` or a task."""
        return self.layer(task).folder or task


GROUPS: dict[str, type] = {
    "rgb": Layer,
    "semantic": SemanticLayer,
    "depth": DepthLayer,
    "normal": NormalLayer,
    "edge_texture": CodedLayer,
    "reshading": CodedLayer,
    "principal_curvature": CodedLayer,
    "split": SplitSettings,
}


def read_settings(tree: FileTree) -> FolderSettings:
    """Read ``dataset.yaml``, or the defaults if there is none.

    Raises:
        DataError: If it is no YAML, has unknown keys (the message lists the near ones), or values that cannot be.
    """
    if FILE not in tree.names():
        return FolderSettings()
    where = tree.describe(FILE)
    try:
        values = yaml.safe_load(tree.read(FILE).decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{where}: is no YAML ({reason}); mend it, see docs/data.md for an example") from None
    if values is None:
        return FolderSettings()
    settings = _build(values, where)
    _check(settings, where)
    return settings


def _build(values: object, where: str) -> FolderSettings:
    if not isinstance(values, dict):
        raise DataError(f"{where}: must be a mapping such as 'depth: {{unit: mm}}', not {values!r:.60}")
    built = dict(values)
    _check_keys(built, FolderSettings, where)
    for name, kind in GROUPS.items():
        if name in built:
            if not isinstance(built[name], dict):
                raise DataError(f"{where}: {name} must be a mapping, not {built[name]!r:.60}")
            _check_keys(built[name], kind, f"{where}, {name}")
    semantic = built.get("semantic", {})
    for key in ("ignore",):
        if isinstance(semantic.get(key), int):
            built["semantic"] = {**semantic, key: [semantic[key]]}
    depth = built.get("depth", {})
    if isinstance(depth.get("missing"), int | float):
        built["depth"] = {**depth, "missing": [depth["missing"]]}
    try:
        return TypeAdapter(FolderSettings).validate_python(built)
    except (ValidationError, RecursionError, OverflowError) as error:
        if not isinstance(error, ValidationError):
            raise DataError(f"{where}: {error}; see docs/data.md for an example") from None
        raise DataError(f"{where}: {first_problem(error)}") from None


def _check_keys(values: dict[Any, Any], kind: type, where: str) -> None:
    names = [item.name for item in dataclasses.fields(kind)]
    for name in values:
        if name not in names:
            raise DataError(f"{where}: {unknown('key', str(name), names)}")


def _check(settings: FolderSettings, where: str) -> None:
    """Raise for values that contradict each other or cannot be."""
    split, depth, colours = settings.split, settings.depth, settings.semantic.colours
    if not settings.name.isprintable():
        raise DataError(
            f"{where}: name {settings.name[:40]!r} has characters that cannot be shown; write a line of text"
        )
    if not (split.validation >= 0 and split.test >= 0 and split.validation + split.test < 1):
        raise DataError(f"{where}: split: validation and test must be shares that leave something to train on")
    if depth.unit and depth.scale:
        raise DataError(f"{where}: depth: give unit or scale, not both")
    if not (0 <= depth.scale < float("inf") and depth.max_m >= 0):
        raise DataError(f"{where}: depth: scale and max_m must be positive numbers")
    for task in ("edge_texture", "reshading", "principal_curvature"):
        if not 0 <= getattr(settings, task).maximum < float("inf"):
            raise DataError(f"{where}: {task}: maximum must be a positive number")
    names = list(settings.classes)
    if len(set(names)) < len(names) or len(names) > IGNORE_INDEX:
        raise DataError(f"{where}: classes must be at most {IGNORE_INDEX} different names")
    for colour in (*colours.values(), *settings.semantic.ignore_colours):
        if not all(0 <= part <= 255 for part in colour):
            raise DataError(f"{where}: semantic: colour {list(colour)} must be three numbers in 0..255")
    if len(set(colours.values())) < len(colours):
        raise DataError(f"{where}: semantic: two classes have the same colour")
    if colours and names and set(colours) != set(names):
        odd = sorted(set(colours) ^ set(names))[0]
        raise DataError(f"{where}: class {odd!r} is in only one of classes and semantic: colours")
    places = [settings.folder(task) for task in ("rgb", *GROUPS) if task != "split"][1:]
    if len(set(places)) < len(places) or any("/" in place or place.startswith(".") for place in places):
        raise DataError(f"{where}: every kind of file needs a folder of its own, named without '/'")
