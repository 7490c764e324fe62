"""Labels that a network has made: read back as they were predicted, corrected or not, and trained on."""

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import trained_toys
from fake_cells import cell_arrays, write_cells
from fake_runs import write_run
from mgm.data import open_source
from mgm.data.files import write_atomically
from mgm.errors import ConfigError, DataError, RunError
from mgm.inference import autolabel as module
from mgm.inference.autolabel import autolabel, label_file
from mgm.inference.model import TrainedModel
from mgm.inference.predict import PhotographPredictor
from mgm.tasks import TASKS, tasks_for
from mgm.types import IGNORE_INDEX, DatasetInfo


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_toys.write_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture
def photos(tmp_path):
    """Photographs of two sizes, one in a folder, one turned by its EXIF data."""
    folder = tmp_path / "photos"
    for index, (name, size) in enumerate({"a.png": (40, 30), "b.jpg": (40, 30), "far/c.jpg": (24, 36)}.items()):
        pixels = np.random.default_rng(index).integers(0, 255, (*size[::-1], 3)).astype(np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if index == 1:
            exif[0x0112] = 6
        Image.fromarray(pixels).save(folder / name, exif=exif)
    return folder


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read_back(out, size):
    source = open_source(str(out))
    return source, {source.read(index, size).name: source.read(index, size) for index in range(len(source))}


def test_labels_are_read_as_they_were_predicted(run, photos, tmp_path):
    out = tmp_path / "out"
    done = autolabel(run, photos, out, device="cpu")
    assert files_below(out) == {
        "dataset.yaml",
        "confidence.csv",
        *("rgb/a.png", "rgb/b.jpg", "rgb/far/c.jpg"),
        *(f"{task}/{name}.png" for task in ("semantic", "depth", "normal") for name in ("a", "b", "far/c")),
    }
    for name in ("a.png", "b.jpg", "far/c.jpg"):
        assert (out / "rgb" / name).read_bytes() == (photos / name).read_bytes()
    model = TrainedModel.load(run, "cpu")
    source = open_source(str(out))
    assert (source.info.classes, source.info.scenes) == (model.info.classes, ())
    assert source.info.notes["labels"].startswith("predicted by toy (mt, learned on toys)")
    assert source.warnings() == ()
    side = 36  # that of no picture: nearest neighbours of both are the same
    for index in range(len(source)):
        sample = source.read(index, side)
        values = model.predict(next(photos.rglob(f"{sample.name.rpartition('/')[2]}.*")))
        height, width = values["semantic"].shape
        rows, columns = ((torch.arange(side) + 0.5) * old // side for old in (height, width))
        at = {name: value[..., rows.long()[:, None], columns.long()].numpy() for name, value in values.items()}
        np.testing.assert_array_equal(sample.targets["semantic"], at["semantic"])
        far = at["depth"] > 6e-4
        np.testing.assert_allclose(sample.targets["depth"][far], at["depth"][far].round(3), atol=6e-4)
        cosine = (sample.targets["normal"] * at["normal"]).sum(0)
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.6
    assert list(done.images) == [line.split(",")[0] for line in (out / "confidence.csv").read_text().splitlines()[1:]]
    sure = [np.mean([share.confidence for share in shares.values()]) for shares in done.images.values()]
    assert sure == sorted(sure)
    assert done.total("semantic").labelled == 1


def test_pixels_below_the_confidence_have_no_label(run, photos, tmp_path):
    model = TrainedModel.load(run, "cpu")
    values, sure = model.predict_with_confidence(photos / "a.png")
    limit = float(sure["semantic"].median())
    done = autolabel(run, photos, tmp_path / "out", confidence=limit, device="cpu")
    with Image.open(tmp_path / "out/semantic/a.png") as picture:
        labels = np.array(picture)
    expected = np.where(sure["semantic"] >= limit, values["semantic"], IGNORE_INDEX)
    np.testing.assert_array_equal(labels, expected)
    with Image.open(tmp_path / "out/depth/a.png") as picture:
        metres = np.array(picture)
    np.testing.assert_array_equal(metres > 0, ((sure["depth"] >= limit) & (values["depth"][0] > 5e-4)).numpy())
    assert done.images["a"]["semantic"].labelled == pytest.approx((expected != IGNORE_INDEX).mean(), abs=1e-6)
    assert done.images["a"]["semantic"].confidence == pytest.approx(float(sure["semantic"].mean()), abs=1e-6)
    _, samples = read_back(tmp_path / "out", 30)
    assert (samples["a"].targets["semantic"] == IGNORE_INDEX).any()


def test_tasks_of_the_data_s_own_keep_their_definitions(tmp_path):
    cells = write_cells(tmp_path / "plate")
    run = write_run(tmp_path / "run", info=open_source(str(cells)).info, data=str(cells))
    autolabel(run, cells, tmp_path / "out", device="cpu")  # a data folder: the photographs of its rgb/
    source, samples = read_back(tmp_path / "out", 32)
    assert source.info.own_tasks == open_source(str(cells)).info.own_tasks
    assert source.info.tasks == ("cells", "damage", "heat", "drift")
    values = TrainedModel.load(run, "cpu").predict(cells / "rgb/03.png")
    np.testing.assert_array_equal(samples["03"].targets["cells"], values["cells"].numpy())
    np.testing.assert_allclose(samples["03"].targets["heat"], values["heat"].numpy().clip(35, 42), rtol=1e-6)
    np.testing.assert_allclose(samples["03"].targets["drift"], values["drift"].numpy().clip(-8, 8), rtol=1e-6)
    assert (tmp_path / "out/drift/03.npy").exists()


@pytest.mark.parametrize("name", TASKS)
def test_files_of_every_task_are_read_as_its_targets(name, tmp_path):
    task = tasks_for(DatasetInfo("x", (name,), classes=("wall", "floor")))[name]
    target = torch.rand(task.channels, 5, 7) if not task.categorical else torch.randint(0, 2, (5, 7))
    if name == "normal":
        target = torch.nn.functional.normalize(target - 0.5, dim=0)
    target[..., 0, 0] = IGNORE_INDEX if task.categorical else torch.nan
    ending, write = label_file(task, target)
    for place in (tmp_path / f"rgb/a{'.png'}", tmp_path / f"{name}/a{ending}"):
        place.parent.mkdir()
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "rgb/a.png")
    with (tmp_path / f"{name}/a{ending}").open("wb") as file:
        write(file)
    (tmp_path / "classes.txt").write_text("wall\nfloor\n")
    read = open_source(str(tmp_path)).read(0, 35).targets[name]  # every pixel 5 or 7 times
    coarse = {"normal": 8e-3, "depth": 6e-4}.get(name, 1e-6)
    np.testing.assert_allclose(
        np.where(read == IGNORE_INDEX, np.nan, read)[..., 3::7, 2::5],
        np.where(target == IGNORE_INDEX, np.nan, target.numpy()),
        atol=coarse,
    )


def test_depth_too_far_for_sixteen_bits_is_kept_as_fractions():
    depth = tasks_for(DatasetInfo("x", ("depth",)))["depth"]
    assert label_file(depth, torch.full((1, 2, 2), 65.5))[0] == ".png"
    assert label_file(depth, torch.full((1, 2, 2), 80.0))[0] == ".npy"


def test_labels_stay_in_the_range_of_the_data_s_own_numbers_which_predictions_may_leave():
    heat = tasks_for(DatasetInfo("x", ("heat",), own_tasks={"heat": {"range": [35, 42]}}))["heat"]
    ending, write = label_file(heat, torch.tensor([[[34.0, 38.5, 99.0, torch.nan]]]))
    stream = io.BytesIO()
    write(stream)
    stream.seek(0)
    assert ending == ".npy"
    np.testing.assert_array_equal(np.load(stream), np.array([[35, 38.5, 42, np.nan]], np.float32))


def test_predictions_that_leave_the_range_of_a_coded_task_are_read(tmp_path):
    coded = tasks_for(DatasetInfo("x", ("reshading",)))["reshading"]
    written = coded.file_settings().encode(np.array([[[-0.2, 0.5, 1.3, np.nan]]], np.float32))
    read = coded.file_settings().decode(written, 1, (), "here")
    np.testing.assert_array_equal(read[0, :, 0], np.array([0, 0.5, 1, np.nan], np.float32))


def test_a_task_without_a_labelled_pixel_has_no_file(run, photos, tmp_path):
    model = TrainedModel.load(run, "cpu")
    sure = [model.predict_with_confidence(photo)[1] for photo in photos.rglob("*.*")]
    limit = max(float(each["semantic"].max()) for each in sure) + 1e-3
    autolabel(run, photos, tmp_path / "out", confidence=limit, device="cpu")
    assert not (tmp_path / "out/semantic").exists()
    assert "depth" in open_source(str(tmp_path / "out")).info.tasks
    assert "semantic" not in open_source(str(tmp_path / "out")).info.tasks


@pytest.mark.usefixtures("without_pictures")
def test_a_network_trains_on_the_labels(mgm, tmp_path):
    cells = write_cells(tmp_path / "plate", 20)
    run = write_run(tmp_path / "run", info=open_source(str(cells)).info, data=str(cells))
    code, out, err = mgm("autolabel", run, cells, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 0, err
    assert "Temperature" in out
    assert "100.0 %" in out
    assert f"20 images labelled; next: mgm data inspect {tmp_path / 'out'}" in out
    # as a person might: a few corrected files, so that there are classes to learn
    for index in range(20):
        Image.fromarray(cell_arrays(index)["cells"]).save(tmp_path / f"out/cells/{index:02d}.png")
        Image.fromarray(cell_arrays(index)["damage"]).save(tmp_path / f"out/damage/{index:02d}.png")
    arguments = ("--preset", "tiny", "--num-images", 0, "--steps", 2, "--data", tmp_path / "out")
    mgm.done("train", "mt", *arguments, "--out", tmp_path / "trained")
    result = json.loads((tmp_path / "trained/result.json").read_text())
    assert set(result["test"]) == {"cells", "damage", "heat", "drift"}


def test_a_call_that_was_stopped_goes_on(run, photos, tmp_path, monkeypatch):
    out, begun = tmp_path / "out", tmp_path / "out.partial"
    original = module._Writer.write

    def stop(writer, found):
        if found.photograph.name == "a":
            return original(writer, found)
        while not writer.done:
            time.sleep(0.001)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Writer, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            autolabel(run, photos, out, device="cpu")
    assert not out.exists()
    with (begun / module.JOURNAL).open("a") as journal:
        journal.write('["b", {"sem')  # killed while it wrote
    (begun / "rgb/.b.jpg.123.tmp").write_bytes(b"half")
    with pytest.raises(DataError, match=r"out.partial was started by an earlier call .* remove it"):
        autolabel(run, photos, out, confidence=0.5, device="cpu")
    seen = []
    with monkeypatch.context() as patch:
        read = PhotographPredictor.read
        patch.setattr(PhotographPredictor, "read", lambda self, photo: seen.append(photo.name) or read(self, photo))
        done = autolabel(run, photos, out, device="cpu")
    assert len(set(seen)) == 2
    assert not begun.exists()
    whole = tmp_path / "whole"
    assert autolabel(run, photos, whole, device="cpu").images.keys() == done.images.keys()
    assert files_below(out) == files_below(whole)
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in files_below(whole))


def test_a_full_disk_is_not_taken_for_bad_photographs(run, photos, tmp_path, monkeypatch):
    def full(path, write):
        if path.name == "b.png":
            raise RunError(f"cannot write {path} (No space left on device)")
        write_atomically(path, write)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", full)
        with pytest.raises(RunError, match="No space left"):
            autolabel(run, photos, tmp_path / "out", skip_bad=True, device="cpu")
    assert not (tmp_path / "out").exists()
    assert len(autolabel(run, photos, tmp_path / "out", skip_bad=True, device="cpu").images) == 3


def test_what_is_refused(run, photos, tmp_path):
    kept = tmp_path / "kept"
    (kept / "rgb").mkdir(parents=True)
    for out, folder, confidence, error, message in (
        (kept, photos, 0, DataError, "already exists and may hold corrected labels"),
        (photos / "labels", photos, 0, ConfigError, "lies within the folder of images"),
        (tmp_path / "out", photos / "a.png", 0, DataError, "is not a folder of images"),
        (tmp_path / "out", kept, 0, DataError, "holds no image"),
        (tmp_path / "out", photos, 1, ConfigError, "confidence is 1; it must be in"),
    ):
        with pytest.raises(error, match=message):
            autolabel(run, folder, out, confidence=confidence, device="cpu")
    (photos / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png.*--skip-bad leaves it out"):
        autolabel(run, photos, tmp_path / "out", device="cpu")
    assert files_below(kept) == set()
    assert not (tmp_path / "out.partial").exists(), "in the way of the corrected call"
    done = autolabel(run, photos, tmp_path / "out", confidence=0.1, skip_bad=True, device="cpu")
    assert len(done.images) == 3
    assert (tmp_path / "out" / "dataset.yaml").is_file()
    ((name, reason),) = done.failed
    assert name == "bad"
    assert "bad.png" in reason
    with pytest.raises(DataError, match="already exists"):
        autolabel(run, photos, tmp_path / "out", skip_bad=True, device="cpu")


def test_classes_that_a_folder_cannot_have_are_refused_before_anything_is_done(photos, tmp_path):
    info = replace(trained_toys.INFO, classes=("same", "same", *trained_toys.INFO.classes[2:]))
    run = trained_toys.write_run(tmp_path / "twice", info=info)
    with pytest.raises(DataError, match="class 'same' is listed twice"):
        autolabel(run, photos, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out.partial").exists()
