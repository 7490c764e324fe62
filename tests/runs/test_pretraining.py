"""Runs whose encoder was pre-trained say so wherever a number of theirs stands."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mgm.config import ModelConfig
from mgm.demo.runs import summary
from mgm.inference.model_card import CardDetails, Trials, model_card
from mgm.inference.model_folder import ModelDescription
from mgm.report.html.run import run_page
from mgm.report.run_summary import result_table
from mgm.runs.folder import RunFolder, read_result, write_json
from mgm.runs.pretraining import MARK, footnotes, marked, pretraining
from mgm.tasks import make_tasks
from mgm.types import DatasetInfo
from trained_toys import CLASSES, INFO, toy_settings, write_run

NOTE = f"{MARK} pre-trained encoder, ImageNet (lite0): not comparable with runs from scratch"


def finished(folder: Path, encoder: str, seed: int = 0) -> Path:
    """A finished run by its files; its weights, which do not belong to such an encoder, are gone."""
    run = RunFolder(write_run(folder, toy_settings(seed=seed)))
    run.config.write_text(run.config.read_text().replace("encoder: resnet", f"encoder: {encoder}"))
    model = run.experiment().model
    assert model.encoder == encoder
    shutil.rmtree(run.checkpoints)
    classes = {"semantic": {"<b>": {"iou": 0.25, "pixels": 0.75}, "floor": {"iou": None, "pixels": 0.0}}}
    result = read_result(run.result) | {"pretrained": pretraining(model), "classes": classes}
    write_json(run.result, result)
    return folder


@pytest.fixture
def root(tmp_path):
    finished(tmp_path / "runs/light", "lite0")
    finished(tmp_path / "runs/plain", "resnet")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    "encoder, text",
    [
        ("resnet", ""),
        ("hf:facebook/dinov2-small", "hf:facebook/dinov2-small"),
        ("hf:/home/someone/models/dino", "hf:dino"),
        ("lite0", "ImageNet (lite0)"),
    ],
)
def test_short_text(encoder, text):
    assert pretraining(ModelConfig(encoder=encoder)) == text
    assert (marked("mgm", text) == "mgm") == (not text)
    assert footnotes([text, "", text]) == ([NOTE.replace("ImageNet (lite0)", text)] if text else [])


def test_list_of_runs(mgm, root):
    out = mgm.done("runs", root)
    assert f"light {MARK}" in out
    assert f"plain {MARK}" not in out
    assert "not comparable with runs from scratch" in " ".join(out.split())
    rows = {row["path"].rpartition("/")[2]: row for row in csv.DictReader(io.StringIO(mgm("runs", root, "--csv")[1]))}
    assert (rows["light"]["pretrained"], rows["plain"]["pretrained"]) == ("ImageNet (lite0)", "")


def test_runs_with_other_pretraining_are_not_compared_without_a_word(mgm, root):
    out = mgm.done("compare", root / "light", root / "plain")
    assert MARK in out
    assert "the encoders were pre-trained on different data" in out
    assert "(ImageNet (lite0): mt (light); from scratch: mt (plain))" in out
    assert f"mt (light): {root / 'light'}; encoder lite0" in out.replace("\n", " ")
    assert "encoder_run" not in out, "empty settings say nothing"
    found = json.loads(mgm("compare", root / "light", root / "plain", "--json")[1])
    assert found["pretrained"] == {"mt (light)": "ImageNet (lite0)"}
    assert found["pretraining_note"].startswith("the encoders were pre-trained on different data")
    finished(root / "other", "lite0", seed=1)
    same = json.loads(mgm("compare", root / "light", root / "other", "--json")[1])
    assert same["pretraining_note"] == ""


def test_tables_of_a_run_and_of_its_baseline():
    scores = {"depth": {"abs_error_m": 0.5}}
    result = {"recipe": "mgm", "test": scores, "constant": scores, "pretrained": "ImageNet (lite0)"}
    result["baseline"] = {"recipe": "mt", "test": scores, "pretrained": "ImageNet (lite0)"}
    info = DatasetInfo("rooms", ("depth",))
    text = result_table(result, info).markdown()
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == ["constant", f"mt {MARK}", f"mgm {MARK}"]
    assert text.endswith(f"\n{NOTE}\n")
    del result["pretrained"], result["baseline"]["pretrained"]  # by an earlier version
    assert MARK not in result_table(result, info).markdown()


def test_page_of_a_run_with_its_classes(root):
    page = run_page(RunFolder(root / "light"))
    assert f"mt {MARK}" in page
    assert NOTE in page
    assert "pre-trained encoder (ImageNet (lite0))" in page
    assert re.search(r'&lt;b&gt;</th><td class="n"[^>]*>75.0 %</td><td class="n"[^>]*>0.250</td>', page)
    assert re.search(r'<td class="n"[^>]*>0.0 %</td><td class="n"[^>]*>–</td>', page)
    plain = run_page(RunFolder(root / "plain"))
    assert MARK not in plain
    assert "ResNet-10" in plain


def test_model_card(root):
    for name, expected in (("light", True), ("plain", False)):
        run = RunFolder(root / name)
        card = model_card(ModelDescription.of(run.experiment(), INFO), Trials.read([run]), CardDetails())
        assert (NOTE in card) == expected
        assert (f"this model {MARK}" in card) == expected
        assert ("pre-trained encoder (ImageNet (lite0))" in card) == expected


def test_line_of_the_web_page(root):
    for name, expected in (("light", True), ("plain", False)):
        run = RunFolder(root / name)
        model: Any = SimpleNamespace(
            experiment=run.experiment(), image_size=(32, 32), info=INFO, tasks=make_tasks(INFO.tasks, CLASSES)
        )
        line = summary(model, read_result(run.result))
        assert ("pre-trained encoder (ImageNet (lite0))" in line) == expected
