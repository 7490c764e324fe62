"""Stores: the same bits however they came about, never half a store, and clear words about broken ones."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from fakes import FakeSource, write_nyuv2
from mgm.data import conversion, open_source
from mgm.data import store as store_module
from mgm.data.manifest import FORMAT_VERSION
from mgm.data.store import Store, build_store, cached_store, open_store, store_path
from mgm.errors import DataError
from mgm.types import Frame, FrameLike, Sample

SIZE = 8


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return build_store(FakeSource(), SIZE, tmp_path_factory.mktemp("reference") / "store", workers=1)


def test_keeps_samples_and_what_is_offered(reference):
    source = FakeSource()
    assert len(reference) == 70
    assert reference.info == source.info
    assert reference.names[69] == "fake-69"
    for index in (0, 31, 32, 69):
        stored, sample = reference.sample(index), source.read(index, SIZE)
        np.testing.assert_array_equal(stored.image, sample.image)
        np.testing.assert_array_equal(stored.scene, sample.scene)
        np.testing.assert_array_equal(stored.targets["semantic"], sample.targets["semantic"])
        np.testing.assert_allclose(stored.targets["depth"], sample.targets["depth"], rtol=1e-3)  # NaN where NaN
        assert stored.targets["normal"].dtype == np.float32
    assert [str(reference.arrays[name].dtype) for name in ("image", "semantic", "depth", "scene")] == [
        "uint8", "uint8", "float16", "float32",
    ]  # fmt: skip


def test_no_traces_of_the_building_are_left(reference):
    assert {file.name for file in reference.path.parent.iterdir()} == {"store", ".store.lock"}
    assert set(contents(reference.path)) == {
        "manifest.json", "image.npy", "scene.npy", "semantic.npy", "depth.npy", "normal.npy",
        "names.npy", "name_ends.npy", "labelled.npy", "splits.npy",
    }  # fmt: skip


def test_can_be_pickled(reference):
    copy = pickle.loads(pickle.dumps(reference))
    np.testing.assert_array_equal(copy.arrays["image"], reference.arrays["image"])


@pytest.mark.parametrize("fail_at", [0, 33, 69])
def test_interrupted_build_resumes_to_the_same_bits(reference, tmp_path, fail_at, monkeypatch):
    path = tmp_path / "store"
    with pytest.raises(RuntimeError, match="told to fail"):
        build_store(FakeSource(fail_at=fail_at), SIZE, path, workers=1)
    assert not path.exists()
    done = fail_at // conversion.CHUNK_SIZE * conversion.CHUNK_SIZE
    read = []
    original = FakeSource.read
    monkeypatch.setattr(FakeSource, "read", lambda self, index, size: read.append(index) or original(self, index, size))
    build_store(FakeSource(), SIZE, path, workers=1)
    assert read == [*range(done, 70)]
    assert contents(path) == contents(reference.path)


class HalfEmptySource(FakeSource):
    """Every second sample has targets whose numbers mean no label, although they are not NaN."""

    @property
    def info(self):
        own = {"growth": {"range": [0.1, 300], "loss": "log"}}
        return replace(super().info, tasks=(*super().info.tasks, "growth"), own_tasks=own)

    def read(self, index: int, size: FrameLike) -> Sample:
        sample = super().read(index, size)
        targets = {**sample.targets, "growth": np.ones((1, SIZE, SIZE), np.float32)}
        if index % 2:
            targets = {name: np.zeros_like(target) for name, target in targets.items()}
            targets["semantic"][:] = 255
        return replace(sample, targets=targets)


def test_targets_without_a_valid_pixel_are_no_labels(tmp_path):
    store = build_store(HalfEmptySource(count=6), SIZE, tmp_path / "store")
    assert store.manifest["labelled"] == dict.fromkeys(("semantic", "depth", "normal", "growth"), 3)
    assert np.array_equal(store.labelled(("depth", "growth")), [[True] * 2, [False] * 2] * 3)


def test_processes_make_the_same_bits(reference, tmp_path):
    store = build_store(FakeSource(), SIZE, tmp_path / "store", workers=2)
    assert contents(store.path) == contents(reference.path)


@dataclass
class DeadlySource(FakeSource):
    """Takes its process along at one sample, as the killer of processes that use too much memory does."""

    survivor: int = 0

    def read(self, index: int, size: FrameLike) -> Sample:
        if index == 40 and os.getpid() != self.survivor:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index, size)


def test_goes_on_alone_when_workers_die(reference, tmp_path):
    store = build_store(DeadlySource(survivor=os.getpid()), SIZE, tmp_path / "store", workers=2)
    assert contents(store.path) == contents(reference.path)


class SigningSource(FakeSource):
    """Names samples after the process that reads them."""

    def read(self, index: int, size: FrameLike) -> Sample:
        return replace(super().read(index, size), name=str(os.getpid()))


@pytest.mark.parametrize("worth", [False, True])
def test_processes_are_started_only_if_that_pays(tmp_path, monkeypatch, worth):
    monkeypatch.setattr(conversion.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    if worth:
        monkeypatch.setattr(conversion, "SECONDS_PER_WORKER", 1e-9)
    names = set(build_store(SigningSource(count=100), SIZE, tmp_path / "store").names)
    assert len(names) >= 2 if worth else names == {str(os.getpid())}


SCRIPT = """
import sys
sys.path.append({tests!r})  # workers find what the script finds
from fakes import FakeSource
from mgm.data.store import build_store
class Own(FakeSource):
    pass
print("begun")
build_store({source}(count=100), 8, {path!r}, workers=2)
"""


@pytest.mark.parametrize(("source", "says"), [("FakeSource", ""), ("Own", "continuing in one process")])
def test_a_script_needs_no_guarded_main_part(tmp_path, source, says):
    """Nor does a class of its own, which no worker can load, end it."""
    file, path = tmp_path / "script.py", tmp_path / "store"
    file.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1]), source=source, path=str(path)))
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "begun\n")
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert bool(says) == bool(done.stderr)
    assert len(open_store(path)) == 100


def test_stopping_ends_the_workers(tmp_path):
    source = FakeSource(count=400)
    plan = conversion._lay_out(source, Frame.of(SIZE), tmp_path / "store", False)
    chunks = conversion._convert_in_processes(source, plan, list(range(plan.num_chunks)), 2)
    assert next(chunks) == 0
    threads = threading.active_count()
    chunks.close()
    assert threading.active_count() < threads
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_errors_of_workers_arrive(tmp_path):
    with pytest.raises(RuntimeError, match="told to fail at 65"):
        build_store(FakeSource(fail_at=65), SIZE, tmp_path / "store", workers=2)


def test_partial_build_of_other_data_is_thrown_away(reference, tmp_path):
    path = tmp_path / "store"
    with pytest.raises(RuntimeError):
        build_store(FakeSource(fail_at=60, seed=5), SIZE, path, workers=1)
    build_store(FakeSource(), SIZE, path, workers=1)
    assert contents(path) == contents(reference.path)


def _build(path: str) -> int:
    return len(build_store(FakeSource(count=200), SIZE, path, workers=1))


def test_two_builders_at_once(tmp_path):
    path = tmp_path / "store"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_build, [str(path)] * 2) == [200, 200]
    alone = build_store(FakeSource(count=200), SIZE, tmp_path / "alone", workers=1)
    assert contents(path) == contents(alone.path)
    assert not list(tmp_path.glob("*.partial"))


KILLED = """
import time
from fakes import FakeSource
from mgm.data.store import build_store
class Slow(FakeSource):
    def read(self, index, size):
        time.sleep(0.005)
        if index == 40:
            print("now", flush=True)
            time.sleep(60)
        return super().read(index, size)
build_store(Slow(), 8, {path!r}, workers=1)
"""


def test_killed_process_leaves_no_lock_and_half_its_work(reference, tmp_path):
    path = tmp_path / "store"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=str(path))], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.kill()
    assert len(list((tmp_path / "store.partial").glob("chunk-*"))) == 1
    (tmp_path / "store.partial" / "chunk-000001.json.123.tmp").write_text("[")  # killed while writing a marker
    build_store(FakeSource(), SIZE, path, workers=1)
    assert contents(path) == contents(reference.path)


def test_a_store_that_another_process_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PATIENCE_SECONDS", 0.05)
    with FileLock(tmp_path / ".store.lock"), pytest.raises(DataError, match="wait for it, or end it"):
        build_store(FakeSource(), SIZE, tmp_path / "store")


def test_finished_store_is_opened_not_made(reference, monkeypatch):
    monkeypatch.setattr(FakeSource, "read", None)
    assert len(build_store(FakeSource(), SIZE, reference.path)) == 70


@pytest.mark.parametrize(("source", "size"), [(FakeSource(seed=1), SIZE), (FakeSource(), 16)])
def test_other_data_under_the_same_path(reference, source, size):
    with pytest.raises(DataError, match="another data set or size"):
        build_store(source, size, reference.path)


def test_cache_follows_argument_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MGM_CACHE", str(tmp_path / "environment"))
    source = FakeSource(count=3)
    assert cached_store(source, SIZE).path.parent == tmp_path / "environment"
    assert cached_store(source, SIZE, str(tmp_path / "given")).path.parent == tmp_path / "given"
    monkeypatch.delenv("MGM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_path(source, SIZE).parent == tmp_path / ".cache" / "mgm"


def test_cache_tells_sources_and_sizes_apart():
    paths = {store_path(source, size) for source in (FakeSource(), FakeSource(seed=1)) for size in (8, 16)}
    paths |= {store_path(FakeSource(), Frame((8, 16), aspect)) for aspect in ("squeeze", "letterbox", "crop")}
    assert len(paths) == 7


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="MGM_CACHE"):
        cached_store(FakeSource(), SIZE, str(tmp_path / "file"))


def test_no_room_on_the_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"needs .* GB but has .* GB free.*MGM_CACHE"):
        build_store(FakeSource(), SIZE, tmp_path / "store")


def test_data_set_without_scenes(tmp_path):
    store = build_store(FakeSource(count=5, num_scenes=0), SIZE, tmp_path / "store")
    assert store.arrays["scene"].shape == (5, 0)
    assert store.sample(4).scene.shape == (0,)


def test_data_set_without_samples(tmp_path):
    with pytest.raises(DataError, match="no samples"):
        build_store(FakeSource(count=0), SIZE, tmp_path / "store")


@dataclass
class WrongSource(FakeSource):
    """One sample breaks the promise."""

    wrong: str = ""

    def read(self, index: int, size: FrameLike) -> Sample:
        sample = super().read(index, size)
        if index != 1:
            return sample
        full = np.ones((1, SIZE, SIZE), np.float32)
        changes = {
            "label": {"targets": {**sample.targets, "semantic": np.full((SIZE, SIZE), 4, np.uint8)}},
            "infinite": {"targets": {**sample.targets, "depth": full * np.inf}},
            "large": {"targets": {**sample.targets, "depth": full * 70000}},
            "channels": {"targets": {**sample.targets, "depth": np.ones((2, SIZE, SIZE), np.float32)}},
            "rank": {"targets": {**sample.targets, "depth": full[0]}},
            "lacking": {"targets": {"depth": full}},
            "image": {"image": sample.image.astype(np.float32)},
            "scenes": {"scene": np.ones(4, np.float32)},
            "two_hot": {"scene": np.array([1, 1, 0], np.float32)},
            "negative": {"scene": np.array([1, -1, 1], np.float32)},
        }
        return replace(sample, **changes[self.wrong])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("label", "label 4 is neither a class"),
        ("infinite", "depth is infinite"),
        ("large", "above 65504"),
        ("channels", r"depth has shape \(2, 8, 8\), not \(1, 8, 8\)"),
        ("rank", r"depth has shape \(8, 8\)"),
        ("lacking", r"has targets \['depth'\]"),
        ("image", "image is float32"),
        ("scenes", "3 scene classes"),
        ("two_hot", "not a one-hot vector"),
        ("negative", "not a one-hot vector"),
    ],
)
def test_broken_promises_name_the_sample(tmp_path, wrong, message):
    with pytest.raises(DataError, match=f"sample 'fake-1'.*{message}"):
        build_store(WrongSource(count=3, wrong=wrong), SIZE, tmp_path / "store")


def test_unreadable_picture_stops_the_build_and_mending_it_helps(tmp_path):
    folder = write_nyuv2(tmp_path / "data", count=3)
    picture = folder / "depth" / "0002.png"
    good = picture.read_bytes()
    picture.write_bytes(good[:200])
    with pytest.raises(DataError, match=r"depth/0002.png"):
        cached_store(open_source(str(folder)), 32, str(tmp_path / "cache"))
    picture.write_bytes(good)
    assert len(cached_store(open_source(str(folder)), 32, str(tmp_path / "cache"))) == 3


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "manifest.json").unlink(),
        lambda path: _cut(path / "manifest.json"),
        lambda path: (path / "manifest.json").write_text("[]"),
        lambda path: (path / "manifest.json").write_text('{"version": 2, "count": 0, "arrays": {}, "info": {}}'),
        lambda path: (path / "depth.npy").unlink(),
        lambda path: _cut(path / "depth.npy"),
        lambda path: (path / "depth.npy").write_bytes(b""),
        lambda path: np.save(path / "depth.npy", np.zeros((70, 1, SIZE, SIZE))),
        lambda path: np.save(path / "image.npy", np.array([{}]), allow_pickle=True),
    ],
)
def test_damage_is_noticed_with_the_remedy(reference, tmp_path, damage):
    path = tmp_path / "store"
    shutil.copytree(reference.path, path)
    damage(path)
    with pytest.raises(DataError, match=f"{path}.*delete the folder"):
        open_store(path)


def test_other_format(reference, tmp_path):
    path = tmp_path / "store"
    shutil.copytree(reference.path, path)
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"version": {FORMAT_VERSION}', '"version": 99'))
    with pytest.raises(DataError, match="format 99"):
        Store(path)


def test_no_store(tmp_path):
    with pytest.raises(DataError, match="no store"):
        open_store(tmp_path / "nothing")


def test_bar_only_where_wanted(tmp_path, capsys):
    build_store(FakeSource(count=3), SIZE, tmp_path / "quiet", workers=1)
    assert capsys.readouterr() == ("", "")
    build_store(FakeSource(count=3), SIZE, tmp_path / "loud", workers=1, progress=True)
    output, errors = capsys.readouterr()
    assert output == ""
    assert "converting fake" in errors


@pytest.mark.parametrize("kind", ["arrays", "checksums"])
@pytest.mark.parametrize("name", ["../outside", "/outside", ".hidden", "a\\b"])
def test_a_store_names_no_files_outside_of_it(tmp_path, kind, name):
    np.save(tmp_path / "outside.npy", np.zeros(4))
    store = build_store(FakeSource(count=4), 8, tmp_path / "store", workers=1)
    manifest = json.loads((store.path / "manifest.json").read_text())
    manifest[kind][name] = {"arrays": {"dtype": "float64", "shape": [4]}, "checksums": "0"}[kind]
    (store.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="the store cannot be used"):
        open_store(store.path)
