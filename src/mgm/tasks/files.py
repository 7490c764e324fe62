"""How the label files of a task are read: the settings that ``dataset.yaml`` may give, and how they decode pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from mgm.errors import DataError
from mgm.types import IGNORE_INDEX

Colour = tuple[int, int, int]
Pixels = Literal["colours", "exact colours", "indices", "numbers"]
"""How a picture file is decoded: as RGB, as RGB that stands for something, as one index per pixel (of a palette or grey), or as
numbers of any depth."""
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
MIN_DISPARITY_PX = 1.0
"""Smaller disparities tell nothing about distance: they lie beyond several hundred metres."""
HINT_255 = "; 255 means no class: if it is one, say 'values: {background: 0, object: 255}' of the task in dataset.yaml"
ANOTHER_UNIT = 150.0
"""Factor between a file and the others, from which on it must be in another unit, such as millimetres among metres."""
MANY = 0.02
"""Share of the pixels from which on a number far from all others is suspected to mean no value."""
UNKNOWN = (65535, 32767, 10000, -9999, -32768)
"""Numbers that sensors and programs write for no value, or for all that is too far."""
UNIT_TOLERANCE = 0.1
"""Difference from length 1 up to which a vector counts as a unit vector, and length up to which it counts as absent."""


@dataclass(frozen=True)
class FileSettings:
    """Where the files of one kind lie, and what their values mean."""

    folder: str = ""
    """Name of the folder; empty: that of the task."""
    suffix: str = ""
    """Added to the name of the image in file names, e.g. ``_depth`` for ``0001_depth.png``."""

    @property
    def pixels(self) -> Pixels:
        """How picture files of this kind are decoded."""
        return "numbers"

    remarkable: ClassVar[bool] = False
    """Whether `remark` can have anything to say."""
    comparable: ClassVar[bool] = False
    """Whether values of all files must be of a similar magnitude, since all have one unit."""

    def problem(self) -> str:
        """What is wrong with these settings, in words; empty if nothing is."""
        return ""

    def remark(self, values: np.ndarray, where: str) -> str:
        """What looks wrong with the values of a file that can be read, in words; empty if nothing does."""
        return ""

    def check_against(self, usual: float, values: np.ndarray, where: str) -> None:
        """Raise `DataError` where decoded values are of another magnitude than usual, the `typical` value of most files."""
        if self.comparable and usual == usual:
            own = typical(values)
            if own > usual * ANOTHER_UNIT or own * ANOTHER_UNIT < usual:
                raise DataError(
                    f"{where}: the median is {own:.3g} where most files have about {usual:.3g}: it is in another unit; "
                    "write it again in that of the others, or remove it"
                )

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """The target at the size of the file.

        Args:
            values: ``[H, W]`` or ``[H, W, C]``, as the file has them.
            channels: Number of channels of the target.
            classes: Names of the semantic classes.
            where: Name of the file for messages.

        Returns:
            ``[H, W, channels]`` float32, NaN where there is no value.

        Raises:
            DataError: If the file has another number of channels or impossible values.
        """
        return _with_channels(values, channels, where)[:, :, :channels].astype(np.float32)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """What a file holds of a target, such that `decode` of default settings makes the target of it again.

        Args:
            target: ``[C, H, W]`` float, NaN where there is no value; ``[H, W]`` class index, 255 without one.

        Returns:
            ``[H, W]`` or ``[H, W, C]``: fractions for ``.npy``, whole numbers for PNG.
        """
        values = np.moveaxis(target, 0, 2).astype(np.float32)
        return values[:, :, 0] if values.shape[2] == 1 else values


@dataclass(frozen=True)
class ClassFiles(FileSettings):
    """Label maps: a class index or a colour per pixel."""

    ignore: tuple[int, ...] = (IGNORE_INDEX,)
    """Labels of pixels without a class; 255 always is one."""
    first: int | Literal["auto"] | None = None
    """Number of the first class; smaller numbers mean no class. auto: 1 if the number of classes occurs as a label, else 0.
    By default 0, and negative labels are errors."""
    values: dict[str, int] = field(default_factory=dict[str, int])
    """Class -> its number in the files, where they do not count 0, 1, 2; any other one is an error unless it is ignored."""
    colours: dict[str, Colour] = field(default_factory=dict[str, Colour])
    """Class -> colour, for coloured label maps; any other colour is an error unless listed in ``ignore_colours``."""
    ignore_colours: tuple[Colour, ...] = ((0, 0, 0),)
    """Colours of pixels without a class, unless a class has that colour."""

    @property
    def pixels(self) -> Pixels:
        """Colours where classes have colours, else indices."""
        return "exact colours" if self.colours else "indices"

    def problem(self) -> str:
        """Colours out of range or given twice, or numbers given twice."""
        if len(set(self.values.values())) < len(self.values) or (self.values and self.colours):
            return "values are different numbers of the classes, where these have no colours"
        for colour in (*self.colours.values(), *self.ignore_colours):
            if not all(0 <= part <= 255 for part in colour):
                return f"colour {list(colour)} must be three numbers in 0..255"
        return "two classes have the same colour" if len(set(self.colours.values())) < len(self.colours) else ""

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W]`` uint8 class index, `IGNORE_INDEX` where there is no class."""
        if self.colours:
            return self._from_colours(values, classes, where)
        labels, ignored = self.labels(values, where)
        if self.values:
            found = _positions(labels, [self.values[name] for name in classes])
            if (odd := labels[(found == IGNORE_INDEX) & ~ignored]).size:
                raise DataError(f"{where}: label {odd[0]} is none of {sorted(self.values.values())}{_remedy(odd[0])}")
            return np.where(ignored, IGNORE_INDEX, found)
        first = int(self.first or 0)
        check_labels(np.where(ignored, IGNORE_INDEX, labels), len(classes), where, first)
        return np.where(ignored, IGNORE_INDEX, labels - first).astype(np.uint8)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Indices in 8 bits."""
        return target.astype(np.uint8)

    def labels(self, values: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels as whole numbers ``[H, W]``, counted as in the file, and where they mean no class ``[H, W]``."""
        if values.ndim != 2:
            raise DataError(
                f"{where}: is {values.dtype} {values.shape}; labels are whole numbers, H x W; write it again"
            )
        missing = np.isin(values, list({IGNORE_INDEX, *self.ignore} - set(self.values.values())))
        if values.dtype.kind == "f":
            missing |= np.isnan(values)
        if self.first is not None:
            missing |= values < int(self.first)
        labels = np.where(missing, 0, values).astype(np.int64)
        if (fractions := values[~missing & (values != labels)]).size:
            raise DataError(f"{where}: label {fractions[0]:g}; labels are whole numbers: write the file again")
        return labels, missing

    def _from_colours(self, pixels: np.ndarray, classes: tuple[str, ...], where: str) -> np.ndarray:
        def code(colours: object) -> np.ndarray:
            return np.asarray(colours, np.int64) @ np.array([65536, 256, 1])

        codes = code(pixels)
        labels = _positions(codes, [int(code(self.colours[name])) for name in classes])
        known = (labels != IGNORE_INDEX) | np.isin(codes, code(np.reshape(self.ignore_colours, (-1, 3))))
        if not known.all():
            raise DataError(
                f"{where}: colour {pixels[~known][0].tolist()} is that of no class; add it to 'colours' (or ignore_colours) "
                "of the task in dataset.yaml"
            )
        return labels


@dataclass(frozen=True)
class DepthFiles(FileSettings):
    """Depth maps: metres = number × scale + offset."""

    unit: Literal["", "m", "cm", "mm"] = ""
    """Of the numbers; empty: mm for whole numbers, m for fractions."""
    scale: float = 0.0
    """Metres per number, instead of a unit."""
    offset: float = 0.0
    """Metres that are added."""
    bits: Literal[0, 8, 16] = 0
    """Bits per number that the files must have; 0: any."""
    missing: tuple[float, ...] = (0.0,)
    """Numbers without a value; so are negative, infinite and NaN ones."""
    max_m: float = 0.0
    """Larger values in metres count as missing; 0: no limit."""
    comparable: ClassVar[bool] = True
    remarkable: ClassVar[bool] = True
    baseline_focal: float = 0.0
    """Baseline in metres times focal length in pixels: number × scale + offset is then a disparity in pixels, and depth is this
    divided by it; disparities below 1 px are missing."""

    def problem(self) -> str:
        """Contradicting units, or negative numbers."""
        if self.unit and self.scale:
            return "give unit or scale, not both"
        if not (0 <= self.scale < float("inf") and self.max_m >= 0 and 0 <= self.baseline_focal < float("inf")):
            return "scale, max_m and baseline_focal must be positive numbers"
        return ""

    def remark(self, values: np.ndarray, where: str) -> str:
        """That a number which many pixels have looks like that of a missing value."""
        return "" if self.max_m else odd_number(values[values > 0], self.missing, where)

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, 1]`` float32 metres, NaN where missing."""
        if values.ndim != 2:
            raise DataError(
                f"{where}: has {values.shape[2]} channels; depth is one number per pixel, H x W: 16-bit grey PNG or .npy"
            )
        whole, eight_bits = values.dtype.kind != "f", values.dtype.itemsize == 1
        if self.bits and values.dtype.itemsize * 8 != self.bits:
            raise DataError(f"{where}: depth of {'more' if self.bits == 8 else 'other'} than {self.bits} bits")
        scale = self.scale or METRES.get(self.unit, 0.0)
        if not scale and whole and eight_bits:
            raise DataError(
                f"{where}: is 8-bit, which cannot hold millimetres; save it as 16-bit PNG, or say what a number means: "
                "'depth: {scale: METRES_PER_NUMBER}' in dataset.yaml"
            )
        scale = scale or METRES["mm" if whole else "m"]
        with np.errstate(over="ignore", invalid="ignore"):
            metres = values.astype(np.float64) * scale + self.offset
            if self.baseline_focal:
                near = metres >= MIN_DISPARITY_PX
                metres = np.where(near, self.baseline_focal / np.where(near, metres, 1), np.nan)
            valid = np.isfinite(metres) & (metres > 0) & ~np.isin(values, self.missing)
            if self.max_m:
                valid &= metres <= self.max_m
        metres = np.where(valid, metres, np.nan)
        if (metres > np.finfo(np.float16).max).any():
            raise DataError(f"{where}: a depth of {np.nanmax(metres):g} m cannot be; say the unit in dataset.yaml")
        return metres[:, :, None].astype(np.float32)

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Millimetres in 16 bits, 0 without a value; metres as fractions if one is too far for that."""
        metres = np.where(target[0] > 0, target[0], np.nan)
        millimetres = np.nan_to_num(metres / METRES["mm"], nan=0.0).round()
        return (
            millimetres.astype(np.uint16)
            if millimetres.max() <= np.iinfo(np.uint16).max
            else super().encode(metres[None])
        )


@dataclass(frozen=True)
class NumberFiles(FileSettings):
    """Maps of numbers of a task that the data set defines: value = number × scale + offset."""

    scale: float = 1.0
    """Units per number."""
    offset: float = 0.0
    """Units that are added."""
    missing: tuple[float, ...] = ()
    """Numbers without a value; so are infinite ones and NaN."""
    outside: Literal["keep", "missing"] = "keep"
    """Whether values outside the range are missing."""
    remarkable: ClassVar[bool] = True
    range: tuple[float, float] = (-float("inf"), float("inf"))
    """Lowest and highest value, as the task is defined."""

    def problem(self) -> str:
        """Factors that are no numbers."""
        usable = np.isfinite([self.scale, self.offset]).all() and self.scale
        return "" if usable else "scale and offset must be numbers, and scale not 0"

    def remark(self, values: np.ndarray, where: str) -> str:
        """That a number which many pixels have looks like that of a missing value."""
        return "" if self.outside == "missing" else odd_number(values, self.missing, where)

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, channels]`` float32 in the unit, NaN where any channel is missing."""
        values = _with_channels(values, channels, where)[:, :, :channels]
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        known = np.isfinite(scaled) & ~np.isin(values, self.missing)
        if self.outside == "missing":
            known &= (scaled >= self.range[0]) & (scaled <= self.range[1])
        return np.where(known.all(axis=2, keepdims=True), scaled, np.float32("nan"))


@dataclass(frozen=True)
class NormalFiles(FileSettings):
    """Normal maps: (n + 1) / 2 × 255 in 8 bits, or fractions in -1..1, or (n + 1) / 2 in 0..1, which their lengths tell."""

    axes: Literal["opencv", "opengl"] = "opencv"
    """opencv: x right, y down, z forward; opengl: x right, y up, z towards the camera."""
    lengths: tuple[float, float] = (0.5, 1.5)
    """Shortest and longest vector that counts as a normal; others are missing."""
    remarkable: ClassVar[bool] = True

    def vectors(self, values: np.ndarray, where: str) -> np.ndarray:
        """``[H, W, 3]`` float vectors of any length, in the axes of the file."""
        if values.ndim != 3 or values.shape[2] != 3:
            raise DataError(f"{where}: is {values.dtype} {values.shape}; normals have three channels: RGB PNG or .npy")
        if values.dtype == np.uint8:
            return decode_rgb_normals(values)
        if values.dtype.kind != "f":
            raise DataError(f"{where}: is {values.dtype}; normals are 8-bit RGB or fractions in -1..1; write it again")
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
        """RGB of 8 bits; grey, which is no direction, without a value."""
        return ((np.nan_to_num(np.moveaxis(target, 0, 2), nan=0.0) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)

    def remark(self, values: np.ndarray, where: str) -> str:
        """That more than a fifth of the normals are not of unit length."""
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(self.vectors(values, where), axis=2)
        present = lengths > UNIT_TOLERANCE
        share = float((np.abs(lengths[present] - 1) > UNIT_TOLERANCE).mean()) if present.any() else 1.0
        return f"{where}: {100 * share:.0f} % of the normals are not of unit length" if share > 0.2 else ""


@dataclass(frozen=True)
class CodedFiles(FileSettings):
    """Maps of values in [0, 1]; of two channels or more, a pixel of zeros is missing."""

    maximum: float = 0.0
    """Number that stands for 1; 0: 255 in 8 bits, 65,535 in 16, and 1 for fractions."""

    def problem(self) -> str:
        """A negative maximum."""
        return "" if 0 <= self.maximum < float("inf") else "maximum must be a positive number"

    def decode(self, values: np.ndarray, channels: int, classes: tuple[str, ...], where: str) -> np.ndarray:
        """``[H, W, channels]`` float32 in [0, 1], NaN where missing."""
        values = _with_channels(values, channels, where)
        default = 1.0 if values.dtype.kind == "f" else 255.0 if values.dtype.itemsize == 1 else 65535.0
        maximum = self.maximum or default
        missing = (values == 0).all(axis=2, keepdims=True) & (channels > 1)
        with np.errstate(over="ignore", invalid="ignore"):
            coded = np.where(missing, np.nan, values[:, :, :channels] / maximum).astype(np.float32)
        if ((coded < 0) | (coded > 1)).any():
            raise DataError(
                f"{where}: values reach from {np.nanmin(coded):g} to {np.nanmax(coded):g}; they must lie in 0..1 after "
                f"division by {maximum:g}, which 'maximum' in dataset.yaml can change"
            )
        return coded

    def encode(self, target: np.ndarray) -> np.ndarray:
        """Fractions in [0, 1], also of predictions that leave it."""
        return super().encode(target.clip(0, 1))


def typical(values: np.ndarray) -> float:
    """Median of the finite values of a map, about; NaN if it has none."""
    known = values[:: -(-len(values) // 100), :: -(-values.shape[1] // 100)]
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else float("nan")


def odd_number(values: np.ndarray, missing: tuple[float, ...], where: str) -> str:
    """That a number that means no value is perhaps not named as one, in words; empty if it seems not to be so.

    Such is a largest or smallest number that many pixels have, if it lies far from all others, or is one that sensors write.
    """
    known = values[np.isfinite(values) & ~np.isin(values, missing)]
    if not known.size:
        return ""
    for number in (known.max(), known.min()):
        others = known[known != number]
        share = 1 - others.size / known.size
        if share < MANY or not others.size:
            continue
        low, high = float(others.min()), float(others.max())
        gap = max(float(number) - high, low - float(number))
        if number in UNKNOWN or (high > low and gap > high - low):
            return (
                f"{where}: {100 * share:.0f} % of the pixels have the number {number:g}, all others {low:g} to {high:g}; if "
                f"it means no value, say 'missing: {number:g}' of the task in dataset.yaml"
            )
    return ""


def unit_normals(vectors: np.ndarray, shortest: float = 0.1, longest: float = float("inf")) -> np.ndarray:
    """Vectors ``[H, W, 3]`` brought to length 1, float32; NaN where the length is not finite or out of bounds."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(vectors, axis=2, keepdims=True)
        usable = np.isfinite(length) & (length >= shortest) & (length <= longest)
        return np.where(usable, vectors / np.where(usable, length, 1), np.nan).astype(np.float32)


def decode_rgb_normals(picture: np.ndarray) -> np.ndarray:
    """Vectors ``[H, W, 3]`` float32, of any length, from uint8 colours that show (n + 1) / 2."""
    return picture / np.float32(127.5) - 1


def _positions(codes: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """``[H, W]`` uint8: where among the numbers each code is; `IGNORE_INDEX` for any other."""
    found = np.full(codes.shape, IGNORE_INDEX, np.uint8)
    for index, number in enumerate(numbers):
        found[codes == number] = index
    return found


def _remedy(label: int) -> str:
    ignore = f"'ignore: {label}' of the task in dataset.yaml"
    return f"; if it is a class, name it (classes.txt, dataset.yaml); if it means none, {ignore}; else mend the file"


def check_labels(labels: np.ndarray, num_classes: int, where: str, first: int = 0) -> None:
    """Raise `DataError` unless every label is `IGNORE_INDEX` or a class, counted from ``first``."""
    wrong = ((labels < first) | (labels >= first + num_classes)) & (labels != IGNORE_INDEX)
    if wrong.any():
        raise DataError(
            f"{where}: label {labels[wrong][0]} is neither a class ({first}..{first + num_classes - 1}) nor "
            f"{IGNORE_INDEX} (ignore){_remedy(labels[wrong][0])}"
        )


def _with_channels(values: np.ndarray, channels: int, where: str) -> np.ndarray:
    values = values if values.ndim == 3 else values[:, :, None]
    if values.shape[2] < channels:
        raise DataError(
            f"{where}: has {values.shape[2]} channel, {channels} are needed: the first {channels} of an RGB PNG"
        )
    return values
