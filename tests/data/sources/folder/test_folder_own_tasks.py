"""Tasks that ``dataset.yaml`` defines, from files to a store."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_cells import SETTINGS, cell_arrays, write_cells
from fakes import deep_png, png, write_files
from mgm.data import open_source
from mgm.data.preparing import SelectedTasks
from mgm.data.sources.folder import FolderSource
from mgm.data.store import StoreSource, build_store
from mgm.errors import DataError, MgmError
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.tasks import TASKS, tasks_for
from mgm.types import IGNORE_INDEX


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "plate")


def test_files_are_read_as_they_are_defined(cells):
    sample, arrays = FolderSource(cells).read(3, 32), cell_arrays(3)
    np.testing.assert_array_equal(sample.targets["cells"], arrays["cells"])
    np.testing.assert_array_equal(sample.targets["damage"], arrays["damage"])
    np.testing.assert_allclose(sample.targets["drift"], arrays["drift"].transpose(2, 0, 1), atol=1e-6)
    heat = sample.targets["heat"][0]
    assert np.isnan(heat[:2]).all()
    np.testing.assert_allclose(heat[2:], arrays["heat"][2:], atol=0.006)


def test_values_outside_are_kept_unless_they_are_missing(cells):
    write_files(cells, {"dataset.yaml": SETTINGS.replace(", outside: missing", "").encode()})
    heat = FolderSource(cells).read(0, 32).targets["heat"][0]
    assert np.isnan(heat[0]).all()
    assert (heat[1] == 50).all()


def test_what_is_offered_carries_the_definitions(cells):
    info = FolderSource(cells).info
    assert info.tasks == ("cells", "damage", "heat", "drift")
    assert info.classes == ()
    assert info.own_tasks["heat"]["range"] == [35.0, 42.0]
    tasks = tasks_for(info)
    assert tasks["cells"].classes == ("background", "cytoplasm", "nucleus")
    assert (tasks["heat"].title, tasks["heat"].unit, tasks["drift"].channels) == ("Temperature", "°C", 2)
    assert not info.own_tasks.keys() & TASKS.keys()
    some = SelectedTasks(FolderSource(cells), ("heat",)).info
    assert (some.tasks, list(some.own_tasks)) == (("heat",), ["heat"])


def test_numbers_must_be_exact_in_16_bit_colours_but_normals_need_not(cells):
    size = cell_arrays(0)["heat"].shape
    (cells / "drift/00.npy").unlink()
    slanted = np.array([0.6, 0.0, -0.8])
    deep = np.broadcast_to(((slanted + 1) / 2 * 65535).round().astype(np.uint16), (*size, 3))
    write_files(cells, {"drift/00.png": deep_png(deep), "normal/00.png": deep_png(deep)})
    with pytest.raises(DataError, match=r"drift/00.png.*16-bit colours, whose numbers cannot be read exactly.*\.npy"):
        FolderSource(cells).read(0, 32)
    (cells / "drift/00.png").unlink()
    normal = FolderSource(cells).read(0, 32).targets["normal"]
    np.testing.assert_allclose(normal[:, 16, 16], slanted, atol=0.008)


def test_a_store_keeps_them_without_the_files(cells, tmp_path):
    source = pickle.loads(pickle.dumps(FolderSource(cells)))  # as worker processes get it
    build_store(source, 32, tmp_path / "store")
    store = open_source(str(tmp_path / "store"))
    assert isinstance(store, StoreSource)
    assert store.info == source.info
    assert store.store.arrays["heat"].dtype == np.float32  # 16 bits would round 41.37 to 41.38
    assert store.store.manifest["values"]["heat"] == "35 to 42 °C; NaN where there is no label"
    assert store.store.manifest["values"]["damage"] == "class index: 0 none, 1 torn; 255 where there is no label"
    for name, target in source.read(5, 32).targets.items():
        np.testing.assert_array_equal(store.read(5, 32).targets[name], target)


def test_pictures_without_a_label_have_an_invalid_one(cells):
    for place in ("cells/04.png", "heat/04.png"):
        (cells / place).unlink()
    sample = FolderSource(cells).read(4, 8)
    assert (sample.targets["cells"] == IGNORE_INDEX).all()
    assert np.isnan(sample.targets["heat"]).all()


def test_coloured_maps_name_their_classes(tmp_path):
    yaml = "tasks: {crop: {colours: {wheat: [220, 190, 60], weed: [0, 120, 0]}}}"
    picture = np.array([[[220, 190, 60], [0, 120, 0]], [[0, 0, 0], [0, 120, 0]]], np.uint8)
    files = {"dataset.yaml": yaml.encode(), "rgb/a.png": png(picture), "crop/a.png": png(picture)}
    source = FolderSource(write_files(tmp_path, files))
    assert source.read(0, 2).targets["crop"].tolist() == [[0, 1], [IGNORE_INDEX, 1]]
    colours = tasks_for(source.info)["crop"].colour(torch.tensor([[[0, 1]]]))
    assert colours.squeeze().T.tolist() == [[220, 190, 60], [0, 120, 0]]


def test_a_task_without_a_file_is_named(cells):
    write_files(cells, {"dataset.yaml": (SETTINGS + "  height: {range: [0, 40], folder: heights}\n").encode()})
    source = FolderSource(cells)
    assert "height" not in source.info.tasks
    assert (
        "no image has a label of height, which dataset.yaml defines; put its labels into heights/" in source.warnings()
    )


def test_files_without_a_value_and_folders_without_a_file_are_named(cells):
    depth = np.full((32, 32), 2000, np.uint16)
    files = {f"depth/{number:02}.png": png(depth * (number > 0)) for number in range(3)}
    source = FolderSource(write_files(cells, files))
    (cells / "normal").mkdir()
    remarks = [" ".join(source.remarks(index)) for index in range(2)]
    assert "depth/00.png: holds no value" in remarks[0]
    assert "depth" not in remarks[1]
    assert "no image has a label of normal, although there is a folder normal/" in source.warnings()


def test_wrong_numbers_name_the_file(cells):
    write_files(cells, {"marks/02.png": png(np.full((32, 32), 30, np.uint8))})
    with pytest.raises(DataError, match=r"marks/02.png: label 30 is not in \[10, 20\]"):
        FolderSource(cells).read(2, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [heat]", "tasks must be a mapping"),
        ("tasks: {heat: 3}", "tasks: heat must be a mapping"),
        ("tasks: {heat: {range: [0, 1], skale: 2}}", "tasks: heat: unknown key 'skale'. Did you mean 'scale'"),
        (
            "tasks: {heat: {range: [0, 1], scale: 0}}",
            "heat: scale and offset must be finite numbers, and scale must not be 0",
        ),
        ("tasks: {heat: {range: [0, 1], outside: drop}}", "tasks.heat.outside: .*'keep' or 'missing'"),
        (
            "tasks: {crop: {colors: {wheat: [1, 1, 1]}}}",
            "tasks: crop: unknown key 'colors'. Did you mean 'colours'. Choices: channels, classes, colours, .* range, scale,"
            " suffix, title, unit, values, zoom$",
        ),
        (
            "tasks: {crop: {classes: [a, b], range: [0, 1]}}",
            "crop: 'range' is for tasks with numbers; remove it, or leave out classes",
        ),
        (
            "tasks: {crop: {range: [0, 1], ignore: 3}}",
            "crop: 'ignore' is for tasks with classes; remove it, or give it classes",
        ),
        ("tasks: {heat: {range: [1, 0]}}", r"tasks: heat: range is \[1, 0\]"),
        ("tasks: {depth: {range: [0, 1]}}", "'depth' is a built-in task of mgm and cannot be redefined"),
        ("tasks: {heat: {range: [0, 1], folder: rgb}}", "folder of its own"),
        ("tasks: {heat: {range: [0, 1], folder: depth}}", "folder of its own"),
        ("tasks: {crop: {classes: [a, b], first: auto}}", "first is auto, but the classes are named"),
        ("tasks: {crop: {colours: [1, 2]}}", "tasks: crop: write classes"),
        ("task: {heat: {range: [0, 1]}}", "Did you mean 'tasks'"),
    ],
)
def test_bad_definitions_name_file_and_key(cells, text, message):
    write_files(cells, {"dataset.yaml": text.encode()})
    with pytest.raises(MgmError, match=f"dataset.yaml.*{message}"):
        FolderSource(cells)


DOUBTFUL = """
tasks:
  cells: {classes: [background, cell], values: {background: 0, cell: 1}, ignore: [2]}
  damage: {classes: [none, torn], folder: marks}
  heat: {unit: °C, range: [0, 10], scale: 0.01}
  drift: {unit: px, range: [-8, 3], channels: 2}
"""


def test_doubts_about_ranges_and_masks_are_told_by_every_verb_that_reads_files(tmp_path, mgm, caplog):
    folder = write_cells(tmp_path / "plate", count=8, settings=DOUBTFUL)
    for index in range(8):
        write_files(folder, {f"marks/{index:02d}.png": png(cell_arrays(index)["damage"] * 255)})
    doubts = (
        "damage has the single class 'none' in the 8 files that were checked; 255 means no class",
        "the median heat is 38.7, outside its range, 0 to 10 °C; check scale and unit",
        "drift leaves its range, -8 to 3 px, in 8 of 8 files that were checked",
    )
    assert not any("cells" in text for text in FolderSource(folder).doubts())
    for words in (["verify", folder], ["prepare", folder, "--out", tmp_path / "store", "--image-size", 32]):
        _, _, err = mgm("data", *words)
        assert all(f"warning: {text}" in err for text in doubts), err
    experiment = make_experiment("mt", "tiny")
    data = replace(experiment.data, data=str(folder), tasks=("cells", "heat"), cache=str(tmp_path / "cache"))
    load_data(replace(experiment, data=data), torch.device("cpu"))
    assert all(f"plate: {text}" in caplog.text for text in doubts), caplog.text
    assert not FolderSource(write_cells(tmp_path / "sound")).doubts()
