"""Runs on images that are no RGB: from files to model, page, report and export; and what cannot be mixed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from fake_runs import write_run
from fake_tiles import GREY, TILES, tile, write_tiles
from fakes import write_files
from mgm.api import predict_files
from mgm.data import open_source
from mgm.data.channels import to_levels
from mgm.demo import photographs
from mgm.demo.photographs import example_photographs, read_photograph
from mgm.demo.predictions import predict_photograph
from mgm.demo.runs import open_runs
from mgm.errors import ConfigError, DataError, RunError
from mgm.functional.levels import normalise_levels
from mgm.inference.autolabel import autolabel
from mgm.inference.evaluate import evaluate
from mgm.inference.export import GRAPHS, GraphInput, PredictionGraph, export_run
from mgm.inference.generate import generate
from mgm.inference.model import TrainedModel
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.method.selfsup import SELF_SUPERVISION
from mgm.models import MODELS
from mgm.report.html.run import run_page
from mgm.runs.annotator import make_annotator
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder, read_json
from mgm.runs.other_data import other_data
from mgm.runs.provenance import Beginning
from mgm.runs.starting_weights import start_encoder, with_channels
from mgm.runs.train import train
from mgm.tasks import tasks_for
from mgm.types import ImageFormat
from toys import with_settings


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles", 24)


@pytest.fixture(scope="module")
def run(tiles, tmp_path_factory):
    info = open_source(str(tiles)).info
    return write_run(tmp_path_factory.mktemp("runs") / "run", info=info, data=str(tiles))


def experiment(data, recipe="mgm"):
    made = with_settings(make_experiment(recipe, "tiny", str(data)), num_images=0)
    return with_channels(made, open_source(str(data)).info)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grey", "tiles"])
def test_from_files_to_model_report_page_and_export(kind, tmp_path):
    settings, channels = (GREY, 1) if kind == "grey" else (TILES, 4)
    data = write_tiles(tmp_path / kind, 24, settings, channels)
    run = tmp_path / "run"
    made = with_settings(
        experiment(data), image_channels=3, steps=2, generator_steps=1
    )  # it sees the channels for itself
    result = train(made, run, baseline=False)
    assert set(result["test"]) == {"height", "cover"}
    assert next(iter(generate(run, 2).values())).shape == (2, channels, 32, 32)
    assert evaluate(run).scores == result["test"]
    prepared = evaluate(run, data=str(data), split="all")
    assert prepared.num_images == 24
    assert "data:image" in run_page(RunFolder(run))
    export_run(run, tmp_path / "model", ("torch",))
    image = next((data / "rgb").iterdir())
    predict_files(tmp_path / "model", [str(data / "rgb")], tmp_path / "out", save=("npy", "sheet"))
    height = np.load(tmp_path / "out" / f"{image.stem}_height.npy")
    assert height.shape == (1, 32, 32)
    served = open_runs([run])
    assert len(served.examples) > 1
    assert predict_photograph(served.first, served.examples[0]).values["height"].shape == (1, 32, 32)
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"{channels} channel" in card
    assert "image.tif" in card


@pytest.mark.parametrize("architecture", MODELS)
def test_every_architecture_takes_images_of_four_channels(architecture, tiles):
    info, made = open_source(str(tiles)).info, experiment(tiles)
    groups = info.tasks if architecture == "task_groups" else ()
    model = build_model(tasks_for(info), replace(made.model, architecture=architecture, groups=groups), 0)
    assert model(torch.zeros(2, 4, 32, 32))["height"].shape == (2, 1, 32, 32)


def test_a_model_predicts_arrays_and_files_in_the_numbers_of_its_training(run, tmp_path):
    model = TrainedModel.load(run, "cpu")
    tifffile.imwrite(tmp_path / "a.tif", tile(0), photometric="minisblack", planarconfig="contig")
    np.save(tmp_path / "a.npy", tile(0).transpose(2, 0, 1))
    expected = model.predict(tile(0))
    levels = torch.from_numpy(np.round(tile(0) / 4095 * 65535) / 65535 * 2 - 1).float().permute(2, 0, 1)[None]
    torch.testing.assert_close(
        expected["height"], model.tasks["height"].decode(model.predict_batch(levels)["height"])[0]
    )
    for source in (tmp_path / "a.tif", str(tmp_path / "a.npy"), tile(0).astype(np.float32)):
        assert torch.equal(model.predict(source)["height"], expected["height"])
    for fit in ("pad", "tile"):
        assert model.predict(np.tile(tile(0), (1, 2, 1)), fit=fit)["height"].shape == (1, 32, 64)


def test_images_of_other_channels_than_the_models_are_one_clear_error(run, tmp_path):
    np.save(tmp_path / "a.npy", tile(0)[:, :, :3])
    with pytest.raises(DataError, match="has 3 channels; this model takes images of 4"):
        predict_files(run, [str(tmp_path / "a.npy")], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    np.save(tmp_path / "a.npy", tile(0))
    assert predict_files(run, [str(tmp_path)], tmp_path / "out", save=("npy",)).images == 1  # arrays of folders, too
    with pytest.raises(DataError, match="it must be uint8 RGB"):
        TrainedModel.load(write_run(tmp_path / "rgb"), "cpu").predict(tile(0))


def test_a_graph_sees_numbers_as_the_network_does():
    kind = ImageFormat(2, "uint16", ((100, 300), (-1, 1)))
    values = np.stack([np.linspace(50, 350, 12), np.linspace(-2, 2, 12)], axis=1).reshape(3, 4, 2)
    values[1, 1] = np.nan
    levels = torch.from_numpy(to_levels(values, kind, "a"))
    seen = GraphInput(kind)(torch.from_numpy(values).float().permute(2, 0, 1)[None])[0]
    torch.testing.assert_close(seen, normalise_levels(levels).permute(2, 0, 1), rtol=0, atol=1e-4)
    drawn = GraphInput(kind).random((2, 2, 4, 4))[:, 0]
    assert 100 <= drawn.min() < drawn.max() <= 300


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_an_exported_graph_takes_the_numbers_of_the_files(run, tmp_path, name):
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    assert max(export_run(run, tmp_path / "model", (name,)).values()) < 1e-4
    graph = GRAPHS[name].open(tmp_path / "model" / GRAPHS[name].file)
    values = graph(torch.from_numpy(tile(0).astype(np.float32)).permute(2, 0, 1)[None])
    expected = TrainedModel.load(tmp_path / "model", "cpu").predict(tile(0))
    torch.testing.assert_close(values["height"][0], expected["height"], rtol=1e-4, atol=1e-3)
    assert TrainedModel.load(tmp_path / "model").info.image == TrainedModel.load(run).info.image


def test_a_graph_of_16_bits_without_a_range_takes_levels_of_16_bits(tiles, tmp_path):
    (folder := tmp_path / "deep").mkdir()
    write_tiles(folder, 12, TILES.replace(", range: [0, 4095]", ""))
    run = write_run(tmp_path / "run", info=open_source(str(folder)).info, data=str(folder))
    model = TrainedModel.load(run, "cpu")
    graph = PredictionGraph(model)
    assert graph.example().dtype == torch.uint16
    values = graph(torch.from_numpy(tile(0)).permute(2, 0, 1)[None])
    torch.testing.assert_close(values["height"][0], model.predict(tile(0))["height"])


def test_a_model_folder_whose_channels_contradict_each_other_is_damaged(run, tmp_path):
    TrainedModel.load(run, "cpu").save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    values = json.loads(file.read_text())
    for change, says in (({"channels": 3, "show": []}, "image has 3 channels"), ({"channels": 99}, "must be 1 to 16")):
        file.write_text(json.dumps({**values, "image": {**values["image"], **change}}))
        with pytest.raises(RunError, match=says):
            TrainedModel.load(tmp_path / "model")


def test_the_page_takes_tiff_and_shows_the_chosen_channels(run, tmp_path, monkeypatch):
    served = open_runs([run])
    kind = served.first.model.info.image
    tifffile.imwrite(tmp_path / "a.tif", tile(0), photometric="minisblack", planarconfig="contig")
    shot = read_photograph(tmp_path / "a.tif", "a.tif", kind)
    assert shot.rgb.shape == (32, 32, 3)
    low, high = np.quantile(tile(0)[:, :, :3], (0.02, 0.98))  # 16-bit images are stretched for display
    assert np.abs(shot.rgb - ((tile(0)[:, :, 2::-1] - low) / (high - low)).clip(0, 1) * 255).max() <= 1
    assert predict_photograph(served.first, shot).values["height"].shape == (1, 32, 32)
    with monkeypatch.context() as patch:
        patch.setattr(photographs, "MAX_PIXELS", 10)
        with pytest.raises(DataError, match="claims to be"):  # before it is decoded
            read_photograph(tmp_path / "a.tif", "a.tif", kind)
    example = example_photographs(run, 1)[0]
    assert example.pixels.shape[2] == 4
    assert example.rgb.dtype == np.uint8
    (tmp_path / "b.tif").write_bytes(b"II*\0nonsense")
    with pytest.raises(DataError, match="b.tif: is damaged"):
        read_photograph(tmp_path / "b.tif", "b.tif", kind)
    with pytest.raises(ConfigError, match="take images of 4 channels.*serve them separately"):
        open_runs([run, write_run(tmp_path / "rgb")])


def test_other_data_are_scored_if_their_images_mean_the_same(run, tmp_path):
    same = write_tiles(tmp_path / "same", 6)
    assert evaluate(run, data=str(same), split="all").num_images == 6
    other = write_tiles(tmp_path / "other", 6, TILES.replace("4095", "10000"))
    with pytest.raises(ConfigError, match=r"numbers 0 to 10000.*numbers 0 to 4095; declare the same range"):
        evaluate(run, data=str(other), split="all")
    with pytest.raises(ConfigError, match="images of rooms have 3 channels, those of tiles 4"):
        evaluate(run, data="rooms")


@pytest.mark.parametrize("what", ["pretrain", "extra_images"])
def test_rooms_cannot_be_mixed_with_other_images(tiles, what):
    made = experiment(tiles)
    data = load_data(made, "cpu")
    with pytest.raises(ConfigError, match=f"{what}: images of rooms have 3 channels, those of tiles 4"):
        other_data(made.data, data, "rooms", what)


def test_predicted_labels_stand_beside_images_that_are_declared_as_in_training(run, tiles, tmp_path):
    autolabel(run, tiles, tmp_path / "labelled")
    source = open_source(str(tmp_path / "labelled"))
    assert source.info.image == open_source(str(tiles)).info.image
    assert np.array_equal(source.read(0, 32).image, open_source(str(tiles)).read(0, 32).image)


def test_an_annotator_for_other_images_is_refused(tiles, tmp_path):
    rooms = write_run(tmp_path / "rooms")
    write_files(rooms, {"result.json": b"{}"})
    made = with_settings(experiment(tiles), annotator=str(rooms))
    with pytest.raises(ConfigError, match="annotator .*: images of rooms have 3 channels"):
        make_annotator(made, load_data(made, "cpu"))


def test_a_turn_of_colours_is_refused_without_colours(tiles):
    with pytest.raises(ConfigError, match="images of tiles have 4 channels; use --hue 0"):
        load_data(with_settings(experiment(tiles), hue=0.1), torch.device("cpu"))


def test_an_encoder_for_rgb_is_fitted_to_other_channels_and_no_other_one(run, tiles, tmp_path):
    info, made = open_source(str(tiles)).info, experiment(tiles)
    rooms = write_run(tmp_path / "rooms")
    for folder in (rooms, run):
        write_files(folder, {"result.json": b"{}"})
    config = replace(made.model, encoder_run=str(rooms))
    model = build_model(tasks_for(info), config, 0)
    start_encoder(model, config)
    kernel = TrainedModel.load(rooms, "cpu").model.encoder.state_dict()["layers.0.weight"]
    torch.testing.assert_close(model.encoder.state_dict()["layers.0.weight"][:, 3], kernel[:, 0] * 0.75)
    config = replace(made.model, encoder_run=str(run), image_channels=2)
    with pytest.raises(ConfigError, match="its images have 4 channels, this run's 2"):
        start_encoder(build_model(tasks_for(info), config, 0), config)


def test_a_run_that_was_begun_on_other_channels_may_be_continued_by_its_command(run, tiles):
    asked = make_experiment("mgm", "tiny", str(tiles))
    begun = read_json(RunFolder(run).beginning, Beginning)
    own = RunFolder(run).experiment()
    assert own.model.image_channels == 4
    begun.check(replace(own, model=asked.model), derived=True)
    with pytest.raises(ConfigError, match="model.image_channels: 4 -> 3"):
        begun.check(replace(own, model=asked.model))


def test_reconstruction_gives_back_every_channel(tiles):
    made = experiment(tiles)
    model = build_model(tasks_for(open_source(str(tiles)).info), made.model, 0)
    head = SELF_SUPERVISION["reconstruction"].build_head(model.encoder, made.model)
    assert head(model.encoder(torch.zeros(2, 4, 32, 32))[-1]).shape == (2, 4, 32, 32)
