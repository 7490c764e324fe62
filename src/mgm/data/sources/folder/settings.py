"""``dataset.yaml``: what the files of a folder mean. Every key may be left out; presets are such files too."""

from __future__ import annotations

import dataclasses
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
"""How sure labels are that a network has predicted; for people, and not read."""
_SEE = "see docs/data.md for an example"


@dataclass(frozen=True)
class SplitSettings:
    """How images are split into training, validation and test."""

    validation: float = 0.15
    """Share of the labelled images for choosing the model."""
    test: float = 0.15
    """Share of the labelled images for the test."""
    train: int = 0
    """Number of training images, the rest halved, where the two shares would leave more than that; 0: the shares count."""
    random: Literal["keep", "all"] = "keep"
    """keep: the random split leaves a given validation or test part alone; all: it draws from all images."""
    val_is_test: bool = False
    """Whether the part called ``val`` is the test set."""
    official_validation: float = 0.0
    """Share of the given training part that the official split takes for validation, if none is given."""


@dataclass(frozen=True)
class TableSettings:
    """The table of scene labels and parts of the split."""

    file: str = "labels.csv"
    name: str = ""
    """Column with the image; empty: name, image, file or filename."""
    split: str = "split"
    """Column with the part of the split."""
    labels: tuple[str, ...] = ()
    """Columns with scene labels; empty: those that begin with label or scene, and any other one as a flag of its own."""
    group: str = ""
    """Column with a group, such as the building. The split of that name keeps groups together."""


def _pairs(values: object) -> object:
    """A pair of numbers as a list of one pair."""
    return [values] if is_sequence(values) and not any(is_sequence(value) for value in values) else values


@dataclass(frozen=True)
class ImageFiles(FileSettings):
    """Where the images lie, and what their channels are."""

    channels: int = 0
    """Channels of the files, 1 to 16; 0: RGB of 8 bits, which everything else is made into."""
    range: Annotated[tuple[tuple[float, float], ...], BeforeValidator(_pairs)] = ()
    """Numbers that become black and white, for all channels or a pair for each; empty: by the type of the file."""
    show: tuple[int, ...] = ()
    """Channels, from 0, that pictures show as red, green and blue, or one as grey."""

    @property
    def image(self) -> ImageFormat:
        """The images as declared, of 16 bits where anything but `show` is."""
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
    """Name of the data set; empty: that of the folder."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order; empty: from ``class_file``, the colours, or counted in the label maps."""
    class_file: str = "classes.txt"
    """List of the class names, one per line."""
    num_classes: int = 0
    """Number of classes; 0: as many as there are names."""
    scenes: Literal["auto", "folders", "classes", "none"] = "auto"
    """Scene labels: from the table or else the folders below rgb; from these folders; the classes in view; none."""
    scene_file: str = ""
    """List of the scene names in index order, one per line; empty: the names that occur, sorted."""
    rgb: ImageFiles = field(default_factory=ImageFiles)
    mask: FileSettings = field(default_factory=FileSettings)
    """Pictures that are black where all targets but classes are invalid."""
    table: TableSettings = field(default_factory=TableSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    parts: tuple[str, ...] = ()
    """Parts of the split (train, val, test) that must hold images."""
    complete: bool = False
    """Whether every image must have every label, and be listed in the table if there is one."""
    order: Literal["name", "number"] = "name"
    """Order of the images within a part: as text, or by number."""
    crop: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    """Image size such as 640x480 -> top, bottom, left and right of the pixels to use; other sizes are used whole."""
    notes: dict[str, str] = field(default_factory=dict)
    """What readers of results have to know."""
    tasks: dict[str, FileSettings] = field(default_factory=dict)
    """Task -> its files; in the YAML file each task is a key of its own, or below ``tasks``."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Task that is defined here -> its definition; in the YAML file below ``tasks``, together with its files."""

    @property
    def kinds(self) -> dict[str, type[Task]]:
        """All tasks that there may be files of."""
        return task_kinds(self.own_tasks)

    def files(self, kind: str) -> FileSettings:
        """Settings of ``rgb``, ``mask`` or a task."""
        if kind in (kinds := self.kinds):
            return self.tasks.get(kind) or kinds[kind].file_settings()
        return getattr(self, kind)

    def folder(self, kind: str) -> str:
        """Name of the folder of ``rgb``, ``mask`` or a task; empty for masks where a task has theirs."""
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
    """Read ``dataset.yaml``, or the defaults if there is none.

    Raises:
        DataError: If it is no YAML, has unknown keys (the message lists the near ones), or values that cannot be.
    """
    return parse_settings(tree.read(FILE), tree.describe(FILE)) if FILE in tree.names() else FolderSettings()


def parse_settings(content: bytes, where: str) -> FolderSettings:
    """Settings from the content of a YAML file; see `read_settings`."""
    try:
        values = parse_yaml(content)
    except ValueError as error:
        raise DataError(f"{where}: is no YAML ({error}); mend it, {_SEE}") from None
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
    """Task -> definition, and task -> settings of its files, from what stands below ``tasks``."""
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
    """One nested mapping; a single value stands for a list of one."""
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
    """What a value that was refused must be, and was."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        if "[key]" in place and not isinstance(value, bool):
            return (
                f"names stand before numbers, as in {{tree: {value}}}; a name that is a number needs quotes: '{value}'"
            )
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
                f"{where}: {name!r} is no name of a setting; numbers are written with a point, 0.04, not with a comma"
            )
        if name not in names:
            raise DataError(f"{where}: {unknown('key', str(name), names)}")


def _problem(settings: FolderSettings) -> str:
    """The first contradiction or impossible value, in words; empty if there is none."""
    if not settings.name.isprintable():
        return f"name {settings.name[:40]!r} has characters that cannot be shown; write a line of text"
    split = settings.split
    if not (split.validation >= 0 and split.test >= 0 and split.validation + split.test < 1):
        return "split: validation and test must be shares that leave something to train on"
    if not 0 <= split.official_validation < 1 or split.train < 0:
        return "split: official_validation must be a share below 1, and train at least 0"
    for name, files in {"rgb": settings.rgb, **settings.tasks}.items():
        if problem := files.problem():
            return f"{name}: {problem}"
        if name in settings.own_tasks and getattr(files, "first", None) == "auto":
            return f"{name}: first must be a number where the classes are named"
    names, coded = settings.classes, settings.class_files.colours or settings.class_files.values
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        return f"class {twice[0]!r} stands twice in classes; give every class its own name"
    if max(len(names), settings.num_classes) > IGNORE_INDEX:
        return f"classes must be at most {IGNORE_INDEX} different names"
    if coded and names and set(coded) != set(names):
        odd = sorted(set(coded) ^ set(names))[0]
        return f"class {odd!r} is in only one of classes and semantic: {'colours' if settings.class_files.colours else 'values'}"
    folders = [settings.folder(kind).lower() for kind in ("rgb", "mask", *settings.kinds)]
    if len(set(folders)) < len(folders) or any("/" in folder or folder.startswith(".") for folder in folders):
        return "every kind of file needs a folder of its own, named without '/'"
    return ""
