"""Stores: converted data sets with one memory-mapped array per kind of value, at training resolution.

Reading a batch from a store is hundreds of times faster than decoding its image files (`benchmarks/data.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from filelock import FileLock, Timeout

from mgm.data.base import DataSource, Splits
from mgm.data.completion import finish
from mgm.data.conversion import SKIP_HINT, write_samples
from mgm.data.files import as_file_name, schema
from mgm.data.manifest import FORMAT_VERSION, KEPT_SEEDS, MANIFEST, Names, damaged, info_to_plain, read_manifest
from mgm.data.resizing import resize_image, resize_target
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import DatasetInfo, Frame, FrameLike, Sample, parse_size, plain_size

PATIENCE_SECONDS = 6 * 3600
"""How long to wait for another process that builds the same store."""
UNFINISHED = ".partial"
"""Subfolder in which a store is built if its folder existed before."""
_LOGGER = logging.getLogger("mgm")


class Store:
    """A finished store, opened read-only. Can be pickled: another process maps the files again.

    Opening reads only the manifest, whose size does not depend on the number of samples.

    - ``image.npy``: uint8 ``[N, 3, H, W]`` RGB, or other channels and uint16 (`DatasetInfo.image`)
    - a task with classes, such as ``semantic.npy``: uint8 ``[N, H, W]`` class indices, 255 = ignore
    - every other task: float16 (float32 if the data set defines the task) ``[N, C, H, W]``, NaN where invalid
    - ``scene.npy``: float32 ``[N, K]``
    - ``labelled.npy``, ``names.npy``, ``name_ends.npy``, ``splits.npy``: see `mgm.data.manifest.VALUES`
    - ``manifest.json``: data set info, shapes, splits, counts, origin, checksums

    Raises:
        DataError: If it is missing, unfinished, damaged or of another format version; the message gives the remedy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = read_manifest(path)
        """Content of `manifest.json`."""
        self.frame = Frame(parse_size(self.manifest["size"]), self.manifest["aspect"])
        """Size of the images, and how images of other shapes were fitted to it."""
        self.fingerprint: dict[str, object] = self.manifest["fingerprint"]
        """Fingerprint of the source, see `DataSource.fingerprint`."""
        arrays = {name: _map_array(path, name, layout) for name, layout in self.manifest["arrays"].items()}
        self.names: Sequence[str] = Names(arrays.pop("names"), arrays.pop("name_ends"))
        """Name of every sample."""
        self._splits = arrays.pop("splits")
        self._labelled = arrays.pop("labelled")
        self.arrays = arrays
        """``image``, ``scene`` and task names -> memory-mapped array."""

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return self.manifest["count"]

    @cached_property
    def info(self) -> DatasetInfo:
        """Name, tasks, classes, scenes and notes of the data set."""
        return schema(DatasetInfo).validate_python(self.manifest["info"])

    @property
    def split_kinds(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.manifest["splits"])

    def splits(self, kind: str, seed: int) -> Splits:
        """The split of the original data set.

        Raises:
            ConfigError: If the source had no such split, or it was not kept for this seed.
        """
        rows = self.manifest["splits"].get(kind)
        if rows is None:
            raise ConfigError(unknown(f"split of {self.path}", kind, self.split_kinds))
        if len(rows) > 1 and not 0 <= seed < len(rows):
            raise ConfigError(
                f"{self.path} has splits for the seeds 0 to {KEPT_SEEDS - 1}, not {seed}; "
                "for other seeds, use the original data set"
            )
        return Splits.from_parts(self._splits[rows[seed if len(rows) > 1 else 0]])

    @cached_property
    def digests(self) -> np.ndarray:
        """``[N]`` strings, a digest of each image's pixels: equal for exact copies. The first access reads all images."""
        return np.array([self.digest(index) for index in range(len(self))])

    def digest(self, index: int) -> str:
        """Digest of one image's pixels, see `digests`."""
        return hashlib.blake2b(np.ascontiguousarray(self.arrays["image"][index]).tobytes(), digest_size=6).hexdigest()

    def labelled(self, tasks: Iterable[str]) -> np.ndarray:
        """``[N, tasks]`` bool: whether a sample has a valid pixel in each of the tasks."""
        return self._labelled[:, [self.info.tasks.index(task) for task in tasks]] > 0

    def num_bytes(self, tasks: Iterable[str]) -> int:
        """Total size in bytes of the images, scene labels and targets of ``tasks``."""
        return sum(self.arrays[name].nbytes for name in ("image", "scene", *tasks))

    def sample(self, index: int) -> Sample:
        """One sample in the dtypes of a data source; float16 targets are converted to float32."""
        targets = {}
        for task in self.info.tasks:
            values = np.array(self.arrays[task][index])
            targets[task] = values if values.dtype == np.uint8 else values.astype(np.float32)
        image, scene = np.array(self.arrays["image"][index]), np.array(self.arrays["scene"][index])
        return Sample(image, targets, scene, self.names[index])


@final
class StoreSource(DataSource):
    """A prepared store as a data source; the original files are not needed. See `Store`."""

    def __init__(self, path: Path | str) -> None:
        self.store = open_store(path)
        self.split_kinds = self.store.split_kinds

    @property
    def info(self) -> DatasetInfo:
        """Info of the original data set."""
        return self.store.info

    @property
    def fingerprint(self) -> dict[str, object]:
        """Size and checksums of the store."""
        return {"reader": "store", "size": str(self.store.frame), "checksums": self.store.manifest["checksums"]}

    def __len__(self) -> int:
        return len(self.store)

    def read(self, index: int, size: FrameLike) -> Sample:
        """Read one sample, at the size of the store or scaled down from it; see `DataSource.read`."""
        frame, sample = Frame.of(size), self.store.sample(index)
        self.check_scalable(frame)
        if frame == self.store.frame:
            return sample
        targets = {
            task: resize_target(target if target.ndim == 2 else target.transpose(1, 2, 0), frame.size)
            for task, target in sample.targets.items()
        }
        image = resize_image(sample.image.transpose(1, 2, 0), frame.size)
        return Sample(image, targets, sample.scene, sample.name)

    def check_scalable(self, frame: Frame) -> None:
        """Raise `DataError` unless the images can be scaled down to a frame; squeezed images may be squeezed to another shape."""
        own, (height, width) = self.store.frame, frame.size
        alike = height * own.size[1] == width * own.size[0] or frame.aspect == "squeeze"
        if frame.aspect != own.aspect or not alike or height > own.size[0] or width > own.size[1]:
            fitting, wanted = (
                f"--image-size {plain_size(each.size)}"
                + f" --aspect {each.aspect}" * ({own.aspect, frame.aspect} != {"squeeze"})
                for each in (own, frame)
            )
            raise DataError(
                f"{self.store.path}: holds images of {own.in_words}, but {frame.in_words} are needed; use {fitting} or less, "
                f"or convert the original files again: mgm data prepare SOURCE {wanted}"
            )

    def splits(self, kind: str, seed: int) -> Splits:
        """The split of the original data set; see `Store.splits`."""
        return self.store.splits(kind, seed)


def open_store(path: Path | str) -> Store:
    """Open a finished store; see `Store`."""
    return Store(Path(os.path.expanduser(path)))


def build_store(
    source: DataSource,
    size: FrameLike,
    path: Path | str,
    *,
    workers: int = 0,
    progress: bool | None = None,
    skip_bad: bool = False,
    replace: bool = False,
    origin: str = "",
) -> Store:
    """Convert all samples of a source to a store, and open it.

    The store appears at ``path`` in one step when it is finished. A build that was killed continues where it stopped, with a
    bitwise identical result. Several processes may build the same store: one does, the others wait and open it.

    Args:
        source: Data source; must be picklable for more than one worker.
        size: Size of the images, and how images of other shapes are fitted to it.
        path: Folder to create.
        workers: Number of processes; 0: up to the number of cores, if worthwhile; 1: only this one.
        progress: Whether to show a progress bar on standard error; None: if that is a terminal.
        skip_bad: Leave out samples that are unreadable or contradict what the source declares, and list them in the manifest.
        replace: Convert even if ``path`` holds a store, which is removed when the new one is finished.
        origin: Location of the source, for the manifest.

    Raises:
        DataError: If a sample is unreadable or contradicts what the source declares, the disk is full, or ``path`` holds
            something else. Samples converted so far are kept for the next attempt.
    """
    frame = Frame.of(size)
    path = Path(os.path.expanduser(path)).resolve()  # resolved, so that "." and ".." have a name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be created ({error.strerror}); choose another folder (for the cache: $MGM_CACHE)"
        ) from error
    with _alone(path):
        begun = _is_begun(path)
        if replace or begun or not path.exists():
            folder = path / UNFINISHED if begun else path.with_name(f"{path.name}.partial")
            plan = write_samples(source, frame, folder, workers, progress, skip_bad)
            finish(plan, source, path, origin)
    store = open_store(path)
    if store.frame != frame or store.fingerprint != json.loads(json.dumps(source.fingerprint)):
        raise DataError(f"{path}: holds a store of another data set or size; choose another folder, or delete this one")
    return store


def _is_begun(path: Path) -> bool:
    """Whether ``path`` is a folder without a store. It may be a mounted disk, so it is filled instead of replaced."""
    return path.is_dir() and not (path / MANIFEST).exists()


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Hold the lock of a store; it is released when the process ends, however it ends."""
    lock = FileLock(path / ".lock" if _is_begun(path) else path.with_name(f".{path.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _LOGGER.info("%s is being built by another process; waiting", path)
            lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        raise DataError(f"{path}: another process is still building this store; wait for it, or end it") from None
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{path}: cannot be locked ({error}); set $MGM_CACHE to another folder, on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()


def cached_store(source: DataSource, size: FrameLike, cache_dir: str = "", *, skip_bad: bool = False) -> Store:
    """The cached store of a source, built on first use below `cache_root`; a source that is a store of this size is returned.

    Arguments and errors are those of `build_store`. With ``skip_bad``, the store may lack samples of the source: see `rows_of`.
    """
    if isinstance(source, StoreSource):
        source.check_scalable(Frame.of(size))
        if source.store.frame == Frame.of(size):
            return source.store
    path = store_path(source, size, cache_dir)
    if not path.exists():
        return build_store(source, size, path, skip_bad=skip_bad)
    store = open_store(path)
    if store.manifest["skipped"] and not skip_bad:
        raise DataError(f"{store.manifest['skipped'][0]}{SKIP_HINT}")
    return store


def rows_of(store: Store, source: DataSource) -> DataSource:
    """The data source whose samples are the rows of a store: the source itself, or the store if bad samples were left out."""
    return StoreSource(store.path) if store.manifest["skipped"] else source


def cache_root(cache_dir: str = "") -> Path:
    """Folder of all cached stores: the given one, else ``$MGM_CACHE``, else ``~/.cache/mgm``."""
    return Path(os.path.expanduser(cache_dir or os.environ.get("MGM_CACHE", "") or "~/.cache/mgm"))


def store_path(source: DataSource, size: FrameLike, cache_dir: str = "") -> Path:
    """Path of the cached store of a source; the name depends on the source, its settings and the size."""
    key = json.dumps([FORMAT_VERSION, source.fingerprint, info_to_plain(source.info)], sort_keys=True)
    name = as_file_name(source.info.name)  # free text from dataset.yaml; the unaltered name is part of the key
    return cache_root(cache_dir) / f"{name}-{Frame.of(size)}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _map_array(path: Path, name: str, layout: dict[str, Any]) -> np.ndarray:
    file = path / f"{name}.npy"
    try:
        mode = "r" if layout["shape"] and 0 not in layout["shape"] else None
        array = np.load(file, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise damaged(path, f"{name}.npy is missing or truncated") from error
    if list(array.shape) != layout["shape"] or array.dtype != layout["dtype"]:
        raise damaged(
            path, f"{name}.npy is {array.dtype} {array.shape}, not {layout['dtype']} {tuple(layout['shape'])}"
        )
    return array
