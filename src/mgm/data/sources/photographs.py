"""Images without labels: all image files below a folder or in a zip archive."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import open_tree
from mgm.data.images import ENDINGS, PICTURE_ENDINGS
from mgm.data.resizing import resize_image
from mgm.data.sources.folder.pixels import image_format, read_levels
from mgm.data.sources.folder.settings import read_settings
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import DatasetInfo, FrameLike, Sample

READER_VERSION = 1


@final
class PhotographsSource(DataSource):
    """Images without labels in a folder or zip archive: no tasks, no scenes, all for training.

    A ``dataset.yaml`` may declare their channels, as for `FolderSource`.

    Raises:
        DataError: If there are no images.
    """

    def __init__(self, path: Path | str) -> None:
        self._tree = open_tree(path)
        declared = read_settings(self._tree).rgb.image
        endings = PICTURE_ENDINGS if declared.is_photograph else ENDINGS
        self._files = [name for name in self._tree.names() if Path(name).suffix.lower() in endings]
        if not self._files:
            listed = ", ".join(sorted(endings))
            raise DataError(
                f"{self._tree.path}: has no image files ({listed}); give a folder or zip archive with images"
            )
        self._format = image_format(self._tree, self._files, declared)

    @property
    def info(self) -> DatasetInfo:
        """Name and image format; no tasks, no scenes."""
        return DatasetInfo(self._tree.path.resolve().name.removesuffix(".zip"), (), image=self._format)

    @property
    def fingerprint(self) -> dict[str, object]:
        """Number of images, and a hash of all files."""
        reader = {"reader": "photographs", "version": READER_VERSION}
        return {**reader, "count": len(self), "files": self._tree.digest()}

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int, size: FrameLike) -> Sample:
        """One image; see `DataSource.read`."""
        file = self._files[index]
        rgb = read_levels(self._tree, file, self._format)
        return Sample(resize_image(rgb, size), {}, np.zeros(0, np.float32), file)

    def splits(self, kind: str, seed: int) -> Splits:
        """The only split, ``random``: all images are training images."""
        if kind not in self.split_kinds:
            raise ConfigError(unknown(f"split of {self.info.name}", kind, self.split_kinds))
        none = np.zeros(0, np.int64)
        return Splits(np.arange(len(self)), none, none)
