"""Rooms rendered per second of one core, and where the time goes.

    python benchmarks/rendering.py --json results/rendering.json

Rates are of CPU time, without the profiler; shares of the phases are from a second, profiled pass over the same rooms.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from pathlib import Path

from mgm.data.rooms import RoomsSource

PHASES = {
    "composing the scene": ("scene.py", "compose"),
    "camera rays": ("casting.py", "nearest"),
    "shadow rays": ("casting.py", "occluded"),
    "surfaces at the hit points": ("render.py", "locate"),
    "textures": ("materials.py", "albedo"),
    "labels": ("labels.py", "geometry_labels"),
    "labels of edges": ("labels.py", "edge_texture"),
}
"""Phase -> file and name of the function that does it; none of these calls another."""


def rate(source: RoomsSource, size: int) -> float:
    """Images per second of CPU time; the first rooms are a warm-up."""
    for index in range(min(5, len(source))):
        source.read(index, size)
    start = time.process_time()
    for index in range(len(source)):
        source.read(index, size)
    return len(source) / (time.process_time() - start)


def shares(source: RoomsSource, size: int) -> dict[str, float]:
    """Fraction of the time that each phase takes; the rest is light, sampling, exposure and noise."""
    with cProfile.Profile() as profile:
        for index in range(len(source)):
            source.read(index, size)
    stats = pstats.Stats(profile).get_stats_profile()
    found: dict[str, float] = {}
    for phase, (file, name) in PHASES.items():
        called = stats.func_profiles[name]
        if not called.file_name.endswith(file):
            raise LookupError(f"{name} is now in {called.file_name}, not in {file}")
        found[phase] = called.cumtime / stats.total_tt
    return found | {"light and the rest": 1 - sum(found.values())}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--num-images", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    source = RoomsSource(options.num_images)
    found = {
        str(size): {"images_per_second": round(rate(source, size), 1)}
        | {phase: round(share, 3) for phase, share in shares(source, size).items()}
        for size in options.sizes
    }
    for row in next(iter(found.values())):
        print(f"{row:28s}" + "".join(f"{values[row]:10.3g}" for values in found.values()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
