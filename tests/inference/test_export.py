"""Graphs that leave the package predict what the package predicts: every architecture, any number of images, real photographs."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgm.data.images import read_photograph
from mgm.data.rooms import RoomsSource
from mgm.errors import ConfigError, RunError
from mgm.inference import export as exporting
from mgm.inference.export import GRAPHS, PredictionGraph, disagreement, export_model
from mgm.inference.fit import Resize
from mgm.inference.model import TrainedModel
from trained_toys import toy_settings, write_run

SIDE = 32
NYUV2 = Path(__file__).parents[3] / "shared" / "data" / "nyuv2_small" / "rgb"


def rooms(count: int) -> torch.Tensor:
    source = RoomsSource(num_images=count, seed=3)
    return torch.stack([torch.from_numpy(source.read(index, SIDE).image) for index in range(count)])


def photographs(count: int) -> torch.Tensor:
    files = sorted(NYUV2.glob("*.jpg"))[:count] if NYUV2.is_dir() else []
    if not files:
        pytest.skip("NYUv2 is not here")
    return torch.cat([Resize().windows(read_photograph(file), SIDE) for file in files])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return TrainedModel.load(write_run(tmp_path_factory.mktemp("runs") / "toy"), "cpu")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A model folder with every graph that can be made here."""
    formats = [name for name in GRAPHS if name != "onnx" or find_spec("onnxruntime")]
    out = tmp_path_factory.mktemp("exported") / "new" / "model"
    differences = export_model(trained, out, formats)
    assert differences.keys() == set(formats)
    assert max(differences.values()) < 1e-4
    return out


@pytest.fixture(scope="module", params=list(GRAPHS))
def graph(request, exported):
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
    kind = GRAPHS[request.param]
    return kind.open(exported / kind.file)


@pytest.mark.parametrize("images", [rooms, photographs])
@pytest.mark.parametrize("count", [1, 5])
def test_graph_agrees_with_pytorch(trained, graph, images, count):
    differences = disagreement(trained, graph, images(count))
    assert differences["semantic"] < 1e-3
    assert differences["depth"] < 1e-4
    assert differences["normal"] < 1e-4


def test_graph_is_what_predict_does_to_a_photograph_of_its_size(trained, graph):
    images = rooms(1)
    values = trained.predict(np.ascontiguousarray(images[0].permute(1, 2, 0).numpy()))
    found = graph(images)
    torch.testing.assert_close(found["depth"][0], values["depth"], atol=1e-4, rtol=0)
    torch.testing.assert_close(found["normal"][0], values["normal"], atol=1e-4, rtol=0)
    assert (found["semantic"][0] == values["semantic"]).float().mean() > 0.99
    assert found["semantic"].dtype == torch.int64


CASES = [
    ("torch", "adashare"),
    *(
        pytest.param(kind, name, marks=pytest.mark.slow)
        for kind, name in (
            ("torch", "cross_stitch"),
            ("torch", "task_groups"),
            ("onnx", "adashare"),
            ("onnx", "cross_stitch_channels"),
            ("onnx", "single_task"),
        )
    ),
]
"""Every architecture beside `multi_task`; ONNX is made of what torch exports."""


@pytest.mark.parametrize("kind, architecture", CASES)
def test_every_architecture_can_be_exported(tmp_path, architecture, kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    trained = TrainedModel.load(write_run(tmp_path / "run", toy_settings(architecture)), "cpu")
    differences = export_model(trained, tmp_path / "out", [kind])
    assert differences[kind] < 1e-4


def test_adashare_is_exported_with_its_own_decisions(tmp_path):
    trained = TrainedModel.load(write_run(tmp_path / "run", toy_settings("adashare")), "cpu")
    encoder: Any = trained.model.encoder
    decisions = np.array(encoder.decide())
    assert 0 < decisions.mean() < 1, "the toy policy has to skip something"
    graph = PredictionGraph(trained)
    graph.get_parameter("model.policy.logits").data.fill_(5)  # as if everything were selected, too late
    with torch.no_grad():
        raw = trained.predict_batch(torch.zeros(1, 3, SIDE, SIDE) - 1)
        assert torch.equal(graph(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8))["depth"], raw["depth"])
    assert np.array(encoder.decide()).tolist() == decisions.tolist()


def test_model_folder_is_complete_and_graphs_carry_their_description(exported):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out = exported
    names = {path.name for path in out.iterdir()}
    assert names == {"model.safetensors", "config.json", "README.md", "model.pt2", "model.onnx"}
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    card = (out / "README.md").read_text()
    assert "`model.onnx`" in card
    assert "`model.pt2`" in card
    model = onnx.load(out / "model.onnx")
    assert model.opset_import[0].version == exporting.OPSET
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["config.json"]) == json.loads((out / "config.json").read_text())
    extra = {"config.json": ""}
    torch.export.load(out / "model.pt2", extra_files=extra)
    assert json.loads(extra["config.json"])["tasks"] == ["semantic", "depth", "normal"]


def test_all_or_nothing(trained, tmp_path, monkeypatch):
    def broken(trained, path):
        path.write_bytes(b"half")
        raise RunError("disk full")

    kind = GRAPHS["torch"]
    monkeypatch.setitem(GRAPHS, "torch", exporting.GraphFormat("", kind.file, broken, kind.open))
    with pytest.raises(RunError, match="disk full"):
        export_model(trained, tmp_path / "out", ["torch"])
    assert list(tmp_path.iterdir()) == []

    for wrong, says in ((1.0, "1"), (torch.nan, "nan")):

        def lie(images, wrong=wrong):
            found = PredictionGraph(trained)(images)
            return found | {"normal": found["normal"] + wrong}

        monkeypatch.setitem(
            GRAPHS, "torch", exporting.GraphFormat("", kind.file, lambda trained, path: None, lambda path, lie=lie: lie)
        )
        with pytest.raises(RunError, match=f"differs from PyTorch by {says}"):
            export_model(trained, tmp_path / "out", ["torch"])
        assert list(tmp_path.iterdir()) == []


def test_occupied_places(trained, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(RunError, match="not empty"):
            export_model(trained, tmp_path / name, [])
    with pytest.raises(RunError, match="cannot create"):
        export_model(trained, Path("/proc/a/b"), [])
    (tmp_path / "empty").mkdir()
    export_model(trained, tmp_path / "empty", [])
    assert TrainedModel.load(tmp_path / "empty").image_size == (SIDE, SIDE)


@pytest.mark.parametrize("place", [".", "../here"])
def test_a_folder_that_is_there_is_filled_and_not_replaced(trained, tmp_path, monkeypatch, place):
    """It may be the working directory, or another disk."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = Path(place).stat().st_ino
    export_model(trained, Path(place), [])
    assert Path(place).stat().st_ino == before
    assert sorted(file.name for file in Path(place).iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert TrainedModel.load(place).description == trained.description


def test_onnx_names_its_extra(trained, tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(exporting, "import_module", absent)
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[onnx\]'"):
        export_model(trained, tmp_path / "out", ["onnx"])
    assert not (tmp_path / "out").exists()
