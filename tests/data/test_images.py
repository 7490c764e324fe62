"""Pictures that others wrote: decoded, or refused with the file's name and what to do."""

import io
import struct
import zlib
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from fakes import deep_png, jpeg, png
from mgm.data import images
from mgm.data.images import read_array, read_exact_rgb, read_labels, read_numbers, read_photograph, read_rgb
from mgm.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
LABELS = (np.arange(240) % 13).astype(np.uint8).reshape(12, 20)
ORIENTATION = 0x0112


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **how) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **how)
    return stream.getvalue()


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits, which Pillow cannot write."""
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(len(values), -1), axis=1)
    header = struct.pack(">IIBBBBB", *values.shape[::-1], bits, 0, 0, 0, 0)
    return png_chunks(header, zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed)))


def png_chunks(header: bytes, pixels: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


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
    [
        (b"", "empty"),
        (b"hello, this is text", "not a readable image"),
        (png(RGB)[:-60], "damaged"),
        (jpeg(RGB)[:300], "damaged"),
    ],
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


TURNED = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNED)
def test_every_file_is_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for kind in ("PNG", "TIFF"):
        for values, read in ((RGB, read_rgb), (LABELS, read_labels), (LABELS.astype(np.uint16) * 300, read_numbers)):
            np.testing.assert_array_equal(read(encoded(values, kind, exif=exif), "a"), TURNED[orientation](values))
    (tmp_path / "a.png").write_bytes(encoded(RGB, exif=exif))
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(read_photograph(image), TURNED[orientation](RGB))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_keeps_its_numbers(bits):
    labels = LABELS % 2**bits
    np.testing.assert_array_equal(read_labels(grey_png(labels, bits)), labels)


@pytest.mark.parametrize("maximum", [12, 255, 1000, 65535])
def test_portable_greymaps_keep_their_numbers(maximum):
    values = LABELS.astype(np.uint16) * (maximum // 12)
    header = f"20 12\n{maximum}\n".encode()
    raw = b"P5\n" + header + values.astype("u1" if maximum < 256 else ">u2").tobytes()
    plain = b"P2\n" + header + " ".join(map(str, values.ravel())).encode()
    for content in (raw, plain):
        np.testing.assert_array_equal(read_labels(content, "a.pgm"), values)
        np.testing.assert_array_equal(read_numbers(content, "a.pgm"), values)


def test_grey_labels_in_three_channels_are_read():
    opaque = np.full_like(LABELS, 255)
    for channels in (1, 3):
        grey = np.repeat(LABELS[..., None], channels, axis=2)
        np.testing.assert_array_equal(read_labels(encoded(grey if channels > 1 else LABELS)), LABELS)
        np.testing.assert_array_equal(read_labels(encoded(np.dstack([grey, opaque]))), LABELS)
        with pytest.raises(DataError, match="a.png: has transparent pixels.*255 where there is none"):
            read_labels(encoded(np.dstack([grey, LABELS])), "a.png")


@pytest.mark.parametrize("what", [None, 3, [RGB], open])
def test_what_is_no_single_picture_is_told_what_is(what):
    with pytest.raises(DataError, match=f"the image is {type(what).__name__}; it must be one path"):
        read_photograph(what)
    with pytest.raises(DataError, match="cannot be read .*null"):
        read_photograph("a\0b.jpg")


def test_pictures_of_other_numbers_are_told_how_to_declare_them():
    counts = np.arange(240, dtype=np.int32).reshape(12, 20) - 100
    for numbers, message in (
        (counts, "-100 to 139.*range: .LOWEST, HIGHEST"),
        (counts / np.float32(240), "range: .0, 1"),
    ):
        with pytest.raises(DataError, match=message):
            read_rgb(encoded(numbers, "TIFF"))


@pytest.mark.parametrize("kind, how", [("JPEG", {}), ("MPO", {}), ("WEBP", {}), ("TIFF", {"compression": "jpeg"})])
def test_compression_with_losses_is_for_photographs(kind, how):
    content = encoded(LABELS if kind != "WEBP" else RGB, kind, **how)
    assert read_rgb(content).shape == (12, 20, 3)
    for read in (read_labels, read_exact_rgb):
        with pytest.raises(DataError, match="a.png: has lossy compression.* as PNG"):
            read(content, "a.png")
    np.testing.assert_array_equal(read_exact_rgb(encoded(RGB, "WEBP", lossless=True)), RGB)


def test_archives_of_one_array():
    stream = io.BytesIO()
    np.savez_compressed(stream, depth=LABELS)
    np.testing.assert_array_equal(read_array(stream.getvalue(), "a.npz"), LABELS)
    np.savez(stream := io.BytesIO(), depth=LABELS, more=LABELS)
    with pytest.raises(DataError, match="a.npz: not a readable"):
        read_array(stream.getvalue(), "a.npz")


def test_thirty_thousand_pixels_a_side_are_refused_before_decoding():
    row = zlib.compress(bytes(1 + 30_000 // 8), 9)
    content = png_chunks(struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0), row)
    for read in (read_rgb, read_labels, read_numbers):
        with pytest.raises(DataError, match="huge.png: claims to have more than 100 million pixels"):
            read(content, "huge.png")


def test_numbers_are_read_as_they_are():
    values = np.arange(240, dtype=np.uint16).reshape(12, 20) * 200
    np.testing.assert_array_equal(read_numbers(png(values)), values)
    np.testing.assert_array_equal(read_numbers(png(RGB)), RGB)
    fractions = (values / 7).astype(np.float32)
    np.testing.assert_array_equal(read_numbers(encoded(Image.fromarray(fractions), "TIFF")), fractions)
    with pytest.raises(DataError, match="'P' does not hold plain numbers"):
        read_numbers(encoded(Image.new("P", (4, 4))), "palette.png")


def test_numbers_in_16_bit_colours_are_refused_because_pillow_would_round_them():
    content = deep_png(np.full((3, 4, 3), 513, np.uint16))
    with pytest.raises(DataError, match="flow.png: has 16-bit colours, whose numbers cannot be read exactly"):
        read_numbers(content, "flow.png")
    np.testing.assert_array_equal(read_numbers(content, exact=False), np.full((3, 4, 3), 2, np.uint8))


def test_grey_numbers_with_an_opaque_alpha_are_read_and_transparent_ones_refused():
    picture = Image.fromarray(LABELS.astype(np.uint8)).convert("LA")
    np.testing.assert_array_equal(read_numbers(encoded(picture)), LABELS)
    picture.putpixel((1, 1), (3, 0))
    with pytest.raises(DataError, match="a.png: has transparent pixels"):
        read_numbers(encoded(picture), "a.png")


@pytest.mark.parametrize(
    ("mode", "read"),
    [
        ("L", read_labels), ("P", read_labels), ("I;16", read_labels), ("RGBA", read_labels),
        ("L", read_numbers), ("I;16", read_numbers), ("LA", read_numbers), ("RGB", read_numbers), ("RGBA", read_numbers),
        ("L", read_exact_rgb), ("P", read_exact_rgb), ("RGB", read_exact_rgb), ("RGBA", read_exact_rgb),
    ],
)  # fmt: skip
@pytest.mark.parametrize("used", [False, True])
def test_labels_with_transparent_pixels_are_refused_in_every_mode(mode, read, used):
    numbers = (LABELS > 6).astype(np.uint8)
    picture = Image.fromarray(numbers.astype(np.uint16)) if mode == "I;16" else Image.fromarray(numbers).convert(mode)
    key = 1 if used else 7
    if mode.endswith("A"):
        picture.putalpha(Image.fromarray(255 - numbers * used))
        content = encoded(picture)
    else:
        content = encoded(picture, transparency=(key,) * 3 if mode == "RGB" else key)
    with pytest.raises(DataError, match="a: has transparent pixels, .* where there is none") if used else nullcontext():
        read(content, "a")


def test_arrays_that_claim_more_than_they_hold(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    content = (tmp_path / "a.npy").read_bytes()
    claims = content.replace(b"(2, 3), }", b"(200000000000, 3), }").replace(b" " * 11 + b"\n", b"\n")
    with pytest.raises(DataError, match="is truncated"):
        read_array(claims, "a.npy")


def test_files_images_and_arrays_are_the_same_photograph(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(RGB), RGB):
        np.testing.assert_array_equal(read_photograph(source), RGB)


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
    with pytest.raises(DataError, match="wide.tif.*with 8 or 16 bits"):
        read_photograph(tmp_path / "wide.tif")
    for array in (RGB[..., 0], RGB.astype(np.float32), RGB[..., :2], RGB[:0]):
        with pytest.raises(DataError, match="height, width, 3"):
            read_photograph(array)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="million pixels"):
        read_photograph(Image.fromarray(RGB))


def written(image: Image.Image, file, kind: str | None, **how: object):
    image.save(file, kind, **how)
    return file


@pytest.mark.parametrize("suffix", sorted(images.PICTURE_ENDINGS))
def test_every_ending_that_is_promised_is_read(tmp_path, suffix):
    mode = {".pgm": "L", ".pbm": "1", ".pfm": "F"}.get(suffix, "RGB")
    file = written(Image.fromarray(RGB).convert(mode), tmp_path / f"a{suffix}", None)
    assert (read_numbers if mode == "F" else read_photograph)(file).shape[:2] == (12, 20)


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
    with pytest.raises(DataError, match=rf"{name}: is not a readable image \(PNG, JPEG, ...\); replace or remove it"):
        read_photograph(file)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_labels_in_tiff_that_shows_0_as_white_are_read_as_stored(bits):
    labels = np.tile(np.arange(16, dtype=np.uint8) % min(16, 1 << bits), (2, 1))
    rows = (
        labels
        if bits == 8
        else np.packbits(np.unpackbits(labels[..., None], axis=2)[..., -bits:].reshape(2, -1), axis=1)
    )
    strip = rows.tobytes()
    tags = {256: 16, 257: 2, 258: bits, 259: 1, 262: 0, 273: 8, 277: 1, 278: 2, 279: len(strip)}
    strip += b"\0" * (len(strip) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    np.testing.assert_array_equal(read_labels(content, "a"), labels)
    if bits > 1:
        np.testing.assert_array_equal(read_numbers(content, "a"), labels)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_files_of_several_pictures_are_refused(kind):
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (1, 90)]
    stream = io.BytesIO()
    pages[0].save(
        stream, kind, save_all=True, append_images=pages[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    for read in (read_rgb, read_labels, read_numbers):
        with pytest.raises(DataError, match="a: holds several images"):
            read(stream.getvalue(), "a")


def test_reduced_copies_in_a_tiff_are_no_pages():
    stream = io.BytesIO()
    small = Image.new("L", (4, 4))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("L", (8, 8), 7).save(stream, "TIFF", save_all=True, append_images=[small])
    assert (read_labels(stream.getvalue(), "a") == 7).all()
