import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from fake_folder import write_own
from fake_runs import write_run
from mgm.data import open_source
from mgm.demo.photographs import WORKING_SIDE, example_photographs, read_photograph
from mgm.errors import DataError
from mgm.types import ImageFormat

RGB = ImageFormat()

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n%%EOF\n"


def claimed_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_photograph_keeps_its_pixels(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "a.png")
    shot = read_photograph(tmp_path / "a.png", "mine.png", RGB)
    assert shot.name == "mine.png"
    assert np.array_equal(shot.pixels, photo)
    assert shot.truth == {}


def test_a_camera_held_sideways_is_turned_upright(tmp_path, photo):
    tag = Image.Exif()
    tag[274] = 6  # the right side of the picture is the top of the scene
    Image.fromarray(photo).save(tmp_path / "a.png", exif=tag)
    assert np.array_equal(read_photograph(tmp_path / "a.png", "a", RGB).pixels, np.rot90(photo, -1))


def test_a_large_photograph_is_scaled_down_and_keeps_its_shape(tmp_path):
    Image.new("RGB", (3000, 1000)).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png", "a", RGB).pixels.shape == (WORKING_SIDE // 3, WORKING_SIDE, 3)


@pytest.mark.parametrize(
    "content, says",
    [
        (b"no picture", "mine: the file is not a readable image; use a JPEG, PNG or WebP"),
        (b"", "mine: the file is not a readable image"),
        (EPS, "mine: the file is not a readable image; use a JPEG, PNG or WebP"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
            "mine: the file is not a readable image",
        ),
        (claimed_png(60_000, 60_000), "mine: the image is too large; scale it down to at most 40 million pixels"),
        (claimed_png(8_000, 8_000), r"mine: the image is too large \(8000 × 8000\)"),
        (claimed_png(900, 100), "mine: the image is too elongated"),
        (claimed_png(64, 64), "mine: is damaged or truncated"),
    ],
)
def test_what_is_no_usable_picture_is_refused_with_a_sentence(tmp_path, content, says):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_photograph(tmp_path / "a", "mine", RGB)


def test_examples_are_labelled_test_images(run):
    examples = example_photographs(run, 8)
    assert len(examples) == 2  # all that the test set of twelve rooms holds
    assert examples[0].pixels.shape == (256, 256, 3)
    assert examples[0].truth["semantic"].dtype == torch.int64
    assert examples[0].truth["depth"].shape == (1, 256, 256)
    assert examples[0].name != examples[1].name


def test_examples_have_the_shape_of_their_files_or_of_the_run(tmp_path):
    wide = write_run(tmp_path / "rooms", image_size=(32, 64))
    assert example_photographs(wide, 1)[0].pixels.shape == (128, 256, 3)
    folder = write_own(tmp_path / "own", 12)
    (example,) = example_photographs(
        write_run(tmp_path / "run", data=str(folder), info=open_source(str(folder)).info), 1
    )
    assert example.pixels.shape == (30, 40, 3)
    assert example.truth["normal"].shape == (3, 30, 40)
