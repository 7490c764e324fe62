"""The table of `docs/data_layouts.md`, row by row: recognised, read through a store, split as it says."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from fake_layouts import write_authors, write_cityscapes, write_mtan, write_nyuv2_mat, write_taskonomy
from fakes import write_camvid, write_nyuv2
from mgm.data import DATASETS, open_source
from mgm.data.base import check_sample
from mgm.data.store import build_store
from mgm.errors import DataError
from mgm.types import Aspect, Frame

PAGE = Path(__file__).parents[3] / "docs" / "data_layouts.md"
ROWS = {
    names: cells
    for names, *cells in (
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 7
    )
}
WRITERS = {
    "nyuv2_mat": write_nyuv2_mat,
    "taskonomy": write_taskonomy,
    "cityscapes": write_cityscapes,
    "mtan": write_mtan,
    "authors": write_authors,
    "nyuv2": write_nyuv2,
    "camvid": write_camvid,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every set below one folder, as ``$MGM_DATA``."""
    root = tmp_path_factory.mktemp("layouts")
    return {name: write(root / name) for name, write in WRITERS.items()}


def test_the_table_has_a_row_for_every_data_set():
    named = {name for names in ROWS for name in re.findall(r"`(\w+)`", names)}
    assert named == set(DATASETS) - {"rooms"}


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "rooms"])
def test_row(name, written, tmp_path, monkeypatch):
    folder = DATASETS[name].folder or name
    monkeypatch.setenv("MGM_DATA", str(written[folder].parent))
    source = open_source(name)
    if not DATASETS[name].folder:
        assert open_source(str(written[name])).fingerprint == source.fingerprint
    cells = next((cells for names, cells in ROWS.items() if names == f"`{name}`"), None)
    if cells is not None and not cells[1].startswith("the same"):
        wanted = (
            "semantic, depth, normal, edge_texture, reshading, principal_curvature"
            if cells[1] == "all six"
            else cells[1]
        )
        assert ", ".join(source.info.tasks) == wanted
        assert str(len(source.info.classes)) in cells[2]
    store = build_store(source, 16, tmp_path / "store", workers=1, progress=False)
    for index in (0, len(source) - 1):
        one, other = store.sample(index), source.read(index, 16)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.scene, other.scene)
        for task, target in other.targets.items():
            np.testing.assert_allclose(one.targets[task], target, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_samples_of_any_shape(name, written):
    """In a long letterbox all labels are missing at both ends. Sources are pickled, as worker processes get them."""
    whole = open_source(str(written[name]))
    one = whole.read(0, 8)  # files that are open stay behind
    source = pickle.loads(pickle.dumps(whole))
    assert source.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(source.read(0, 8).image, one.image)
    for aspect in get_args(Aspect):
        for size in ((8, 40), (40, 8)):
            frame = Frame(size, aspect)
            sample = source.read(0, frame)
            check_sample(sample, source.info, frame)
            labelled = [np.isfinite(t).all(axis=0) if t.ndim == 3 else t != 255 for t in sample.targets.values()]
            along = np.any(labelled, axis=(0, 1) if size == (8, 40) else (0, 2))
            assert along[15:25].any()
            assert aspect != "letterbox" or not (along[:10].any() or along[30:].any())


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_splits_are_disjoint(name, written):
    source = open_source(str(written[name]))
    made = 0
    for kind in source.split_kinds:
        try:
            splits = source.splits(kind, 0)
        except DataError:  # a list of buildings that is not there, too few scenes
            continue
        indices = np.concatenate([splits.train, splits.validation, splits.test])
        assert len(np.unique(indices)) == len(indices) <= len(source)
        assert min(len(splits.train), len(splits.validation), len(splits.test)) > 0
        assert all((np.diff(part) > 0).all() for part in (splits.train, splits.validation, splits.test))
        made += 1
    assert made
    cells = next((cells for names, cells in ROWS.items() if names == f"`{name}`"), None)
    if cells is not None:
        assert cells[4] == ", ".join(source.split_kinds)


@pytest.mark.parametrize("name", ["taskonomy", "cityscapes", "mtan", "authors"])
def test_archives_hold_the_same(name, written, tmp_path):
    path = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in written[name].rglob("*"):
            archive.write(file, f"top/{file.relative_to(written[name])}")
    one, other = open_source(str(path)).read(1, 16), open_source(str(written[name])).read(1, 16)
    np.testing.assert_array_equal(one.image, other.image)
    for task, target in other.targets.items():
        np.testing.assert_array_equal(one.targets[task], target)
