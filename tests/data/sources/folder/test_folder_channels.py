"""Folders whose images are no RGB of 8 bits: what is declared, what is kept, and what is said where it is not."""

import numpy as np
import pytest
import torch

from fake_folder import npy, write_own
from fake_tiles import GREY, TASKS, TILES, tile, write_tiles
from fakes import png, write_files
from mgm.data import open_photographs, open_source
from mgm.data.loading import StoreReader
from mgm.data.store import StoreSource, build_store, open_store
from mgm.errors import DataError
from mgm.report.inspect import inspect_source
from mgm.types import ImageFormat

NUMBERS = ImageFormat(4, "uint16", ((0, 4095),), (2, 1, 0))


def test_tiles_keep_their_16_bits_from_the_files_to_the_network(tmp_path):
    source = open_source(str(write_tiles(tmp_path / "tiles")))
    assert source.info.image == NUMBERS
    sample = source.read(3, 32)
    assert sample.image.dtype == np.uint16
    assert np.array_equal(sample.image, np.round(tile(3).transpose(2, 0, 1) / 4095 * 65535))
    store = build_store(source, 32, tmp_path / "store")
    assert open_store(store.path).info == source.info
    images = StoreReader(store, ()).batch([3]).images[0]
    wanted = torch.from_numpy(tile(3).transpose(2, 0, 1) / 4095 * 2 - 1).float()
    torch.testing.assert_close(images, wanted, rtol=0, atol=2 / 65535)
    smaller = StoreSource(store.path).read(3, 16).image
    mean = sample.image.reshape(4, 16, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(smaller - mean).max() <= 0.5


def test_grey_of_8_bits_is_kept_in_one_channel_of_8_bits(tmp_path):
    source = open_source(str(write_tiles(tmp_path / "grey", 3, GREY, channels=1)))
    assert source.info.image == ImageFormat(1)
    assert np.array_equal(source.read(1, 32).image, (tile(1, 1).transpose(2, 0, 1) // 16))
    plain = open_source(str(write_tiles(tmp_path / "plain", 3, TASKS, channels=1)))
    assert plain.info.image == ImageFormat()
    assert (plain.read(1, 32).image == source.read(1, 32).image).all()  # in each of three


def test_an_image_of_16_bits_among_those_of_8_is_an_error_unless_a_range_says_what_both_mean(tmp_path):
    folder = write_tiles(tmp_path / "grey", 3, GREY, channels=1)
    write_files(folder, {"rgb/02.png": png(tile(2, 1)[:, :, 0])})
    with pytest.raises(DataError, match=r"02.png: has 16 bits, but 8-bit images are expected.*declare their range"):
        open_source(str(folder)).read(2, 32)


def test_three_channels_of_8_bits_are_photographs_whether_declared_or_not(tmp_path):
    folder = write_own(tmp_path / "own", 3)
    before = open_source(str(folder))
    (folder / "dataset.yaml").write_text("rgb: {channels: 3, show: [2, 1, 0]}")
    declared = open_source(str(folder))
    assert declared.info.image == ImageFormat(show=(2, 1, 0))
    assert np.array_equal(declared.read(0, 16).image, before.read(0, 16).image)


@pytest.mark.parametrize(
    "rgb, says",
    [
        ("{channels: 17}", "rgb: channels is 17; it must be 1 to 16"),
        ("{channels: 4, range: [1, 1]}", "rgb: range must be a lower and a higher number"),
        ("{channels: 4, range: [[0, 1], [0, 1]]}", "rgb: range has 2 pairs for 4 channels"),
        ("{channels: 4, show: [4]}", "rgb: show must be up to three channels from 0 to 3"),
        ("{channels: four}", "rgb.channels: .*valid integer"),
        ("{chanels: 4}", "Did you mean 'channels'"),
    ],
)
def test_impossible_declarations_are_errors(tmp_path, rgb, says):
    with pytest.raises(DataError, match=says):
        open_source(str(write_tiles(tmp_path / "tiles", 2, f"rgb: {rgb}{TASKS}")))


@pytest.mark.parametrize(
    "settings, says",
    [
        (TASKS, r"declare them in dataset.yaml, such as 'rgb: \{channels: 4\}'"),
        (TILES.replace("channels: 4", "channels: 3"), r"has 4 channels; dataset.yaml \('rgb: .*'\) takes images of 3"),
    ],
)
def test_images_of_other_channels_than_declared_are_errors_that_say_what_to_write(tmp_path, settings, says):
    source = open_source(str(write_tiles(tmp_path / "tiles", 2, settings)))
    with pytest.raises(DataError, match=says):
        source.read(0, 32)


def test_arrays_of_other_channels_that_are_not_declared_say_what_to_write(tmp_path):
    files = {"rgb/0.npy": npy(tile(0)), "semantic/0.png": png(np.eye(32, dtype=np.uint8))}
    source = open_source(str(write_files(tmp_path / "arrays", files)))
    with pytest.raises(DataError, match=r"in dataset.yaml: 'rgb: \{channels: 4, range: \[0, 4095\]\}'"):
        source.read(0, 32)


def test_a_range_that_leaves_images_black_is_remarked_with_one_that_does_not(tmp_path):
    source = open_source(str(write_tiles(tmp_path / "tiles", 3, TILES.replace(", range: [0, 4095]", ""))))
    (remark,) = (text for text in source.warnings() if "black" in text)
    assert "fill at most 6.2 % of the range" in remark
    assert "'rgb: {range: [0, 4095]}'" in remark
    assert not any("black" in text for text in open_source(str(write_tiles(tmp_path / "ranged", 3))).warnings())


def test_inspect_says_what_the_images_are_and_shows_the_chosen_channels(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("mgm.report.inspect.contact_sheet", lambda out, images, *rest: shown.append(images))
    lines = list(inspect_source(open_source(str(write_tiles(tmp_path / "tiles", 4))), tmp_path / "a.png", size=32))
    assert "images of 4 channels of numbers 0 to 4095, stored as uint16" in lines
    assert shown[0].shape == (4, 3, 32, 32)
    low, high = np.quantile(tile(1)[:, :, :3], (0.02, 0.98))  # 16-bit images are stretched for display
    stretched = ((tile(1)[:, :, 2] - low) / (high - low)).clip(0, 1) * 2 - 1
    torch.testing.assert_close(shown[0][1, 0], torch.from_numpy(stretched).float(), rtol=0, atol=1 / 255)


def test_images_without_labels_are_read_likewise_for_pre_training(tmp_path):
    folder = write_tiles(tmp_path / "tiles", 3)
    for name in ("height", "cover"):
        for file in (folder / name).iterdir():
            file.unlink()
    source = open_photographs(str(folder))
    assert source.info.tasks == ()
    assert source.info.image == NUMBERS
    assert source.read(0, 32).image.shape == (4, 32, 32)


def test_a_store_whose_images_are_not_what_it_says_is_damaged(tmp_path):
    store = build_store(open_source(str(write_tiles(tmp_path / "tiles", 3))), 32, tmp_path / "store")
    manifest = store.path / "manifest.json"
    for wrong in ('"channels": 3', '"channels": 17'):
        text = manifest.read_text()
        manifest.write_text(text.replace('"channels": 4', wrong))
        with pytest.raises(DataError, match="the store cannot be used"):
            open_store(store.path)
        manifest.write_text(text)
