"""Tasks that a data set defines, in a run: what it makes of them, what it remembers, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_cells import SETTINGS, write_cells
from fake_runs import begin_run, write_run
from fakes import write_files
from mgm.data import open_source
from mgm.errors import ConfigError, DataError, RunError
from mgm.inference.evaluate import evaluate
from mgm.inference.export import export_run
from mgm.inference.model import TrainedModel
from mgm.method.recipes import make_experiment
from mgm.report.comparison import compare
from mgm.runs.annotator import make_annotator
from mgm.runs.augmentation import mixing
from mgm.runs.checks import check_experiment
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder, write_json
from mgm.runs.images import open_run_data
from mgm.runs.stages import _settings
from mgm.tasks import tasks_for
from toys import with_settings


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "plate")


@pytest.fixture
def run(cells, tmp_path):
    return write_run(tmp_path / "run", info=open_source(str(cells)).info, data=str(cells))


def experiment(cells, **data):
    return with_settings(make_experiment("mgm", "tiny", str(cells)), num_images=0, **data)


def test_the_first_segmentation_stands_for_what_is_in_the_image(cells):
    data = load_data(experiment(cells), torch.device("cpu"))
    assert data.info.scenes == ("background", "cytoplasm", "nucleus")
    assert "label maps of cells" in data.info.notes["scene"]
    assert data.reader.scenes[0].tolist() == [1.0, 1.0, 1.0]
    composites = mixing(experiment(cells, mix="auto").data, data.tasks)
    assert composites is not None
    assert composites.pieces == "classes"
    batch = data.reader.batch(np.arange(4))
    pasted = composites(batch, seed=0)
    changed = (pasted.targets["cells"] != batch.targets["cells"]).any(dim=(1, 2))
    assert changed.any()


def test_numbers_alone_are_mixed_by_rectangles_and_have_no_scenes(cells):
    data = load_data(experiment(cells, tasks=("heat", "drift")), torch.device("cpu"))
    assert (list(data.tasks), data.num_scenes) == (["heat", "drift"], 0)
    assert mixing(experiment(cells, mix="auto").data, data.tasks).pieces == "cutmix"


def test_losses_of_own_tasks_are_checked_where_the_data_are_known(cells):
    good = experiment(cells, losses=("heat:l2", "cells:dice"))
    check_experiment(good)
    tasks = load_data(good, torch.device("cpu")).tasks
    assert (tasks["heat"].loss_name, tasks["cells"].loss_name, tasks["drift"].loss_name) == ("l2", "dice", "l1")
    for losses, message in ((("haet:l2",), "Did you mean 'heat'"), (("heat:l3",), "unknown loss of heat")):
        with pytest.raises(ConfigError, match=message):
            load_data(experiment(cells, losses=losses), torch.device("cpu"))


def test_a_model_folder_needs_no_data(cells, run, tmp_path):
    export_run(run, tmp_path / "exported")
    shutil.rmtree(cells)
    model = TrainedModel.load(tmp_path / "exported")
    assert model.tasks["heat"].values == "35 to 42 °C"
    assert model.tasks["cells"].colour(torch.zeros(1, 1, 1, dtype=torch.int64)).flatten().tolist() == [235, 225, 230]
    assert type(model.tasks["heat"]) is type(TrainedModel.load(run).tasks["heat"])
    values = model.predict(np.zeros((40, 50, 3), np.uint8))
    assert values["drift"].shape == (2, 40, 50)
    assert values["heat"].min() > 20  # shares of the range became degrees
    card = (tmp_path / "exported/README.md").read_text()
    assert "| `heat` | `[1, H, W]`, 35 to 42 °C in the data (predictions may lie beyond) |" in card
    assert "0 background, 1 cytoplasm, 2 nucleus" in card


def test_a_damaged_definition_in_a_model_folder_is_one_clear_error(run, tmp_path):
    export_run(run, tmp_path / "exported")
    config = tmp_path / "exported/config.json"
    values = json.loads(config.read_text())
    values["own_tasks"]["heat"]["range"] = [3, 2]
    config.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"tasks: heat: range is \[3, 2\]"):
        TrainedModel.load(tmp_path / "exported")


def test_another_definition_of_the_run_s_data_is_noticed(cells, run):
    assert open_run_data(RunFolder(run)).changes == ""
    write_files(cells, {"dataset.yaml": SETTINGS.replace("°C", "K").encode()})  # the same numbers
    assert open_run_data(RunFolder(run)).changes.startswith("another definition of heat")
    with pytest.raises(DataError, match="cannot be continued.*another definition of heat"):
        open_run_data(RunFolder(run)).check_unchanged()


def test_an_annotator_decodes_by_what_it_learned(cells, run):
    write_json(RunFolder(run).result, {"recipe": "mgm", "data": "plate", "num_labelled": 1, "steps": 1, "test": {}})
    wider = SETTINGS.replace("range: [35, 42]", "range: [0, 100]").replace(", outside: missing", "")
    write_files(cells, {"dataset.yaml": wider.encode()})
    made = experiment(cells, annotator=str(run))
    data = load_data(made, torch.device("cpu"))
    batch = data.reader.batch(np.arange(2))
    labelled = make_annotator(made, data)(batch)
    assert 20 < labelled.targets["heat"].mean() < 60  # near the low end of its own range, not of the other


def test_scores_on_data_of_another_meaning_are_refused(cells, run, tmp_path):
    found = evaluate(run, split="validation")
    assert list(found.scores["heat"]) == ["abs_error_C", "relative_error", "rmse_C", "r2"]
    kelvin = write_cells(tmp_path / "kelvin", settings=SETTINGS.replace("°C", "K"))
    says = r"kelvin defines heat differently: heat is 35 to 42 K \(.* there, but 35 to 42 °C \(.* learned from; .* scale and offset"
    with pytest.raises(ConfigError, match=says):
        evaluate(run, data=str(kelvin))
    wider = write_cells(tmp_path / "wider", settings=SETTINGS.replace("[35, 42]", "[30, 50]"))
    assert evaluate(run, data=str(wider), split="all").scores["heat"]["abs_error_C"] > 0


def test_runs_that_define_a_task_differently_are_not_drawn_as_if_alike(cells, run, tmp_path):
    info = open_source(str(cells)).info
    own = {**info.own_tasks, "heat": {**info.own_tasks["heat"], "range": [30, 50]}}
    other = write_run(tmp_path / "other", info=replace(info, own_tasks=own), data=str(cells))
    assert compare({"a": RunFolder(run)}).tasks["heat"].values == "35 to 42 °C"
    with pytest.raises(RunError, match="other was trained with another definition of heat"):
        compare({"run": RunFolder(run), "other": RunFolder(other)})


def test_calibration_is_in_the_unit(cells, tmp_path):
    settings = SETTINGS.replace("unit: °C, range: [35, 42]", "unit: m, range: [30, 50], zoom: divide")
    cells = write_cells(tmp_path / "far", settings=settings)
    run = write_run(tmp_path / "run", info=open_source(str(cells)).info, data=str(cells))
    found = evaluate(run, split="test", calibrate=True).calibration
    assert found is not None
    assert list(found.lines) == ["heat"]
    # degrees out of degrees: a constant guess is moved to where the labels are
    assert found.scores["heat"]["abs_error_m"] < 3


def test_stages_are_not_shared_between_definitions(cells):
    about = []
    for settings in (SETTINGS, SETTINGS.replace("scale: 0.01", "scale: 0.01, loss: l2")):  # the same numbers
        write_files(cells, {"dataset.yaml": settings.encode()})
        about.append(_settings(experiment(cells), load_data(experiment(cells), torch.device("cpu")), "cpu")["run"])
    assert about[0]["data"] == about[1]["data"]
    assert about[0] != about[1]


def test_begun_runs_remember_the_definitions(cells, tmp_path):
    info = open_source(str(cells)).info
    folder = RunFolder(tmp_path / "begun")
    begin_run(folder, experiment(cells), info)
    assert folder.info() == info
    assert tasks_for(folder.info(), ("heat",))["heat"].unit == "°C"
