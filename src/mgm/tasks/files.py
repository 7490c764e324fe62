"""Settings of label files in ``dataset.yaml``, and the decoding of label files to targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from mgm.errors import DataError
from mgm.types import IGNORE_INDEX

Colour = tuple[int, int, int]
Pixels = Literal["colours", "exact colours", "indices", "numbers", "levels"]
"""How an image file is decoded: ``colours`` as RGB, ``exact colours`` as RGB that must not be altered, ``indices`` as one index per
pixel (palette or grey), ``numbers`` as numbers of any bit depth, ``levels`` likewise but with 16-bit colours rounded to 8 bits."""
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
MIN_DISPARITY_PX = 1.0
"""Smaller disparities are treated as missing: they lie several hundred metres away, too far for a useful depth."""
HINT_255 = "; 255 means no class: if it is a class here, set 'values: {background: 0, object: 255}' for the task in dataset.yaml"
ANOTHER_UNIT = 150.0
"""Ratio between the medians of a file and of the others above which the file must be in another unit (mm instead of m)."""
MANY = 0.02
"""Fraction of the pixels above which an outlying number is suspected to mark missing values."""
FEW = 0.001
"""Likewise for an outlying number in `UNKNOWN`."""
UNKNOWN = (65535, 32767, 10000, -9999, -32768)
"""Numbers that sensors and programs commonly write for missing or out-of-range values."""
EMPTY = (0, 1, 255, 65535)
"""A surplus channel with one of these numbers at every pixel holds nothing: it is black, or opaque."""
UNIT_TOLERANCE = 0.1
"""A vector whose length differs from 1 by less than this is a unit vector; one no longer than this counts as missing."""


@dataclass(frozen=True)
class FileSettings:
    """Location of the label files of one task, and the meaning of their values."""

    folder: str = ""
    """Name of the folder; empty: the name of the task."""
    suffix: str = ""
    """Added to the image's name in file names, e.g. ``_depth`` for ``0001_depth.png``."""

    @property
    def pixels(self) -> Pixels:
        """How image files of this task are decoded."""
        return "numbers"

    remarkable: ClassVar[bool] = False
    """Whether `remark` can return a warning."""
    comparable: ClassVar[bool] = False
    """Whether values of all files must be of similar magnitude because they share one unit."""

    def problem(self) -> str:
        """Error message about these settings; empty if they are valid."""
        return ""

    def remark(self, values: np.ndarray, where: str) -> str:
        """Warning about suspicious values in a readable file; empty if there is none."""
        return ""

    def check_against(self, usual: float, values: np.ndarray, where: str) -> None:
        """Raise `DataError` if the magnitude of decoded values is far from ``usual``, the `typical` value of most files."""
        if self.comparable and usual == usual:
            own = typical(values)
            if own > usual * ANOTHER_UNIT or own * ANOTHER_UNIT < usual:
                raise DataError(
                    f"{where}: the median is {own:.3g}, but about {usual:.3g} in most files: this file is in another unit; "
                    "convert it to the unit of the others, or remove it"
                )

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """Decode the values of a file to a target of the same height and width.

        Args:
            values: ``[H, W]`` or ``[H, W, C]``, as read from the file.
            channels: Number of channels of the target.
            classes: Names of the semantic classes.
            where: Name of the file, for messages.

        Returns:
            ``[H, W, channels]`` float32, NaN where there is no value.

        Raises:
            DataError: If the file has the wrong number of channels or impossible values.
        """
        return _with_channels(values, channels, where).astype(np.float32)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Encode a target as the values of a file, the inverse of `decode` with default settings.

        Args:
            target: ``[C, H, W]`` float, NaN where there is no value; or ``[H, W]`` class indices, 255 for no class.

        Returns:
            ``[H, W]`` or ``[H, W, C]``: floats for ``.npy``, integers for PNG.
        """
        values = np.moveaxis(target, 0, 2).astype(np.float32)
        return values[:, :, 0] if values.shape[2] == 1 else values


@dataclass(frozen=True)
class ClassFiles(FileSettings):
    """Label maps: a class index or a colour per pixel."""

    ignore: tuple[int, ...] = (IGNORE_INDEX,)
    """Labels of pixels without a class; 255 is always ignored, unless ``values`` assigns it to a class."""
    first: int | Literal["auto"] | None = None
    """Label of the first class; smaller labels mean no class. auto: 1 if a label equals the number of named classes,
    else 0. None: 0, and negative labels are errors."""
    values: dict[str, int] = field(default_factory=dict[str, int])
    """Class -> its label in the files, if labels are not 0, 1, 2, ...; any other label is an error unless it is ignored."""
    colours: dict[str, Colour] = field(default_factory=dict[str, Colour])
    """Class -> RGB, for coloured label maps; any other colour is an error unless it is in ``ignore_colours``."""
    ignore_colours: tuple[Colour, ...] = ((0, 0, 0),)
    """Colours of pixels without a class; a class that has one of these colours takes precedence."""

    @property
    def pixels(self) -> Pixels:
        """``exact colours`` if classes are given by colour, else ``indices``."""
        return "exact colours" if self.colours else "indices"

    def problem(self) -> str:
        """Error message if colours are out of range or repeated, or labels are repeated."""
        if self.values and self.colours:
            return "give values or colours of the classes, not both"
        if len(set(self.values.values())) < len(self.values):
            return "values gives two classes the same label; each class needs its own"
        for colour in (*self.colours.values(), *self.ignore_colours):
            if not all(0 <= part <= 255 for part in colour):
                return f"colour {list(colour)} must be three numbers in 0..255"
        return "two classes have the same colour" if len(set(self.colours.values())) < len(self.colours) else ""

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W]`` uint8 class indices, `IGNORE_INDEX` where there is no class."""
        if self.colours:
            return self._from_colours(values, classes, where)
        labels, ignored = self.labels(values, where)
        if self.values:
            found = _positions(labels, [self.values[name] for name in classes])
            if (odd := labels[(found == IGNORE_INDEX) & ~ignored]).size:
                raise DataError(f"{where}: label {odd[0]} is not in {sorted(self.values.values())}{_remedy(odd[0])}")
            return np.where(ignored, IGNORE_INDEX, found)
        first = int(self.first or 0)
        check_labels(np.where(ignored, IGNORE_INDEX, labels), len(classes), where, first)
        return np.where(ignored, IGNORE_INDEX, labels - first).astype(np.uint8)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Indices in 8 bits."""
        return target.astype(np.uint8)

    def labels(self, values: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels as numbered in the file, ``[H, W]`` int64, and a mask ``[H, W]`` of the pixels without a class.

        Raises:
            DataError: If the file is not ``[H, W]``, or has fractions as labels.
        """
        if values.ndim != 2:
            raise DataError(
                f"{where}: is {values.dtype} {values.shape}; labels must be integers of shape H x W; write the file again"
            )
        missing = np.isin(values, list({IGNORE_INDEX, *self.ignore} - set(self.values.values())))
        if values.dtype.kind == "f":
            missing |= np.isnan(values)
        if isinstance(self.first, int):
            missing |= values < self.first
        labels = np.where(missing, 0, values).astype(np.int64)
        if (fractions := values[~missing & (values != labels)]).size:
            raise DataError(
                f"{where}: label {fractions[0]:g} is not an integer; write the file again with integer labels"
            )
        return labels, missing

    def _from_colours(self, pixels: np.ndarray, classes: tuple[str, ...], where: str) -> np.ndarray:
        def code(colours: object) -> np.ndarray:
            return np.asarray(colours, np.int64) @ np.array([65536, 256, 1])

        codes = code(pixels)
        labels = _positions(codes, [int(code(self.colours[name])) for name in classes])
        known = (labels != IGNORE_INDEX) | np.isin(codes, code(np.reshape(self.ignore_colours, (-1, 3))))
        if not known.all():
            raise DataError(
                f"{where}: colour {pixels[~known][0].tolist()} belongs to no class; add it to 'colours' (or ignore_colours) "
                "of the task in dataset.yaml"
            )
        return labels


@dataclass(frozen=True)
class DepthFiles(FileSettings):
    """Depth maps: metres = stored number × scale + offset."""

    unit: Literal["", "m", "cm", "mm"] = ""
    """Unit of the stored numbers; empty: mm for integers, m for floats."""
    scale: float = 0.0
    """Metres per stored unit, instead of ``unit``."""
    offset: float = 0.0
    """Metres added after scaling."""
    bits: Literal[0, 8, 16] = 0
    """Required bits per number; 0: any."""
    missing: tuple[float, ...] = (0.0,)
    """Numbers that mark missing values. Depths that are not positive and finite are missing too."""
    max_m: float = 0.0
    """Depths in metres above this are missing; 0: no limit."""
    comparable: ClassVar[bool] = True
    remarkable: ClassVar[bool] = True
    baseline_focal: float = 0.0
    """Baseline in metres × focal length in pixels, for disparity files; 0: files hold depth. Then stored number × scale + offset is
    a disparity in pixels, and depth = baseline_focal / disparity; disparities below 1 px are missing."""

    def problem(self) -> str:
        """Error message if both unit and scale are given, or a number is negative or not finite."""
        if self.unit and self.scale:
            return "give unit or scale, not both"
        if not (0 <= self.scale < float("inf") and self.max_m >= 0 and 0 <= self.baseline_focal < float("inf")):
            return "scale, max_m and baseline_focal must be positive numbers"
        return "" if np.isfinite(self.offset) else "offset must be a finite number"

    def remark(self, values: np.ndarray, where: str) -> str:
        """Warn of a file without any (positive) value, or of a frequent number that probably marks missing values."""
        if (values < 0).any() and not (values > 0).any():
            return (
                f"{where}: all its numbers are 0 or negative, which means no value; write distances as positive numbers"
            )
        return "" if self.max_m else odd_number(values[values > 0], self.missing, where)

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, 1]`` float32 metres, NaN where missing."""
        values = _with_channels(values, channels, where)[:, :, 0]
        whole, eight_bits = values.dtype.kind != "f", values.dtype.itemsize == 1
        if self.bits and values.dtype.itemsize * 8 != self.bits:
            raise DataError(
                f"{where}: has {values.dtype.itemsize * 8} bits per number, but depth is declared with 'bits: {self.bits}'; "
                "convert the file, or correct 'bits'"
            )
        scale = self.scale or METRES.get(self.unit, 0.0)
        if not scale and whole and eight_bits:
            raise DataError(
                f"{where}: is 8-bit, which cannot hold millimetres; save it as 16-bit PNG, or give the scale of its numbers: "
                "'depth: {scale: METRES_PER_NUMBER}' in dataset.yaml"
            )
        scale = scale or METRES["mm" if whole else "m"]
        with np.errstate(over="ignore", invalid="ignore"):
            metres = values.astype(np.float64) * scale + self.offset
            if self.baseline_focal:
                near = metres >= MIN_DISPARITY_PX
                metres = np.where(near, self.baseline_focal / np.where(near, metres, 1), np.nan)
            valid = np.isfinite(metres) & (metres > 0) & ~_has_number(values, self.missing)
            if self.max_m:
                valid &= metres <= self.max_m
        metres = np.where(valid, metres, np.nan)
        if (metres > np.finfo(np.float16).max).any():
            raise DataError(
                f"{where}: a depth of {np.nanmax(metres):g} m is impossible; set the unit in dataset.yaml or, if it means no "
                "value, 'missing' or 'max_m'"
            )
        return metres[:, :, None].astype(np.float32)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Millimetres as uint16, 0 for a missing value; metres as float32 if a depth does not fit into 16 bits."""
        metres = np.where(target[0] > 0, target[0], np.nan)
        millimetres = np.nan_to_num(metres / METRES["mm"], nan=0.0).round()
        return (
            millimetres.astype(np.uint16)
            if millimetres.max() <= np.iinfo(np.uint16).max
            else super().encode(metres[None])
        )


@dataclass(frozen=True)
class NumberFiles(FileSettings):
    """Maps of a numeric task that the data set defines: value = stored number × scale + offset."""

    scale: float = 1.0
    """Units of the task per stored unit."""
    offset: float = 0.0
    """Added after scaling, in the unit of the task."""
    missing: tuple[float, ...] = ()
    """Numbers that mark missing values; infinite numbers and NaN are missing too."""
    outside: Literal["keep", "missing"] = "keep"
    """Whether to keep values outside the range, or treat them as missing."""
    remarkable: ClassVar[bool] = True
    range: tuple[float, float] = (-float("inf"), float("inf"))
    """Lowest and highest value, from the definition of the task."""

    def problem(self) -> str:
        """Error message if scale or offset is not finite, or scale is 0."""
        usable = np.isfinite([self.scale, self.offset]).all() and self.scale
        return "" if usable else "scale and offset must be finite numbers, and scale must not be 0"

    def remark(self, values: np.ndarray, where: str) -> str:
        """Warn of a frequent number that probably marks missing values."""
        return "" if self.outside == "missing" else odd_number(values, self.missing, where)

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, channels]`` float32 in the unit of the task, NaN where any channel is missing."""
        values = _with_channels(values, channels, where)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        known = np.isfinite(scaled) & ~_has_number(values, self.missing)
        if self.outside == "missing":
            known &= (scaled >= self.range[0]) & (scaled <= self.range[1])
        return np.where(known.all(axis=2, keepdims=True), scaled, np.float32("nan"))


@dataclass(frozen=True)
class NormalFiles(FileSettings):
    """Normal maps: (n + 1) / 2 × 255 in 8 bits, or floats n in -1..1 or (n + 1) / 2 in 0..1.

    The two float encodings are told apart by which of them yields unit vectors.
    """

    axes: Literal["opencv", "opengl"] = "opencv"
    """opencv: x right, y down, z forward; opengl: x right, y up, z towards the camera."""
    lengths: tuple[float, float] = (0.5, 1.5)
    """Minimum and maximum length of a vector that counts as a normal; other vectors are missing."""
    remarkable: ClassVar[bool] = True

    @property
    def pixels(self) -> Pixels:
        """``levels``: 8 bits are exact to half a degree."""
        return "levels"

    def vectors(self, values: np.ndarray, where: str) -> np.ndarray:
        """Decode to ``[H, W, 3]`` float vectors of any length, in the axes of the file.

        Raises:
            DataError: If the file does not have three channels of uint8 or floats.
        """
        if values.ndim != 3 or values.shape[2] != 3:
            raise DataError(f"{where}: is {values.dtype} {values.shape}; normals need three channels: RGB PNG or .npy")
        if values.dtype == np.uint8:
            return decode_rgb_normals(values)
        if values.dtype.kind != "f":
            raise DataError(
                f"{where}: is {values.dtype}; normals must be 8-bit RGB or floats in -1..1; write the file again"
            )
        values = values.astype(np.promote_types(values.dtype, np.float32))
        known = values[np.isfinite(values).all(axis=2) & (values != 0).any(axis=2)]
        if not known.size or known.min() < 0 or known.max() > 1:
            return values
        coded, plain = (
            float((np.abs(np.linalg.norm(vectors, axis=1) - 1) < UNIT_TOLERANCE).mean())
            for vectors in (2 * known - 1, known)
        )
        return 2 * values - 1 if coded > max(0.5, plain) else values

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, 3]`` float32 unit vectors, x right, y down, z forward; NaN where there is no direction."""
        unit = unit_normals(self.vectors(values, where), *self.lengths)
        return unit * np.array([1, -1, -1], np.float32) if self.axes == "opengl" else unit

    def encode(self, target: np.ndarray) -> np.ndarray:
        """8-bit RGB; a missing value is grey, which decodes to a vector of nearly zero length."""
        return ((np.nan_to_num(np.moveaxis(target, 0, 2), nan=0.0) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)

    def remark(self, values: np.ndarray, where: str) -> str:
        """Warn if more than a fifth of the normals are not of unit length."""
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(self.vectors(values, where), axis=2)
        present = lengths > UNIT_TOLERANCE
        share = float((np.abs(lengths[present] - 1) > UNIT_TOLERANCE).mean()) if present.any() else 1.0
        hint = (
            "; if its numbers are 0 to 255, save it as uint8" if values.dtype != np.uint8 and values.max() > 2 else ""
        )
        return f"{where}: {100 * share:.0f} % of the normals are not of unit length{hint}" if share > 0.2 else ""


@dataclass(frozen=True)
class CodedFiles(FileSettings):
    """Maps of values in [0, 1]. With two channels or more, a pixel that is zero in all channels is missing."""

    maximum: float = 0.0
    """Stored number that means 1; 0: 255 for 8 bits, 65,535 for 16 bits, 1 for floats."""

    @property
    def pixels(self) -> Pixels:
        """``levels``, unless a maximum is declared, which refers to the stored numbers."""
        return "numbers" if self.maximum else "levels"

    def problem(self) -> str:
        """Error message if the maximum is negative or not finite."""
        return "" if 0 <= self.maximum < float("inf") else "maximum must be a positive number"

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, channels]`` float32 in [0, 1], NaN where missing."""
        if channels == 2 and values.dtype == np.uint8 and values.shape[2:] == (3,):
            values = values[:, :, :2]  # curvature is RGB, of which Taskonomy uses the first two channels
        values = _with_channels(values, channels, where)
        default = 1.0 if values.dtype.kind == "f" else 255.0 if values.dtype.itemsize == 1 else 65535.0
        maximum = self.maximum or default
        missing = (values == 0).all(axis=2, keepdims=True) & (channels > 1)
        with np.errstate(over="ignore", invalid="ignore"):
            coded = np.where(missing, np.nan, values / maximum).astype(np.float32)
        if ((coded < 0) | (coded > 1)).any():
            raise DataError(
                f"{where}: values range from {np.nanmin(coded):g} to {np.nanmax(coded):g} after division by {maximum:g}; they "
                "must be in 0..1: set 'maximum' of the task in dataset.yaml"
            )
        return coded

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Floats, clipped to [0, 1]."""
        return super().encode(target.clip(0, 1))


def typical(values: np.ndarray) -> float:
    """Approximate median of the finite values of a map, from about 100 × 100 pixels; NaN if there are none."""
    known = values[:: -(-len(values) // 100), :: -(-values.shape[1] // 100)]
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else float("nan")


def odd_number(values: np.ndarray, missing: tuple[float, ...], where: str) -> str:
    """Warning of a file that holds no value, or that a number probably marks missing values but is not listed in ``missing``.

    Suspicious is a maximum or minimum that many pixels have and that is far from all other numbers or in `UNKNOWN`; for both, few
    pixels are enough.
    """
    known = values[np.isfinite(values) & ~_has_number(values, missing)]
    if not known.size:
        return f"{where}: holds no value, so it is no label"
    for number in (known.max(), known.min()):
        others = known[known != number]
        share, common = 1 - others.size / known.size, float(number) in UNKNOWN
        if share < (FEW if common else MANY) or not others.size:
            continue
        low, high = float(others.min()), float(others.max())
        gap = max(float(number) - high, low - float(number))
        if (common and share >= MANY) or (high > low and gap > high - low):
            shown = str(number).removesuffix(".0")  # all digits, so that what is copied into dataset.yaml matches
            return (
                f"{where}: {100 * share:.2g} % of the pixels have the number {shown}, all others {low:g} to {high:g}; if it "
                f"means no value, set 'missing: {shown}' for the task in dataset.yaml"
            )
    return ""


def _has_number(values: np.ndarray, numbers: tuple[float, ...]) -> np.ndarray:
    """Mask of the values that equal one of these numbers once they are rounded to the file's precision: float32 has no 1e20."""
    with np.errstate(over="ignore"):
        return np.isin(values, np.array(numbers, values.dtype if values.dtype.kind == "f" else np.float64))


def unit_normals(vectors: np.ndarray, shortest: float = 0.1, longest: float = float("inf")) -> np.ndarray:
    """Normalise vectors ``[H, W, 3]`` to length 1, float32; NaN where the length is not finite or out of bounds."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(vectors, axis=2, keepdims=True)
        usable = np.isfinite(length) & (length >= shortest) & (length <= longest)
        return np.where(usable, vectors / np.where(usable, length, 1), np.nan).astype(np.float32)


def decode_rgb_normals(picture: np.ndarray) -> np.ndarray:
    """Decode uint8 RGB of (n + 1) / 2 to vectors ``[H, W, 3]`` float32 of any length."""
    return picture / np.float32(127.5) - 1


def _positions(codes: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """``[H, W]`` uint8: index of each code in ``numbers``; `IGNORE_INDEX` if it is not among them."""
    found = np.full(codes.shape, IGNORE_INDEX, np.uint8)
    for index, number in enumerate(numbers):
        found[codes == number] = index
    return found


def _remedy(label: int) -> str:
    ignore = f"set 'ignore: {label}' for the task in dataset.yaml"
    return f"; if it is a class, name it (classes.txt, dataset.yaml); if it means no class, {ignore}; else fix the file"


def check_labels(labels: np.ndarray, num_classes: int, where: str, first: int = 0) -> None:
    """Raise `DataError` unless every label is `IGNORE_INDEX` or one of ``num_classes`` classes, numbered from ``first``."""
    wrong = ((labels < first) | (labels >= first + num_classes)) & (labels != IGNORE_INDEX)
    if wrong.any():
        raise DataError(
            f"{where}: label {labels[wrong][0]} is neither a class ({first}..{first + num_classes - 1}) nor "
            f"{IGNORE_INDEX} (ignore){_remedy(labels[wrong][0])}"
        )


def _with_channels(values: np.ndarray, channels: int, where: str) -> np.ndarray:
    """``[H, W, channels]``. Surplus channels are an error unless they hold nothing: those of grey saved as RGB, or `EMPTY` ones."""
    values = values if values.ndim == 3 else values[:, :, None]
    found, kept, surplus = values.shape[2], values[:, :, :channels], values[:, :, channels:]
    if found < channels:
        raise DataError(
            f"{where}: has {found} channel{'s' * (found > 1)}, but {channels} are needed; save an .npy of H x W x {channels}"
            f"{' or an RGB picture' * (channels <= 3)}"
        )
    colours = values[:, :, :3]
    grey = channels == 1 and np.array_equal(
        colours, np.broadcast_to(kept, colours.shape), equal_nan=values.dtype.kind == "f"
    )
    surplus = values[:, :, 3:] if grey else surplus
    if any(channel.min() != channel.max() or channel.flat[0] not in EMPTY for channel in np.moveaxis(surplus, 2, 0)):
        if channels > 1:
            raise DataError(
                f"{where}: has {found} channels, but {channels} are needed, and which ones is unknown; save an .npy of "
                f"H x W x {channels} with the numbers of the task alone"
            )
        raise DataError(
            f"{where}: has {found} channels, but one number per pixel is needed; if it shows the values in false colours, "
            "export the values themselves (grey PNG or TIFF, 8 or 16 bits, or .npy of H x W)"
        )
    return kept
