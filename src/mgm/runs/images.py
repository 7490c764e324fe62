"""Record of the images that a run was trained, selected and tested on, by name and content, to detect changes of the data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mgm.data import open_source
from mgm.data.base import DataSource, Splits
from mgm.data.files import write_text
from mgm.data.store import Store, cached_store, rows_of
from mgm.errors import ConfigError, DataError, MgmError
from mgm.runs.folder import RunFolder, read_json
from mgm.types import DatasetInfo

Images = dict[str, str]
"""Name of an image -> digest of its converted pixels."""
SHOWN_NAMES = 3


@dataclass(frozen=True)
class RunImages:
    """Content of ``images.json`` of a run."""

    labelled: Images
    """Training images whose labels are used."""
    weak: Images
    """Training images of which at most the scene label is used."""
    validation: Images
    test: Images
    unused: Images
    """All other images."""
    checksums: dict[str, str]
    """File -> checksum of the converted data, labels and splits included."""
    before: tuple[str, ...] = ()
    """Digests of the images that the weights learned from earlier: those of `pretrain` and of `encoder_run`."""
    pretrain: str = ""
    """Hash of the data set of `pretrain`, its labels included; empty: none."""

    @classmethod
    def of(
        cls, store: Store, splits: Splits, labelled: np.ndarray, weak: np.ndarray, **learned_before: Any
    ) -> RunImages:
        """Make the record for a new run; ``learned_before`` are `before` and `pretrain`."""
        names = unique_names(store)
        used = (labelled, weak, splits.validation, splits.test)
        unused = np.setdiff1d(np.arange(len(store)), np.concatenate(used))
        parts = ({names[index]: str(store.digests[index]) for index in map(int, part)} for part in (*used, unused))
        return cls(*parts, checksums=dict(store.manifest["checksums"]), **learned_before)

    @classmethod
    def read(cls, path: Path) -> RunImages:
        """Read the record of a run. Raises `RunError` if the file is missing or damaged."""
        return read_json(path, cls)

    def write(self, path: Path) -> None:
        """Write the file, with one line per field."""
        lines = (f"{json.dumps(name)}: {json.dumps(images)}" for name, images in asdict(self).items())
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @property
    def seen(self) -> Images:
        """All images that the run was trained or selected on."""
        return self.labelled | self.weak | self.validation

    @property
    def known(self) -> frozenset[str]:
        """Digests of all images that the run, or the weights that it started from, were trained or selected on."""
        return frozenset(self.seen.values()).union(self.before)

    @property
    def all(self) -> Images:
        """All images of the data set."""
        return self.seen | self.test | self.unused

    def splits(self, store: Store) -> Splits:
        """Indices of the recorded images in the current data; missing ones are skipped, new ones are in no part.

        A test image is left out if its pixels have changed to those of an image that the run has seen.
        """
        places = {name: index for index, name in enumerate(unique_names(store))}

        def present(images: Iterable[str]) -> np.ndarray:
            return np.sort(np.array([places[name] for name in images if name in places], dtype=np.int64))

        known = self.known
        test = [
            name
            for name, digest in self.test.items()
            if name in places and ((now := store.digest(places[name])) == digest or now not in known)
        ]
        return Splits(present(self.labelled | self.weak), present(self.validation), present(test))

    def unseen(self, store: Store) -> np.ndarray:
        """Indices of the images of any store that the run was neither trained nor selected on, compared by content."""
        known = self.known
        return np.flatnonzero([digest not in known for digest in store.digests])

    def changes(self, store: Store, then: DatasetInfo) -> str:
        """Describe how the data have changed since the run was started, when ``then`` described them; empty if they have not."""
        own = store.info.own_tasks
        redefined = [name for name, was in then.own_tasks.items() if own.get(name, was) != was]
        if store.manifest["checksums"] == self.checksums and not redefined:
            return ""
        names, before = unique_names(store), self.all
        now = {name: str(store.digests[index]) for index, name in enumerate(names) if name in before}
        found = [
            _counted("new", [name for name in names if name not in before]),
            _counted("gone", [name for name in before if name not in now]),
            _counted("changed", [name for name, digest in now.items() if before[name] != digest]),
            f"another definition of {', '.join(redefined)}" if redefined else "",
        ]
        for kind in ("classes", "tasks", "scenes"):
            old, new = set(getattr(then, kind)), set(getattr(store.info, kind))
            mapped = [list(then.classes), *(was.get("classes") for was in then.own_tasks.values())]
            if kind == "scenes" and list(then.scenes) in mapped:  # derived from the label maps
                continue
            found += [
                f"{kind} {what}: {listed(sorted(differing))}"
                for what, differing in (("new", new - old), ("gone", old - new))
                if differing
            ]
        if set(names) == before.keys():  # else the arrays have other rows
            files = [
                file for file, value in self.checksums.items() if store.manifest["checksums"].get(file, value) != value
            ]
            other = {_meaning(file) for file in files if file != "image.npy" or not any(found)}
            found.append(f"other {', '.join(sorted(other))}" if other else "")
        return "; ".join(filter(None, found))


@dataclass(frozen=True)
class RunData:
    """The current data of a run."""

    source: DataSource
    store: Store
    images: RunImages
    then: DatasetInfo
    """Description of the data when the run was started."""
    changes: str
    """Changes since then, in words; empty: none."""

    @cached_property
    def info(self) -> DatasetInfo:
        """Description of the current data, with the classes that the run learned.

        Raises:
            DataError: If the meaning of images or labels has changed.
        """
        try:
            return with_classes_of(self.source.info, self.then)
        except ConfigError as error:
            raise DataError(
                f"{self.then.name} has changed since the run was begun ({self.changes or error}): its images or labels no "
                "longer mean what the run learned; restore it, score other data (--data), or train a new run"
            ) from None

    def check_unchanged(self) -> None:
        """Raise `DataError` if the data have changed since the run was started."""
        if self.changes:
            raise DataError(
                f"the run cannot be continued: {self.then.name} has changed since it was begun ({self.changes}); restore it, or "
                "train a new run"
            )

    @cached_property
    def splits(self) -> Splits:
        """See `RunImages.splits`."""
        return self.images.splits(self.store)


def open_run_data(folder: RunFolder) -> RunData:
    """Open the data of a run.

    Raises:
        DataError: If the data are missing or unreadable.
        ConfigError: If their name is not a known data set.
    """
    config, then, images = folder.experiment().data, folder.info(), RunImages.read(folder.images)
    try:
        source = open_source(config.data, config.num_images)
        store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    except MgmError as error:
        moved = f"; if they have moved, give their new path as data in {folder.config}"
        raise type(error)(f"the data of {folder.path} cannot be opened: {error}{moved}") from None
    return RunData(rows_of(store, source), store, images, then, images.changes(store, then))


def with_classes_of(info: DatasetInfo, learned: DatasetInfo) -> DatasetInfo:
    """The description of a data set with the classes that a run learned, since its label maps may lack the last ones.

    Raises:
        ConfigError: If classes, channels or value range of the images differ.
    """
    check_channels("data", info, learned)
    if info.image.value_range != learned.image.value_range:
        raise ConfigError(
            f"images of {info.name} have {info.image}, those that the run learned {learned.image}; declare the same range in "
            "dataset.yaml, and the numbers that belong to it in the files"
        )
    if not (learned.classes and info.classes) or learned.classes[: len(info.classes)] == info.classes:
        return replace(info, classes=learned.classes or info.classes, colours=learned.colours or info.colours)
    more = [name for name in info.classes if name not in learned.classes]
    unnamed = all(name == f"class_{index}" for index, name in enumerate(info.classes))
    remedy = (
        f"name them in the order of training, in classes.txt ({', '.join(learned.classes[:3])}, ...)"
        if unnamed and len(info.classes) <= len(learned.classes)
        else "use data with the same classes in the same order, or train with --tasks that leave semantic out"
    )
    raise ConfigError(
        f"{info.name} has other classes than the run learned of {learned.name}"
        f"{f' ({listed(more)} it did not learn)' if more else ''}; {remedy}"
    )


def check_channels(what: str, theirs: DatasetInfo, ours: DatasetInfo) -> None:
    """Raise `ConfigError` unless images of two data sets have equally many channels; ``what`` says where ``theirs`` come from."""
    if theirs.image.channels != ours.image.channels:
        raise ConfigError(
            f"{what}: images of {theirs.name} have {theirs.image.channels} channels, those of {ours.name} {ours.image.channels}; "
            "they cannot be used together"
        )


def unique_names(store: Store) -> list[str]:
    """Names of all samples, made unique by numbering equal ones."""
    names = [*store.names]
    if len(set(names)) == len(names):
        return names
    count: dict[str, int] = {}
    for index, name in enumerate(names):
        count[name] = count.get(name, 0) + 1
        names[index] = f"{name}#{count[name]}" if count[name] > 1 else name
    return names


def _counted(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {'image is' if len(names) == 1 else 'images are'} {what}: {listed(names)}" if names else ""


def listed(names: Sequence[str]) -> str:
    """The first few names, separated by commas."""
    return ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")


def _meaning(file: str) -> str:
    """Content of an array of a store, in words."""
    name = file.removesuffix(".npy")
    words = {"splits": "splits", "scene": "scene labels", "labelled": "labels", "image": "images of no part"}
    return words.get(name, f"labels of {name}")
