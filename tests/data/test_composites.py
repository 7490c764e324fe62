"""Composites: pasted pixels come with all labels of their image, and only where they are not far behind."""

import math

import pytest
import torch

from mgm.data.composites import Composites
from mgm.errors import ConfigError
from mgm.tasks import make_tasks
from mgm.types import Batch

COUNT, SIZE, CLASSES = 6, 12, tuple("abcdefgh")
TASKS = make_tasks(("semantic", "depth", "normal"), CLASSES)


def batch_of_ids(depth: float | None = 3.0, num_present: int = 4) -> Batch:
    """Image i and its targets show the number i everywhere, so that every pixel tells where it is from."""
    generator = torch.Generator().manual_seed(0)
    number = torch.arange(COUNT, dtype=torch.float32)[:, None, None, None].expand(-1, 1, SIZE, SIZE)
    semantic = torch.randint(0, num_present, (COUNT, SIZE, SIZE), generator=generator)
    targets = {"semantic": semantic, "normal": number.repeat(1, 3, 1, 1)}
    if depth is not None:
        targets["depth"] = torch.full((COUNT, 1, SIZE, SIZE), depth)
    return Batch(number.repeat(1, 3, 1, 1), targets, torch.eye(COUNT))


def origin(batch: Batch) -> torch.Tensor:
    return batch.images[:, 0].long()


def test_all_labels_follow_their_pixels():
    batch = batch_of_ids()
    result = Composites(TASKS)(batch, seed=0)
    source = origin(result)
    torch.testing.assert_close(result.targets["normal"][:, 1], source.float())
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    torch.testing.assert_close(result.targets["semantic"], batch.targets["semantic"][source, rows, columns])
    assert torch.equal(result.scene, batch.scene)


def test_every_image_is_pasted_into_exactly_one_other():
    source = origin(Composites(TASKS)(batch_of_ids(), seed=1))
    givers = [set(source[index].flatten().tolist()) - {index} for index in range(COUNT)]
    assert all(len(giver) == 1 for giver in givers)
    assert len(set.union(*givers)) == COUNT


@pytest.mark.parametrize(("num_present", "num_pasted"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4)])
def test_half_of_the_classes_in_view_are_pasted_whole(num_present, num_pasted):
    batch = batch_of_ids(num_present=num_present)
    source = origin(Composites(TASKS)(batch, seed=2))
    for index in range(COUNT):
        pasted = source[index] != index
        giver = int(source[index][pasted][0])
        classes = batch.targets["semantic"][giver]
        chosen = set(classes[pasted].tolist())
        assert len(chosen) == num_pasted
        assert torch.equal(pasted, torch.isin(classes, torch.tensor(sorted(chosen))))


def test_ignored_pixels_are_never_pasted():
    batch = batch_of_ids()
    batch.targets["semantic"][:, :4] = 255
    source = origin(Composites(TASKS)(batch, seed=3))
    assert (source[:, :4] == torch.arange(COUNT)[:, None, None]).all()
    assert (source[:, 4:] != torch.arange(COUNT)[:, None, None]).any()


def test_images_without_labels_are_left_whole():
    batch = batch_of_ids()
    batch.targets["semantic"].fill_(255)
    assert torch.equal(Composites(TASKS)(batch, seed=4).images, batch.images)


def test_what_is_far_behind_is_not_pasted():
    batch = batch_of_ids()
    batch.targets["depth"] += 0.2 * torch.arange(COUNT)[:, None, None, None]
    own = torch.arange(COUNT)[:, None, None]
    offsets = set()
    for seed in range(20):
        result = Composites(TASKS)(batch, seed)
        source = origin(result)
        offsets |= set((source - own).flatten().tolist())
        torch.testing.assert_close(result.targets["depth"][:, 0], 3 + 0.2 * source)
    assert offsets == {-5, -4, -3, -2, -1, 0, 1}  # in front always; 0.2 m behind is allowed, 0.4 m is not


@pytest.mark.parametrize("depth", [None, math.nan])
def test_without_depth_everything_chosen_is_pasted(depth):
    expected = origin(Composites(TASKS)(batch_of_ids(), seed=6))
    assert torch.equal(origin(Composites(TASKS)(batch_of_ids(depth), seed=6)), expected)


def test_single_image_is_left_as_it_is():
    batch = batch_of_ids()
    one = Batch(batch.images[:1], {name: target[:1] for name, target in batch.targets.items()}, batch.scene[:1])
    assert torch.equal(Composites(TASKS)(one, seed=7).targets["semantic"], one.targets["semantic"])


def test_depends_on_the_seed_alone():
    before = torch.random.get_rng_state()
    first = Composites(TASKS)(batch_of_ids(), seed=8)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(Composites(TASKS)(batch_of_ids(), seed=8).images, first.images)
    assert not torch.equal(Composites(TASKS)(batch_of_ids(), seed=9).images, first.images)


def test_needs_segmentation():
    with pytest.raises(ConfigError, match="semantic"):
        Composites(make_tasks(("depth",)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_composites_on_every_device():
    here = Composites(TASKS)(batch_of_ids(), seed=10)
    there = Composites(TASKS)(batch_of_ids().to(torch.device("cuda")), seed=10)
    assert torch.equal(there.images.cpu(), here.images)
    assert torch.equal(there.targets["semantic"].cpu(), here.targets["semantic"])
