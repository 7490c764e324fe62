"""Pictures that others wrote: decoded, or refused with the file's name and what to do; and resampling."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fakes import jpeg, png
from mgm.data.images import (
    check_same_size,
    read_array,
    read_labels,
    read_numbers,
    read_rgb,
    resize_nearest,
    resize_rgb,
)
from mgm.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_reads_colours_from_bytes_and_files(tmp_path):
    np.testing.assert_array_equal(read_rgb(png(RGB)), RGB)
    (tmp_path / "a.png").write_bytes(png(RGB))
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), RGB)


def test_grey_becomes_rgb_and_transparency_is_dropped():
    np.testing.assert_array_equal(read_rgb(png(RGB[..., 0])), np.repeat(RGB[..., :1], 3, axis=2))
    transparent = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_rgb(png(transparent)), RGB)


def test_labels_are_palette_indices_not_colours():
    labels = np.arange(240, dtype=np.uint8).reshape(12, 20)
    picture = Image.fromarray(labels).convert("P")
    picture.putpalette([7] * 768)
    np.testing.assert_array_equal(read_labels(encoded(picture)), labels)
    np.testing.assert_array_equal(read_labels(png(labels)), labels)


@pytest.mark.parametrize("read", [read_rgb, read_labels])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"hello, this is text", "no picture"), (png(RGB)[:-60], "damaged"), (jpeg(RGB)[:300], "damaged")],
)
def test_bad_files_are_named_with_a_remedy(read, content, message, tmp_path):
    with pytest.raises(DataError, match=rf"some\.png.*{message}.*(again|replace)"):
        read(content, "some.png")
    (tmp_path / "on_disk.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"on_disk\.png.*{message}"):
        read(tmp_path / "on_disk.png")


def test_every_truncation_is_a_data_error():
    for content in (png(RGB), jpeg(RGB)):
        for length in range(0, len(content) - 20, 7):
            with pytest.raises(DataError):
                read_rgb(content[:length], "cut")


def test_wrong_modes():
    with pytest.raises(DataError, match="'RGB' is not a map of one number"):
        read_labels(png(RGB), "labels.png")
    with pytest.raises(DataError, match="8-bit RGB"):
        read_rgb(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "float.tif")


def test_arrays_and_no_pickles(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), np.arange(3.0))
    np.save(tmp_path / "b.npy", np.array([{"x": 1}]), allow_pickle=True)
    np.save(tmp_path / "c.npy", np.array(["text"]))
    (tmp_path / "d.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-3])
    for name in "bcd":
        with pytest.raises(DataError, match=f"{name}.npy"):
            read_array(tmp_path / f"{name}.npy")


def test_sizes_must_match():
    check_same_size("a", RGB, "b", RGB[..., 0])
    with pytest.raises(DataError, match=r"a is 20 x 12 pixels but b is 19 x 12"):
        check_same_size("a", RGB, "b", RGB[:, 1:, 0])


def test_shrinking_averages():
    np.testing.assert_allclose(resize_rgb(RGB, 6, 10), RGB.reshape(6, 2, 10, 2, 3).mean((1, 3)), atol=1)


def test_growing_is_smooth_and_mixed_axes_work():
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(12, 0)
    grown = resize_rgb(ramp, 4, 80)
    assert grown.shape == (4, 80, 3)
    assert np.abs(np.diff(grown[0, 4:-4, 0].astype(int))).max() <= 4
    assert resize_rgb(RGB, *RGB.shape[:2]).tolist() == RGB.tolist()


@given(st.integers(1, 40), st.integers(1, 40))
def test_nearest_copies_the_pixel_under_the_centre(old, new):
    source = resize_nearest(np.arange(old)[:, None], new, 1)[:, 0]
    centre = (np.arange(new) + 0.5) * old / new
    assert (np.abs(source + 0.5 - centre) <= 0.5 + 1e-9).all()


@pytest.mark.parametrize("new", [32, 64, 128, 256])
def test_nearest_agrees_with_pillow(new):
    labels = np.random.default_rng(new).integers(0, 255, (170, 223)).astype(np.uint8)
    theirs = np.array(Image.fromarray(labels).resize((new, new), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize_nearest(labels, new, new), theirs)


def test_thirty_thousand_pixels_a_side_are_refused_before_decoding():
    row = zlib.compress(bytes(1 + 30_000 // 8), 9)
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", row), (b"IEND", b""))
    )
    for read in (read_rgb, read_labels, read_numbers):
        with pytest.raises(DataError, match="huge.png: claims to have more than 100 million pixels"):
            read(b"\x89PNG\r\n\x1a\n" + chunks, "huge.png")


def test_numbers_are_read_as_they_are():
    values = np.arange(240, dtype=np.uint16).reshape(12, 20) * 200
    np.testing.assert_array_equal(read_numbers(png(values)), values)
    np.testing.assert_array_equal(read_numbers(png(RGB)), RGB)
    fractions = (values / 7).astype(np.float32)
    np.testing.assert_array_equal(read_numbers(encoded(Image.fromarray(fractions), "TIFF")), fractions)
    with pytest.raises(DataError, match="'P' holds no plain numbers"):
        read_numbers(encoded(Image.new("P", (4, 4))), "palette.png")


def test_arrays_that_claim_more_than_they_hold(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    content = (tmp_path / "a.npy").read_bytes()
    claims = content.replace(b"(2, 3), }", b"(200000000000, 3), }").replace(b" " * 11 + b"\n", b"\n")
    with pytest.raises(DataError, match="cut short"):
        read_array(claims, "a.npy")
