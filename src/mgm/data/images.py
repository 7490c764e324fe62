"""Decoding of images, label maps and arrays from untrusted files."""

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

DARKEST = 32
"""Level (of 255) that the brightest pixel of a 16-bit photograph must reach; darker files come from sensors with fewer bits."""
MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded: a small file can claim any size."""
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
"""Formats that are decoded, whatever the file's ending. Pillow supports some 40, and runs Ghostscript for one of them (EPS)."""
PICTURE_ENDINGS = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm",
    ".pnm", ".pfm",
})  # fmt: skip
"""Endings of the files in a folder that are read as images; a file that is named explicitly may have any ending."""
ENDINGS = PICTURE_ENDINGS | {".npy", ".npz"}
"""Endings of the files that are read from the folders of a data set."""

_COLOUR_MODES = frozenset(
    ["RGB", "RGBA", "RGBX", "RGBa", "L", "LA", "La", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"]
)
_DEEP_GREY_MODES = frozenset(["I", "I;16", "I;16B", "I;16L", "I;16N"])
_INDEX_MODES = _DEEP_GREY_MODES | {"1", "L", "P"}
_NUMBER_MODES = _DEEP_GREY_MODES | {"L", "F", "RGB", "RGBA", "RGBX"}
_MAXIMUM = "maximum"
"""Key of `Image.info`: the maximum of a grey file with few bits, whose numbers Pillow scales up to 8 or 16 bits."""
_OTHER_CHANNELS = (
    "; if images have other channels than RGB, or floats, declare them in dataset.yaml, such as 'rgb: {channels: 4}'"
)
_SHOWN_AS = ExifTags.Base.PhotometricInterpretation
_REDUCED = "reduced"
"""Key of `Image.info`: whether Pillow has reduced 16-bit colours to 8 bits."""
_INVERTED = "inverted"
"""Key of `Image.info`: whether Pillow has inverted the numbers of a TIFF file in which 0 means white."""


def read_photograph(source: str | Path | Image.Image | np.ndarray, name: str = "") -> np.ndarray:
    """Read an image from a file or PIL image as by `read_rgb`: ``[H, W, 3]`` uint8, upright. Such an array is returned unchanged.

    Raises:
        DataError: As by `read_rgb`, or if an array has another shape or dtype.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise DataError(
                f"the image array is {source.dtype} {source.shape}; it must be uint8 RGB of shape [height, width, 3]"
            )
        return source
    if not isinstance(source, Image.Image):
        try:
            path = Path(source)
        except TypeError:  # annotations do not bind: a tensor, a list of images, an open file
            raise DataError(
                f"the image is {type(source).__name__}; it must be one path, one PIL image or one array [height, width, 3] of uint8"
            ) from None
        return read_rgb(path, name)
    name = name or getattr(source, "filename", "") or "the image"
    if source.width * source.height > MAX_PIXELS:
        raise DataError(f"{name}: has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down")
    return _eight_bits(upright(source), name)


def read_rgb(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode an image file to 8-bit RGB, rotated upright by its EXIF data.

    Grey, palette and CMYK images become RGB; transparency is dropped; 16-bit grey and colours are scaled so that 65535 is white.

    Args:
        source: Path of a file, or its content.
        name: Name for messages; needed for content.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        DataError: As by `decode`, or if the pixel format is not that of a photograph: 16-bit colours with a fourth channel, or 16
            bits with numbers so small that the image is nearly black.
    """
    return _eight_bits(*decode(source, name))


def _eight_bits(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in _DEEP_GREY_MODES:
        levels = np.array(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError(
                f"{name}: has grey values of {levels.min()} to {levels.max()}, for which black and white are undefined; save it "
                "with 8 or 16 bits, or declare the range in dataset.yaml ('rgb: {channels: 1, range: [LOWEST, HIGHEST]}')"
            )
        _check_bright(levels.max(), name, "grey values", "channels: 1, range: [0, 4095]")
        return np.repeat(np.round(levels / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _COLOUR_MODES:
        declare = ", or declare its range in dataset.yaml ('rgb: {channels: 1, range: [0, 1]}')" * (image.mode == "F")
        raise DataError(
            f"{name}: mode {image.mode!r} is not an 8-bit or 16-bit photograph; save it as 8-bit RGB{declare}"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about a direct conversion
    if is_reduced(image) and image.format == "TIFF" and len(image.getbands()) > 3:
        raise DataError(
            f"{name}: has {len(image.getbands())} channels of 16 bits, so it is not a photograph; declare such images in "
            "dataset.yaml ('rgb: {channels: 4, range: [0, 4095]}'), or save it as 8-bit RGB"
        )
    levels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if is_reduced(image):
        _check_bright(257 * int(levels.max()), name, "colours", "range: [0, 4095]")
    return levels


def _check_bright(brightest: int, name: str, what: str, setting: str) -> None:
    """Raise `DataError` if the largest number of a 16-bit photograph is small, but not 0; see `DARKEST`."""
    if 0 < brightest < 257 * DARKEST:
        raise DataError(
            f"{name}: has 16-bit {what} with a maximum of about {brightest} of 65535, which networks would see as black; declare "
            f"the range in dataset.yaml ('rgb: {{{setting}}}'), or save it with 8 bits"
        )


def read_labels(source: Path | bytes, name: str = "") -> np.ndarray:
    """Read a map of integers ``[H, W]``: grey values of 1 to 16 bits (or three equal channels), or indices of a palette image.

    Raises:
        DataError: As by `decode`, or if the compression is lossy, or the image is coloured or has transparent pixels.
    """
    image, name = decode(source, name, exact=True)
    _check_opaque(image, name, "255")
    if image.mode in ("RGB", "RGBA", "RGBX"):
        red, green, blue = (image.getchannel(channel) for channel in "RGB")
        image = red if red.tobytes() == green.tobytes() == blue.tobytes() else image
    elif image.mode == "LA":
        image = image.getchannel("L")
    if image.mode not in _INDEX_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} is not a map of one number per pixel; "
            "save labels as 8-bit grey or palette (or 16-bit grey) PNG, or give the colours of the classes in dataset.yaml"
        )
    return numbers_of(image)


def read_palette(source: Path | bytes, name: str = "") -> list[tuple[int, int, int]]:
    """Read the RGB colours of a palette image, by index; empty for any other image.

    Raises:
        DataError: As by `decode`.
    """
    levels = decode(source, name)[0].getpalette("RGB") or []
    return list(zip(levels[::3], levels[1::3], levels[2::3], strict=False))


def read_exact_rgb(source: Path | bytes, name: str = "") -> np.ndarray:
    """`read_rgb` for colours that encode something: lossy compression and transparent pixels are errors."""
    image, name = decode(source, name, exact=True)
    _check_opaque(image, name, "one of the 'ignore_colours'")
    return _eight_bits(image, name)


def read_numbers(source: Path | bytes, name: str = "", *, exact: bool = True) -> np.ndarray:
    """Read the stored numbers ``[H, W]`` or ``[H, W, 3]``: grey of up to 16 bits, floats (TIFF, PFM), 8-bit RGB without alpha.

    16-bit RGB is rounded to 8 bits, or refused if the numbers must be ``exact``, as those of optical flow.

    Raises:
        DataError: As by `decode`, or if it has a palette, other channels or transparent pixels, or if it would not be exact.
    """
    image, name = decode(source, name)
    if exact and is_reduced(image):
        raise DataError(
            f"{name}: has 16-bit colours, whose numbers cannot be read exactly; save them as .npy [H, W, C]"
        )
    _check_opaque(image, name, "a number that means no value")
    if image.mode == "LA":
        image = image.getchannel("L")
    if image.mode not in _NUMBER_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} does not hold plain numbers; save it as grey (8 or 16 bits) or RGB PNG"
        )
    return np.array(image.convert("RGB")) if image.mode in ("RGBA", "RGBX") else numbers_of(image)


def _check_opaque(image: Image.Image, name: str, instead: str) -> None:
    """Raise `DataError` if an image of labels has transparent pixels, which should have the value ``instead``."""
    key = image.info.get("transparency")  # a grey value, colour or palette entry that is transparent
    if image.mode in _DEEP_GREY_MODES:  # Pillow converts these wrongly
        transparent = key is not None and (np.array(image) == key).any()
    else:
        masked = key is not None or "A" in image.getbands()
        transparent = masked and np.array(image.convert("RGBA").getchannel("A")).min() < 255
    if transparent:
        raise DataError(
            f"{name}: has transparent pixels, and it is unknown whether they have a label; save it without transparency, with "
            f"{instead} where there is none"
        )


def numbers_of(image: Image.Image) -> np.ndarray:
    """The numbers stored in the file of an image from `decode`, undoing Pillow's inversion and scaling."""
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
    """Load a NumPy array from ``.npy``, or from ``.npz`` with one array of at most ``most_bytes``.

    Pickled objects are refused, because they could run code.

    Raises:
        DataError: If the file is missing, empty or damaged, or holds anything but numbers.
    """
    content, name = content_of(source, name)
    try:
        if content.startswith(b"PK"):
            content = _only_member(content, most_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers written by Python 2
            shape, dtype = _array_header(content)
            if dtype.kind not in "biuf":
                raise DataError(f"{name}: holds objects or text, not numbers; write it again with numpy.save")
            if prod(shape) * dtype.itemsize > len(content):
                raise DataError(f"{name}: is truncated; write it again with numpy.save")
            return np.load(io.BytesIO(content), allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # the header is Python source, and a damaged one may raise anything
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


def content_of(source: Path | bytes, name: str = "") -> tuple[bytes, str]:
    """The content of a file, and its name for messages. Raises `DataError` if it is missing, too large, or empty."""
    if isinstance(source, Path):
        name = name or str(source)
        try:
            source = read_bounded(source)
        except (OSError, ValueError) as error:  # ValueError: NUL in the name
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{name}: cannot be read ({reason}); check the path") from error
    name = name or "an image"
    if not source:
        raise DataError(f"{name}: the file is empty; download or prepare it again")
    return source, name


def decode(source: Path | bytes, name: str = "", *, exact: bool = False) -> tuple[Image.Image, str]:
    """Decode an image file in its own mode, rotated upright by its EXIF data; also returns its name for messages.

    Raises:
        DataError: If the file is missing, empty, damaged, not an image, too large, or has several pages; with ``exact``, also if
            its compression is lossy.
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
        raise DataError(f"{name}: is not a readable image (PNG, JPEG, ...); replace or remove it{hint}") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{name}: is damaged or truncated ({error}); download or prepare it again") from error
    if exact and lossy:
        raise DataError(
            f"{name}: has lossy compression ({image.format}), which changes labels; save label maps as PNG, from their originals"
        )
    if pages:
        raise DataError(
            f"{name}: holds several images (pages or frames); save the one you need as a separate file"
            f"{_OTHER_CHANNELS if image.format == 'TIFF' else ''}"
        )
    image.info[_MAXIMUM], image.info[_INVERTED] = maximum, inverted
    image.info[_REDUCED] = reduced and image.mode not in _DEEP_GREY_MODES
    return upright(image), name


def is_reduced(image: Image.Image) -> bool:
    """Whether an image from `decode` had 16-bit colours, which Pillow reduces to 8 bits."""
    return bool(image.info.get(_REDUCED))


def is_tiff(content: bytes) -> bool:
    """Whether a file is a TIFF, by its first bytes."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def upright(image: Image.Image) -> Image.Image:
    """Rotate an image upright by its EXIF data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # damaged EXIF data can raise anything; image viewers ignore them too
        return image


def _is_lossy(image: Image.Image, content: bytes) -> bool:
    if image.format == "WEBP":
        return b"VP8L" not in content
    return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"


def _maximum(image: Image.Image) -> int:
    """The value for `_MAXIMUM`; 0 if Pillow does not scale the numbers."""
    tiles = getattr(image, "tile", None)
    raw, others = _raw_mode(image)
    if tiles and tiles[0][0].startswith("ppm") and others:
        return int(others[0])
    return {"L;2": 3, "L;4": 15}.get(raw.removesuffix("R").removesuffix("I"), 0)


def _raw_mode(image: Image.Image) -> tuple[str, tuple[Any, ...]]:
    """Pillow's raw mode of an opened file (how pixels are stored), and the other arguments of its decoder."""
    tiles = getattr(image, "tile", None)
    *_, arguments = tiles[0] if tiles else ("",)
    raw, *others = arguments if isinstance(arguments, tuple) else (arguments,)
    return str(raw), tuple(others)


def _has_pages(image: Image.Image) -> bool:
    """Whether a file holds several images, not counting reduced copies and masks in TIFF and the second view in MPO."""
    pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if image.format != "TIFF":
        return pages > 1
    found = False
    for page in range(1, pages):
        image.seek(page)
        found = found or not image.getexif().get(ExifTags.Base.NewSubfileType, 0)
    image.seek(0)
    return found
