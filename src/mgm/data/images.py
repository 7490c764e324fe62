"""Decoding of photographs, labels and arrays from untrusted files, and resizing."""

from __future__ import annotations

import io
import warnings
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from mgm.data.files import read_bounded
from mgm.errors import DataError
from mgm.types import Frame, FrameLike, Size

DARKEST = 32
"""Level of 255 that some pixel of a photograph of 16 bits reaches; with less, its numbers are those of a sensor of fewer bits."""
MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a small file can claim any size."""
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
"""Formats that are decoded, whatever a file is called. Pillow would take some 40, and run Ghostscript on one of them (EPS)."""
PICTURE_ENDINGS = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm",
    ".pnm", ".pfm",
})  # fmt: skip
"""Endings of the files that are taken from a folder for photographs; one that is named itself may have any."""
ENDINGS = PICTURE_ENDINGS | {".npy", ".npz"}
"""Endings of the files that are taken from the folders of a data set."""

_COLOUR_MODES = frozenset(
    ["RGB", "RGBA", "RGBX", "RGBa", "L", "LA", "La", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"]
)
_DEEP_GREY_MODES = frozenset(["I", "I;16", "I;16B", "I;16L", "I;16N"])
_INDEX_MODES = _DEEP_GREY_MODES | {"1", "L", "P"}
_NUMBER_MODES = _DEEP_GREY_MODES | {"L", "F", "RGB", "RGBA", "RGBX"}
_MAXIMUM = "maximum"
"""Key of `Image.info`: the largest number that a grey file of few bits holds, which Pillow stretches to 8 or 16 bits."""
_OTHER_CHANNELS = "; images of other channels than RGB are declared by 'rgb: {channels: 4}', say, in dataset.yaml"
_SHOWN_AS = ExifTags.Base.PhotometricInterpretation
_REDUCED = "reduced"
"""Key of `Image.info`: whether Pillow has rounded colours of 16 bits to 8."""
_INVERTED = "inverted"
"""Key of `Image.info`: whether Pillow has turned the numbers of a TIFF file over because 0 is shown as white."""


def read_photograph(source: str | Path | Image.Image | np.ndarray, name: str = "") -> np.ndarray:
    """The 8-bit RGB of a photograph ``[H, W, 3]``, upright, as of `read_rgb`: of a file, a PIL image, or such an array.

    Raises:
        DataError: As of `read_rgb`; and if it is an array of another kind.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise DataError(
                f"an array of shape {source.shape} and type {source.dtype} is no photograph; give [height, width, 3] of uint8 (RGB)"
            )
        return source
    if not isinstance(source, Image.Image):
        return read_rgb(Path(source), name)
    name = name or getattr(source, "filename", "") or "the image"
    if source.width * source.height > MAX_PIXELS:
        raise DataError(f"{name}: has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down")
    return _eight_bits(upright(source), name)


def read_rgb(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a photograph: turned upright as its EXIF data say, as 8-bit RGB.

    Grey, palette and CMYK pictures become RGB; transparency is dropped; grey and colours of 16 bits are scaled so that 65535 is
    white.

    Args:
        source: A file, or its content.
        name: Name for messages; needed for bytes.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        DataError: As of `decode`, or if it is of a pixel format that is no photograph: colours of 16 bits with a fourth channel, or
            with so small numbers that they are all but black.
    """
    return _eight_bits(*decode(source, name))


def _eight_bits(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in _DEEP_GREY_MODES:
        levels = np.array(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError(f"{name}: grey values beyond 16 bits have no known white; save it as 8 or 16 bits")
        return np.repeat(np.round(levels / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _COLOUR_MODES:
        raise DataError(f"{name}: mode {image.mode!r} is no photograph of 8 or 16 bits; save it as 8-bit RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about a direct conversion
    if is_reduced(image) and image.format == "TIFF" and len(image.getbands()) > 3:
        raise DataError(
            f"{name}: has {len(image.getbands())} channels of 16 bits, which is no photograph; where a data set has such images, "
            "dataset.yaml says so ('rgb: {channels: 4, range: [0, 4095]}'); else save it as 8-bit RGB"
        )
    levels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if is_reduced(image) and 0 < levels.max() < DARKEST:
        raise DataError(
            f"{name}: has colours of 16 bits, of which the largest is about {257 * int(levels.max())} of 65535: networks would see "
            "black; where a data set has such images, dataset.yaml says what is bright ('rgb: {range: [0, 4095]}'); else save "
            "it as 8-bit RGB"
        )
    return levels


def read_labels(source: Path | bytes, name: str = "") -> np.ndarray:
    """A map of integers ``[H, W]``: grey of 1 to 16 bits as it is (also as three equal channels), a palette picture as its indices.

    Raises:
        DataError: As of `decode`, or if it is compressed with losses, or coloured.
    """
    image, name = decode(source, name, exact=True)
    if image.mode in ("RGB", "RGBA", "RGBX"):
        red, green, blue = (image.getchannel(channel) for channel in "RGB")
        image = red if red.tobytes() == green.tobytes() == blue.tobytes() else image
    elif image.mode == "LA":
        image = image.getchannel("L")
    if image.mode not in _INDEX_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} is not a map of one number per pixel; "
            "save labels as 8-bit grey or palette (or 16-bit grey) PNG, or say in dataset.yaml what the colours mean"
        )
    return numbers_of(image)


def read_palette(source: Path | bytes, name: str = "") -> list[tuple[int, int, int]]:
    """The colours of a palette picture, by index; empty for any other.

    Raises:
        DataError: As of `decode`.
    """
    levels = decode(source, name)[0].getpalette("RGB") or []
    return list(zip(levels[::3], levels[1::3], levels[2::3], strict=False))


def read_exact_rgb(source: Path | bytes, name: str = "") -> np.ndarray:
    """`read_rgb` for colours that stand for something: compression with losses is an error."""
    return _eight_bits(*decode(source, name, exact=True))


def read_numbers(source: Path | bytes, name: str = "") -> np.ndarray:
    """Numbers ``[H, W]`` or ``[H, W, 3]`` as they are in the file: grey of up to 16 bits, fractions (TIFF, PFM), 8-bit RGB.

    Raises:
        DataError: As of `decode`, or if it has a palette or other channels; transparency is dropped.
    """
    image, name = decode(source, name)
    if image.mode not in _NUMBER_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} holds no plain numbers; save it as grey (8 or 16 bits) or RGB PNG"
        )
    return np.array(image.convert("RGB")) if image.mode in ("RGBA", "RGBX") else numbers_of(image)


def numbers_of(image: Image.Image) -> np.ndarray:
    """The numbers of the file of a picture from `decode`: without what Pillow did to those of few bits."""
    values = np.array(image)
    if image.info.get(_INVERTED):
        values = ~values
    if values.dtype == bool:
        return values.astype(np.uint8)
    maximum = image.info.get(_MAXIMUM)
    if not maximum or image.mode not in ("L", "I"):
        return values
    return (values * (maximum / (255 if image.mode == "L" else 65535))).round().astype(values.dtype)


def read_array(source: Path | bytes, name: str = "", most_bytes: int = 8 * MAX_PIXELS) -> np.ndarray:
    """Load one NumPy array (``.npy``, or ``.npz`` of one, of ``most_bytes``); pickled objects are refused, they could run code.

    Raises:
        DataError: If the file is missing, empty, damaged, or holds anything but numbers.
    """
    content, name = content_of(source, name)
    try:
        if content.startswith(b"PK"):
            content = _only_member(content, most_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, dtype = _array_header(content)
            if dtype.kind not in "biuf":
                raise DataError(f"{name}: holds objects or text, not numbers; write it again with numpy.save")
            if prod(shape) * dtype.itemsize > len(content):
                raise DataError(f"{name}: is cut short; write it again with numpy.save")
            return np.load(io.BytesIO(content), allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # the header is Python text, and may be anything
        raise DataError(
            f"{name}: not a readable .npy array of numbers ({error}); write it again with numpy.save"
        ) from error


def _only_member(content: bytes, most_bytes: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.infolist()
        if member.file_size > most_bytes:
            raise ValueError(f"{member.file_size} bytes")
        return archive.read(member)


def _array_header(content: bytes) -> tuple[tuple[int, ...], np.dtype]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    return shape, dtype


def fitted(array: np.ndarray, name: str, other: np.ndarray, other_name: str, *, scaled: bool = False) -> np.ndarray:
    """A picture ``[H, W, ...]`` that has the size of another one; with ``scaled``, also of another size but the same shape.

    So are maps of sensors with fewer pixels than the camera; every pixel takes the nearest value. Names are for messages.

    Raises:
        DataError: If the two do not show the same, as their shapes tell.
    """
    (height, width), (wanted_height, wanted_width) = array.shape[:2], other.shape[:2]
    if (height, width) == (wanted_height, wanted_width):
        return array
    if not scaled or not same_shape((height, width), (wanted_height, wanted_width)):
        turned = (height, width) == (wanted_width, wanted_height)
        remedy = "one of them is turned (EXIF data count): save both upright" if turned else "prepare this pair again"
        raise DataError(
            f"{name} is {width} x {height} pixels but {other_name} is {wanted_width} x {wanted_height}; "
            f"the pictures of a sample must match: {remedy}"
        )
    return resize_nearest(array, wanted_height, wanted_width)


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether (height, width) is that of the other picture scaled, to within less than a pixel."""
    (height, width), (other_height, other_width) = size, other
    difference = abs(height * other_width - width * other_height)
    return difference < max(*size, *other) and (height == other_height) == (width == other_width)


def resize_levels(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Levels ``[H, W, C]``, uint8 or uint16, at another size: averages (box filter) where they shrink, bicubic where they grow."""
    if image.shape[2] != 3 or image.dtype != np.uint8:
        channels = [_resize_channel(image[:, :, channel], height, width) for channel in range(image.shape[2])]
        return np.stack(channels, axis=2)
    return _resize(Image.fromarray(np.ascontiguousarray(image)), height, width)


def _resize_channel(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    if levels.dtype == np.uint8:
        return _resize(Image.fromarray(np.ascontiguousarray(levels)), height, width)
    resized = _resize(Image.fromarray(levels.astype(np.float32)), height, width)
    return resized.round().clip(0, np.iinfo(levels.dtype).max).astype(levels.dtype)


def _resize(picture: Image.Image, height: int, width: int) -> np.ndarray:
    vertical, horizontal = _filter(picture.height, height), _filter(picture.width, width)
    if vertical == horizontal:
        return np.array(picture.resize((width, height), vertical))
    picture = picture.resize((width, picture.height), horizontal)
    return np.array(picture.resize((width, height), vertical))


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Labels ``[H, W]`` or ``[H, W, C]`` of any type at another size: every new pixel copies the one under its centre."""
    rows = (2 * np.arange(height) + 1) * values.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * values.shape[1] // (2 * width)
    return values[rows[:, None], columns[None, :]]


def resize_image(rgb: np.ndarray, frame: FrameLike) -> np.ndarray:
    """Levels ``[H, W, C]`` of a picture as the image ``[C, *size]`` of a frame; what it does not cover repeats its edges."""
    frame = Frame.of(frame)
    rgb = in_view(rgb, frame)
    top, left, height, width = box_in(rgb.shape[:2], frame)
    return padded(planes(resize_levels(rgb, height, width)), (top, left), frame.size, mode="edge")


def in_view(values: np.ndarray, frame: FrameLike) -> np.ndarray:
    """What a frame shows of a picture ``[H, W, ...]``: all of it, or the largest part of its shape in the middle."""
    frame, (height, width) = Frame.of(frame), values.shape[:2]
    if frame.aspect != "crop":
        return values
    wanted_height, wanted_width = frame.size
    kept_height = min(height, -(-width * wanted_height // wanted_width))
    kept_width = min(width, -(-height * wanted_width // wanted_height))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return values[top : top + kept_height, left : left + kept_width]


def box_in(picture: Size, frame: Frame) -> tuple[int, int, int, int]:
    """Top, left, height and width of what a frame shows of a picture inside the frame: all of it, but for a letterbox."""
    (height, width), (wanted_height, wanted_width) = picture, frame.size
    if frame.aspect != "letterbox":
        return 0, 0, wanted_height, wanted_width
    if height * wanted_width > width * wanted_height:
        wanted_width = max(1, round(wanted_height * width / height))
    else:
        wanted_height = max(1, round(wanted_width * height / width))
    return (frame.size[0] - wanted_height) // 2, (frame.size[1] - wanted_width) // 2, wanted_height, wanted_width


def padded(values: np.ndarray, place: tuple[int, int], size: Size, **how: Any) -> np.ndarray:
    """``[..., h, w]`` at a place (top, left) of ``[..., *size]``; ``how`` the rest is filled is as of `numpy.pad`."""
    spare = [(start, whole - start - own) for start, whole, own in zip(place, size, values.shape[-2:], strict=True)]
    return np.pad(values, [*((0, 0) for _ in values.shape[:-2]), *spare], **how) if np.any(spare) else values


def planes(image: np.ndarray) -> np.ndarray:
    """``[H, W, C]`` to a contiguous ``[C, H, W]``."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _filter(old: int, new: int) -> Image.Resampling:
    return Image.Resampling.BOX if new <= old else Image.Resampling.BICUBIC


def content_of(source: Path | bytes, name: str = "") -> tuple[bytes, str]:
    """The content of a file, and its name for messages.

    Raises:
        DataError: If it is missing, too large, or empty.
    """
    if isinstance(source, Path):
        name = name or str(source)
        try:
            source = read_bounded(source)
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    name = name or "a picture"
    if not source:
        raise DataError(f"{name}: the file is empty; fetch or prepare it again")
    return source, name


def decode(source: Path | bytes, name: str = "", *, exact: bool = False) -> tuple[Image.Image, str]:
    """A picture in the mode of its file, turned upright as its EXIF data say, and its name for messages.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture, or absurdly large; with ``exact``, if it is compressed with
            losses.
    """
    content, name = content_of(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes that are checked below
            image = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            lossy, maximum, reduced = _is_lossy(image, content), _maximum(image), ";16" in _raw_mode(image)[0]
            inverted = image.format == "TIFF" and image.mode in ("1", "L") and image.getexif().get(_SHOWN_AS) == 0
            pages = _has_pages(image)
            image.load()
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name}: claims to have more than {MAX_PIXELS // 1_000_000} million pixels; remove it or scale it down"
        ) from error
    except Image.UnidentifiedImageError as error:
        hint = _OTHER_CHANNELS if is_tiff(content) else ""
        raise DataError(
            f"{name}: is no picture that can be read (PNG, JPEG, ...); replace or remove it{hint}"
        ) from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{name}: is damaged or cut short ({error}); fetch or prepare it again") from error
    if exact and lossy:
        raise DataError(
            f"{name}: is compressed with losses ({image.format}), which changes labels; make label maps again as PNG, from their "
            "originals"
        )
    if pages:
        raise DataError(
            f"{name}: holds several pictures (pages or frames); save the one that is meant as a file of its own"
            f"{_OTHER_CHANNELS if image.format == 'TIFF' else ''}"
        )
    image.info[_MAXIMUM], image.info[_INVERTED] = maximum, inverted
    image.info[_REDUCED] = reduced and image.mode not in _DEEP_GREY_MODES
    return upright(image), name


def is_reduced(image: Image.Image) -> bool:
    """Whether a picture from `decode` had colours of 16 bits, which Pillow rounds to 8."""
    return bool(image.info.get(_REDUCED))


def is_tiff(content: bytes) -> bool:
    """Whether a file is a TIFF, by its first bytes."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def upright(image: Image.Image) -> Image.Image:
    """A picture turned as its EXIF data say."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # damaged EXIF data can raise anything; the picture is as good without, as viewers show it
        return image


def _is_lossy(image: Image.Image, content: bytes) -> bool:
    if image.format == "WEBP":
        return b"VP8L" not in content
    return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"


def _maximum(image: Image.Image) -> int:
    """See `_MAXIMUM`; 0 where Pillow leaves the numbers as they are."""
    tiles = getattr(image, "tile", None)
    raw, others = _raw_mode(image)
    if tiles and tiles[0][0].startswith("ppm") and others:
        return int(others[0])
    return {"L;2": 3, "L;4": 15}.get(raw.removesuffix("R").removesuffix("I"), 0)


def _raw_mode(image: Image.Image) -> tuple[str, tuple[Any, ...]]:
    """How a file that is open stores its pixels, in Pillow's words, and what else its decoder is told."""
    tiles = getattr(image, "tile", None)
    *_, arguments = tiles[0] if tiles else ("",)
    raw, *others = arguments if isinstance(arguments, tuple) else (arguments,)
    return str(raw), tuple(others)


def _has_pages(image: Image.Image) -> bool:
    """Whether a file holds several pictures, but for the reduced copies and masks of TIFF and the second views of phones (MPO)."""
    pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if image.format != "TIFF":
        return pages > 1
    found = False
    for page in range(1, pages):
        image.seek(page)
        found = found or not image.getexif().get(ExifTags.Base.NewSubfileType, 0)
    image.seek(0)
    return found
