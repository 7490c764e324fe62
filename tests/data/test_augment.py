"""Augmentation: images, labels and label values stay true to each other."""

import colorsys
import math
from functools import partial
from typing import Any

import pytest
import torch

from mgm.data.augment import PairedAugmentation, flip, resize, turn
from mgm.errors import ConfigError
from mgm.tasks import TASKS, make_tasks
from mgm.types import Batch, SizeSetting, parse_size

SIZE = 32
CLASSES = tuple("abcdefgh")
ALL = make_tasks(tuple(TASKS), CLASSES)
PLAIN: dict[str, Any] = {"colour": 0.0}


def coordinates(count: int, size: SizeSetting = SIZE) -> Batch:
    """Images and dense targets show their own coordinates, x in channel 0 and y in 1; depth 4 m, class by column."""
    height, width = parse_size(size)
    down, across = ((2 * torch.arange(side) + 1) / side - 1 for side in (height, width))
    x, y = across.expand(height, width), down[:, None].expand(height, width)
    images = torch.stack([x, y, x * 0]).expand(count, -1, -1, -1).clone()
    column = (torch.arange(width) * len(CLASSES) // width).expand(count, height, -1).clone()
    targets = {name: images[:, : task.channels].clone() for name, task in ALL.items() if name != "semantic"}
    normal = torch.tensor([0.6, 0.0, -0.8])[:, None, None].expand(count, 3, height, width).clone()
    return Batch(
        images,
        targets | {"semantic": column, "normal": normal, "depth": torch.full((count, 1, height, width), 4.0)},
        torch.eye(count),
    )


def assert_same(one: Batch, other: Batch) -> None:
    torch.testing.assert_close(one.images, other.images, rtol=0, atol=0)
    assert one.targets.keys() == other.targets.keys()
    for name, target in one.targets.items():
        torch.testing.assert_close(target, other.targets[name], rtol=0, atol=0, equal_nan=True)


def test_flipping_twice_is_the_identity():
    batch = coordinates(4)
    mirrored = torch.tensor([True, False, True, False])
    once = Batch(*flip(batch, mirrored, ALL), batch.scene)
    assert not torch.equal(once.images[0], batch.images[0])
    assert torch.equal(once.images[1], batch.images[1])
    assert_same(Batch(*flip(once, mirrored, ALL), batch.scene), batch)


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: flip(batch, torch.tensor([True]), ALL),
        *(partial(lambda batch, k: turn(batch.images, batch.targets, torch.tensor([k]), ALL), k=k) for k in (1, 2, 3)),
    ],
    ids=["flip", "90", "180", "270"],
)
def test_changed_normals_are_those_of_the_changed_surface(change):
    # a plane z = 5 + x / 2 + y / 4, seen straight on: its normal is (a, b, -1) / length; mirrored, the slope in x turns
    x = torch.linspace(-1, 1, SIZE).expand(SIZE, SIZE)
    depth = 5 + x / 2 + x.T / 4

    def normals(surface: torch.Tensor) -> torch.Tensor:
        dy, dx = torch.gradient(surface, spacing=2 / (SIZE - 1))
        vectors = torch.stack([dx, dy, -torch.ones_like(dx)])
        return vectors / vectors.norm(dim=0)

    targets = {"depth": depth[None, None], "normal": normals(depth)[None]}
    batch = Batch(torch.zeros(1, 3, SIZE, SIZE), targets, torch.ones(1, 1))
    _, changed = change(batch)
    assert not torch.equal(changed["depth"], targets["depth"])
    torch.testing.assert_close(changed["normal"][0], normals(changed["depth"][0, 0]))


def test_images_and_all_targets_are_turned_alike():
    batch = coordinates(4)
    images, targets = turn(batch.images, batch.targets, torch.arange(4), ALL)
    assert torch.equal(images[0], batch.images[0])
    assert torch.equal(images[1][:, 0], batch.images[1][:, :, -1])  # the right border is now the upper one
    for name in ("edge_texture", "reshading", "principal_curvature"):
        assert torch.equal(targets[name], images[:, : ALL[name].channels])
    assert torch.equal(targets["semantic"][2], batch.targets["semantic"][2].flip(0, 1))
    back = Batch(*turn(images, targets, torch.tensor([0, 3, 2, 1]), ALL), batch.scene)
    assert_same(back, batch)


OFF: dict[str, Any] = {"flip": False, "zoom": (1.0, 1.0), "colour": 0.0}


@pytest.mark.parametrize("size", [SIZE, (24, 40), "40x16"])
def test_with_everything_off_nothing_changes(size):
    batch = coordinates(16, size)
    result = PairedAugmentation(ALL, size, **OFF)(batch, seed=0)
    torch.testing.assert_close(result.images, batch.images)
    assert all(torch.equal(result.targets[name], target) for name, target in batch.targets.items())


@pytest.mark.parametrize(
    "setting",
    [
        {"flip": True},
        {"vertical_flip": True},
        {"quarter_turns": True},
        {"zoom": (1.0, 2.0)},
        {"colour": 0.3},
        {"hue": 0.2},
        {"blur": 2.0},
        {"noise": 0.1},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_each_setting_alone_does_what_it_says(setting):
    batch = coordinates(32)
    result = PairedAugmentation(ALL, SIZE, **OFF | setting)(batch, seed=0)
    changed = (result.images - batch.images).abs().flatten(1).amax(1) > 0.01
    assert changed.sum() >= 8
    moved = any(not torch.equal(result.targets[name], target) for name, target in batch.targets.items())
    assert moved == (next(iter(setting)) in ("flip", "vertical_flip", "quarter_turns", "zoom"))
    x, y = result.images[:, 0].mean(1), result.images[:, 1].mean(2)
    if "flip" in setting:
        assert set((x[:, -1] > 0).tolist()) == {True, False}
        assert (y[:, -1] > 0).all()
    if "vertical_flip" in setting:
        assert (x[:, -1] > 0).all()
        assert set((y[:, -1] > 0).tolist()) == {True, False}
    if "quarter_turns" in setting:
        corners = {tuple((image[:2, 0, 0] > 0).tolist()) for image in result.images}
        assert len(corners) == 4
    if "noise" in setting:
        assert 0.02 < (result.images - batch.images).std() < 0.2


def test_whole_picture_at_zoom_one_is_left_as_it_is():
    batch = coordinates(16)
    result = PairedAugmentation(ALL, SIZE, zoom=(1, 1), **PLAIN)(batch, seed=0)
    mirrored = result.images[:, 0, 0, 0] > 0
    assert 0 < mirrored.sum() < 16
    expected = Batch(*flip(batch, mirrored, ALL), batch.scene)
    torch.testing.assert_close(result.images, expected.images)
    for name, target in result.targets.items():
        torch.testing.assert_close(target, expected.targets[name])
    assert torch.equal(result.scene, batch.scene)


def test_images_that_are_not_square_are_flipped_and_never_turned_by_a_quarter():
    batch = coordinates(16, (24, 40))
    result = PairedAugmentation(ALL, (24, 40), **OFF, vertical_flip=True)(batch, seed=0)
    assert set((result.images[:, 1, -1, 0] > 0).tolist()) == {True, False}
    assert (result.images[:, 0, 0, -1] > 0).all()
    with pytest.raises(ConfigError, match=r"images of 24x40 would change shape; .* --vertical-flip"):
        PairedAugmentation(ALL, (24, 40), quarter_turns=True)


@pytest.mark.parametrize("size", [SIZE, (24, 48)])
@pytest.mark.parametrize("zoom", [(1.0, 1.5), (0.6, 0.9), (0.7, 1.4)])
def test_labels_lie_where_their_pixels_lie(zoom, size):
    batch = coordinates(32, size)
    result = PairedAugmentation(ALL, size, zoom=zoom, **PLAIN)(batch, seed=1)
    for name in ("reshading", "edge_texture", "principal_curvature"):
        target = result.targets[name]
        seen = ALL[name].valid(target)[:, None] & (result.images[:, :2].abs() < 0.9).all(dim=1, keepdim=True)
        difference = (target - result.images[:, : target.shape[1]]).abs()
        # nearest against bilinear: half a source pixel apart at most
        assert difference[seen.expand_as(difference)].max() <= 1 / min(parse_size(size)) + 1e-5
    column = ((result.images[:, 0] + 1) / 2 * len(CLASSES)).floor().long()
    inside = ALL["semantic"].valid(result.targets["semantic"])
    assert (column == result.targets["semantic"])[inside].float().mean() > 0.8  # class borders move by half a pixel


def test_depth_is_divided_by_the_zoom_that_enlarges_the_object():
    # size in the picture times distance stays what it is: object size times focal length
    batch = coordinates(64, 64)
    disc = torch.zeros(64, 1, 64, 64)
    disc[:, :, 28:36, 28:36] = 1.0
    batch.targets["reshading"] = disc
    result = PairedAugmentation(ALL, 64, zoom=(1.0, 2.0), **PLAIN)(batch, seed=3)
    depth = result.targets["depth"]
    assert (depth.amax(dim=(1, 2, 3)) == depth.amin(dim=(1, 2, 3))).all()
    side = result.targets["reshading"].sum(dim=(1, 2, 3)).sqrt()
    whole = (result.targets["reshading"][:, 0, [0, -1]].sum(dim=(1, 2)) == 0) & (
        result.targets["reshading"][:, 0, :, [0, -1]].sum(dim=(1, 2)) == 0
    )
    assert whole.sum() > 30
    torch.testing.assert_close(
        (side * depth[:, 0, 0, 0])[whole], torch.full((int(whole.sum()),), 32.0), rtol=0.1, atol=0
    )
    assert depth.min() < 2.3
    assert depth.max() > 3.7


def test_normals_keep_their_direction_but_for_the_flip():
    normal = PairedAugmentation(ALL, SIZE)(coordinates(16), seed=4).targets["normal"]
    torch.testing.assert_close(normal[:, 0].abs(), torch.full((16, SIZE, SIZE), 0.6))
    torch.testing.assert_close(normal[:, 2], torch.full((16, SIZE, SIZE), -0.8))


@pytest.mark.parametrize("outside", ["grey", "reflection"])
def test_pixels_out_of_view_are_invalid_in_every_task(outside):
    zoom = 0.5
    result = PairedAugmentation(ALL, SIZE, zoom=(zoom, zoom), outside=outside, **PLAIN)(coordinates(16), seed=5)
    for name, task in ALL.items():
        valid = task.valid(result.targets[name])
        assert (valid.sum(dim=(1, 2)) == (SIZE * zoom) ** 2).all()
        columns = valid.any(dim=1)
        assert (columns.sum(dim=1) == SIZE * zoom).all()
    away = ~ALL["depth"].valid(result.targets["depth"])
    grey = result.images.abs().sum(dim=1) < 1e-6
    assert grey[away].float().mean() > 0.85 if outside == "grey" else grey[away].float().mean() < 0.1


def test_windows_reach_every_border():
    images = PairedAugmentation({}, SIZE, zoom=(2, 2), **PLAIN)(
        Batch(coordinates(256).images, {}, torch.eye(256)), seed=14
    ).images
    for axis in (0, 1):
        assert images[:, axis].min() < -0.96
        assert images[:, axis].max() > 0.96


def test_invalid_pixels_stay_invalid():
    batch = coordinates(8)
    batch.targets["depth"].fill_(math.nan)
    batch.targets["semantic"].fill_(255)
    result = PairedAugmentation(ALL, SIZE)(batch, seed=7)
    assert result.targets["depth"].isnan().all()
    assert (result.targets["semantic"] == 255).all()
    assert result.targets["semantic"].dtype == torch.int64


def test_photometric_changes_stay_in_range_and_leave_labels_alone():
    batch = Batch(torch.rand(16, 3, SIZE, SIZE) * 2 - 1, coordinates(16).targets, torch.eye(16))
    plain = PairedAugmentation(ALL, SIZE, **PLAIN)(batch, seed=8)
    changed = PairedAugmentation(ALL, SIZE, colour=0.5)(batch, seed=8)
    assert changed.images.abs().max() <= 1
    assert ((changed.images - plain.images).abs().mean(dim=(1, 2, 3)) > 0.01).all()
    assert_same(Batch(plain.images, changed.targets, batch.scene), plain)


def turn_of(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """``[B]``: by how much of the colour circle each image was turned, from the colours of a pixel."""

    def hues(images: torch.Tensor) -> torch.Tensor:
        pixels = ((images[:, :, 0, 0] + 1) / 2).tolist()
        return torch.tensor([colorsys.rgb_to_hsv(*pixel)[0] for pixel in pixels])

    return (hues(after) - hues(before) + 0.5) % 1 - 0.5


def test_hue_is_turned_by_up_to_its_share_of_the_circle():
    batch = Batch(torch.tensor([0.5, -0.5, 0.0]).view(1, 3, 1, 1).expand(200, 3, 4, 4), {}, torch.eye(200))
    images = PairedAugmentation({}, 4, zoom=(1, 1), colour=0.0, hue=0.2)(batch, seed=15).images
    turns = turn_of(batch.images, images)
    assert turns.min() < -0.18
    assert turns.max() > 0.18
    assert turns.abs().max() <= 0.2 + 1e-5
    torch.testing.assert_close(images.amax(dim=1), batch.images.amax(dim=1))  # value and saturation stay
    torch.testing.assert_close(images.amin(dim=1), batch.images.amin(dim=1))


def test_depends_on_the_seed_alone_and_leaves_global_randomness_alone():
    augment, batch = PairedAugmentation(ALL, SIZE, zoom=(0.8, 1.5)), coordinates(8)
    before = torch.random.get_rng_state()
    first = augment(batch, seed=10)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert_same(augment(batch, seed=10), first)
    assert not torch.equal(augment(batch, seed=11).images, first.images)
    assert_same(batch, coordinates(8))  # the argument is untouched


def test_resized_images_and_labels_stay_together():
    batch = coordinates(2, (48, 64))
    small = resize(batch, (24, 32), ALL)
    torch.testing.assert_close(small.images[:, :2, 2:-2, 2:-2], coordinates(2, (24, 32)).images[:, :2, 2:-2, 2:-2])
    assert torch.equal(small.targets["semantic"], coordinates(2, (24, 32)).targets["semantic"])


@pytest.mark.parametrize(
    "settings", [{"zoom": (0, 1)}, {"zoom": (1.5, 1.0)}, {"colour": 1.0}, {"hue": -0.1}, {"hue": 0.6}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError):
        PairedAugmentation(ALL, SIZE, **settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_changes_on_every_device():
    augment, batch = PairedAugmentation(ALL, SIZE, zoom=(0.8, 1.5)), coordinates(8)
    here, there = augment(batch, seed=13), augment(batch.to(torch.device("cuda")), seed=13)
    assert there.images.is_cuda
    torch.testing.assert_close(there.images.cpu(), here.images, rtol=0, atol=1e-4)
    for name, target in here.targets.items():
        differs = ~torch.isclose(there.targets[name].cpu().float(), target.float(), equal_nan=True)
        assert differs.float().mean() < 0.01  # pixels on the edge between two source pixels


@pytest.mark.parametrize("channels", [1, 2, 4, 16])
def test_images_of_other_channels_are_changed_without_colours(channels):
    batch = Batch(torch.rand(6, channels, SIZE, SIZE) - 0.5, {}, torch.zeros(6, 1))
    same = PairedAugmentation({}, SIZE, flip=False, zoom=(1, 1), colour=0.0)(batch, seed=1)
    torch.testing.assert_close(same.images, batch.images, rtol=0, atol=1e-5)
    changed = PairedAugmentation({}, SIZE, flip=False, zoom=(1, 1), colour=0.3, noise=0.01, blur=0.5)(batch, seed=1)
    assert changed.images.shape == batch.images.shape
    assert not torch.allclose(changed.images, batch.images, atol=0.05)
    # a line per channel: levels and their factor; of several channels each has one of its own
    plain = PairedAugmentation({}, SIZE, flip=False, zoom=(1, 1), colour=0.2)(batch, seed=1).images
    means = ((plain + 1) / 2).mean(dim=(2, 3)) / ((batch.images + 1) / 2).mean(dim=(2, 3))
    assert (means > 0.8 * 0.8 - 1e-3).all()
    assert (means < 1.2 * 1.2 + 1e-3).all()
    assert channels == 1 or (means.std(dim=1) > 1e-4).all()
