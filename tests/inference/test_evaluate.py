"""``mgm evaluate`` beyond plain scores: classes, flip average, calibration; on a run with random weights."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fake_folder import palette_png, write_own
from fakes import write_camvid, write_nyuv2
from mgm.data import open_source
from mgm.data.loading import StoreReader
from mgm.data.store import cached_store
from mgm.errors import DataError
from mgm.inference.evaluate import _calibrated, fit_lines
from mgm.inference.model import TrainedModel
from mgm.tasks.depth import Depth
from mgm.types import Batch
from trained_toys import toy_settings, write_run

LEARNED = {"class_0", "class_1", "class_2"}
DEPTH = {"depth": Depth()}


def make_run(folder, data, tasks=()):
    info = open_source(str(data)).info
    info = replace(info, tasks=tasks or info.tasks)
    experiment = toy_settings(info=info)
    own = replace(experiment.data, data=str(data), num_images=0, split="random")
    return write_run(folder, replace(experiment, data=own), info)


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "toy", photographs)


def depths(run, data, split, *, flip=False):
    """Predicted and true metres of all valid pixels of a split, by plain steps."""
    model = TrainedModel.load(run)
    source = open_source(str(data))
    reader = StoreReader(cached_store(source, model.image_size), ("depth",), torch.device("cpu"))
    batch = reader.batch(getattr(source.splits("random", 0), split))
    predicted = model.predict_batch(batch.images)["depth"]
    if flip:
        predicted = (predicted + model.predict_batch(batch.images.flip(-1))["depth"].flip(-1)) / 2
    valid = batch.targets["depth"].isfinite() & (batch.targets["depth"] > 0)
    return predicted[valid].double().numpy(), batch.targets["depth"][valid].double().numpy()


def evaluated(mgm, run, *options):
    out = mgm.done("evaluate", run, "--json", *options)
    return json.loads(out)


def test_an_exported_model_is_scored_on_no_folder_that_happens_to_have_the_name_of_its_data(
    tmp_path, monkeypatch, run, mgm
):
    model = TrainedModel.load(run)
    model.save_pretrained(tmp_path / "model")
    write_nyuv2(tmp_path / "toys")
    config = json.loads((tmp_path / "model/config.json").read_text())
    monkeypatch.chdir(tmp_path)
    for name in ("toys", "rooms"):  # a folder, and data that are always at hand
        (tmp_path / "model/config.json").write_text(json.dumps(config | {"dataset": name}))
        said = mgm.refused("evaluate", "model")
        assert f"model: an exported model carries no data (it learned from {name}); give them with --data" in said
    found = evaluated(mgm, "model", "--data", "toys")
    assert found["num_images"]
    assert "does not record the images that it learned from" in found["remarks"][0]


def test_table_of_classes(mgm, run):
    found = evaluated(mgm, run)
    classes = found["classes"]["semantic"]
    hits = sum(score["recall"] * score["pixels"] for score in classes.values() if score["pixels"])
    assert hits == pytest.approx(found["scores"]["semantic"]["pixel_accuracy"])
    ious = [score["iou"] for score in classes.values()]
    assert sum(ious) / len(ious) == pytest.approx(found["scores"]["semantic"]["miou"])
    assert [score["pixels"] for score in classes.values()] == sorted(
        (s["pixels"] for s in classes.values()), reverse=True
    )
    assert list(found["classes"]) == ["semantic"]
    out = mgm.done("evaluate", run)
    lines = [line for line in out.splitlines() if line.startswith("│") and line.rstrip(" │").endswith("%")]
    assert [line.split("│")[1].strip() for line in lines] == list(classes)
    first = next(iter(classes.values()))
    confusion = found["confusion"]["semantic"]
    assert confusion["classes"] == list(classes)
    assert sum(map(sum, confusion["pixels"])) == pytest.approx(sum(confusion["pixels"][0]) / first["pixels"])
    worst = list(found["worst"].items())
    assert worst
    for name, scores in worst:
        texts = [text for text in out.splitlines() if text.startswith(f"  {name}: mIoU {scores['semantic']:.3f}")]
        assert len(texts) == 1
    assert f"{first['iou']:.3f}" in lines[0]
    assert f"{100 * first['pixels']:.1f} %" in lines[0]


def test_scores_of_every_image_as_a_table(mgm, run, tmp_path):
    found = json.loads(mgm.done("evaluate", run, "--json", "--by-image", tmp_path / "new/scores.csv"))
    with (tmp_path / "new/scores.csv").open(newline="") as file:
        lines = {line.pop("image"): line for line in csv.DictReader(file)}
    assert len(lines) == found["num_images"]
    assert {*next(iter(lines.values()))} == {"semantic.miou", "depth.abs_error_m", "normal.angle_deg"}
    for name, scores in found["worst"].items():
        for task, metric in (("semantic", "miou"), ("depth", "abs_error_m")):
            assert float(lines[name][f"{task}.{metric}"]) == pytest.approx(scores[task], rel=1e-4)


def test_flip_average_is_scored_and_said(mgm, run, photographs):
    plain, averaged = evaluated(mgm, run), evaluated(mgm, run, "--flip-average")
    assert (plain["flip_average"], averaged["flip_average"]) == (False, True)
    errors = {flip: np.subtract(*depths(run, photographs, "test", flip=flip)) for flip in (False, True)}
    # random weights hardly know left from right
    expected = np.abs(errors[True]).mean() - np.abs(errors[False]).mean()
    assert abs(expected) > 1e-7
    gained = averaged["scores"]["depth"]["abs_error_m"] - plain["scores"]["depth"]["abs_error_m"]
    assert gained == pytest.approx(expected, rel=0.1)
    out = mgm.done("evaluate", run, "--flip-average")
    assert "mt, flip average" in out
    assert "averaged with those for the mirrored images" in out


def test_calibration_is_fitted_on_validation_and_applied_to_test(mgm, run, photographs):
    found = evaluated(mgm, run, "--calibrate")
    scale, shift = np.polyfit(*depths(run, photographs, "validation"), 1)
    fitted = found["calibrated"]
    assert (fitted["fitted_on"], list(fitted["lines"])) == ("validation", ["depth"])
    assert fitted["lines"]["depth"] == {
        "scale": pytest.approx(scale, rel=1e-4),
        "shift": pytest.approx(shift, rel=1e-4),
    }
    predicted, true = depths(run, photographs, "test")
    error = np.abs(scale * predicted + shift - true).mean()
    assert fitted["scores"]["depth"]["abs_error_m"] == pytest.approx(error, rel=1e-4)
    assert found["scores"] == evaluated(mgm, run)["scores"]  # the raw error stays beside it
    out = mgm.done("evaluate", run, "--calibrate")
    assert "calibrated" in out
    assert f"{error:.3f}" in out
    assert "x prediction" in out


def test_other_data_are_calibrated_on_their_own_validation_set(mgm, run, tmp_path):
    other = write_nyuv2(tmp_path / "other", count=20)
    found = evaluated(mgm, run, "--data", other, "--split", "test", "--calibrate")
    scale, _ = np.polyfit(*depths(run, other, "validation"), 1)
    assert found["calibrated"]["lines"]["depth"]["scale"] == pytest.approx(scale, rel=1e-4)


def test_what_cannot_be_calibrated_is_said(mgm, run, photographs, tmp_path):
    road = write_camvid(tmp_path / "road")
    classes_alone = make_run(tmp_path / "classes", road, ("semantic",))
    for arguments, message in (
        ([run, "--data", photographs, "--calibrate"], "all images are scored"),
        ([run, "--split", "all", "--calibrate"], "use --split test"),
        ([run, "--split", "validation", "--calibrate"], "the validation set itself is scored"),
        ([classes_alone, "--calibrate"], "nothing to calibrate: none of the predicted tasks (semantic)"),
    ):
        code, out, err = mgm("evaluate", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("mgm: error: ")
        assert message in err


def batches(predicted, target):
    """The predictions lie in the images, so that a predictor has only to hand them out."""
    return [
        Batch(p, {"depth": t}, torch.zeros(len(p), 1)) for p, t in zip(predicted.split(2), target.split(2), strict=True)
    ]


def test_line_is_that_of_least_squares_whatever_lies_in_holes():
    predicted = torch.rand(5, 1, 4, 4) * 3
    target = 2.0 * predicted + 0.5 + torch.randn(5, 1, 4, 4) * 0.1
    target[0] = float("nan")
    target[1, :, 0] = 0.0
    valid = DEPTH["depth"].valid(target).unsqueeze(1)
    rows = torch.stack((predicted[valid], torch.ones_like(predicted[valid])), dim=1).double()
    scale, shift = torch.linalg.lstsq(rows, target[valid].double()).solution.tolist()
    found = fit_lines(lambda images: {"depth": images}, batches(predicted, target), DEPTH)["depth"]
    assert (found.scale, found.shift) == (pytest.approx(scale), pytest.approx(shift))
    moved = _calibrated(lambda images: {"depth": images, "normal": images}, {"depth": found}, DEPTH)(predicted)
    assert list(moved) == ["depth"]
    torch.testing.assert_close(moved["depth"], predicted * scale + shift)


def test_constant_predictions_have_a_shift_alone_and_no_labels_no_line():
    predicted, target = torch.full((2, 1, 3, 3), 1.7), torch.full((2, 1, 3, 3), 2.2)
    found = fit_lines(lambda images: {"depth": images}, batches(predicted, target), DEPTH)["depth"]
    assert (found.scale, found.shift) == (1.0, pytest.approx(0.5, abs=1e-6))
    with pytest.raises(DataError, match="validation set has no label"):
        fit_lines(lambda images: {"depth": images}, batches(predicted, target * torch.nan), DEPTH)


def test_pictures_that_came_later_are_not_scored_and_are_named(mgm, tmp_path):
    folder = write_own(tmp_path / "photos", 12)
    run = make_run(tmp_path / "run", folder)
    before = evaluated(mgm, run)
    assert before["remarks"] == []
    write_own(folder, 20)
    after = evaluated(mgm, run)
    assert (after["num_images"], after["scores"]) == (before["num_images"], before["scores"])
    assert "8 images are new: photo_012, photo_013, photo_014, ..." in after["remarks"][0]
    assert "photos has changed since the run was started" in mgm("evaluate", run)[2]
    every = evaluated(mgm, run, "--split", "all")
    assert (every["num_images"], every["remarks"][-1]) == (
        20, "the run was trained or selected on 10 of these images, so the scores are optimistic"
    )  # fmt: skip


def test_of_a_copy_of_the_data_only_what_the_run_has_not_seen_is_scored(mgm, tmp_path):
    run = make_run(tmp_path / "run", write_own(tmp_path / "photos", 12))
    copy = write_own(tmp_path / "copy", 15)
    found = evaluated(mgm, run, "--data", copy)
    assert found["num_images"] == 5
    assert found["remarks"] == ["10 images of copy are left out: the run was trained or selected on them"]
    mgm.done("evaluate", run, "--data", write_own(tmp_path / "same", 12), "--split", "train")


def test_data_whose_maps_lack_the_last_class_are_scored(mgm, tmp_path):
    run = make_run(tmp_path / "run", write_own(tmp_path / "photos", 12))
    fewer = write_own(tmp_path / "fewer", 4)
    for file in (fewer / "semantic").iterdir():
        file.write_bytes(palette_png(np.eye(30, 40, dtype=np.uint8)))
    assert open_source(str(fewer)).info.classes == ("class_0", "class_1")
    assert set(evaluated(mgm, run, "--data", fewer, "--split", "all")["classes"]["semantic"]) <= LEARNED


def test_a_run_that_is_not_finished_is_used_with_a_note(mgm, run, photographs, tmp_path):
    begun, photo = tmp_path / "begun", tmp_path / "photos/photo.png"
    shutil.copytree(run, begun)
    photo.parent.mkdir()
    Image.new("RGB", (40, 30)).save(photo)
    (begun / "metrics.jsonl").write_text('{"stage": "multi_task", "step": 4}\n')
    commands = {
        "evaluate": ("--json",),
        "predict": (photo, "--out", tmp_path / "predicted"),
        "autolabel": (photo.parent, "--out", tmp_path / "labelled"),
    }
    for verb, rest in commands.items():
        assert "note" not in mgm(verb, begun, *rest)[2]
    shutil.rmtree(tmp_path / "labelled")
    (begun / "result.json").unlink()
    note = "run not finished: step 4 of 6, the best model so far"
    for verb, rest in commands.items():
        code, out, err = mgm(verb, begun, *rest)
        assert code == 0, err
        assert err.count(f"mgm: note: {note}\n") == 1
        if verb == "evaluate":
            assert json.loads(out)["remarks"] == [note]
    (begun / "metrics.jsonl").write_text("{")  # no more than a line that was not finished
    assert evaluated(mgm, begun)["remarks"] == [note.replace("4", "0")]
    (begun / "metrics.jsonl").write_text("{\n{\n")
    assert evaluated(mgm, begun)["remarks"] == ["run not finished, the best model so far"]
