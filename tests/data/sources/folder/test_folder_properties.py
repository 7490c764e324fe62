"""Whatever a folder holds: every label reaches its own picture, and nothing else."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_folder import npy
from fakes import png, write_files
from mgm.data.sources.folder import FolderSource

TASKS = ("depth", "reshading")
places = st.tuples(st.sampled_from(["", "train/", "val/", "test/"]), st.sampled_from(["", "a/", "b/", "a/c/"]))
pictures = st.dictionaries(
    st.tuples(places, st.sampled_from(["1", "2", "x.y", "ü"])), st.sets(st.sampled_from(TASKS)), min_size=1, max_size=8
)


def value_of(number: int) -> int:
    return 1 + number


@settings(max_examples=25, deadline=None)
@given(pictures, st.booleans())
def test_labels_reach_their_own_picture(layout, parts_first):
    files, expected = {}, {}
    for number, (((part, folder), stem), tasks) in enumerate(layout.items()):

        def path(kind: str, part=part, folder=folder, stem=stem) -> str:
            return f"{part}{kind}/{folder}{stem}" if parts_first else f"{kind}/{part}{folder}{stem}"

        level = np.full((3, 4), value_of(number))
        files[f"{path('rgb')}.png"] = png(np.dstack([level] * 3).astype(np.uint8))
        if "depth" in tasks:
            files[f"{path('depth')}.png"] = png((level * 1000).astype(np.uint16))
        if "reshading" in tasks:
            files[f"{path('reshading')}.npy"] = npy(level / 100)
        expected[f"{part}{folder}{stem}"] = (value_of(number), tasks)
    if not any(tasks for _, tasks in expected.values()):
        return
    with tempfile.TemporaryDirectory() as name:
        source = FolderSource(write_files(Path(name), files))
        assert len(source) == len(expected)
        offered = {task for _, tasks in expected.values() for task in tasks}
        assert set(source.info.tasks) == offered
        parts = source.splits("official", 0) if "official" in source.split_kinds else None
        for index in range(len(source)):
            sample = source.read(index, 2)
            value, tasks = expected[sample.name]
            assert (sample.image == value).all()
            for task in offered:
                target = sample.targets[task]
                scale = 1 if task == "depth" else 100
                assert np.allclose(target * scale, value) if task in tasks else np.isnan(target).all()
            if parts is not None:
                assert (index in parts.test) == sample.name.startswith("test/")
                assert (index in parts.validation) == sample.name.startswith("val/")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=30), st.integers(0, 5))
def test_made_splits_are_disjoint_complete_and_test_labelled_images_only(labelled, seed):
    if sum(labelled) < 3:
        return
    files = {}
    for number, has in enumerate(labelled):
        files[f"rgb/{number}.png"] = png(np.zeros((2, 2, 3), np.uint8))
        if has:
            files[f"depth/{number}.png"] = png(np.ones((2, 2), np.uint16))
    with tempfile.TemporaryDirectory() as name:
        source = FolderSource(write_files(Path(name), files))
        splits = source.splits("random", seed)
        together = np.concatenate([splits.train, splits.validation, splits.test])
        assert sorted(together) == list(range(len(labelled)))
        for index in (*splits.validation, *splits.test):
            assert np.isfinite(source.read(int(index), 2).targets["depth"]).all()
        assert len(splits.validation) >= 1
        assert len(splits.test) >= 1
