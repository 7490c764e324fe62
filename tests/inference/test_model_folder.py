"""A model folder: what is in it, what is refused, what the card says, and how it meets the Hub. No network anywhere."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from mgm.errors import ConfigError, RunError
from mgm.inference import hub
from mgm.inference.model import TrainedModel
from mgm.inference.model_card import CardDetails, Trials, model_card
from mgm.inference.model_folder import ModelDescription, ModelFolder
from mgm.runs.folder import RunFolder
from mgm.runs.settings import to_yaml
from mgm.tasks.segmentation import Segmentation
from trained_toys import CLASSES, INFO, toy_settings, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture
def folder(run, tmp_path):
    TrainedModel.load(run).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    for name, value in values.items():
        place = config
        *parents, last = name.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    (folder / "config.json").write_text(json.dumps(config))


def test_config_says_all_and_names_no_path_of_the_machine(run, folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["tasks"] == ["semantic", "depth", "normal"]
    assert config["classes"] == list(CLASSES)
    assert config["image_size"] == 32
    assert config["normalisation"] == {"mean": 127.5, "std": 127.5}
    assert config["model"]["architecture"] == "multi_task"
    assert config["mgm_version"]
    assert str(run.parent) not in (folder / "config.json").read_text() + (folder / "README.md").read_text()


def test_classes_keep_their_colours(tmp_path):
    colours = tuple((index, 0, 200) for index in range(len(CLASSES)))
    trained = TrainedModel.load(write_run(tmp_path / "run", info=replace(INFO, colours=colours)))
    trained.save_pretrained(tmp_path / "model")
    classes = TrainedModel.load(tmp_path / "model").tasks["semantic"]
    assert isinstance(classes, Segmentation)
    assert classes.palette.tolist() == [list(colour) for colour in colours]


def test_a_folder_that_was_loaded_is_saved_as_it_was(folder, tmp_path):
    (folder / "README.md").write_text("# edited by hand\n")
    TrainedModel.load(folder).save_pretrained(tmp_path / "copy")
    for name in ("config.json", "README.md", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()


BAD = [
    ({"format": "bert"}, RunError, "does not describe a model of mgm"),
    ({"format_version": 2}, ConfigError, "format version 2, but this version .* reads 1"),
    ({"image_size": 50}, RunError, "multiple of 16"),
    ({"image_size": 48, "model__encoder_stride": 32}, RunError, "multiple of 32"),
    ({"model__encoder_stride": 0}, ConfigError, "unknown encoder stride 0. Choices: 16, 32"),
    ({"model__decoder": "unet"}, ConfigError, "unknown decoder 'unet'. Choices: paper, pyramid"),
    ({"image_size": "large"}, RunError, r"config.json: image_size is 'large'; it must be one number"),
    ({"image_size": "32x40"}, RunError, "image_size is 32x40; it must be a multiple of 16"),
    ({"image_size": -32}, RunError, "it must be one number"),
    ({"aspect": "fill"}, RunError, "aspect: .*'letterbox'"),
    ({"tasks": ["dpeth"]}, ConfigError, "Did you mean 'depth'"),
    ({"tasks": []}, ConfigError, "no task"),
    ({"classes": []}, ConfigError, "needs classes"),
    ({"classes": ["one"]}, RunError, "do not fit"),
    ({"model__architecture": "transformer"}, ConfigError, "unknown architecture"),
    ({"model__depth": 50}, ConfigError, "unknown encoder depth 50"),
    ({"model__widths": [8, 8]}, RunError, "model.widths"),
    ({"model__activation": "gelu"}, ConfigError, "unknown field 'activation'"),
    ({"colour": "red"}, ConfigError, "unknown field 'colour'"),
    ({"normalisation__mean": 0.0}, ConfigError, "this version supports only"),
    ({"model": 3}, RunError, "model: "),
    ({"colours": [[0, 0, 256]]}, RunError, "colours.*less than or equal to 255"),
]


@pytest.mark.parametrize(
    "values, kind, message", BAD, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_what_cannot_be_rebuilt_is_one_clear_error(folder, values, kind, message):
    change(folder, **values)
    with pytest.raises(kind, match=message):
        TrainedModel.load(folder)


DAMAGED = [
    ("{", "damaged"),
    ("[1]", "damaged"),
    ("\xff", "damaged"),
    ("[" * 100_000, "damaged"),
    (" " * 2**21, "it is larger than 1 MB"),
]


@pytest.mark.parametrize("content, message", DAMAGED, ids=lambda value: value[:9])
def test_damaged_description(folder, content, message):
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=message):
        TrainedModel.load(folder)


def test_damaged_and_missing_weights(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in weights.items() if "bias" not in name}, folder / "model.safetensors")
    with pytest.raises(RunError, match="do not fit its settings"):
        TrainedModel.load(folder)
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(RunError, match="model.safetensors is damaged"):
        TrainedModel.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(RunError, match="copy the whole folder"):
        TrainedModel.load(folder)


def test_nothing_is_unpickled(folder, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    assert TrainedModel.load(folder).predict(torch.zeros(20, 30, 3, dtype=torch.uint8).numpy())["depth"].shape == (
        1,
        20,
        30,
    )


def test_place_that_cannot_be_written(run):
    with pytest.raises(RunError, match="cannot create"):
        TrainedModel.load(run).save_pretrained("/proc/model")


def front_matter(card):
    _, header, text = card.split("---\n", 2)
    return yaml.safe_load(header), text


def test_card_of_one_run(run):
    found = TrainedModel.load(run).description
    header, text = front_matter(
        model_card(found, Trials.read([RunFolder(run)]), CardDetails("rooms-small", "apache-2.0"))
    )
    assert header["library_name"] == "mgm"
    assert header["license"] == "apache-2.0"
    assert header["pipeline_tag"] == "image-segmentation"
    assert {"depth-estimation", "task-normal"} <= set(header["tags"])
    scores = {result["task"]["type"]: result["metrics"][0]["value"] for result in header["model-index"][0]["results"]}
    assert scores["depth-estimation"] == 0.1
    assert "| licence of the data | unknown |" in text
    assert "| Depth: absolute error [m] ↓ | 0.1 | 0.6 |" in text
    assert "the variation between seeds is unknown" in text
    assert "- depth: made up" in text
    assert "# rooms-small\n" in text
    # higher is better for segmentation, and the constant predictor of these toys scores more
    assert "Not better than a constant prediction: Semantic segmentation." in text


def test_card_says_how_pictures_of_another_shape_get_into_the_images(run):
    found = replace(TrainedModel.load(run).description, image_size="64x128", aspect="letterbox")
    _, text = front_matter(model_card(found, Trials(), CardDetails()))
    assert "Input size 64 x 128 pixels (height x width); images of another shape are scaled to fit" in text


def test_card_over_seeds_and_licences(run, tmp_path):
    runs = [RunFolder(run), *(RunFolder(write_run(tmp_path / f"s{seed}", toy_settings(seed=seed))) for seed in (1, 2))]
    found = TrainedModel.load(run).description
    stated = ModelDescription(**{**vars(found), "notes": {"licence": "CC BY 4.0"}})
    _, text = front_matter(model_card(stated, Trials.read(runs), CardDetails()))
    assert "| Depth: absolute error [m] ↓ | 0.1 | 0.11 ± 0.01 | 0.6 |" in text
    assert "mean ± sd, 3 seeds" in text
    assert "| licence of the data | CC BY 4.0 |" in text
    _, text = front_matter(model_card(stated, Trials(), CardDetails(data_licence="ask us")))
    assert "| licence of the data | ask us |" in text
    assert "Unknown: no result of a finished training" in text


def test_runs_that_are_no_seeds_of_one_another(run, tmp_path):
    with pytest.raises(ConfigError, match="same seed"):
        Trials.read([RunFolder(run), RunFolder(run)])
    other = RunFolder(write_run(tmp_path / "other", toy_settings(seed=1)))
    usual = other.experiment()
    for changed, says in (
        (replace(usual, data=replace(usual.data, fraction=0.5)), "fraction 0.5, .* 1.0"),
        (replace(usual, training=replace(usual.training, learning_rate=7.0)), "learning_rate 7.0"),
        (replace(usual, model=replace(usual.model, encoder_stride=32)), "encoder_stride 32"),
    ):
        other.config.write_text(to_yaml(changed))
        with pytest.raises(ConfigError, match=says):
            Trials.read([RunFolder(run), other])
    other.config.write_text(to_yaml(replace(usual, data=replace(usual.data, split_seed=1, cache="elsewhere"))))
    assert len(Trials.read([RunFolder(run), other]).results) == 2


def test_card_is_what_the_hub_reads(run):
    hub_library = pytest.importorskip("huggingface_hub")
    card = hub_library.ModelCard(
        model_card(TrainedModel.load(run).description, Trials.read([RunFolder(run)]), CardDetails("toy"))
    )
    assert card.data.library_name == "mgm"
    assert card.data.license == "unknown"
    assert {result.metric_type for result in card.data.eval_results} >= {"miou", "abs_error_m", "angle_deg"}


class LocalHub:
    """What is used of `huggingface_hub`, on a folder."""

    def __init__(self, root):
        self.root = root
        self.calls = []

    def HfApi(self, token):  # noqa: N802 - the library's name
        self.token = token
        return self

    def create_repo(self, repo_id, private, exist_ok):
        assert exist_ok
        self.private = private
        (self.root / repo_id).mkdir(parents=True)
        return type("Url", (), {"repo_id": repo_id})

    def upload_folder(self, repo_id, repo_type, folder_path, commit_message, revision, create_pr):
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.calls.append((repo_type, commit_message, revision, create_pr))
        return f"local/{repo_id}/commit/1"

    def snapshot_download(self, name, allow_patterns, **options):
        assert set(allow_patterns) == {"config.json", "model.safetensors", "README.md"}
        self.calls.append(options)
        if not (self.root / name).exists():
            raise OSError("404 not found\nand a long story")
        return str(self.root / name)


def test_push_and_fetch(run, tmp_path, monkeypatch):
    local = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(hub, "_library", lambda: local)
    trained = TrainedModel.load(run)
    assert trained.push_to_hub("me/toy", private=True, token="t", branch="b") == "local/me/toy/commit/1"
    assert (local.token, local.private) == ("t", True)
    assert local.calls == [("model", "Model of mgm", "b", None)]
    fetched = TrainedModel.from_pretrained("me/toy", revision="v1", local_files_only=True)
    assert local.calls[-1]["revision"] == "v1"
    assert local.calls[-1]["local_files_only"] is True
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, fetched.model.state_dict()[name])
    with pytest.raises(RunError, match=r"me/none: cannot be fetched from the Hub \(404 not found\); check"):
        TrainedModel.from_pretrained("me/none")
    with pytest.raises(RunError, match="me/toy: cannot be pushed"):
        trained.push_to_hub("me/toy")  # the folder is there already, and this hub's mkdir says so


def test_the_library_has_what_is_used_of_it():
    """The stub above has to be asked for what the real one takes."""
    import inspect

    library = pytest.importorskip("huggingface_hub")
    assert {"repo_id", "private", "exist_ok"} <= set(inspect.signature(library.HfApi.create_repo).parameters)
    wanted = {"repo_id", "repo_type", "folder_path", "commit_message", "revision", "create_pr"}
    assert wanted <= set(inspect.signature(library.HfApi.upload_folder).parameters)
    wanted = {"revision", "token", "cache_dir", "force_download", "local_files_only", "allow_patterns"}
    assert wanted <= set(inspect.signature(library.snapshot_download).parameters)


def test_local_folders_need_no_hub_and_the_hub_names_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert TrainedModel.from_pretrained(folder).image_size == (32, 32)
    assert TrainedModel.from_pretrained(str(folder)).image_size == (32, 32)
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[hub\]'"):
        TrainedModel.from_pretrained("someone/model")
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[hub\]'"):
        TrainedModel.load(folder).push_to_hub("me/toy")


def test_folder_without_a_card(folder, tmp_path):
    (folder / "README.md").unlink()
    TrainedModel.load(folder).save_pretrained(tmp_path / "copy")
    assert "library_name: mgm" in ModelFolder(tmp_path / "copy").card_file.read_text()
