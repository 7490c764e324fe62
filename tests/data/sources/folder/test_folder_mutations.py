"""Files that were cut, scrambled or swapped: each ends in a clean error or in samples that keep their promise."""

import shutil

import numpy as np
import pytest

from fake_folder import npy, picture_arrays, tiff, write_own
from fakes import jpeg, write_files
from mgm.data.base import read_checked
from mgm.data.sources.folder import FolderSource
from mgm.errors import DataError

MUTATIONS = 40
YAML = b"name: mine\nclasses: [a, b, c]\ndepth: {unit: mm}\nsplit: {validation: 0.2, test: 0.2}\nnotes: {x: y}\n"
FILES = [
    "rgb/photo_000.jpg", "rgb/photo_001.jpg", "semantic/photo_000.png", "depth/photo_000.png", "depth/photo_001.npy",
    "normal/photo_000.png", "normal/photo_001.npy", "reshading/photo_000.tif", "labels.csv", "dataset.yaml",
]  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = write_own(tmp_path_factory.mktemp("mutations") / "good", 6)
    arrays = picture_arrays(1)
    for task in ("depth", "normal"):
        (folder / task / "photo_001.png").unlink()
    extra = {
        "dataset.yaml": YAML,
        "depth/photo_001.npy": npy(arrays["depth"]),
        "normal/photo_001.npy": npy(arrays["normal"]),
        "reshading/photo_000.tif": tiff(np.full((30, 40), 0.5, np.float32)),
    }
    return write_files(folder, extra)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One of: cut, some bytes changed, a piece taken out, a piece doubled, a piece of zeros, something else entirely."""
    data, kind = bytearray(content), rng.integers(6)
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    if kind == 0:
        return bytes(data[:start])
    if kind == 1:
        for place in rng.integers(0, len(data), rng.integers(1, 12)):
            data[place] = rng.integers(256)
    elif kind == 2:
        del data[start : start + length]
    elif kind == 3:
        data[start:start] = data[start : start + length]
    elif kind == 4:
        data[start : start + length] = bytes(length)
    else:
        return jpeg(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)) if rng.integers(2) else rng.bytes(200)
    return bytes(data)


@pytest.mark.parametrize("file", FILES)
def test_mutated_files_are_refused_or_read_correctly(good, tmp_path, file):
    folder = tmp_path / "folder"
    shutil.copytree(good, folder)
    content, rng = (good / file).read_bytes(), np.random.default_rng(FILES.index(file))
    # the headers, where mutations do the most, get as many as all the rest
    refused = 0
    for number in range(MUTATIONS):
        head = content[:120] if number % 2 else content
        (folder / file).write_bytes(mutated(head, rng) + content[len(head) :])
        try:
            source = FolderSource(folder)
            info = source.info
            for index in range(2):
                read_checked(source, info, index, 8)
            source.splits("random", 0)
            source.remarks(1)
        except DataError as error:
            refused += 1
            assert str(folder) in str(error)  # noqa: PT017
            assert len(str(error)) < 1000  # noqa: PT017
    assert refused > 0
