"""Images of any number of channels: every form in which they are stored, and what is refused."""

import io
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from fake_folder import npy
from fake_tiles import interleaved, tiff, tile
from fakes import deep_png, png
from mgm.data import channels
from mgm.data.channels import read_image, to_levels
from mgm.data.images import read_photograph, read_rgb
from mgm.errors import DataError
from mgm.types import ImageFormat

DEEP = ImageFormat(4, "uint16")
TILE = np.concatenate([tile(0), tile(0)[:, :10]], axis=1)  # not square


def npz(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, values)
    return stream.getvalue()


def grey(values: np.ndarray) -> bytes:
    return tiff(values[:, :, 0])


FORMS = {
    "interleaved": interleaved(TILE),
    "RGB and another": tiff(TILE, photometric="rgb", extrasamples=["unspecified"]),
    "deflate": tiff(TILE, photometric="rgb", compression="zlib", predictor=True),
    "planes": tiff(TILE.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
    "a page each": tiff(TILE.transpose(2, 0, 1), photometric="minisblack"),
    "ImageJ": tiff(TILE.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}),
    "big-endian": tiff(TILE, photometric="minisblack", planarconfig="contig", byteorder=">"),
    "BigTIFF": tiff(TILE, photometric="minisblack", planarconfig="contig", bigtiff=True),
    "a page per row": tiff(TILE, photometric="minisblack"),
    "tiled, beside a smaller copy": b"",
    "npy": npy(TILE),
    "npy, channels first": npy(TILE.transpose(2, 0, 1)),
    "npz": npz(TILE),
}


@pytest.mark.parametrize("form", FORMS)
def test_four_channels_of_16_bits_come_out_as_they_were_whatever_the_form(form):
    content = FORMS[form]
    if form.startswith("tiled"):
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream) as file:
            how = {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16)}
            file.write(TILE, **how)
            file.write(TILE[::2, ::2], subfiletype=1, **how)
        content = stream.getvalue()
    levels = read_image(content, DEEP, "tile")
    assert levels.dtype == np.uint16
    assert np.array_equal(levels, TILE)


def test_arrays_are_taken_as_they_are():
    for values in (TILE, TILE.transpose(2, 0, 1)):
        assert np.array_equal(read_image(values, DEEP), TILE)
    assert read_image(TILE[:, :, 0], ImageFormat(1, "uint16")).shape == (*TILE.shape[:2], 1)


def test_pictures_of_8_bits_keep_their_channels(tmp_path):
    four = (TILE // 16).astype(np.uint8)
    assert np.array_equal(read_image(png(four), ImageFormat(4), "a"), four)
    Image.fromarray(four).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", ImageFormat(4)), four)
    assert np.array_equal(read_image(Image.fromarray(four), ImageFormat(4)), four)
    rgb = four[:, :, :3]
    assert np.array_equal(read_image(rgb, ImageFormat()), read_photograph(rgb))
    # grey saved as RGB is grey, but no colours are
    assert np.array_equal(read_image(png(four[:, :, :1].repeat(3, 2)), ImageFormat(1), "a"), four[:, :, :1])
    with pytest.raises(DataError, match="a: has 3 channels; this model takes images of 1"):
        read_image(png(rgb), ImageFormat(1), "a")


def test_grey_of_few_bits_and_of_any_maximum():
    grey = TILE[:, :, 0]
    pgm = f"P5 {grey.shape[1]} {grey.shape[0]} 4095\n".encode() + grey.astype(">u2").tobytes()
    levels = read_image(pgm, ImageFormat(1, "uint16", ((0, 4095),)), "a")[:, :, 0]
    assert np.array_equal(levels, np.round(grey / 4095 * 65535))
    assert np.array_equal(read_image(png(grey), ImageFormat(1, "uint16"), "a")[:, :, 0], grey)
    stream = io.BytesIO()
    Image.fromarray(grey > 2000).save(stream, "PNG", bits=1)
    assert np.array_equal(read_image(stream.getvalue(), ImageFormat(1), "a")[:, :, 0], (grey > 2000) * 255)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd"])
def test_compressed_grey_is_read(compression, monkeypatch):
    stream = io.BytesIO()
    Image.fromarray(TILE[:, :, 0]).save(stream, "TIFF", compression=compression)
    if compression in ("lzma", "zstd"):  # of which tifffile would decompress any amount
        monkeypatch.setattr(channels, "find_spec", lambda name: None)
        monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self, **options: pytest.fail("decoded"))
    assert np.array_equal(read_image(stream.getvalue(), ImageFormat(1, "uint16"), "a")[:, :, 0], TILE[:, :, 0])


def test_bands_of_16_bits_are_no_photograph_unless_they_are_declared():
    bands = np.random.default_rng(0).integers(0, 4096, (6, 5, 4)).astype(np.uint16)
    with pytest.raises(DataError, match=r"a: has 4 channels of 16 bits.*'rgb: \{channels: 4"):
        read_rgb(tiff(16 * bands, photometric="rgb"), "a")
    colours = tiff(bands[:, :, :3], photometric="rgb")
    with pytest.raises(DataError, match=r"a: has 16-bit colours with a maximum of about \d+ of 65535.*rgb: \{range"):
        read_rgb(colours, "a")
    for content in (png(bands[:, :, 0]), tiff(bands[:, :, 0]), tiff(bands[:, :, 0].astype(np.int32))):
        with pytest.raises(
            DataError, match=r"a: has 16-bit grey values.* about \d+ of 65535.*rgb: \{channels: 1, range"
        ):
            read_rgb(content, "a")
        assert not read_rgb(png(0 * bands[:, :, 0])).any()
    bright = read_rgb(tiff(16 * bands[:, :, :3], photometric="rgb"), "a")
    assert np.array_equal(bright, (16 * bands[:, :, :3]) >> 8)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package"),
        ModuleNotFoundError("No module named 'compression'"),
    ],
)
def test_a_compression_that_needs_another_package_is_named(monkeypatch, error):
    def refuse(self, *args, **options):
        raise error

    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    with pytest.raises(DataError, match="pip install imagecodecs"):
        read_image(tiff(TILE[:, :, :3], photometric="rgb"), ImageFormat(3, "uint16"), "a")


@pytest.mark.parametrize(
    "content, says",
    [
        (interleaved(TILE[:, :, :3].copy()), "a: has 3 channels; this model takes images of 4"),
        (grey(TILE), "a: has 1 channel; this model takes images of 4"),
        (npy(np.zeros((30, 40, 20), np.uint16)), r"has 20 channels; .* \(at most 16 can be used\)"),
        (npy(np.zeros((4, 40, 4), np.uint16)), r"\(4, 40, 4\), either axis of 4 may be the channels"),
        (npy(np.zeros((2, 3, 4, 5), np.uint16)), "not numbers of H x W or H x W x channels"),
        (interleaved(TILE)[:2000], "is damaged or truncated"),
        (b"II*\0" + 60 * b"x", "is damaged or truncated"),
        (b"MM\0*", "is damaged or truncated"),
        (tiff(TILE, photometric="rgb", extratags=[(274, 3, 1, 6, True)]), "is stored rotated"),
        (npy(TILE.astype(np.int32)), "int32 numbers .* unknown which mean black and white.*range: "),
        (npy(TILE.astype(np.float32)), "float32 numbers"),
        (b"no image", "is not a readable image"),
    ],
)
def test_what_is_no_such_image_is_refused_in_one_sentence(content, says):
    with pytest.raises(DataError, match=says):
        read_image(content, DEEP, "a")


def test_what_claims_to_be_too_large_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self, **options: pytest.fail("decoded"))
    with pytest.raises(DataError, match="which is too large"):
        read_image(interleaved(TILE), DEEP, "a", most_pixels=10)


@pytest.mark.parametrize("deflate", [8, 32946, 50013])
def test_what_inflates_to_more_than_it_claims_is_refused(deflate):
    content = bytearray(tiff(TILE, photometric="rgb", compression="zlib", rowsperstrip=TILE.shape[0]))
    bomb = zlib.compress(bytes(50_000_000))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        page = file.pages.first
        offsets, counts = page.tags["StripOffsets"].valueoffset, page.tags["StripByteCounts"].valueoffset
        small = page.tags["StripByteCounts"].dtype == 3
        compression = page.tags["Compression"].valueoffset
    assert not small or len(bomb) < 65536
    for place, value, size in (
        (offsets, len(content), 4),
        (counts, len(bomb), 2 if small else 4),
        (compression, deflate, 2),
    ):
        content[place : place + size] = value.to_bytes(size, "little")
    with pytest.raises(DataError, match="holds more compressed data than it claims"):
        read_image(bytes(content) + bomb, DEEP, "a")


def test_colours_of_16_bits_that_pillow_would_round_are_refused():
    content = deep_png(np.zeros((3, 4, 3), np.uint16))
    assert read_photograph(Image.open(io.BytesIO(content))).shape == (3, 4, 3)
    with pytest.raises(DataError, match="16-bit colours, which are only read from TIFF"):
        read_image(content, ImageFormat(3, "uint16"), "a")


def test_the_range_of_numbers_becomes_that_of_levels():
    values = np.array([0, 1000, 2000, 4000], np.uint16).reshape(1, 4, 1)
    ranged = ImageFormat(1, "uint16", ((1000, 3000),))
    assert to_levels(values, ranged, "a").ravel().tolist() == [0, 0, 32768, 65535]
    assert to_levels(values.astype(np.float32), ranged, "a").ravel().tolist() == [0, 0, 32768, 65535]
    missing = np.where(values == 2000, np.nan, values.astype(np.float32))
    assert to_levels(missing, ranged, "a").ravel().tolist() == [0, 0, 0, 65535]
    two = to_levels(values.reshape(1, 2, 2), ImageFormat(2, "uint16", ((0, 4000), (0, 8000))), "a")
    assert two.ravel().tolist() == [0, 8192, 32768, 32768]
    with pytest.raises(DataError, match="is an 8-bit file, but numbers up to 3000 are expected"):
        to_levels(values.astype(np.uint8), ranged, "a")


def test_an_image_of_nothing_but_nan_is_refused_and_single_nan_are_dark():
    kind = ImageFormat(1, "uint16", ((0, 10),))
    assert to_levels(np.array([[[np.nan], [10]]], np.float32), kind, "a").ravel().tolist() == [0, 65535]
    with pytest.raises(DataError, match="a: all numbers are NaN"):
        to_levels(np.full((2, 2, 1), np.nan, np.float32), kind, "a")


def test_without_a_range_the_type_says_what_is_bright():
    for values in (
        np.array([[[0], [51], [255]]], np.uint8),
        np.array([[[0], [13107], [65535]]], np.uint16),
        np.array([[[0], [0.2], [1]]]),
    ):
        if values.dtype != np.uint16:  # beside images of 8 bits nobody knows how bright they are
            assert to_levels(values, ImageFormat(1), "a").ravel().tolist() == [0, 51, 255]
        assert to_levels(values, ImageFormat(1, "uint16"), "a").ravel().tolist() == [0, 13107, 65535]
    assert to_levels(np.array([[[False], [True]]]), ImageFormat(1), "a").ravel().tolist() == [0, 255]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"channels": 0}, "must be 1 to 16"),
        ({"channels": 17}, "must be 1 to 16"),
        ({"value_range": ((1, 1),)}, "a lower and a higher number"),
        ({"value_range": ((0, float("inf")),)}, "a lower and a higher number"),
        ({"value_range": ((0, 1), (0, 1))}, "2 pairs for 3 channels"),
        ({"show": (3,)}, "channels from 0 to 2"),
        ({"show": (0, 1, 2, 0)}, "up to three channels"),
    ],
)
def test_formats_that_cannot_be_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        ImageFormat(**settings)
    assert channels.MAX_CHANNELS == 16


@pytest.mark.parametrize(
    ("content", "has"),
    [
        (tiff(np.ones((20, 30, 5), np.uint16)), "5 channels of uint16"),
        (
            tiff(np.ones((5, 20, 30), np.uint8), photometric="minisblack", planarconfig="separate"),
            "5 channels of uint8",
        ),
        (npy(np.ones((20, 30, 4), np.float32)), "4 channels of float32"),
        (tiff(np.ones((20, 30), np.float32)), "1 channel of float32"),
    ],
)
def test_what_a_model_of_photographs_cannot_take_is_told_what_it_is(tmp_path, content, has):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=f"a.tif: has {has}; this model takes RGB photographs"):
        read_image(tmp_path / "a.tif", ImageFormat())
    (tmp_path / "a.tif").write_bytes(content[:100])
    with pytest.raises(DataError, match="a.tif: is "):
        read_image(tmp_path / "a.tif", ImageFormat())
