"""``dataset.yaml``: settings that define what the files of a folder mean. All keys are optional; presets use the same format."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from mgm.data.files import FileTree, parse_yaml
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import TASKS, Task, task_kinds
from mgm.tasks.files import ClassFiles, FileSettings
from mgm.tasks.own import split_entry
from mgm.types import IGNORE_INDEX, ImageFormat, is_sequence

FILE = "dataset.yaml"
CONFIDENCE_FILE = "confidence.csv"
"""Confidences of labels that were predicted by a network; written for people, never read."""
_SEE = "see docs/data.md for an example"


@dataclass(frozen=True)
class SplitSettings:
    """How images are split into training, validation and test."""

    validation: float = 0.15
    """Fraction of the labelled images for validation."""
    test: float = 0.15
    """Fraction of the labelled images for the test."""
    train: int = 0
    """Maximum number of labelled training images; the remaining ones are halved between validation and test, as far as these are
    drawn. 0: no maximum."""
    random: Literal["keep", "all"] = "keep"
    """keep: the random split keeps a given validation or test part; all: it draws from all labelled images."""
    val_is_test: bool = False
    """Whether the part named ``val`` is the test set."""
    official_validation: float = 0.0
    """Fraction of the labelled training images that the official split uses for validation if no validation part is given."""


@dataclass(frozen=True)
class TableSettings:
    """The table of scene labels and parts of the split."""

    file: str = "labels.csv"
    name: str = ""
    """Column of the image's name; empty: name, image, file or filename."""
    split: str = "split"
    """Column of the part of the split."""
    labels: tuple[str, ...] = ()
    """Columns of scene labels; empty: those that begin with label or scene, and every other column as a 0/1 label of its own."""
    group: str = ""
    """Column of a group, such as the building. A split of this name keeps groups together."""


def _pairs(values: object) -> object:
    """Wrap a single pair of numbers into a list."""
    return [values] if is_sequence(values) and not any(is_sequence(value) for value in values) else values


@dataclass(frozen=True)
class ImageFiles(FileSettings):
    """Location of the images, and the meaning of their channels."""

    channels: int = 0
    """Number of channels of the files, 1 to 16; 0: every file is converted to 8-bit RGB."""
    range: Annotated[tuple[tuple[float, float], ...], BeforeValidator(_pairs)] = ()
    """Numbers that mean black and white: one pair for all channels, or one for each; empty: the range of the file's dtype."""
    show: tuple[int, ...] = ()
    """Channels (from 0) that are displayed as red, green and blue, or one that is displayed as grey."""

    @property
    def image(self) -> ImageFormat:
        """The declared format: uint16 if channels or range are declared, else uint8."""
        declared = self.channels or self.range
        return ImageFormat(self.channels or 3, "uint16" if declared else "uint8", self.range, self.show)

    def problem(self) -> str:
        """See `FileSettings.problem`."""
        try:
            _ = self.image
        except ValueError as error:
            return str(error)
        return ""


@dataclass(frozen=True)
class FolderSettings:
    """The content of ``dataset.yaml``."""

    name: str = ""
    """Name of the data set; empty: the name of the folder."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order; empty: from colours or values, ``class_file``, or counted in the label maps."""
    class_file: str = "classes.txt"
    """File with the class names, one per line."""
    num_classes: int = 0
    """Number of classes; 0: the number of names."""
    scenes: Literal["auto", "folders", "classes", "none"] = "auto"
    """Source of scene labels. auto: the table, else the folders below rgb; folders: these folders; classes: the visible classes."""
    scene_file: str = ""
    """File with the scene names in index order, one per line; empty: the names that occur, sorted."""
    rgb: ImageFiles = field(default_factory=ImageFiles)
    mask: FileSettings = field(default_factory=FileSettings)
    """Mask images: where they are black, all targets except classes are invalid."""
    table: TableSettings = field(default_factory=TableSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    parts: tuple[Literal["train", "val", "test"], ...] = ()
    """Parts of the split that must not be empty."""
    complete: bool = False
    """Whether every image must have every label, and be listed in the table if there is one."""
    order: Literal["name", "number"] = "name"
    """Order of the images within a part: as text, or by number."""
    crop: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    """Image size such as 640x480 -> top, bottom, left and right of the region to use; images of other sizes are not cropped."""
    notes: dict[str, str] = field(default_factory=dict)
    """Notes for readers of results."""
    tasks: dict[str, FileSettings] = field(default_factory=dict)
    """Task -> settings of its files. In the YAML file, each task is a top-level key or a key below ``tasks``."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Task defined by this data set -> its definition. In the YAML file it is below ``tasks``, together with its file settings."""

    @property
    def kinds(self) -> dict[str, type[Task]]:
        """All tasks that may have files."""
        return task_kinds(self.own_tasks)

    def files(self, kind: str) -> FileSettings:
        """Settings of ``rgb``, ``mask`` or a task."""
        if kind in (kinds := self.kinds):
            return self.tasks.get(kind) or kinds[kind].file_settings()
        return getattr(self, kind)

    def folder(self, kind: str) -> str:
        """Name of the folder of ``rgb``, ``mask`` or a task; empty for ``mask`` if a task uses that folder."""
        taken = kind == "mask" and any(files.folder.lower() == kind for files in self.tasks.values())
        return self.files(kind).folder or ("" if taken else kind)

    @property
    def class_files(self) -> ClassFiles:
        """Settings of the label maps."""
        settings = self.files("semantic")
        assert isinstance(settings, ClassFiles)
        return settings


_GROUPS: dict[str, type] = {"rgb": ImageFiles, "mask": FileSettings, "table": TableSettings, "split": SplitSettings}


def read_settings(tree: FileTree) -> FolderSettings:
    """Read ``dataset.yaml``; without that file, return the defaults.

    Raises:
        DataError: If it is not YAML, or has unknown keys (the message suggests similar ones) or invalid values.
    """
    return parse_settings(tree.read(FILE), tree.describe(FILE)) if FILE in tree.names() else FolderSettings()


def parse_settings(content: bytes, where: str) -> FolderSettings:
    """Parse settings from the content of a YAML file; see `read_settings`."""
    try:
        values = parse_yaml(content)
    except ValueError as error:
        raise DataError(f"{where}: is not valid YAML ({error}); correct it, {_SEE}") from None
    if values is None:
        return FolderSettings()
    if not isinstance(values, dict):
        raise DataError(f"{where}: must be a mapping such as 'depth: {{unit: mm}}', not {values!r:.60}")
    keys = [item.name for item in dataclasses.fields(FolderSettings) if item.name != "own_tasks"]
    _check_keys(values, [*keys, *TASKS], where)
    groups = {**_GROUPS, **{name: task.file_settings for name, task in TASKS.items()}}
    built = {name: _group(values[name], kind, name, where) for name, kind in groups.items() if name in values}
    plain = {name: value for name, value in values.items() if name not in groups and name != "tasks"}
    tasks = {name: built.pop(name) for name in TASKS if name in built}
    own, files = _own_tasks(values.get("tasks", {}), where)
    settings = dataclasses.replace(
        _validate(plain, FolderSettings, "", where), **built, tasks=tasks | files, own_tasks=own
    )
    if problem := _problem(settings):
        raise DataError(f"{where}: {problem}")
    return settings


def _own_tasks(entries: object, where: str) -> tuple[dict[str, dict[str, Any]], dict[str, FileSettings]]:
    """Task -> definition, and task -> file settings, from the entries below ``tasks``."""
    if not isinstance(entries, dict):
        raise DataError(
            f"{where}: tasks must be a mapping such as 'height: {{unit: m, range: [0, 40]}}', not {entries!r:.60}"
        )
    own: dict[str, dict[str, Any]] = {}
    files: dict[str, FileSettings] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise DataError(
                f"{where}: tasks: {name} must be a mapping such as {{unit: m, range: [0, 40]}}, not {entry!r:.60}"
            )
        try:
            own[name], of_files = split_entry(str(name), entry)
            kind = task_kinds({name: own[name]})[name]
        except ConfigError as error:
            raise DataError(f"{where}: {error}") from None
        files[name] = _group(of_files, kind.file_settings, f"tasks.{name}", where)
    return own, files


def _group(values: object, kind: type, name: str, where: str) -> Any:
    """Validate a nested mapping; where a list is expected, a single value is accepted too."""
    if not isinstance(values, dict):
        raise DataError(f"{where}: {name} must be a mapping, not {values!r:.60}")
    fields = {item.name: item.default for item in dataclasses.fields(kind)}
    _check_keys(values, list(fields), f"{where}, {name}")
    wrapped = {
        key: [value] if isinstance(fields[key], tuple) and isinstance(value, int | float | str) else value
        for key, value in values.items()
    }
    return _validate(wrapped, kind, name, where)


def _validate(values: dict[str, Any], kind: type, name: str, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (*filter(None, [name]), *first["loc"]))
        raise DataError(f"{where}: {place}: {_in_words(first['type'], place, first['input'], first['msg'])}") from None
    except (RecursionError, OverflowError) as error:
        raise DataError(f"{where}: {error}; {_SEE}") from None


def _in_words(kind: str, place: str, value: object, message: str) -> str:
    """Explain a validation error: what the value must be, and what it is."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        if "[key]" in place and not isinstance(value, bool):
            return f"write the name before the number, as in {{tree: {value}}}; a name that is a number needs quotes: '{value}'"
        what = "yes or no (also on, off, true, false)" if isinstance(value, bool) else "a number"
        return f"must be text, but YAML reads {what} here (got {value!r}); put the name in quotes, as 'no' or '1'"
    if kind == "tuple_type":
        count = (
            "; the number of classes is given by num_classes" if place == "classes" and isinstance(value, int) else ""
        )
        return f"must be a list, such as [wall, floor]{count} (got {value!r:.60})"
    return f"{message} (got {value!r:.60})"


def _check_keys(values: dict[Any, Any], names: list[str], where: str) -> None:
    for name in values:
        if name not in names and not isinstance(name, str):
            raise DataError(
                f"{where}: {name!r} is not the name of a setting; write decimals with a point, as 0.04, not with a comma"
            )
        if name not in names:
            raise DataError(f"{where}: {unknown('key', str(name), names)}")


def _problem(settings: FolderSettings) -> str:
    """Error message about the first contradiction or invalid value; empty if there is none."""
    if not settings.name.isprintable():
        return f"name {settings.name[:40]!r} has characters that cannot be displayed; use one line of printable text"
    split = settings.split
    if not (split.validation >= 0 and split.test >= 0 and split.validation + split.test < 1):
        return "split: validation and test must be fractions of at least 0, with a sum below 1 to leave images for training"
    if not 0 <= split.official_validation < 1 or split.train < 0:
        return "split: official_validation must be at least 0 and below 1, and train at least 0"
    for name, files in {"rgb": settings.rgb, **settings.tasks}.items():
        if problem := files.problem():
            return f"{name}: {problem}"
        if name in settings.own_tasks and getattr(files, "first", None) == "auto":
            return f"{name}: first is auto, but the classes are named; set it to a number"
    for size, (top, bottom, left, right) in settings.crop.items():
        width, height = map(int, size.split("x")) if re.fullmatch(r"\d+x\d+", size) else (0, 0)
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            return (
                f"crop: {size}: [{top}, {bottom}, {left}, {right}] must be top, bottom, left and right of a region within an image "
                "of WIDTHxHEIGHT pixels, as in {640x480: [45, 471, 41, 601]}"
            )
    names, coded = settings.classes, settings.class_files.colours or settings.class_files.values
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        return f"class {twice[0]!r} is listed twice in classes; give every class its own name"
    if max(len(names), settings.num_classes) > IGNORE_INDEX:
        return f"classes must be at most {IGNORE_INDEX} different names"
    if coded and names and set(coded) != set(names):
        odd = sorted(set(coded) ^ set(names))[0]
        return (
            f"class {odd!r} is in only one of classes and semantic: "
            f"{'colours' if settings.class_files.colours else 'values'}; both must name the same classes"
        )
    folders = [settings.folder(kind).lower() for kind in ("rgb", "mask", *settings.kinds)]
    if len(set(folders)) < len(folders) or any("/" in folder or folder.startswith(".") for folder in folders):
        return "every kind of file needs a folder of its own, whose name has no '/' and does not begin with '.'"
    return ""
