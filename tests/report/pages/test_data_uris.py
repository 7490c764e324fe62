import numpy as np
import pytest
from PIL import Image

from mgm.errors import RunError
from mgm.report.pages.embedding import LARGEST_WIDTH, data_uri, file_uri
from pages import pixels


def test_flat_pictures_are_kept_without_loss():
    flat = np.zeros((32, 32, 3), np.uint8)
    flat[8:20, 3:9] = (200, 30, 5)
    uri = data_uri(flat)
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(pixels(uri), flat)


def test_the_smaller_format_is_taken():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert data_uri(noise).startswith("data:image/jpeg;base64,")
    assert len(data_uri(noise)) < 4 / 3 * noise.size


def test_opacity_is_kept():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    assert np.array_equal(pixels(data_uri(picture)), picture)


def test_large_files_are_scaled_down(tmp_path):
    small = np.zeros((10, 10, 3), np.uint8)
    Image.fromarray(small).save(tmp_path / "small.png")
    assert np.array_equal(pixels(file_uri(tmp_path / "small.png")), small)
    noise = np.random.default_rng(0).integers(0, 256, (400, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert pixels(file_uri(tmp_path / "large.png")).shape[1] == LARGEST_WIDTH


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"GIF89a"])
def test_file_that_is_no_png(tmp_path, content):
    if content is not None:
        (tmp_path / "figure.png").write_bytes(content)
    with pytest.raises(RunError, match="figure.png"):
        file_uri(tmp_path / "figure.png")
