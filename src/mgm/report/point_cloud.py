"""Coloured point clouds as binary PLY (G. Turk, 1994), which MeshLab, Blender, CloudCompare and Open3D open."""

from __future__ import annotations

from typing import IO

import numpy as np

from mgm.data.geometry import Intrinsics

PLACE = ("x", "y", "z")
DIRECTION = ("nx", "ny", "nz")
COLOUR: tuple[str, ...] = ("red", "green", "blue")


def point_cloud(
    pixels: np.ndarray, depth: np.ndarray, camera: Intrinsics, normals: np.ndarray | None = None
) -> np.ndarray:
    """A point per pixel whose depth is finite and above 0, in the camera's frame: x right, y down, z forward, in metres.

    Args:
        pixels: ``[H, W, 3]`` uint8 RGB.
        depth: ``[H, W]`` metres along the optical axis.
        camera: Of this picture.
        normals: ``[3, H, W]`` unit vectors in the same frame; without them the points have none.

    Returns:
        ``[N]`` with the fields x, y, z (and nx, ny, nz) float32, red, green, blue uint8; row by row.
    """
    directions = DIRECTION if normals is not None else ()
    known = np.isfinite(depth) & (depth > 0)
    kinds = [(name, "<f4") for name in (*PLACE, *directions)] + [(name, "u1") for name in COLOUR]
    points = np.empty(int(known.sum()), dtype=kinds)
    places = camera.back_project(np.where(known, depth, 0).astype(np.float32))[known]
    for column, name in enumerate(PLACE):
        points[name] = places[:, column]
    for column, name in enumerate(COLOUR):
        points[name] = pixels[..., column][known]
    if normals is not None:
        for column, name in enumerate(directions):
            points[name] = normals[column][known]
    return points


def write_ply(points: np.ndarray, file: IO[bytes]) -> None:
    """Write points as they come from `point_cloud`, little-endian."""
    kinds = {"f": "float", "u": "uchar"}
    lines = ["ply", "format binary_little_endian 1.0", "comment camera frame: x right, y down, z forward; metres"]
    lines.append(f"element vertex {len(points)}")
    lines += [f"property {kinds[points.dtype[name].kind]} {name}" for name in points.dtype.names or ()]
    file.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii"))
    file.write(points.tobytes())
