"""A folder of one's own, with faults as they happen, from the first look to a trained model, by the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fake_cells import write_cells
from fake_folder import write_own
from mgm.config import DataConfig, Experiment
from mgm.data.sources.folder import FolderSource
from mgm.data.store import build_store, open_store
from mgm.errors import ConfigError, DataError
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.runs.scenes import without_scenes
from mgm.runs.settings import from_yaml
from mgm.runs.splits import warn_once
from mgm.runs.train import _print_summary
from mgm.types import Frame

SHORT = ("--steps", 2, "--generator-steps", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_from_a_faulty_folder_to_a_trained_model(mgm, tmp_path):
    folder, store, run = write_own(tmp_path / "photos", 40), tmp_path / "store", tmp_path / "run"
    for index in (1, 2, 5, 8):
        (folder / "depth" / f"photo_{index:03d}.png").unlink()
    for task in ("semantic", "depth", "normal"):
        (folder / task / "photo_009.png").unlink()
    broken = folder / "depth" / "photo_003.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (folder / "rgb" / "photo_004.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("of the camera")

    assert "BAD: 2 samples" in mgm.done("data", "inspect", folder, "--out", tmp_path / "sheet.png")
    code, out, err = mgm("data", "verify", folder)
    assert code == 1
    assert out.count("\n") == 2
    assert "depth/photo_003.png" in out
    assert "rgb/photo_004.jpg" in out
    assert "warning: not read: notes.txt" in err
    assert "--skip-bad" in err

    prepare = ("data", "prepare", folder, "--out", store, "--image-size", "32")
    code, out, err = mgm(*prepare)
    assert code == 2
    assert "GB are needed" in out
    assert "photo_003.png" in err
    assert "38 images, 2 left out" in mgm.done(*prepare, "--skip-bad")
    assert len(open_store(store).manifest["skipped"]) == 2
    mgm.done("data", "verify", store)
    code, _, err = mgm(*prepare, "--skip-bad")
    assert code == 2
    assert "--force" in err

    folder.rename(tmp_path / "gone")
    assert mgm("data", "inspect", store, "--out", tmp_path / "sheet.png")[0] == 0
    mgm.done("train", "mgm", "--preset", "tiny", *SHORT, "--data", store, "--out", run)
    result = json.loads((run / "result.json").read_text())
    assert set(result["test"]) == {"semantic", "depth", "normal"}
    mgm.done("evaluate", run, "--json")


def experiment_on(folder, recipe: str = "mgm", **data) -> Experiment:
    return replace(make_experiment(recipe, "tiny"), data=DataConfig(**{"data": str(folder), "image_size": 32, **data}))


@pytest.mark.parametrize(
    "size, aspect, says",
    [
        (32, "squeeze", "; 32 px, squeezed from 30x40)"),
        ("24x32", "squeeze", "; 24x32 px)"),
        (32, "letterbox", "; 32 px (letterbox))"),
    ],
)
def test_the_first_line_says_the_size_and_if_images_are_squeezed(tmp_path, capsys, size, aspect, says):
    write_own(tmp_path / "photos", 12)
    experiment = experiment_on(tmp_path / "photos", "mt", image_size=size, aspect=aspect)
    _print_summary(experiment, load_data(experiment, "cpu"))
    assert says in capsys.readouterr().err


def test_a_task_that_the_data_set_does_not_have_is_said_before_its_classes_are_asked_for(tmp_path):
    write_cells(tmp_path / "plate")
    with pytest.raises(ConfigError, match="plate has no labels for semantic; it offers cells, damage, heat, drift"):
        load_data(experiment_on(tmp_path / "plate", tasks=("semantic",)), "cpu")


def test_images_without_labels_are_never_chosen_as_labelled(tmp_path):
    folder = write_own(tmp_path / "photos", 30)
    for index in range(12):
        for task in ("semantic", "depth", "normal"):
            (folder / task / f"photo_{index:03d}.png").unlink()
    for index in range(12, 18):
        (folder / "depth" / f"photo_{index:03d}.png").unlink()
    data = load_data(experiment_on(folder), "cpu")
    assert not set(data.labelled) & set(range(12))
    assert set(range(12)) <= set(data.weak)
    assert len(data.labelled) == 30 - 12 - 6
    depth = load_data(experiment_on(folder, tasks=("depth",)), "cpu")
    assert not set(depth.labelled) & set(range(18))
    half = load_data(experiment_on(folder, fraction=0.5), "cpu")
    assert len(half.labelled) == 6


def test_label_files_without_a_value_are_no_labels_to_validate_or_test_on(tmp_path):
    folder = write_own(tmp_path / "photos", 30, tasks=("depth",))
    for index in range(8, 30):
        Image.fromarray(np.zeros((30, 40), np.uint16)).save(folder / "depth" / f"photo_{index:03d}.png")
    data = load_data(experiment_on(folder), "cpu")
    held_out = [*data.splits.validation, *data.splits.test]
    assert min(len(data.splits.validation), len(data.splits.test)) > 0
    assert set(held_out) < set(range(8))
    assert set(data.labelled) == set(range(8)) - set(held_out)


def test_classes_in_view_stand_in_for_scenes(tmp_path, capsys):
    data = load_data(experiment_on(write_own(tmp_path / "photos", 12, scenes=False)), "cpu")
    assert data.derived_scenes
    assert data.info.multi_hot
    assert data.info.scenes == data.info.classes
    np.testing.assert_array_equal(data.reader.scenes[:2], [[1, 1, 0], [1, 1, 1]])
    batch = data.reader.batch([1])
    assert batch.scene.tolist() == [[1, 1, 1]]
    experiment = experiment_on(tmp_path / "photos")
    assert without_scenes(experiment, data) is experiment
    assert "the classes in its label maps serve as multi-hot labels" in capsys.readouterr().err
    assert without_scenes(experiment_on(tmp_path / "photos", "mt"), data).method.refinement == "none"
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_without_anything_to_make_scenes_from(mgm, tmp_path):
    folder = write_own(tmp_path / "photos", 30, tasks=("depth",), scenes=False)
    code, _, err = mgm("train", "mgm", "--preset", "tiny", *SHORT, "--data", folder, "--out", tmp_path / "run")
    assert code == 0, err
    assert err.count("training with no refinement and an unconditional generator") == 1
    assert from_yaml(tmp_path / "run" / "config.yaml").method.refinement == "none"
    mgm.done("generate", tmp_path / "run", "--out", tmp_path / "generated.png")


def test_label_maps_that_all_show_the_same(tmp_path, capsys):
    folder = write_own(tmp_path / "photos", 12, tasks=("semantic",), scenes=False)
    good = (folder / "semantic" / "photo_001.png").read_bytes()
    for file in (folder / "semantic").iterdir():
        file.write_bytes(good)
    experiment = experiment_on(folder)
    data = load_data(experiment, "cpu")
    assert without_scenes(experiment, data).method.refinement == "none"
    assert "show the same classes: training with no refinement\n" in capsys.readouterr().err


def test_streamed_training_data_are_those_of_memory(tmp_path, monkeypatch):
    from mgm.runs.loaders import make_loaders

    experiment = experiment_on(write_own(tmp_path / "photos", 20))
    resident = make_loaders(experiment, load_data(experiment, "cpu"))["labelled"]
    monkeypatch.setattr("mgm.data.loading.StoreReader.__init__.__defaults__", ("cpu", 0, None))
    data = load_data(experiment, "cpu")
    assert not data.reader.is_resident
    streamed = make_loaders(experiment, data)["labelled"]
    for step in range(4):
        assert resident(step, 4).images.equal(streamed(step, 4).images)


def test_store_of_other_size_is_scaled_down_for_training(tmp_path):
    source = FolderSource(write_own(tmp_path / "photos", 12))
    build_store(source, 64, tmp_path / "store", workers=1)
    data = load_data(experiment_on(tmp_path / "store"), "cpu")
    assert data.reader.store.frame == Frame((32, 32))


def without_depth(folder, kept):
    for number, file in enumerate(sorted((folder / "depth").iterdir())):
        if number not in kept:
            file.unlink()
    return folder


def test_a_task_of_few_labels_is_in_use_everywhere_or_said(tmp_path, caplog):
    few = without_depth(write_own(tmp_path / "few", 24, tasks=("semantic", "depth")), (0, 5, 9, 17))
    data = load_data(experiment_on(few, fraction=0.25), "cpu")
    has = data.reader.store.labelled(["depth"])[:, 0]
    assert all(has[part].any() for part in (data.labelled, data.splits.validation, data.splits.test))
    assert "of the 4 labelled training images are without a label of depth" in caplog.text
    assert "validation" not in caplog.text
    one = without_depth(write_own(tmp_path / "one", 24, tasks=("semantic", "depth")), (5,))
    assert 5 in load_data(experiment_on(one), "cpu").labelled
    assert "one: no validation or test image has a label of depth, so it is not measured there" in caplog.text


def test_a_task_without_a_label_in_training_is_refused(tmp_path):
    folder = without_depth(write_own(tmp_path / "photos", 12, tasks=("semantic", "depth"), scenes=False), (0, 1))
    lines = [f"photo_{number:03d},{'test' if number < 2 else ''}" for number in range(12)]
    (folder / "labels.csv").write_text("\n".join(["name,split", *lines]))
    with pytest.raises(
        DataError, match="none of the 8 labelled training images has a label of depth; leave it out: --tasks semantic"
    ):
        load_data(experiment_on(folder), "cpu")
    assert load_data(experiment_on(folder, tasks=("semantic",)), "cpu").tasks.keys() == {"semantic"}


def test_a_single_class_is_refused(tmp_path):
    folder = write_own(tmp_path / "photos", 12, tasks=("semantic",))
    for file in (folder / "semantic").iterdir():
        Image.fromarray(np.where(np.array(Image.open(file)) == 1, 255, 0).astype(np.uint8)).save(file)
    assert load_data(experiment_on(folder), "cpu").info.classes == ("class_0", "class_255")
    (folder / "classes.txt").write_text("ground\nobject\n")
    with pytest.raises(
        DataError, match="of semantic for training are 'ground', a single class; 255 means no class: .*values"
    ):
        load_data(experiment_on(folder), "cpu")


def test_bad_files_are_left_out_on_demand(tmp_path, caplog):
    folder = write_own(tmp_path / "photos", 16)
    (folder / "depth/photo_003.png").write_bytes(b"")
    (folder / "depths").mkdir()
    (folder / "depths/a.exr").write_bytes(b"x")
    with pytest.raises(DataError, match="photo_003.png: the file is empty.*to leave out bad samples, add --skip-bad"):
        load_data(experiment_on(folder), "cpu")
    warn_once.cache_clear()
    data = load_data(experiment_on(folder, skip_bad=True), "cpu")
    assert "photos: not read: depths/ (1 .exr)" in caplog.text
    assert "photos: 1 bad samples are left out" in caplog.text
    whole, parts = FolderSource(folder).splits("random", 0), data.splits
    names = data.reader.store.names
    for part in ("train", "validation", "test"):
        expected = {f"photo_{index:03d}" for index in getattr(whole, part) if index != 3}
        assert {names[index] for index in getattr(parts, part)} == expected
    with pytest.raises(DataError, match="photo_003.png.*--skip-bad"):
        load_data(experiment_on(folder), "cpu")


def test_more_labels_are_asked_for_where_there_are_more(tmp_path):
    folder = write_own(tmp_path / "photos", 5)
    with pytest.raises(DataError, match="are too few for batches of 4; lower --batch-size or raise --fraction$"):
        load_data(experiment_on(folder, fraction=0.5), "cpu")
    with pytest.raises(DataError, match="are too few for batches of 4; lower --batch-size$"):
        load_data(experiment_on(folder), "cpu")
