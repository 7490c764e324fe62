"""``mgm predict`` and ``mgm export`` through their entry point: what people type, and what they get wrong."""

import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from mgm.api import predict_files
from mgm.inference.inputs import find_photographs
from trained_toys import INFO, toy_settings, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture
def photos(tmp_path):
    """Two folders with a picture of the same name, a hidden one and a text file."""
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "kitchen/a.png", "kitchen/deep/b.JPG", ".trash/c.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(path, format="PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def written(out):
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_folder_keeps_its_order(mgm, run, photos, tmp_path):
    out = tmp_path / "out"
    code, text, err = mgm("predict", run, photos, "--out", out, "--save", "depth16")
    assert code == 0, err
    assert written(out) == {"a_depth_mm.png", "kitchen/a_depth_mm.png", "kitchen/deep/b_depth_mm.png"}
    assert sorted(text.split()) == sorted(str(out / name) for name in written(out))
    assert "images: 3 in" in err
    assert "images/s on cpu" in err


def test_results_inside_the_folder_are_not_predicted_on(mgm, run, photos):
    for _ in range(2):
        text = mgm.done("predict", run, photos, "--out", photos / "out", "--save", "png")
        assert text.count("_depth.png") == 3


def test_patterns_and_standard_input(mgm, run, photos, tmp_path, monkeypatch):
    code, _, err = mgm("predict", run, f"{photos}/**/a.png", "--out", tmp_path / "glob", "--save", "depth16")
    assert code == 0, err
    assert written(tmp_path / "glob") == {"a_depth_mm.png", "kitchen/a_depth_mm.png"}
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos}/a.png\n\n{photos}/kitchen/deep/b.JPG\n"))
    mgm.done("predict", run, "-", "--out", tmp_path / "stdin", "--save", "depth16")
    assert written(tmp_path / "stdin") == {"a_depth_mm.png", "b_depth_mm.png"}


def test_the_same_file_twice_is_predicted_once(photos, tmp_path):
    found = find_photographs([str(photos / "a.png"), str(photos / ".." / "photos" / "a.png")], [], tmp_path / "out")
    assert [photograph.name for photograph in found] == ["a"]


@pytest.mark.parametrize("fit", [["resize"], ["pad"], ["tile"], ["tile", "--detail", "2"], ["tile", "--flip-average"]])
def test_fits(mgm, run, photos, tmp_path, fit):
    out = tmp_path / "out"
    mgm.done("predict", run, photos / "a.png", "--out", out, "--save", "npy", "--fit", *fit)
    assert np.load(out / "a_depth.npy").shape == (1, 20, 30)
    assert np.load(out / "a_semantic.npy").dtype == np.uint8


def test_confidence_maps(mgm, run, photos, tmp_path):
    from mgm.inference.model import TrainedModel

    out = tmp_path / "out"
    mgm.done("predict", run, photos, "--out", out, "--save", "confidence,npy", "--fit", "tile")
    values, expected = TrainedModel.load(run).predict_with_confidence(photos / "kitchen/a.png", fit="tile")
    for name, confidence in expected.items():
        found = np.load(out / f"kitchen/a_{name}_confidence.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, confidence, atol=1e-5)
        with Image.open(out / f"kitchen/a_{name}_confidence.png") as image:
            assert image.size == (30, 20)
    np.testing.assert_allclose(np.load(out / "kitchen/a_depth.npy"), values["depth"], atol=1e-5)
    assert len(written(out)) == 3 * 3 * 3


def test_point_clouds(mgm, run, photos, tmp_path):
    clouds = []
    for camera in (["--fov", "60"], ["--intrinsics", "25.98,25.98,14.5,9.5"]):
        mgm.done("predict", run, photos / "a.png", "--out", tmp_path / "out", "--save", "ply", *camera)
        clouds.append((tmp_path / "out/a_points.ply").read_bytes())
    assert len(clouds[0]) == len(clouds[1])
    assert clouds[0] != clouds[1]  # 25.9807... by the angle


def test_bad_photographs_can_be_left_out(mgm, run, photos, tmp_path):
    (photos / "kitchen/broken.jpg").write_text("no picture")
    out = tmp_path / "out"
    code, _, err = mgm("predict", run, photos, "--out", out, "--save", "depth16")
    assert code == 2
    assert "broken.jpg" in err
    assert "--skip-bad" in err
    assert not out.exists()
    code, text, err = mgm("predict", run, photos, "--out", out, "--save", "depth16", "--skip-bad")
    assert code == 0
    assert text.count("\n") == 3
    assert "left out 1 of 4:\n" in err
    assert "broken.jpg" in err
    err = mgm.refused("predict", run, photos / "kitchen/broken.jpg", "--out", out, "--skip-bad")
    assert "none of the images" in err


def test_results_that_cannot_be_written_are_no_bad_photographs(mgm, run, photos, tmp_path):
    out = tmp_path / "out"
    (out / "a_depth_mm.png").mkdir(parents=True)
    for skip in ((), ("--skip-bad",)):
        code, text, err = mgm("predict", run, photos, "--out", out, "--save", "depth16", *skip)
        assert code == 2
        assert text.count("\n") == 2  # the other results
        assert f"cannot write {out / 'a_depth_mm.png'} (it is a folder)" in err
        assert "left out" not in err


def test_a_turned_photograph_gives_turned_results(mgm, run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 50, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert mgm("predict", run, tmp_path / "a.jpg", "--out", tmp_path / "out")[0] == 0
    assert np.load(tmp_path / "out/a_semantic.npy").shape == (50, 20)


ERRORS = [
    (["--fit", "squeeze"], "unknown fit 'squeeze'"),
    (["--fit", "tile", "--detail", "0.5"], "at least 1, or 0"),
    (["--detail", "2"], "fit tile only"),
    (["--save", "jpeg"], "unknown output 'jpeg'"),
    (["--save", ","], "names nothing"),
    (["--save", "ply"], "needs the camera"),
    (["--save", "ply", "--fov", "60", "--intrinsics", "1,1,1,1"], "not both"),
    (["--save", "ply", "--fov", "180"], "below 180"),
    (["--save", "ply", "--intrinsics", "1,2,3"], "four numbers"),
    (["--save", "ply", "--intrinsics", "500,500,320,240"], "a photograph of 30 x 20 pixels"),
    (["--fov", "60"], "point clouds"),
    (["--device", "tpu"], "unknown device"),
]


@pytest.mark.parametrize(
    "options, message", ERRORS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_errors_are_one_line_and_leave_nothing(mgm, run, photos, tmp_path, options, message):
    assert message in mgm.refused("predict", run, photos / "a.png", "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_names_that_would_overwrite_each_other(mgm, run, photos, tmp_path):
    code, _, err = mgm("predict", run, photos / "a.png", photos / "kitchen/a.png", "--out", tmp_path / "out")
    assert code == 2
    assert "both called 'a'" in err
    assert "give their common folder" in err
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(photos / "a.jpg")
    assert "common folder" not in mgm("predict", run, photos / "a.png", photos / "a.jpg", "--out", tmp_path / "out")[2]
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(photos / "a_depth.png")
    err = mgm.refused("predict", run, photos / "a.png", photos / "a_depth.png", "--out", photos)
    assert "would overwrite a photograph" in err


NOTHING = [("empty", "holds no image"), ("nothing*.png", "no file matches"), ("-", "names no file")]


@pytest.mark.parametrize("images, message", NOTHING)
def test_nothing_to_predict_on(mgm, run, tmp_path, monkeypatch, images, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert message in mgm.refused("predict", run, images, "--out", tmp_path / "out")


def test_export_and_predict_with_what_was_exported(mgm, run, photos, tmp_path):
    second = write_run(tmp_path / "second", toy_settings(seed=1))
    out = tmp_path / "models" / "toy"
    code, text, err = mgm(
        "export", run, "--out", out, "--seeds", second, "--license", "apache-2.0", "--name", "Toy rooms"
    )
    assert code == 0, err
    assert str(out / "model.safetensors") in text
    card = (out / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "# Toy rooms" in card
    assert "2 seeds" in card
    values = []
    for model in (run, out):
        mgm.done("predict", model, photos / "a.png", "--out", tmp_path / "out", "--save", "npy")
        values.append(np.load(tmp_path / "out/a_normal.npy"))
    np.testing.assert_array_equal(*values)
    assert json.loads((out / "config.json").read_text())["dataset"] == INFO.name


def test_export_writes_a_graph(mgm, run, tmp_path):
    text = mgm.done("export", run, "--format", "torch", "--out", tmp_path / "m")
    assert "model.pt2 differs from PyTorch by no more than" in text


def test_a_model_that_is_exported_again_keeps_its_card(mgm, run, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    mgm.done("export", run, "--out", first, "--license", "apache-2.0", "--name", "Toy rooms")
    mgm.done("export", first, "--out", second, "--format", "torch")
    card, graph = (first / "README.md").read_text(), "\n## Graphs\n\n- `model.pt2`: "
    assert (second / "README.md").read_text().partition(graph)[0] == card
    assert graph in (second / "README.md").read_text()
    mgm.done("export", second, "--out", third)
    assert (third / "README.md").read_text() == card
    assert f"edit {tmp_path / 'm' / 'README.md'}" in mgm.refused(
        "export", first, "--out", tmp_path / "m", "--license", "mit"
    )


def test_export_by_default_goes_to_models(mgm, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mgm("export", run)[0] == 0
    assert (tmp_path / "models/toy/config.json").exists()


def test_what_cannot_be_exported(mgm, run, tmp_path):
    out = tmp_path / "out"
    for arguments, message in [
        ((tmp_path / "nowhere",), "no run folder"),
        ((run, "--format", "onxx"), "Did you mean 'onnx'"),
        ((run, "--seeds", run), "same seed"),
        ((run, "--seeds", tmp_path / "nowhere"), "does not exist"),
    ]:
        code, _, err = mgm("export", *arguments, "--out", out)
        assert code == 2
        assert message in err
        assert not out.exists()
    assert mgm("export", run, "--out", out)[0] == 0
    code, _, err = mgm("export", run, "--out", out)
    assert code == 2
    assert "not empty" in err
    assert "finished run" in mgm.refused("export", out, "--seeds", run, "--out", tmp_path / "other")


def test_names_whose_results_would_be_too_long(mgm, run, photos, tmp_path):
    (photos / "a.png").rename(photos / f"{'x' * 240}.png")
    out = tmp_path / "out"
    code, _, err = mgm("predict", run, photos, "--out", out, "--save", "depth16")
    assert code == 2
    assert "give it a shorter name; --skip-bad" in err
    assert not out.exists()
    code, _, err = mgm("predict", run, photos, "--out", out, "--save", "depth16", "--skip-bad")
    assert code == 0
    assert "left out 1 of 3:" in err
    assert written(out) == {"kitchen/a_depth_mm.png", "kitchen/deep/b_depth_mm.png"}


def test_what_a_killed_call_left_is_removed(mgm, run, photos, tmp_path):
    out = tmp_path / "out"
    for name in ("kitchen/.a_depth_mm.png.4711.tmp", "kitchen/.own_depth_mm.png.4711.tmp"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("half")
    assert mgm("predict", run, photos / "kitchen", "--out", out / "kitchen", "--save", "depth16")[0] == 0
    assert written(out) == {
        "kitchen/a_depth_mm.png",
        "kitchen/deep/b_depth_mm.png",
        "kitchen/.own_depth_mm.png.4711.tmp",
    }


def test_files_are_named_one_at_a_time(run, photos, tmp_path):
    inside, most = [], []

    def named(path):
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(path)

    predict_files(run, [str(photos)], tmp_path / "out", save=("png",), device="cpu", written=named)
    assert most == [1] * 9
