"""Resizing of images and labels to the frame that networks see."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from mgm.errors import DataError
from mgm.types import IGNORE_INDEX, Frame, FrameLike, Size


def fitted(array: np.ndarray, name: str, other: np.ndarray, other_name: str, *, scaled: bool = False) -> np.ndarray:
    """Check that an array ``[H, W, ...]`` has the size of another one.

    With ``scaled``, an array of the same aspect ratio is resized by nearest neighbour instead: the sensor may have fewer pixels
    than the camera. The names are for messages.

    Raises:
        DataError: If the sizes (with ``scaled``: the aspect ratios) differ.
    """
    (height, width), (wanted_height, wanted_width) = array.shape[:2], other.shape[:2]
    if (height, width) == (wanted_height, wanted_width):
        return array
    if not scaled or not same_shape((height, width), (wanted_height, wanted_width)):
        turned = (height, width) == (wanted_width, wanted_height)
        remedy = "one of them is rotated (EXIF data count): save both upright" if turned else "prepare this pair again"
        raise DataError(
            f"{name} is {width} x {height} pixels but {other_name} is {wanted_width} x {wanted_height}; "
            f"the files of a sample must match: {remedy}"
        )
    return resize_nearest(array, wanted_height, wanted_width)


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (height, width) have the same aspect ratio, to within less than a pixel."""
    (height, width), (other_height, other_width) = size, other
    difference = abs(height * other_width - width * other_height)
    return difference < max(*size, *other) and (height == other_height) == (width == other_width)


def resize_levels(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image ``[H, W, C]``, uint8 or uint16: box filter (averages) along shrinking sides, bicubic along growing ones."""
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
    return np.array(picture.resize((width, picture.height), horizontal).resize((width, height), vertical))


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize labels ``[H, W]`` or ``[H, W, C]`` of any type: each new pixel copies the old pixel under its centre."""
    rows = (2 * np.arange(height) + 1) * values.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * values.shape[1] // (2 * width)
    return values[rows[:, None], columns[None, :]]


def resize_image(rgb: np.ndarray, frame: FrameLike) -> np.ndarray:
    """Resize an image ``[H, W, C]`` to ``[C, *size]`` of a frame; parts of the frame outside the image repeat its edges."""
    frame = Frame.of(frame)
    rgb = in_view(rgb, frame)
    top, left, height, width = box_in(rgb.shape[:2], frame)
    return padded(planes(resize_levels(rgb, height, width)), (top, left), frame.size, mode="edge")


def in_view(values: np.ndarray, frame: FrameLike) -> np.ndarray:
    """The part of an image ``[H, W, ...]`` that a frame shows.

    That is all of it, or for ``crop`` the largest centre crop with the frame's aspect ratio.
    """
    frame, (height, width) = Frame.of(frame), values.shape[:2]
    if frame.aspect != "crop":
        return values
    wanted_height, wanted_width = frame.size
    kept_height = min(height, -(-width * wanted_height // wanted_width))
    kept_width = min(width, -(-height * wanted_width // wanted_height))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return values[top : top + kept_height, left : left + kept_width]


def box_in(picture: Size, frame: Frame) -> tuple[int, int, int, int]:
    """Top, left, height and width of the image inside a frame: the whole frame, except for ``letterbox``."""
    (height, width), (wanted_height, wanted_width) = picture, frame.size
    if frame.aspect != "letterbox":
        return 0, 0, wanted_height, wanted_width
    if height * wanted_width > width * wanted_height:
        wanted_width = max(1, round(wanted_height * width / height))
    else:
        wanted_height = max(1, round(wanted_width * height / width))
    return (frame.size[0] - wanted_height) // 2, (frame.size[1] - wanted_width) // 2, wanted_height, wanted_width


def padded(values: np.ndarray, place: tuple[int, int], size: Size, **how: Any) -> np.ndarray:
    """Place ``[..., h, w]`` at (top, left) in ``[..., *size]``; ``how`` are the arguments of `numpy.pad` that fill the rest."""
    spare = [(start, whole - start - own) for start, whole, own in zip(place, size, values.shape[-2:], strict=True)]
    return np.pad(values, [*((0, 0) for _ in values.shape[:-2]), *spare], **how) if np.any(spare) else values


def planes(image: np.ndarray) -> np.ndarray:
    """Transpose ``[H, W, C]`` to a contiguous ``[C, H, W]``."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _filter(old: int, new: int) -> Image.Resampling:
    return Image.Resampling.BOX if new <= old else Image.Resampling.BICUBIC


def resize_target(values: np.ndarray, frame: FrameLike) -> np.ndarray:
    """Resize a target to a frame by nearest neighbour; parts of the frame outside the image have no label.

    Class indices ``[H, W]`` uint8 become ``[*size]``; numbers ``[H, W]`` or ``[H, W, C]`` become ``[C, *size]`` float32.
    """
    frame = Frame.of(frame)
    values = in_view(values, frame)
    top, left, height, width = box_in(values.shape[:2], frame)
    resized, missing = resize_nearest(values, height, width), IGNORE_INDEX
    if values.dtype != np.uint8:
        resized = planes((resized if values.ndim == 3 else resized[:, :, None]).astype(np.float32))
        missing = np.nan
    return padded(resized, (top, left), frame.size, constant_values=missing)
