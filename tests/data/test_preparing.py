"""mgm data prepare: what is left out, what is never overwritten, and a store that needs nothing but itself."""

import errno
import shutil
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest

from fake_folder import write_own
from fakes import FakeSource, write_camvid, write_nyuv2
from mgm.data import completion, conversion, open_source
from mgm.data.completion import keep_rows
from mgm.data.manifest import find_changed
from mgm.data.preparing import SelectedTasks, check_target, needed_bytes
from mgm.data.store import StoreSource, build_store, cached_store, open_store
from mgm.errors import ConfigError, DataError
from mgm.types import Frame

SIZE = 8
BAD = (0, 5, 33, 68, 69)


class PartlyBad(FakeSource):
    """Cannot read some of its samples."""

    def read(self, index, size):
        if index in BAD:
            raise DataError(f"sample {index} is bad")
        return super().read(index, size)


@pytest.fixture(scope="module")
def partly_bad(tmp_path_factory):
    return build_store(PartlyBad(), SIZE, tmp_path_factory.mktemp("bad") / "store", workers=1, skip_bad=True)


def test_bad_samples_are_left_out_and_listed(partly_bad):
    good = [index for index in range(70) if index not in BAD]
    assert len(partly_bad) == 65
    assert sorted(partly_bad.names) == sorted(f"fake-{index}" for index in good)
    assert partly_bad.manifest["skipped"] == [f"sample {index} is bad" for index in BAD]
    for place in range(65):
        stored = partly_bad.sample(place)
        original = FakeSource().read(int(stored.name.removeprefix("fake-")), SIZE)
        np.testing.assert_array_equal(stored.image, original.image)
        np.testing.assert_array_equal(stored.scene, original.scene)
        np.testing.assert_allclose(stored.targets["depth"], original.targets["depth"], rtol=1e-3)


def test_splits_follow_the_samples_that_are_left(partly_bad):
    for seed in (0, 3):
        kept, original = partly_bad.splits("random", seed), FakeSource().splits("random", seed)
        for part in ("train", "validation", "test"):
            names = {partly_bad.names[index] for index in getattr(kept, part)}
            assert names == {f"fake-{index}" for index in getattr(original, part) if index not in BAD}


def test_without_skipping_a_bad_sample_stops_and_skipping_goes_on_from_there(tmp_path, partly_bad):
    with pytest.raises(DataError, match="sample 0 is bad"):
        build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1)
    store = build_store(PartlyBad(), SIZE, tmp_path / "store", workers=2, skip_bad=True)
    assert store.manifest["checksums"] == partly_bad.manifest["checksums"]


def test_skipping_before_does_not_count_for_those_who_want_all(tmp_path, monkeypatch):
    monkeypatch.setattr(completion, "_put_in_place", None)
    with pytest.raises(TypeError):  # as if killed at the very end
        build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1, skip_bad=True)
    monkeypatch.undo()
    with pytest.raises(DataError, match="sample 0 is bad"):
        build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1)
    assert len(build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1, skip_bad=True)) == 65


@pytest.mark.parametrize("step", ["keep_rows", "_write_manifest", "_put_in_place"])
def test_killed_while_completion(tmp_path, monkeypatch, step, partly_bad):
    original = getattr(completion, step)
    calls = []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 2 or step != "keep_rows":
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(completion, step, dies)
    with pytest.raises(KeyboardInterrupt):
        build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1, skip_bad=True)
    monkeypatch.undo()
    store = build_store(PartlyBad(), SIZE, tmp_path / "store", workers=1, skip_bad=True)
    assert store.manifest["checksums"] == partly_bad.manifest["checksums"]


def test_nothing_left(tmp_path):
    class AllBad(FakeSource):
        def read(self, index, size):
            raise DataError(f"sample {index} is bad")

    with pytest.raises(DataError, match=r"none of the 70 samples can be used. First error: sample 0 is bad"):
        build_store(AllBad(), SIZE, tmp_path / "store", workers=1, skip_bad=True)


@pytest.mark.parametrize("kept", [range(10), [1, 2], [0, 9], [5]])
def test_rows_are_kept_in_order_and_again(tmp_path, kept):
    values = np.arange(30, dtype=np.int16).reshape(10, 3)
    np.save(tmp_path / "a.npy", values)
    for _ in range(2):
        keep_rows(tmp_path / "a.npy", np.array(kept))
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values[kept])


def test_finished_stores_and_other_folders_are_never_overwritten(tmp_path):
    path = tmp_path / "store"
    build_store(FakeSource(), SIZE, path, workers=1)
    with pytest.raises(DataError, match="finished store.*--force"):
        check_target(path, force=False)
    check_target(path, force=True)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "mine.jpg").write_bytes(b"x")
    for force in (False, True):
        with pytest.raises(DataError, match="is not a store"):
            check_target(other, force)


def test_force_replaces_only_once_the_new_one_is_finished(tmp_path):
    path = tmp_path / "store"
    build_store(FakeSource(), SIZE, path, workers=1)
    with pytest.raises(RuntimeError, match="told to fail"):
        build_store(FakeSource(seed=1, fail_at=50), SIZE, path, replace=True, workers=1)
    assert open_store(path).fingerprint == FakeSource().fingerprint
    assert build_store(FakeSource(seed=1), SIZE, path, replace=True, workers=1).fingerprint["seed"] == 1
    assert {file.name for file in tmp_path.iterdir()} == {"store", ".store.lock"}


def test_full_disk_loses_nothing(tmp_path, monkeypatch):
    path, original, calls = tmp_path / "store", conversion._write_rows, []

    def full(*arguments):
        calls.append(1)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*arguments)

    monkeypatch.setattr(conversion, "_write_rows", full)
    with pytest.raises(DataError, match=r"No space left.*to continue where it stopped"):
        build_store(FakeSource(), SIZE, path, workers=1)
    monkeypatch.undo()
    read = []
    monkeypatch.setattr(
        FakeSource,
        "read",
        lambda self, index, size, real=FakeSource.read: read.append(index) or real(self, index, size),
    )
    build_store(FakeSource(), SIZE, path, workers=1)
    assert min(read) == 64


@pytest.mark.parametrize("place", [".", "../here", "mounted"])
def test_a_folder_that_is_there_is_filled_and_not_replaced(tmp_path, monkeypatch, place, partly_bad):
    """It may be the working directory, or another disk."""
    for name in ("here", "here/mounted", "here/mounted/lost+found"):
        (tmp_path / name).mkdir()
    if place != "mounted":
        shutil.rmtree(tmp_path / "here/mounted")
    monkeypatch.chdir(tmp_path / "here")
    before = Path(place).stat().st_ino
    original = completion.move_files
    monkeypatch.setattr(completion, "move_files", None)
    with pytest.raises(TypeError):  # as if killed at the very end
        build_store(PartlyBad(), SIZE, Path(place), workers=1, skip_bad=True)
    monkeypatch.setattr(completion, "move_files", original)
    store = build_store(PartlyBad(), SIZE, Path(place), workers=1, skip_bad=True)
    assert store.manifest["checksums"] == partly_bad.manifest["checksums"]
    assert Path(place).stat().st_ino == before
    assert open_store(Path(place)).manifest == store.manifest
    assert {file.name for file in Path(place).iterdir() if file.name.startswith(".")} == {".lock"}


@pytest.mark.parametrize("moved", [0, 1, 4, 8, 12])
def test_killed_while_files_are_moved_into_a_folder_that_is_there(tmp_path, monkeypatch, moved, partly_bad):
    original, listed, calls = Path.replace, Path.iterdir, []

    def dies(file, target):
        calls.append(target.parent == tmp_path)
        if sum(calls) > moved:
            raise KeyboardInterrupt
        return original(file, target)

    monkeypatch.setattr(Path, "replace", dies)
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(sorted(listed(folder))))
    with suppress(KeyboardInterrupt):
        build_store(PartlyBad(), SIZE, tmp_path, workers=1, skip_bad=True)
    monkeypatch.undo()
    store = build_store(PartlyBad(), SIZE, tmp_path, workers=1, skip_bad=True)
    assert store.manifest["checksums"] == partly_bad.manifest["checksums"]


@pytest.mark.parametrize("beside", ["store.partial", "store.replaced"])
@pytest.mark.parametrize("finished", [False, True])
def test_other_folders_beside_a_store_are_left_alone(tmp_path, beside, finished):
    if finished:
        build_store(FakeSource(), SIZE, tmp_path / "store", workers=1)
    (tmp_path / beside).mkdir()
    (tmp_path / beside / "mine.npy").write_bytes(b"x")
    in_the_way = finished or beside == "store.partial"
    with pytest.raises(DataError, match=f"{beside}: is in the way.*move it elsewhere") if in_the_way else nullcontext():
        build_store(FakeSource(seed=1), SIZE, tmp_path / "store", workers=1, replace=True)
    assert (tmp_path / beside / "mine.npy").exists()
    shutil.rmtree(tmp_path / beside)
    store = build_store(FakeSource(seed=1), SIZE, tmp_path / "store", workers=1, replace=True)
    assert store.fingerprint["seed"] == 1
    assert {file.name for file in tmp_path.iterdir()} == {"store", ".store.lock"}


def test_some_tasks_only(tmp_path):
    source = SelectedTasks(FakeSource(), ("depth",))
    store = build_store(source, SIZE, tmp_path / "store", workers=1, origin="here")
    assert store.info.tasks == ("depth",)
    assert store.info.classes == ()
    assert set(store.arrays) == {"image", "scene", "depth"}
    assert store.manifest["source"] == "here"
    with pytest.raises(ConfigError, match="Did you mean 'depth'"):
        SelectedTasks(FakeSource(), ("dept",))


def test_announced_size_is_the_size(tmp_path):
    source = FakeSource(count=200)
    store = build_store(source, 16, tmp_path / "store", workers=1)
    size = sum(file.stat().st_size for file in store.path.iterdir())
    assert size == pytest.approx(needed_bytes(source, 16), rel=0.1)


@pytest.mark.parametrize("write", [write_nyuv2, write_camvid, write_own])
def test_store_stands_for_its_source(tmp_path, write):
    folder = write(tmp_path / "data")
    source = open_source(str(folder))
    build_store(source, 32, tmp_path / "store", workers=1)
    expected = {(split, seed): source.splits(split, seed) for split in source.split_kinds for seed in (0, 7)}
    first = source.read(1, 32)
    shutil.rmtree(folder)
    prepared = open_source(str(tmp_path / "store"))
    assert isinstance(prepared, StoreSource)
    assert prepared.info == source.info
    assert set(prepared.split_kinds) == set(source.split_kinds)
    for (split, seed), wanted in expected.items():
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(prepared.splits(split, seed), part), getattr(wanted, part))
    same, small = prepared.read(1, 32), prepared.read(1, 16)
    assert small.name == same.name == first.name
    np.testing.assert_array_equal(same.image, first.image)
    np.testing.assert_allclose(small.image, first.image.reshape(3, 16, 2, 16, 2).mean((2, 4)), atol=1)
    for task in source.info.tasks:
        np.testing.assert_allclose(same.targets[task], first.targets[task], atol=2e-3)
        np.testing.assert_array_equal(small.targets[task], same.targets[task][..., 1::2, 1::2])


def test_store_is_opened_as_it_is_or_scaled_down(tmp_path):
    store = build_store(FakeSource(), SIZE, tmp_path / "store", workers=1)
    source = StoreSource(store.path)
    assert cached_store(source, SIZE, str(tmp_path / "cache")) is source.store
    assert not (tmp_path / "cache").exists()
    assert cached_store(source, SIZE // 2, str(tmp_path / "cache")).frame == Frame.of(SIZE // 2)
    with pytest.raises(DataError, match=r"holds images of 8 px, but 16 px are needed; .*mgm data prepare SOURCE"):
        cached_store(source, 16, str(tmp_path / "cache"))


def test_a_store_keeps_its_shape_and_aspect(tmp_path):
    wide = Frame((16, 24), "letterbox")
    store = build_store(FakeSource(), wide, tmp_path / "store", workers=1)
    assert store.frame == wide
    assert store.arrays["image"].shape[1:] == (3, 16, 24)
    assert store.arrays["semantic"].shape[1:] == (16, 24)
    source = StoreSource(store.path)
    assert cached_store(source, wide, str(tmp_path / "cache")) is source.store
    half = source.read(3, Frame((8, 12), "letterbox"))
    first = source.read(3, wide)
    np.testing.assert_allclose(half.image, first.image.reshape(3, 8, 2, 12, 2).mean((2, 4)), atol=1)
    np.testing.assert_array_equal(half.targets["depth"], first.targets["depth"][:, 1::2, 1::2])
    for other in ((16, 24), Frame((16, 24), "crop"), Frame((8, 8), "letterbox"), Frame((16, 32), "letterbox")):
        with pytest.raises(
            DataError, match=r"images of 16x24 px \(letterbox\), .*use --image-size 16x24 --aspect letterbox"
        ):
            source.read(3, other)
        with pytest.raises(DataError, match="mgm data prepare SOURCE --image-size [0-9x]+( --aspect [a-z]+)?$"):
            cached_store(source, other, str(tmp_path / "cache"))
    squeezed = StoreSource(build_store(FakeSource(), (16, 24), tmp_path / "squeezed", workers=1).path)
    assert squeezed.read(3, (16, 8)).image.shape == (3, 16, 8)  # squeezed twice is squeezed


def test_splits_of_a_store_end_with_the_seeds_that_are_kept(tmp_path):
    store = build_store(FakeSource(), SIZE, tmp_path / "store", workers=1)
    with pytest.raises(ConfigError, match="seeds 0 to 9, not 10"):
        store.splits("random", 10)
    with pytest.raises(ConfigError, match="unknown split .*Choices: random"):
        store.splits("scene", 0)


def test_checksums_find_a_flipped_bit(tmp_path):
    store = build_store(FakeSource(), SIZE, tmp_path / "store", workers=1)
    checksums = store.manifest["checksums"]
    assert set(checksums) == {file.name for file in store.path.iterdir()} - {"manifest.json"}
    assert not any(reason for _, reason in find_changed(store.path, checksums))
    data = bytearray((store.path / "depth.npy").read_bytes())
    data[-5] ^= 1
    (store.path / "depth.npy").write_bytes(data)
    assert [name for name, reason in find_changed(store.path, checksums) if reason] == ["depth.npy"]
    (store.path / "scene.npy").unlink()
    assert "cannot be read" in dict(find_changed(store.path, checksums))["scene.npy"]
