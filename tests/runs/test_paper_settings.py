"""Settings of the paper's appendix through the command line: 256 px, objects as weak labels, buildings, single tasks."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_folder import write_own
from fake_layouts import write_cityscapes, write_taskonomy
from fakes import write_nyuv2
from mgm.cli.train import parse_train
from mgm.data.sources.cityscapes import CityscapesSource
from mgm.errors import ConfigError, RunError
from mgm.experiments.grouping import scores_of_runs
from mgm.method.recipes import RECIPES, make_experiment
from mgm.models.task_groups import parse_groups
from mgm.runs.checks import check_experiment
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.runs.scenes import without_scenes
from toys import with_settings
from trained_toys import INFO, toy_settings, write_run

pytestmark = pytest.mark.usefixtures("without_pictures")
TINY = ["--preset", "tiny", "--batch-size", "2", "--generator-batch-size", "2", "--steps", 2, "--generator-steps", 1]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    return write_nyuv2(tmp_path_factory.mktemp("data") / "nyuv2", count=16)


def load(data: Path, **settings: object):
    experiment = with_settings(make_experiment("mgm", "tiny"), data=str(data), **settings)
    return experiment, load_data(experiment, torch.device("cpu"))


def test_objects_replace_scenes_and_leave_the_labelled_images_as_they_are(photographs, capsys):
    _, scenes = load(photographs, fraction=0.5)
    experiment, objects = load(photographs, fraction=0.5, weak_labels="objects")
    assert not scenes.info.multi_hot
    assert objects.info.multi_hot
    assert objects.info.scenes == objects.info.classes
    assert "no scene labels" not in objects.info.notes["scene"]
    np.testing.assert_array_equal(scenes.labelled, objects.labelled)
    np.testing.assert_array_equal(scenes.weak, objects.weak)
    batch = objects.reader.batch(objects.labelled)
    for labels, row in zip(batch.targets["semantic"], batch.scene, strict=True):
        seen = set(labels.unique().tolist()) - {255}
        assert set(row.nonzero().flatten().tolist()) == seen
    assert without_scenes(experiment, objects) is experiment
    assert capsys.readouterr().err == "", "the user has asked for it"


def test_objects_that_a_data_set_labels_itself_stay_its_own(tmp_path):
    """Table 13 on Cityscapes: the 30 objects, not the 19 classes that are evaluated."""
    folder = write_cityscapes(tmp_path / "cityscapes")
    _, data = load(folder, weak_labels="objects", tasks=("semantic",))
    assert (data.num_scenes, len(data.info.classes)) == (30, 19)
    assert data.info.scenes == CityscapesSource(folder).info.scenes
    assert data.reader.batch(data.labelled).scene.shape[1] == 30


def test_objects_do_not_need_segmentation_as_a_task(photographs):
    _, data = load(photographs, weak_labels="objects", tasks=("depth",))
    assert data.num_scenes == 40
    assert list(data.reader.batch(data.labelled[:2]).targets) == ["depth"]


def test_objects_of_data_without_segmentation(tmp_path):
    folder = write_own(tmp_path / "photos", 12, tasks=("depth",))
    with pytest.raises(ConfigError, match="has none; use --weak-labels scene"):
        load(folder, weak_labels="objects")


@pytest.mark.slow
def test_training_on_objects(mgm, photographs, tmp_path):
    """Paper Table 13: generator and refinement on multi-hot labels."""
    run = tmp_path / "r"
    mgm.done("train", "mgm", *TINY, "--data", photographs, "--weak-labels", "objects",
                       "--no-baseline", "--out", run)  # fmt: skip
    assert RunFolder(run).info().multi_hot
    mgm.done("train", "mgm_combine", *TINY, "--data", photographs, "--weak-labels", "objects",
                       "--generator-runs", run, "--no-baseline", "--out", tmp_path / "combine")  # fmt: skip


@pytest.mark.slow
def test_three_buildings_of_taskonomy(mgm, tmp_path, monkeypatch):
    """Paper Table 14, by the split of the whole folder and by the name of the small set."""
    folder = write_taskonomy(
        tmp_path / "taskonomy", buildings=("allensville", "benevolence", "coffeen", "ihlen"), views=5
    )
    run = tmp_path / "split"
    mgm.done("train", "mt", *TINY, "--data", folder, "--split", "subset",
                       "--no-baseline", "--out", run)  # fmt: skip
    assert json.loads((run / "result.json").read_text())["num_labelled"] == 15 - 2 * 2
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    monkeypatch.setattr("mgm.data.sources.taskonomy.SUBSET_MIN_SCENE_IMAGES", 0)
    mgm.done("train", "mgm", *TINY, "--data", "taskonomy_small", "--no-baseline", "--out", tmp_path / "named")
    assert len(json.loads((tmp_path / "named/result.json").read_text())["test"]) == 6


@pytest.mark.slow
@pytest.mark.parametrize("architecture, generator", [("multi_task", "sagan"), ("cross_stitch", "dcgan")])
def test_256_pixels(mgm, photographs, tmp_path, architecture, generator):
    """Paper Table 10."""
    sizes = ["--image-size", 256, "--generator", generator]
    mgm.done("train", "mgm", *TINY, "--data", photographs, *sizes, "--architecture", architecture,
                       "--no-baseline", "--out", tmp_path / "r")  # fmt: skip
    assert json.loads((tmp_path / "r/result.json").read_text())["image_size"] == 256


@pytest.mark.slow
def test_a_single_task_with_its_baseline(mgm, photographs, tmp_path):
    """Paper Table 15, MGM-DE: the multi-task baseline of one task is the single-task one."""
    task = "depth"
    mgm.done("train", "mgm", *TINY, "--data", photographs, "--tasks", task, "--out", tmp_path / "r")
    result = json.loads((tmp_path / "r/result.json").read_text())
    assert result["baseline"]["recipe"] == "mt"
    assert list(result["baseline"]["test"]) == list(result["test"]) == [task]
    mgm.done("train", "st", *TINY, "--data", photographs, "--tasks", task, "--out", tmp_path / "st")
    assert json.loads((tmp_path / "st/result.json").read_text())["test"] == result["baseline"]["test"]


DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


def test_documentation_names_every_recipe_with_a_command_that_exists():
    """Commands in blocks: tests/test_docs.py."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in RECIPES)
    in_table = re.findall(r"`mgm (train [^`\n]*)`", text)
    assert len(in_table) >= len(RECIPES)
    for command in in_table:
        words = command.partition("#")[0].split()
        experiment = parse_train(words[1:]).experiment
        assert experiment.recipe == words[1]
        check_experiment(experiment)


def test_task_grouping_as_documented(tmp_path, monkeypatch, capsys):
    """All candidates, as if they were trained, the choice, and the command that it prints."""
    tasks = ("semantic", "depth", "normal")
    for number in (1, 2, 3):
        for subset in itertools.combinations(tasks, number):
            info = replace(INFO, tasks=subset)
            write_run(tmp_path / "groups" / "-".join(subset), toy_settings(info=info), info)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/models.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    assert printed[0] == "--groups"
    assert parse_groups(printed[1:], tasks)
    with pytest.raises(ConfigError, match="another run has the same tasks .semantic"):
        scores_of_runs(["groups/semantic", "groups/semantic"])


def test_candidates_that_are_no_runs(tmp_path):
    with pytest.raises(RunError, match="candidate .*: no run folder"):
        scores_of_runs([tmp_path / "nothing"])
