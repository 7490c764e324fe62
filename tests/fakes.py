"""Writers of small data sets in the exact layouts of the real ones, and a source that needs no files; deterministic."""

import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mgm.data.base import DataSource, Splits
from mgm.data.splits import random_split
from mgm.types import DatasetInfo, Frame, FrameLike, Sample

NYUV2_CLASSES = ("wall", "floor", "cabinet", "bed", *(f"class_{index}" for index in range(4, 39)), "otherprop")
NYUV2_SCENES = ("bathroom", "bedroom", "kitchen")
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip


def png(array: np.ndarray) -> bytes:
    """A picture file without loss."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def deep_png(array: np.ndarray) -> bytes:
    """Encode uint16 ``[H, W, 3]`` as PNG with 16-bit colours, which Pillow cannot write."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def jpeg(array: np.ndarray) -> bytes:
    """A picture file in the quality of the real data."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def nyuv2_arrays(index: int, height: int, width: int) -> dict[str, np.ndarray]:
    """The four pictures of one image: a floor below a wall with a box; classes 39 and 255 occur."""
    rng = np.random.default_rng(index)
    rgb = np.full((height, width, 3), rng.integers(40, 200, 3), np.uint8)
    semantic = np.zeros((height, width), np.uint8)
    semantic[height // 2 :] = 1
    top, left = rng.integers(height // 4, height // 2), rng.integers(width // 4, width // 2)
    box = np.s_[top : top + height // 4, left : left + width // 4]
    semantic[box], rgb[box] = rng.integers(2, 39), rng.integers(0, 255, 3)
    semantic[: height // 8], semantic[:, -width // 8 :] = 39, 255
    depth = np.repeat(np.linspace(200, 40, height).astype(np.uint8)[:, None], width, axis=1)
    normal = np.zeros((height, width, 3))
    normal[: height // 2] = (0, 0, -1)  # the wall faces the camera
    normal[height // 2 :] = (0, -0.8, -0.6)  # the floor faces up and to the camera
    return {
        "rgb": rgb,
        "depth": depth,
        "semantic40": semantic,
        "normal": ((normal + 1) / 2 * 255).round().astype(np.uint8),
    }


def nyuv2_files(count: int, height: int, width: int) -> dict[str, bytes]:
    """Relative name -> content; two images per scene, two of three official training images, numbers with a gap."""
    files: dict[str, bytes] = {}
    index = io.StringIO()
    table = csv.writer(index, lineterminator="\n")
    table.writerow(("id", "official_split", "scene", "scene_type", "scene_type_id"))
    for number in range(count):
        name, scene = f"{number + 1 + (number > 2):04d}", number // 2
        kind = scene % len(NYUV2_SCENES)
        part = "test" if scene % 3 == 2 else "train"
        table.writerow((name, part, f"{NYUV2_SCENES[kind]}_{scene:04d}", NYUV2_SCENES[kind], kind))
        for folder, array in nyuv2_arrays(number, height, width).items():
            lossy = folder in ("rgb", "normal")
            files[f"{folder}/{name}.{'jpg' if lossy else 'png'}"] = jpeg(array) if lossy else png(array)
    files["index.csv"] = index.getvalue().encode()
    files["classes40.txt"] = "\n".join(NYUV2_CLASSES).encode()
    files["scene_types.txt"] = "\n".join(NYUV2_SCENES).encode()
    return files


def write_nyuv2(folder: Path, count: int = 12, size: tuple[int, int] = (256, 192)) -> Path:
    """NYUv2 as a folder, pictures of ``size`` (width, height)."""
    return write_files(folder, nyuv2_files(count, size[1], size[0]))


def write_nyuv2_zip(path: Path, count: int = 12, side: int = 128, top: str = "") -> Path:
    """NYUv2 as an archive of square pictures, all below the folder ``top`` if there is one."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in nyuv2_files(count, side, side).items():
            archive.writestr(f"{top}/{name}" if top else name, content)
    return path


def write_camvid(folder: Path, counts: Sequence[int] = (6, 2, 3), size: tuple[int, int] = (240, 180)) -> Path:
    """CamVid as a folder with so many images in train, val and test; class 4 (pavement) only in every other image."""
    width, height = size
    files = {"classes.txt": "\n".join(CAMVID_CLASSES).encode()}
    number = 0
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        for _ in range(count):
            semantic = np.zeros((height, width), np.uint8)
            semantic[height // 3 :] = 1
            semantic[height // 2 :] = 4 if number % 2 else 3
            semantic[:, : width // 10] = 255
            rgb = np.stack([semantic % 7 * 30, semantic % 5 * 40, np.full_like(semantic, 10 * number)], axis=2)
            files[f"{part}/rgb/0001TP_{number:06d}.jpg"] = jpeg(rgb)
            files[f"{part}/semantic/0001TP_{number:06d}.png"] = png(semantic)
            number += 1
    return write_files(folder, files)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder, which is made."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


@dataclass
class FakeSource(DataSource):
    """Samples made from their index, for every task that needs no geometry; can fail at a chosen sample."""

    count: int = 70
    fail_at: int = -1
    seed: int = 0
    num_scenes: int = 3

    @property
    def info(self) -> DatasetInfo:
        """Semantic, depth and normals."""
        scenes = tuple(f"scene_{index}" for index in range(self.num_scenes))
        return DatasetInfo("fake", ("semantic", "depth", "normal"), ("a", "b", "c", "d"), scenes)

    @property
    def fingerprint(self) -> dict[str, object]:
        """Without ``fail_at``: a mended source is the same data."""
        return {"count": self.count, "seed": self.seed}

    def __len__(self) -> int:
        """The chosen number."""
        return self.count

    def read(self, index: int, size: FrameLike) -> Sample:
        """Random values with invalid pixels; raises `RuntimeError` at ``fail_at``."""
        if index == self.fail_at:
            raise RuntimeError(f"told to fail at {index}")
        size = Frame.of(size).size
        rng = np.random.default_rng([self.seed, index, *size])
        semantic = rng.integers(0, 4, size).astype(np.uint8)
        semantic[0] = 255
        depth = rng.uniform(0.5, 9, (1, *size)).astype(np.float32)
        depth[:, :, 0] = np.nan
        normal = rng.normal(size=(3, *size)).astype(np.float32)
        normal /= np.linalg.norm(normal, axis=0)
        scene = np.eye(max(1, self.num_scenes), dtype=np.float32)[index % max(1, self.num_scenes)][: self.num_scenes]
        image = rng.integers(0, 256, (3, *size)).astype(np.uint8)
        return Sample(image, {"semantic": semantic, "depth": depth, "normal": normal}, scene, f"fake-{index}")

    def splits(self, kind: str, seed: int) -> Splits:
        """Always random."""
        held_out = max(1, self.count // 7)
        return random_split(self.count, held_out, held_out, seed)
