"""Composites: pasted pixels come with all labels of their image, and only where they are not far behind."""

import math
from dataclasses import replace

import pytest
import torch

from mgm.data.composites import PIECES, Composites
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


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("pieces", PIECES)
def test_all_labels_follow_their_pixels(pieces, share):
    batch = batch_of_ids(num_present=8)
    result = Composites(TASKS, pieces, share=share)(batch, seed=0)
    source = origin(result)
    torch.testing.assert_close(result.targets["normal"][:, 1], source.float())
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    torch.testing.assert_close(result.targets["semantic"], batch.targets["semantic"][source, rows, columns])
    assert torch.equal(result.scene, batch.scene)
    assert (source != torch.arange(COUNT)[:, None, None]).any()
    assert torch.equal(result.real_images, batch.images)


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


def test_objects_are_half_of_the_classes_that_cover_less_than_a_quarter():
    batch = batch_of_ids()
    rows = torch.arange(SIZE)[:, None].expand(SIZE, SIZE)
    # of 12 rows: 6 of wall, 3 of floor (a quarter exactly), and one each of three things
    semantic = torch.tensor([0] * 6 + [1] * 3 + [2, 3, 4])[rows]
    batch.targets["semantic"][:] = semantic
    chosen = set()
    for seed in range(20):
        source = origin(Composites(TASKS, "objects")(batch, seed))
        for index in range(COUNT):
            pasted = source[index] != index
            classes = set(semantic[pasted].tolist())
            assert len(classes) == 1
            assert torch.equal(pasted, torch.isin(semantic, torch.tensor(sorted(classes))))
            chosen |= classes
    assert chosen == {2, 3, 4}


def rectangles(count: int = 50, height: int = 24, width: int = 24) -> list[torch.Tensor]:
    """Masks ``[H, W]`` of what was pasted, of images without any task."""
    images = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 3, height, width)
    result = Composites({}, "cutmix")(Batch(images, {}, torch.eye(count)), seed=12)
    return list(result.images[:, 0] != torch.arange(count)[:, None, None])


def test_cutmix_pastes_one_rectangle_of_up_to_half_of_the_image():
    shares, proportions = [], []
    for pasted in rectangles(200):
        rows, columns = pasted.any(dim=1), pasted.any(dim=0)
        assert torch.equal(pasted, rows[:, None] & columns[None])
        for line in (rows, columns):
            assert len(line.nonzero()) == 0 or line.nonzero().diff(dim=0).eq(1).all()
        shares.append(float(pasted.float().mean()))
        if pasted.sum() > 50:
            proportions.append(math.log2(float(rows.sum() / columns.sum())))
    assert max(shares) < 0.55
    assert max(shares) > 0.45
    assert min(shares) < 0.05
    assert sum(shares) / len(shares) == pytest.approx(0.25, abs=0.03)
    assert min(proportions) < -0.8
    assert max(proportions) > 0.8
    assert max(map(abs, proportions)) < 1.4


def test_rectangles_are_cut_out_of_images_that_are_not_square():
    wide = rectangles(100, height=8, width=32)
    assert any(bool(pasted[:, -1].any()) for pasted in wide)
    assert any(bool(pasted[-1].any()) for pasted in wide)


@pytest.mark.parametrize("pieces", PIECES)
def test_share_of_the_images_that_are_changed(pieces):
    generator, count = torch.Generator().manual_seed(0), 400
    semantic = torch.randint(0, 8, (count, 4, 4), generator=generator)
    number = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 4, 4)
    batch = Batch(number, {"semantic": semantic}, torch.eye(count))
    whole, quarter = (Composites(TASKS, pieces, share=share)(batch, seed=13).images for share in (1.0, 0.25))
    changed = [(images != number).any(dim=3).any(dim=2).any(dim=1) for images in (whole, quarter)]
    expected = 0.25 * changed[0].float().mean()
    assert changed[1].float().mean() == pytest.approx(float(expected), abs=0.06)
    # those that are changed are changed in the same way
    assert torch.equal(quarter[changed[1]], whole[changed[1]])


def test_unlabelled_pixels_of_a_rectangle_are_unlabelled_where_it_lands():
    batch = batch_of_ids()
    batch.targets["semantic"][1] = 255
    batch.targets["depth"][1] = math.nan
    result = Composites(TASKS, "cutmix")(batch, seed=14)
    from_there = origin(result) == 1
    assert from_there[torch.arange(COUNT) != 1].any()
    assert torch.equal(result.targets["semantic"] == 255, from_there)
    assert torch.equal(result.targets["depth"][:, 0].isnan(), from_there)


def test_ignored_pixels_are_never_pasted():
    batch = batch_of_ids()
    batch.targets["semantic"][:, :4] = 255
    source = origin(Composites(TASKS)(batch, seed=3))
    assert (source[:, :4] == torch.arange(COUNT)[:, None, None]).all()
    assert (source[:, 4:] != torch.arange(COUNT)[:, None, None]).any()


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


@pytest.mark.parametrize("pieces", ["classes", "objects"])
def test_needs_segmentation(pieces):
    with pytest.raises(ConfigError, match="semantic"):
        Composites(make_tasks(("depth",)), pieces)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("pieces", PIECES)
def test_same_composites_on_every_device(pieces):
    here = Composites(TASKS, pieces)(batch_of_ids(), seed=10)
    there = Composites(TASKS, pieces)(batch_of_ids().to(torch.device("cuda")), seed=10)
    assert torch.equal(there.images.cpu(), here.images)
    assert torch.equal(there.targets["semantic"].cpu(), here.targets["semantic"])


def test_of_several_givers_each_image_gets_pieces_of_as_many():
    result = Composites(TASKS, givers=3)(batch_of_ids(num_present=8), seed=15)
    givers = [set(origin(result)[index].flatten().tolist()) - {index} for index in range(COUNT)]
    assert max(map(len, givers)) > 1
    assert torch.equal(result.real_images, batch_of_ids().images)
    share = [Composites(TASKS, "cutmix", share=0.5, givers=3)(batch_of_ids(), seed).images for seed in range(20)]
    touched = torch.stack([(images != batch_of_ids().images).flatten(1).any(1) for images in share]).float().mean()
    assert 0.3 < touched < 0.7  # decided once for all givers


def test_what_is_pasted_is_varied_with_its_labels_and_nothing_else():
    def vary(batch: Batch, seed: int) -> Batch:
        return replace(
            batch, images=batch.images + 100, targets={**batch.targets, "normal": batch.targets["normal"] + 100}
        )

    batch = batch_of_ids()
    plain, varied = Composites(TASKS)(batch, seed=16), Composites(TASKS, vary=vary)(batch, seed=16)
    pasted = origin(varied) >= 100
    assert pasted.any()
    assert torch.equal(varied.targets["normal"][:, 0] >= 100, pasted)
    assert torch.equal(origin(varied)[~pasted], origin(batch)[~pasted])
    for index in range(COUNT):
        givers = set(origin(plain)[index].flatten().tolist()) - {index}
        assert set((origin(varied)[index][pasted[index]] - 100).tolist()) == givers


@pytest.mark.parametrize("match", [0.5, 1.0])
def test_colours_of_what_is_pasted_go_towards_those_of_the_image(match):
    batch = batch_of_ids()
    generator = torch.Generator().manual_seed(1)
    spread = torch.randn(COUNT, 3, SIZE, SIZE, generator=generator)
    own = torch.linspace(-0.5, 0.5, COUNT)[:, None, None, None]
    images = own + 0.02 * spread
    varied = Composites(TASKS, "cutmix", match=match)(replace(batch, images=images), seed=17)
    plain = Composites(TASKS, "cutmix")(replace(batch, images=images), seed=17)
    for index in range(COUNT):
        there = (plain.images[index] != images[index]).any(0)
        distance = plain.images[index][:, there].mean() - own[index].item()
        assert abs(varied.images[index][:, there].mean() - own[index].item() - (1 - match) * distance) < 0.05
        assert torch.equal(varied.images[index][:, ~there], images[index][:, ~there])
