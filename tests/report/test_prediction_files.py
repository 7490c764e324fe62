"""What is written for a photograph can be read again by others, and means what it says."""

import numpy as np
import pytest
import torch
from PIL import Image

from mgm.data.geometry import Intrinsics
from mgm.data.images import read_labels
from mgm.errors import ConfigError, RunError
from mgm.report.point_cloud import point_cloud
from mgm.report.prediction_files import OUTPUTS, Predicted, choose_files, write_prediction
from mgm.tasks import make_tasks

HEIGHT, WIDTH = 3, 4
CAMERA = Intrinsics(2.0, 4.0, 1.0, 2.0)


def predicted(tasks=("semantic", "depth", "normal")) -> Predicted:
    random = torch.Generator().manual_seed(0)
    normal = torch.randn(3, HEIGHT, WIDTH, generator=random)
    values = {
        "semantic": torch.randint(3, (HEIGHT, WIDTH), generator=random),
        "depth": torch.rand(1, HEIGHT, WIDTH, generator=random) * 9 + 0.5,
        "normal": normal / normal.norm(dim=0),
    }
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    known = make_tasks(tasks, ("a", "b", "c"))
    confidence = {task: torch.rand(HEIGHT, WIDTH, generator=random) for task in tasks}
    return Predicted(pixels, {task: values[task] for task in tasks}, known, CAMERA, confidence)


def write(shown, place, *kinds):
    return {path.name: path for path in write_prediction(shown, place, choose_files(kinds, shown.tasks))}


def read_ply(path):
    """A reader of its own, from the format's description."""
    content = path.read_bytes()
    header, _, body = content.partition(b"end_header\n")
    lines = header.decode("ascii").split("\n")
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    kinds = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], kinds[line.split()[1]]) for line in lines if line.startswith("property")]
    points = np.frombuffer(body, dtype=fields)
    assert len(points) == count
    return points


def test_every_kind_of_file(tmp_path):
    shown = predicted()
    files = write(shown, tmp_path / "sub" / "a", *OUTPUTS)
    assert set(files) == {
        *(
            f"a_{task}{what}.{suffix}"
            for task in shown.tasks
            for suffix in ("png", "npy")
            for what in ("", "_confidence")
        ),
        "a_all.png",
        "a_depth_mm.png",
        "a_semantic_labels.png",
        "a_points.ply",
    }
    assert {path.name for path in (tmp_path / "sub").iterdir()} == set(files)
    classes = np.load(files["a_semantic.npy"])
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, shown.values["semantic"])
    for task in ("depth", "normal"):
        np.testing.assert_array_equal(np.load(files[f"a_{task}.npy"]), shown.values[task])
        np.testing.assert_array_equal(np.load(files[f"a_{task}_confidence.npy"]), shown.confidence[task])
    with Image.open(files["a_depth.png"]) as image:
        expected = shown.tasks["depth"].colour(shown.values["depth"][None])[0].permute(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(image), expected)
    with Image.open(files["a_all.png"]) as image:
        assert image.width > 4 * 160


def test_label_maps_are_read_as_label_maps_in_the_colours_of_the_classes(tmp_path):
    own = {"crop": {"classes": ["soil", "wheat"], "colours": {"wheat": [220, 190, 60]}}}
    value = torch.tensor([[0, 1], [1, 1]])
    tasks = make_tasks(("crop", "depth"), own=own)
    shown = Predicted(np.zeros((2, 2, 3), np.uint8), {"crop": value, "depth": torch.ones(1, 2, 2)}, tasks)
    (file,) = write(shown, tmp_path / "a", "labels").values()
    np.testing.assert_array_equal(read_labels(file.read_bytes(), "here"), value)
    with Image.open(file) as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((1, 0)) == (220, 190, 60)
    with pytest.raises(ConfigError, match="labels needs classes, which this model does not predict"):
        choose_files(["labels"], make_tasks(("depth",)))


def test_what_is_sure_is_bright(tmp_path):
    shown = predicted()
    shown.confidence["depth"][:] = torch.linspace(0, 1, HEIGHT * WIDTH).view(HEIGHT, WIDTH)
    with Image.open(write(shown, tmp_path / "a", "confidence")["a_depth_confidence.png"]) as image:
        brightness = np.asarray(image.convert("L")).flatten().astype(int)
    assert (np.diff(brightness) > 0).all()


def test_millimetres(tmp_path):
    shown = predicted()
    shown.values["depth"][0, 0] = torch.tensor([-1.0, float("nan"), 1.2344, 99.0])
    with Image.open(write(shown, tmp_path / "a", "depth16")["a_depth_mm.png"]) as image:
        assert image.mode.startswith("I;16")
        millimetres = np.asarray(image)
    assert millimetres[0].tolist() == [0, 0, 1234, 65535]
    np.testing.assert_allclose(millimetres[1:] / 1000, shown.values["depth"][0, 1:], atol=0.0006)


def test_point_cloud_by_hand(tmp_path):
    shown = predicted()
    shown.values["depth"][0, 0, :2] = torch.tensor([0.0, float("inf")])
    points = read_ply(write(shown, tmp_path / "a", "ply")["a_points.ply"])
    assert len(points) == HEIGHT * WIDTH - 2
    row, column = 2, 3
    depth, point = shown.values["depth"][0, row, column].item(), points[-1]
    assert point["x"] == pytest.approx((column - CAMERA.cx) / CAMERA.fx * depth)
    assert point["y"] == pytest.approx((row - CAMERA.cy) / CAMERA.fy * depth)
    assert point["z"] == pytest.approx(depth)
    assert [point[name] for name in ("red", "green", "blue")] == shown.pixels[row, column].tolist()
    assert [point[name] for name in ("nx", "ny", "nz")] == shown.values["normal"][:, row, column].tolist()


def test_point_cloud_without_normals(tmp_path):
    points = read_ply(write(predicted(("depth",)), tmp_path / "a", "ply")["a_points.ply"])
    assert points.dtype.names == ("x", "y", "z", "red", "green", "blue")


def test_field_of_view():
    """At 90 degrees the outer edges of the picture lie as far to the side as ahead."""
    camera = Intrinsics.from_field_of_view(90, 100, 200)
    assert (camera.fx, camera.fy) == (pytest.approx(100), pytest.approx(100))
    assert (199.5 - camera.cx) / camera.fx == pytest.approx(1)
    assert (-0.5 - camera.cx) / camera.fx == pytest.approx(-1)
    assert camera.cy == pytest.approx(49.5)
    flat = point_cloud(np.zeros((100, 200, 3), np.uint8), np.full((100, 200), 2.0), camera)
    assert flat["x"].max() == pytest.approx(2 * 199 / 200)


def test_choices():
    with pytest.raises(ConfigError, match="unknown output 'pgn'. Did you mean 'png'"):
        choose_files(["pgn"], make_tasks(("depth",)))
    for kind in ("ply", "depth16"):
        with pytest.raises(ConfigError, match=f"{kind} needs depth, which this model does not predict"):
            choose_files([kind], make_tasks(("semantic",), ("a", "b")))


def test_a_file_is_whole_or_absent(tmp_path, monkeypatch):
    def failing(array, *arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", failing)
    with pytest.raises(RunError, match="No space left"):
        write(predicted(), tmp_path / "a", "npy")
    assert list(tmp_path.iterdir()) == []
