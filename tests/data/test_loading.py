"""Batches hold what the store holds; which samples a step sees depends on its number alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeSource
from mgm.data.loading import Prefetch, StoreReader, epoch_indices
from mgm.data.store import Store, build_store
from mgm.errors import ConfigError, DataError

TASKS = ("semantic", "depth", "normal")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return build_store(FakeSource(count=20), 8, tmp_path_factory.mktemp("loading") / "store", workers=1)


@pytest.mark.parametrize("resident_bytes", [0, 10**9])
def test_batch_holds_the_samples_in_order(store, resident_bytes):
    reader = StoreReader(store, TASKS, resident_bytes=resident_bytes)
    rows = [7, 0, 19, 7]
    batch = reader.batch(rows)
    samples = [store.sample(row) for row in rows]
    assert len(reader) == 20
    assert len(batch) == 4
    assert {name: target.dtype for name, target in batch.targets.items()} == {
        "semantic": torch.int64, "depth": torch.float32, "normal": torch.float32,
    }  # fmt: skip
    assert batch.images.dtype == batch.scene.dtype == torch.float32
    np.testing.assert_allclose((batch.images.numpy() + 1) * 127.5, np.stack([s.image for s in samples]), atol=1e-4)
    np.testing.assert_array_equal(batch.scene.numpy(), np.stack([s.scene for s in samples]))
    for task in TASKS:
        np.testing.assert_array_equal(batch.targets[task].numpy(), np.stack([s.targets[task] for s in samples]))
    np.testing.assert_array_equal(reader.scenes, np.stack([FakeSource().read(i, 8).scene for i in range(20)]))


@pytest.mark.parametrize("resident_bytes", [0, 10**9])
def test_batches_are_copies(store, resident_bytes):
    reader = StoreReader(store, TASKS, resident_bytes=resident_bytes)
    before = reader.batch([3])
    for values in (before.images, before.scene, *before.targets.values()):
        values.zero_()
    assert reader.batch([3]).images.abs().sum() > 0
    assert reader.batch([3]).targets["depth"].nansum() > 0
    assert reader.batch([3]).scene.sum() == 1


def test_images_span_minus_one_to_one(store):
    images = StoreReader(store, ()).batch(np.arange(20)).images
    assert images.min() == -1
    assert images.max() == 1


def test_tasks_are_chosen(store):
    assert set(StoreReader(store, ["depth"]).batch([0]).targets) == {"depth"}
    with pytest.raises(ConfigError, match="reshading"):
        StoreReader(store, ["reshading"])


@pytest.mark.parametrize("rows", [[20], [-1]])
@pytest.mark.parametrize("resident_bytes", [0, 10**9])
def test_indices_out_of_range(store, rows, resident_bytes):
    with pytest.raises(DataError, match="has 20"):
        StoreReader(store, TASKS, resident_bytes=resident_bytes).batch(rows)


@given(st.integers(1, 40), st.data(), st.integers(0, 2**31))
def test_every_sample_once_per_epoch_in_full_batches(count, data, seed):
    batch_size = data.draw(st.integers(1, count))
    indices = np.arange(count) * 2 + 5
    steps = -(-3 * count // batch_size)
    batches = [epoch_indices(indices, batch_size, step, seed) for step in range(steps)]
    assert all(len(batch) == batch_size for batch in batches)
    stream = np.concatenate(batches)
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == indices.tolist()


def test_a_step_does_not_depend_on_those_before():
    indices = np.arange(10)
    late = epoch_indices(indices, 4, 1000, seed=3)
    for step in range(5):
        epoch_indices(indices, 4, step, seed=3)
    np.testing.assert_array_equal(epoch_indices(indices, 4, 1000, seed=3), late)


@given(st.integers(8, 40), st.integers(0, 30), st.sampled_from([1, 2, 4, 8]))
def test_processes_share_out_the_same_batch(count, step, world_size):
    whole = epoch_indices(np.arange(count), 8, step, seed=1)
    parts = [
        epoch_indices(np.arange(count), 8, step, 1, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_too_few_images_and_unequal_shares():
    with pytest.raises(DataError, match="too few images for the batch: 3 images, batch size 4"):
        epoch_indices(np.arange(3), 4, 0, 0)
    with pytest.raises(DataError, match="among 3 processes"):
        epoch_indices(np.arange(9), 4, 0, 0, rank=0, world_size=3)


def test_pinned():
    # resumed runs and published numbers rest on it: it must never change between versions
    assert epoch_indices(np.arange(6), 4, 1, seed=0).tolist() == [0, 1, 1, 4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident_bytes", [0, 10**9])
def test_batches_on_the_gpu(store, resident_bytes):
    here = StoreReader(store, TASKS).batch([5, 2])
    there = StoreReader(store, TASKS, "cuda", resident_bytes).batch([5, 2])
    torch.testing.assert_close(there.images.cpu(), here.images)
    for task in TASKS:
        torch.testing.assert_close(there.targets[task].cpu(), here.targets[task], equal_nan=True)


def test_targets_may_be_left_out(store):
    batch = StoreReader(store, TASKS).batch([1, 2], targets=False)
    assert batch.targets == {}
    torch.testing.assert_close(batch.images, StoreReader(store, TASKS).batch([1, 2]).images)


def test_scenes_may_be_replaced(store):
    scenes = np.arange(40, dtype=np.float32).reshape(20, 2)
    reader = StoreReader(store, (), resident_bytes=0, scenes=scenes)
    np.testing.assert_array_equal(reader.batch([3, 1]).scene, scenes[[3, 1]])
    assert reader.scenes is scenes


def test_prefetched_batches_are_those_that_were_asked_for(store):
    reader, calls = StoreReader(store, TASKS, resident_bytes=0), []

    def load(step: int, count: int):
        calls.append((step, count))
        return reader.batch(np.arange(step, step + count))

    prefetch = Prefetch(load)
    for step, count in ((0, 2), (1, 2), (2, 2), (7, 2), (8, 3), (3, 2)):  # in order, after a jump, of another size
        torch.testing.assert_close(prefetch(step, count).images, reader.batch(np.arange(step, step + count)).images)
    assert calls[:3] == [(0, 2), (1, 2), (2, 2)]


def test_errors_of_the_prefetching_thread_arrive():
    def load(step, count):
        if step == 1:
            raise DataError("gone")
        return step

    prefetch = Prefetch(load)
    prefetch(0, 1)
    with pytest.raises(DataError, match="gone"):
        prefetch(1, 1)
