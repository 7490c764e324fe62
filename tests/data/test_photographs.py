"""Photographs as they come: turned, grey, deep, transparent, printed; or refused in one line."""

import numpy as np
import pytest
from PIL import Image

from mgm.data import photographs
from mgm.data.photographs import read_photograph
from mgm.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
ORIENTATION = 0x0112


def test_files_images_and_arrays_are_the_same_photograph(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(RGB), RGB):
        np.testing.assert_array_equal(read_photograph(source), RGB)


@pytest.mark.parametrize(
    "orientation, turned",
    [(1, RGB), (2, RGB[:, ::-1]), (3, RGB[::-1, ::-1]), (6, np.rot90(RGB, -1)), (8, np.rot90(RGB))],
)
def test_photographs_are_turned_upright(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photograph(tmp_path / "a.png"), turned)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(read_photograph(image), turned)


def test_grey_of_sixteen_bits_is_scaled(tmp_path):
    deep = np.linspace(0, 65535, 240).round().astype(np.uint16).reshape(12, 20)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep.astype(np.int32)).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        pixels = read_photograph(tmp_path / name)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels[..., 1], (deep / 257).round())
        assert pixels.min() == 0
        assert pixels.max() == 255


KINDS = [("RGBA", "png"), ("LA", "png"), ("L", "jpg"), ("P", "gif"), ("CMYK", "jpg"), ("1", "png")]


@pytest.mark.parametrize("mode, suffix", KINDS)
def test_every_kind_of_colour_becomes_rgb(tmp_path, mode, suffix):
    smooth = Image.fromarray(RGB).resize((40, 24), Image.Resampling.BICUBIC)
    smooth.convert(mode).save(tmp_path / f"a.{suffix}")
    pixels = read_photograph(tmp_path / f"a.{suffix}")
    assert pixels.shape == (24, 40, 3)
    expected = np.array(smooth.convert(mode).convert("RGB"), dtype=float)
    assert np.abs(pixels - expected).mean() < 12


def test_palette_with_transparency_and_broken_exif(tmp_path):
    image = Image.fromarray(RGB[..., 0]).convert("P")
    image.save(tmp_path / "a.png", transparency=b"\0\1")
    assert read_photograph(tmp_path / "a.png").shape == (12, 20, 3)
    Image.fromarray(RGB).save(tmp_path / "b.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage")
    assert read_photograph(tmp_path / "b.png").shape == (12, 20, 3)


def test_what_is_no_photograph(tmp_path, monkeypatch):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="float.tif.*save it as 8-bit RGB"):
        read_photograph(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 100_000, np.int32)).save(tmp_path / "wide.tif")
    with pytest.raises(DataError, match="wide.tif.*beyond 16 bits"):
        read_photograph(tmp_path / "wide.tif")
    for array in (RGB[..., 0], RGB.astype(np.float32), RGB[..., :2], RGB[:0]):
        with pytest.raises(DataError, match="height, width, 3"):
            read_photograph(array)
    monkeypatch.setattr(photographs, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="million pixels"):
        read_photograph(Image.fromarray(RGB))


def written(image: Image.Image, file, kind: str, **how: object):
    image.save(file, kind, **how)
    return file


@pytest.mark.parametrize("suffix", sorted(photographs.SUFFIXES))
def test_every_ending_that_is_promised_is_read(tmp_path, suffix):
    picture = Image.fromarray(RGB).convert("L" if suffix == ".pgm" else "RGB")
    picture.save(tmp_path / f"a{suffix}")
    assert read_photograph(tmp_path / f"a{suffix}").shape == (12, 20, 3)


def test_photographs_of_two_lenses_in_one_jpeg_are_read(tmp_path):
    """MPO, as telephones and stereo cameras write it under the ending of a JPEG."""
    twice = Image.fromarray(RGB)
    file = written(twice, tmp_path / "a.jpg", "MPO", save_all=True, append_images=[twice])
    with Image.open(file) as image:
        assert image.format == "MPO"
    assert read_photograph(file).shape == (12, 20, 3)


EXOTIC = ["EPS", "ICO", "JPEG2000", "PDF"]


@pytest.mark.parametrize("kind", EXOTIC)
@pytest.mark.parametrize("name", ["a.png", "a.eps"])
def test_no_program_and_no_exotic_decoder_is_run_on_a_file(tmp_path, monkeypatch, kind, name):
    def run(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen.__init__", run)
    picture = Image.fromarray(RGB).convert("1" if kind == "MSP" else "RGB")
    file = written(picture, tmp_path / name, kind)
    with pytest.raises(
        DataError, match=rf"{name}: is no picture that can be read \(PNG, JPEG, ...\); replace or remove it"
    ):
        read_photograph(file)
