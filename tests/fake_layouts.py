"""Writers of small data sets in the layouts in which the public ones are given out; deterministic."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from fake_folder import npy
from fakes import jpeg, png, write_files

SCENE_TYPES = ("bedroom", "kitchen", "excercise_room")
BUILDINGS = ("allensville", "benevolence", "coffeen", "wiconisco", "ihlen")


def pickled_npy() -> bytes:
    """A ``.npy`` file of Python objects, which has to be refused."""
    stream = io.BytesIO()
    np.save(stream, np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def nyuv2_image(index: int) -> dict[str, np.ndarray]:
    """What image ``index`` of `write_nyuv2_mat` shows, upright and not mirrored: 480 x 640.

    The upper left part of the valid region is red, and has class 1 at 2 m; left below is green, the right half is blue.
    """
    rgb = np.full((480, 640, 3), (0, 0, 200), np.uint8)
    rgb[:, :321] = (0, 200, 0)
    rgb[:258, :321] = (200, 0, 0)
    labels = np.full((480, 640), 894, np.uint16)
    labels[:, :321] = 2
    labels[:258, :321] = 1
    labels[470:, :] = 0
    depth = np.full((480, 640), 4 + index, np.float32)
    depth[:, :321] = 3
    depth[:258, :321] = 2
    return {"images": rgb, "depths": depth, "labels": labels}


def write_nyuv2_mat(folder: Path, count: int = 6, normals: bool = False, mapping: bool = True) -> Path:
    """``nyu_depth_v2_labeled.mat`` with reversed axes and cells of references, and the tables beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [nyuv2_image(index) for index in range(count)]
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([image["images"].transpose(2, 1, 0) for image in images])
        for name in ("depths", "labels"):
            file[name] = np.stack([image[name].T for image in images])
        file["rawDepths"] = np.zeros((count, 640, 480), np.float32)
        scenes = [f"{SCENE_TYPES[index // 2 % 3]}_{index // 2:04d}" for index in range(count)]
        for name, texts in (("sceneTypes", [scene.rpartition("_")[0] for scene in scenes]), ("scenes", scenes)):
            references = np.empty((1, count), dtype=h5py.ref_dtype)
            for index, text in enumerate(texts):
                cell = file.create_dataset(f"#refs#/{name}{index}", data=np.array([[ord(c)] for c in text], np.uint16))
                references[0, index] = cell.ref
            file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
    if mapping:
        write_nyuv2_tables(folder, count)
    if normals:
        files = {}
        for index in range(count):
            picture = np.full((480, 640, 3), (128, 0, 128), np.uint8)
            picture[:, :321] = (255, 128, 128)
            mask = np.full((480, 640), 255, np.uint8)
            mask[258:, :321] = 0
            files[f"normals_gt/normals/{index:04d}.png"] = png(picture)
            files[f"normals_gt/masks/{index:04d}.png"] = png(mask)
        write_files(folder, files)
    return folder


def write_nyuv2_tables(folder: Path, count: int) -> None:
    """``classMapping40.mat`` (raw 1 -> 1, 2 -> 40, 894 -> 5) and ``splits.mat`` (every third scene is for the test)."""
    mapping = np.full((1, 894), 38, np.uint8)
    mapping[0, [0, 1, 893]] = (1, 40, 5)
    names = np.empty((1, 40), object)
    names[0] = [f"name {index}" for index in range(1, 41)]
    savemat(folder / "classMapping40.mat", {"mapClass": mapping, "className": names})
    numbers = np.arange(1, count + 1, dtype=np.uint16)
    test = (numbers - 1) // 2 % 3 == 2
    savemat(folder / "splits.mat", {"trainNdxs": numbers[~test][:, None], "testNdxs": numbers[test][:, None]})


def taskonomy_arrays(number: int, side: int = 64) -> dict[str, np.ndarray]:
    """The values of one view by domain: a left half and a right half, the lower rows without depth."""
    left = np.zeros((side, side), bool)
    left[:, : side // 2] = True
    hole = np.zeros((side, side), bool)
    hole[-8:] = True
    depth = np.where(hole, 65535, np.where(left, 1024 + 512 * (number % 3), 2048)).astype(np.uint16)
    normal = np.where(left[:, :, None], (255, 128, 128), (128, 128, 255)).astype(np.uint8)
    normal[hole] = 128
    curvature = np.zeros((side, side, 3), np.uint8)
    curvature[:, :, :2] = np.where(left[:, :, None], (127, 127), (254, 64))
    curvature[hole] = 0
    return {
        "rgb": np.where(left[:, :, None], (200, 10, 10), (10, 10, 200)).astype(np.uint8),
        "depth_zbuffer": depth,
        "depth_euclidean": np.where(hole, 65535, np.minimum(depth + 64, 65534)).astype(np.uint16),
        "normal": normal,
        "principal_curvature": curvature,
        "reshading": np.where(left, 255, 51).astype(np.uint8)[:, :, None].repeat(3, 2),
        "edge_texture": np.where(left, 0, 2621).astype(np.uint16),
        "segment_semantic": np.where(left, 1, np.where(hole, 0, 17)).astype(np.uint8),
    }


def places(category: int) -> np.ndarray:
    """Scores of the 365 Places categories with their largest at ``category``."""
    scores = np.full(365, 0.0005, np.float32)
    scores[category] = 0.8
    return scores


FILE_DOMAINS = {"segment_semantic": "segmentsemantic", "class_scene": "class_places", "mask_valid": "depth_zbuffer"}
"""Where the file's name does not agree with the folder's."""
OLD_FOLDERS = {
    "depth_zbuffer": "depth", "depth_euclidean": "mist", "principal_curvature": "curvature", "edge_texture": "edge2d",
    "reshading": "reshade", "segment_semantic": "segmentsemantic", "class_scene": "places",
}  # fmt: skip


def write_taskonomy(
    folder: Path, layout: str = "current", buildings: Sequence[str] = BUILDINGS, views: int = 4
) -> Path:
    """Taskonomy: ``current`` (domain first), ``mixed`` (with components), ``old`` (building first, old names).

    View 3 of every building has scene category 7, the others have category 12.
    """
    files: dict[str, bytes] = {}
    for building in buildings:
        for view in range(views):
            arrays = {**taskonomy_arrays(view), "class_scene": places(7 if view == 3 else 12)}
            arrays["rgb"][-1, -1] = len(files) % 256, view, 0  # no image is the copy of another
            if layout != "old":
                valid = np.full((64, 64), 255, np.uint8)
                valid[:8] = 0
                arrays["mask_valid"] = valid
            for domain, array in arrays.items():
                stem = f"point_{10 + view}_view_{view}"
                if layout == "old":
                    name = OLD_FOLDERS.get(domain, domain)
                    place, ending = f"{building}/{name}/", "" if domain == "class_scene" else f"_domain_{name}"
                else:
                    component = "taskonomy/" if layout == "mixed" else ""
                    place, ending = f"{domain}/{component}{building}/", f"_domain_{FILE_DOMAINS.get(domain, domain)}"
                content = npy(array) if domain == "class_scene" else png(array)
                files[f"{place}{stem}{ending}.{'npy' if domain == 'class_scene' else 'png'}"] = content
    return write_files(folder, files)


def cityscapes_ids(number: int, height: int = 64, width: int = 128) -> np.ndarray:
    """Label ids of one frame: ego vehicle below, road left, sky right; a bicycle in every other frame."""
    ids = np.full((height, width), 23, np.uint8)
    ids[:, : width // 2] = 7
    ids[:8, :8] = 33 if number % 2 else 9
    ids[-8:] = 1
    return ids


def write_cityscapes(folder: Path, counts: dict[str, int] | None = None) -> Path:
    """Cityscapes with so many frames per ``part/city``; the disparity is 32 px left, 0 (invalid) right."""
    counts = counts or {"train/aachen": 3, "train/bremen": 3, "train/zurich": 4, "val/munster": 3, "test/berlin": 1}
    files: dict[str, bytes] = {}
    for place, count in counts.items():
        city = place.rpartition("/")[2]
        for number in range(count):
            stem = f"{place}/{city}_{number:06d}_000019"
            ids = cityscapes_ids(number)
            disparity = np.zeros(ids.shape, np.uint16)
            disparity[:, :64] = 32 * 256 + 1
            camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2240.0, "fy": 2240.0, "u0": 1024, "v0": 512}}
            files[f"leftImg8bit/{stem}_leftImg8bit.png"] = png(
                np.stack([ids, ids * 2, np.full_like(ids, len(files))], axis=2)
            )
            files[f"gtFine/{stem}_gtFine_labelIds.png"] = png(ids)
            files[f"gtFine/{stem}_gtFine_instanceIds.png"] = png(ids.astype(np.uint16))
            files[f"gtFine/{stem}_gtFine_color.png"] = png(np.stack([ids] * 3, axis=2))
            files[f"gtFine/{stem}_gtFine_polygons.json"] = b"{}"
            files[f"disparity/{stem}_disparity.png"] = png(disparity)
            files[f"camera/{stem}_camera.json"] = json.dumps(camera).encode()
    return write_files(folder, files)


def write_mtan(
    folder: Path, kind: str = "nyuv2", counts: Sequence[int] = (12, 3), side: tuple[int, int] = (24, 32)
) -> Path:
    """MTAN's arrays: ``nyuv2`` (13 classes, depth in metres, normals) or ``cityscapes`` (7 and 19 classes, inverse depth)."""
    files: dict[str, bytes] = {}
    height, width = side
    for part, count in zip(("train", "val"), counts, strict=True):
        for number in range(count):
            image = np.zeros((height, width, 3))
            image[:, : width // 2, 0] = 1.0
            label = np.full((height, width), 3.0)
            label[:, : width // 2] = number % 7
            label[0] = -1
            arrays = {"image": image}
            if kind == "nyuv2":
                normal = np.zeros((height, width, 3))
                normal[1:, :, 2] = -1
                depth = np.full((height, width, 1), 2.5)
                depth[0] = 0
                arrays |= {"label": label, "depth": depth, "normal": normal}
            else:
                inverse = np.full((height, width, 1), (32 * 256 + 1) / 65535)
                inverse[0] = 0
                arrays |= {"label_7": label, "label_19": np.where(label == 3, 18, label), "depth": inverse}
            files |= {f"{part}/{folder_name}/{number}.npy": npy(array) for folder_name, array in arrays.items()}
    return write_files(folder, files)


def write_authors(folder: Path, normals: str = "nm", first: int = 0, per_scene: int = 5) -> Path:
    """The layout of the authors' code: two scenes; class 3 left, 39 right, counted from ``first``."""
    files: dict[str, bytes] = {}
    for scene in ("kitchen", "bedroom"):
        for number in range(per_scene):
            stem = f"{scene}/{number:03d}"
            rgb = np.zeros((24, 32, 3), np.uint8)
            rgb[:, :16] = (255, 0, 0)
            labels = np.full((24, 32), 39 + first, np.int64)
            labels[:, :16] = 3 + first
            labels[0] = -1 if first == 0 else 0
            depth = np.full((24, 32), 1.5 + number)
            normal = np.full((24, 32, 3), (128, 128, 0), np.uint8)
            mask = np.full((24, 32, 3), 255, np.uint8)
            mask[-4:] = 0
            files |= {
                f"rgb/{stem}.jpg": jpeg(rgb),
                f"ss/{stem}.npy": npy(labels),
                f"de/{stem}.npy": npy(depth),
                f"{normals}/{stem}.png": png(normal),
                f"msk/{stem}.png": png(mask),
            }
    return write_files(folder, files)
