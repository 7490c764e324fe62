"""Samples per second read from image files, one by one as in public code, and from a store; and the opening of a large store.

    python benchmarks/data.py                      # synthetic images of 640 x 480
    python benchmarks/data.py --data FOLDER_OR_ZIP # your own files, at their resolution

Prints a table; --json FILE also writes the numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mgm.data import open_source
from mgm.data.base import DataSource
from mgm.data.conversion import sample_layouts
from mgm.data.loading import StoreReader
from mgm.data.manifest import FORMAT_VERSION, MANIFEST, encode_names, info_to_plain
from mgm.data.store import build_store, open_store
from mgm.types import DatasetInfo

BATCH = 32
SECONDS = 2.0
"""Minimum duration of each measurement."""


def made_folder(folder: Path, count: int, width: int, height: int) -> Path:
    """Write a folder of images with smooth shapes and a little noise, about as hard to decode as photographs."""
    rng = np.random.default_rng(0)
    for kind in ("rgb", "semantic", "depth", "normal"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index in range(count):

        def soft(channels: int, cells: int = 8) -> np.ndarray:
            coarse = rng.integers(0, 256, (cells, cells, channels)).astype(np.uint8)
            return np.stack(
                [
                    np.array(Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC))
                    for c in range(channels)
                ],
                axis=2,
            )

        rgb = np.clip(soft(3, 24) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "rgb" / f"{index:05d}.jpg", quality=92)
        Image.fromarray(soft(1, 12)[..., 0] // 20).save(folder / "semantic" / f"{index:05d}.png")
        depth = 500 + soft(1)[..., 0].astype(np.float64) * 30 + rng.normal(0, 4, (height, width))
        Image.fromarray(depth.astype(np.uint16)).save(folder / "depth" / f"{index:05d}.png")
        normal = soft(3, 12) / 127.5 - 1
        normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-6
        Image.fromarray(((normal + 1) * 127.5).astype(np.uint8)).save(folder / "normal" / f"{index:05d}.png")
    return folder


def samples_per_second(read: Callable[[int], int]) -> float:
    """Rate of a function that reads batch number k and returns its number of samples; the first call is a warm-up."""
    read(0)
    start, done, number = time.perf_counter(), 0, 0
    while time.perf_counter() - start < SECONDS:
        number += 1
        done += read(number)
    return done / (time.perf_counter() - start)


def public_way(folder: Path, size: int) -> Callable[[int], int]:
    """Reader as in public code: decode and resize each file with PIL in the main process, convert to float tensors, stack."""
    names = sorted(path.stem for path in (folder / "rgb").iterdir())

    def tensor(path: Path, resample: Image.Resampling) -> torch.Tensor:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.resize((size, size), resample), dtype=np.float32)
        return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1) / 255

    def read(number: int) -> int:
        chosen = [names[(number * BATCH + k) % len(names)] for k in range(BATCH)]
        for kind, ending in (("rgb", "jpg"), ("semantic", "png"), ("depth", "png"), ("normal", "png")):
            way = Image.Resampling.BILINEAR if kind == "rgb" else Image.Resampling.NEAREST
            torch.stack([tensor(folder / kind / f"{name}.{ending}", way) for name in chosen])
        return BATCH

    return read


def from_source(source: DataSource, size: int) -> Callable[[int], int]:
    """The package's file reader, one sample after another, to float tensors."""

    def read(number: int) -> int:
        samples = [source.read((number * BATCH + k) % len(source), size) for k in range(BATCH)]
        torch.from_numpy(np.stack([sample.image for sample in samples])).float().div_(127.5).sub_(1)
        for task in source.info.tasks:
            torch.from_numpy(np.stack([sample.targets[task] for sample in samples]))
        return BATCH

    return read


def from_store(reader: StoreReader) -> Callable[[int], int]:
    """Reader of random batches from a store."""
    rng = np.random.default_rng(0)
    return lambda number: len(reader.batch(rng.integers(0, len(reader), BATCH)))


def measure(work: Path, data: str, size: int, count: int) -> dict[str, float]:
    """Way of reading -> samples per second."""
    rates: dict[str, float] = {}
    if data:
        source = open_source(data)
    else:
        folder = made_folder(work / "original", count, 640, 480)
        source = open_source(str(folder))
        rates["public code's way, files of 640 x 480"] = samples_per_second(public_way(folder, size))
        small = open_source(str(made_folder(work / "small", count, size, size)))
        rates[f"files of {size} x {size}"] = samples_per_second(from_source(small, size))
    rates["files in their own size"] = samples_per_second(from_source(source, size))
    store = build_store(source, size, work / "store", workers=1)
    tasks = store.info.tasks
    rates["store, memory-mapped"] = samples_per_second(from_store(StoreReader(store, tasks, resident_bytes=0)))
    rates["store, resident on the CPU"] = samples_per_second(from_store(StoreReader(store, tasks)))
    if torch.cuda.is_available():
        reader = StoreReader(store, tasks, "cuda")

        def read(number: int) -> int:
            held = from_store(reader)(number)
            torch.cuda.synchronize()
            return held

        rates["store, resident on the GPU"] = samples_per_second(read)
    return rates


def made_store(folder: Path, count: int, size: int) -> Path:
    """Write a valid store of sparse files: its images are black and take no disk space."""
    info = DatasetInfo("made", ("semantic", "depth", "normal"), ("a", "b"), ("x", "y"))
    folder.mkdir(parents=True)
    layouts = sample_layouts(info, size, count)
    for name, (dtype, shape) in layouts.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    text, ends = encode_names([f"building_{index // 1000}/point_{index}" for index in range(count)])
    labelled, splits = np.ones((count, 3), np.uint8), np.zeros((10, count), np.uint8)
    for name, values in {"names": text, "name_ends": ends, "labelled": labelled, "splits": splits}.items():
        np.save(folder / f"{name}.npy", values)
        layouts[name] = (str(values.dtype), values.shape)
    manifest: dict[str, Any] = {
        "version": FORMAT_VERSION, "info": info_to_plain(info), "source": "", "fingerprint": {}, "size": size,
        "aspect": "squeeze", "count": count, "labelled": {}, "skipped": [], "splits": {"random": list(range(10))}, "checksums": {},
        "arrays": {name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in layouts.items()},
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def opening(path: Path) -> dict[str, float]:
    """Seconds and memory for opening a store and reading a first batch, in a new process."""
    done = subprocess.run([sys.executable, __file__, "--open", str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def open_and_report(path: Path) -> None:
    """The process that `opening` starts: measure and print as JSON."""
    import resource

    def mebibytes() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    before, start = mebibytes(), time.perf_counter()
    store = open_store(path)
    seconds, opened = time.perf_counter() - start, mebibytes()
    last = store.names[len(store) - 1]
    reader = StoreReader(store, store.info.tasks, resident_bytes=0)
    reader.batch(np.linspace(0, len(store) - 1, BATCH).astype(int))
    print(
        json.dumps(
            {"seconds": seconds, "open_mib": opened - before, "batch_mib": mebibytes() - before, "last": len(last)}
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="", help="path of a data set, instead of synthetic images")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--num", type=int, default=256, help="number of synthetic images")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        open_and_report(options.open)
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        rates = measure(work, options.data, options.image_size, options.num)
        stores = {
            str(count): opening(made_store(work / f"made{count}", count, options.image_size))
            for count in (1000, 400_000)
        }
    base = rates["files in their own size"]
    print(f"{'samples per second at ' + str(options.image_size) + ' px':<44}{'':>10}{'ratio':>8}")
    for way, rate in rates.items():
        print(f"{way:<44}{rate:>10.0f}{rate / base:>8.1f}")
    for count, cost in stores.items():
        print(f"opening a store of {int(count):,}: {cost['seconds'] * 1e3:.0f} ms, {cost['open_mib']:.1f} MiB; "
              f"{cost['batch_mib']:.1f} MiB after a batch")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"samples_per_second": rates, "opening": stores}, indent=2))


if __name__ == "__main__":
    main()
