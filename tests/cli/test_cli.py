"""Every verb through the entry point, on a small set of photographs; every error that a user can cause on the way."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fake_runs import pixels
from fakes import write_camvid, write_nyuv2
from mgm.cli.main import VERBS, set_waiting
from mgm.cli.train import parse_train
from mgm.errors import ConfigError
from mgm.method.recipes import RECIPES, make_experiment
from mgm.tasks import TASKS
from mgm.training.checkpoint import load_checkpoint

undrawn = pytest.mark.usefixtures("without_pictures")
TINY = ["--preset", "tiny", "--batch-size", "4", "--generator-batch-size", "4"]
SHORT = [*TINY, "--steps", "2", "--generator-steps", "1", "--pretrain-steps", "1"]


def test_help_names_every_verb_recipe_and_an_example(mgm):
    out = mgm.done("--help")
    for name in (*VERBS, *RECIPES):
        assert name in out
    for verb in VERBS.values():
        assert verb.example in out


@pytest.mark.parametrize("verb", ["data inspect", "data render", "data list"])
def test_help_of_verbs_of_data_has_an_example(mgm, verb):
    """That of all others: tests/contracts/test_imports.py."""
    out = mgm.done(*verb.split(), "--help")
    assert "Example" in out


def test_train_writes_everything(finished):
    for name in ("config.yaml", "dataset.json", "metrics.jsonl", "result.json", "baseline/result.json"):
        assert (finished / name).stat().st_size > 0
    for name in ("predictions.png", "generated.png", "curves.png"):
        assert pixels(finished / "pictures" / name).shape[1] > 200
    result = json.loads((finished / "result.json").read_text())
    table = (finished / "table.md").read_text()
    assert f"{result['test']['depth']['rmse_m']:.3f}" in table
    assert all(f"| {row} |" in table for row in ("constant", "mt", "mgm"))
    assert {"data", "fraction", "seed", "image_size", "num_labelled", "seconds", "commit", "versions"} <= result.keys()
    assert (result["recipe"], result["baseline"]["recipe"]) == ("mgm", "mt")
    assert result["steps"] == result["baseline"]["steps"] == 6
    assert result["pretrained"] == result["baseline"]["pretrained"] == ""
    for member in (result, result["baseline"]):
        ious = [score["iou"] for score in member["classes"]["semantic"].values()]
        assert sum(ious) / len(ious) == pytest.approx(member["test"]["semantic"]["miou"])
    for split in ("test", "validation"):
        assert {name: list(scores) for name, scores in result[split].items()} == {
            name: list(TASKS[name].metrics_info) for name in ("semantic", "depth", "normal")
        }
    ours, base = result["test"]["depth"]["abs_error_m"], result["baseline"]["test"]["depth"]["abs_error_m"]
    assert result["gain"]["depth"] == pytest.approx((base - ours) / base)


def test_checkpoints_hold_weights_and_plain_values_alone(finished):
    for path in (finished / "checkpoints").iterdir():
        assert load_checkpoint(path)  # weights_only=True: anything else is refused


def test_evaluate_repeats_the_test_scores(mgm, finished):
    out = mgm.done("evaluate", finished, "--json")
    result, found = json.loads((finished / "result.json").read_text()), json.loads(out)
    stored = result["test"]
    assert found["classes"] == result["classes"]
    assert (found["split"], found["flip_average"], found["pretrained"]) == ("test", False, "")
    for task, scores in found["scores"].items():
        for metric, value in scores.items():
            assert value == pytest.approx(stored[task][metric], rel=1e-5), (task, metric)


def test_evaluate_prints_a_table_of_another_split(mgm, finished):
    out = mgm.done("evaluate", finished, "--split", "validation")
    assert "mIoU" in out
    assert "validation set of nyuv2" in out


def test_evaluate_on_other_data_takes_all_its_images(mgm, finished, tmp_path):
    other = write_nyuv2(tmp_path / "other", count=5)
    code, out, err = mgm("evaluate", finished, "--data", other, "--split", "all")
    assert code == 0
    assert "all images of nyuv2, 5 images" in out
    assert "the scores are optimistic" in err
    road = write_camvid(tmp_path / "road")
    assert "other classes" in mgm.refused("evaluate", finished, "--data", road)
    assert mgm("evaluate", finished, "--split", "tset")[0] == 2


def test_generate_before_and_after(mgm, finished, tmp_path):
    pictures = []
    for stage in ("generator", "joint"):
        mgm.done("generate", finished, "--num", 2, "--stage", stage, "--out", tmp_path / f"{stage}.png")
        pictures.append(pixels(tmp_path / f"{stage}.png"))
    assert pictures[0].shape == pictures[1].shape
    assert not np.array_equal(*pictures)


def test_resume_of_a_finished_run_prints_its_result(mgm, finished):
    before = (finished / "result.json").read_bytes()
    out = mgm.done("train", "--resume", finished)
    assert "against mt" in out
    mean = json.loads(before)["gain"]["mean"]
    assert f"mean gain {'–' if mean is None else f'{100 * mean:+z.1f} %'}" in " ".join(out.split())
    assert (finished / "result.json").read_bytes() == before
    assert f"mgm report {finished}" in out


@undrawn
def test_killed_run_resumes_to_the_same_result(mgm, interrupted, photographs, finished, tmp_path):
    """Killed in stage 2 of the full method, after its baseline: weights and scores end bitwise the same."""
    out = tmp_path / "killed"
    with interrupted(lambda trainer, stage, index: stage.name == "generator" and index == 2):
        code, _, err = mgm("train", "mgm", *TINY, "--data", photographs, "--out", out)
    assert code == 130
    assert "--resume" in err
    assert not (out / "result.json").exists()
    assert mgm("train", "--resume", out)[0] == 0
    for name in ("best.pt", "generator_after_joint.pt"):
        whole, resumed = (load_checkpoint(run / "checkpoints" / name) for run in (finished, out))
        for key, value in (whole.get("model") or whole["generator"]).items():
            assert torch.equal(value, (resumed.get("model") or resumed["generator"])[key])
    results = [json.loads((run / "result.json").read_text()) for run in (finished, out)]
    assert results[0]["test"] == results[1]["test"]
    assert (finished / "metrics.jsonl").read_text() == (out / "metrics.jsonl").read_text()


QUICK_RECIPES = ("mt", "st", "mgm_no_generator", "mgm_real")
SLOW_RECIPES = (
    "mgm_not_joint",
    "mgm_combine",
    "st_synthesized",
    "mgm_cross_stitch",
    "mgm_task_grouping",
    "mgm_adashare",
)
"""With these the ones above have every source of extra images and every architecture; all recipes: tests/method/test_recipes.py."""


def needs(recipe: str, run: Path) -> list[str]:
    """What only a user can give to a recipe."""
    options = {"mgm_combine": ["--generator-runs", run], "st_synthesized": ["--annotator", run]}
    options |= {"mgm_task_grouping": ["--groups", "semantic+depth", "normal/depth"]}
    return list(map(str, options.get(recipe, [])))


@undrawn
@pytest.mark.parametrize(
    "recipe", [*QUICK_RECIPES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_RECIPES)]
)
def test_recipes_train(mgm, photographs, finished, tmp_path, recipe):
    options = [*SHORT, "--data", photographs, "--fraction", 0.5, "--no-baseline", *needs(recipe, finished)]
    out = mgm.done("train", recipe, *options, "--out", tmp_path / "r")
    assert "mIoU" in out
    scores = json.loads((tmp_path / "r/result.json").read_text())["test"]
    assert math.isfinite(scores["depth"]["abs_error_m"])


@undrawn
@pytest.mark.parametrize(
    "options",
    [
        "--extra-images composites --extra-uses labels --precision bf16",
        "--generator dcgan --refinement peoe --batch-size 1 --generator-batch-size 1",
        "--refinement eml_explicit --self-supervision reconstruction --max-gradient-norm 1",
        "--refinement lset --optimizer-step combined --ema 0.9 --statistics all",
        "--gradient-into-generator --optimizer-step combined --extra-ratio 0.5",
        "--tasks depth --architecture single_task --no-augment",
        "--decoder pyramid --decoder-width 8 --output-stride 2 --encoder-stride 32 --schedule one_cycle --warm-up 0.2 "
        "--optimizer adamw --weight-decay 0.01",
    ],
)
def test_settings_that_vary_the_method(mgm, photographs, tmp_path, options):
    arguments = [*SHORT, "--data", photographs, *options.split(), "--no-baseline", "--out", tmp_path / "r"]
    mgm.done("train", "mgm", *arguments)
    records = [json.loads(line) for line in (tmp_path / "r/metrics.jsonl").read_text().splitlines()]
    assert records[-1]["stage"] in ("joint", "continued")
    assert json.loads((tmp_path / "r/result.json").read_text())["test"]


@undrawn
def test_a_run_with_other_decoders_is_rebuilt_from_its_folder(mgm, photographs, tmp_path):
    run = tmp_path / "r"
    options = ["--decoder", "pyramid", "--decoder-width", "8", "--encoder-stride", "32", "--schedule", "linear"]
    code, _, err = mgm("train", "mt", *SHORT, "--data", photographs, *options, "--out", run)
    assert code == 0, err
    kept = [key for key in load_checkpoint(run / "checkpoints/best.pt")["model"] if key.startswith("decoders.")]
    assert any(key.startswith("decoders.merges.") for key in kept)
    out = mgm.done("evaluate", run, "--json")
    stored = json.loads((run / "result.json").read_text())["test"]
    assert json.loads(out)["scores"]["depth"]["abs_error_m"] == pytest.approx(stored["depth"]["abs_error_m"], rel=1e-5)


def test_multi_hot_labels(mgm, tmp_path):
    data = write_camvid(tmp_path / "camvid")
    options = ["--tasks", "semantic", "--split", "official", "--no-baseline"]
    mgm.done("train", "mgm", *SHORT, "--data", data, *options, "--out", tmp_path / "r")
    assert (tmp_path / "r/pictures/generated.png").exists()


@undrawn
def test_settings_file(mgm, photographs, finished, tmp_path):
    mgm.done("train", "mt", "--config", finished / "config.yaml", "--seed", 3, *SHORT[-6:], "--out", tmp_path / "r")
    result = json.loads((tmp_path / "r/result.json").read_text())
    assert (result["recipe"], result["seed"]) == ("mt", 3)


def test_recipe_may_stand_behind_the_options():
    options = parse_train(["--preset", "tiny", "mt", "--seed", "3"])
    assert options.experiment == replace(make_experiment("mt", "tiny"), seed=3)
    with pytest.raises(ConfigError, match="unknown recipe"):
        parse_train(["--preset", "tiny", "mtt"])


def test_recipe_that_does_not_follow_from_the_file(mgm, finished, tmp_path):
    code, _, err = mgm("train", "mgm", "--config", finished / "baseline/config.yaml", "--out", tmp_path / "r")
    assert code == 2
    assert "does not follow" in err
    made_up = tmp_path / "made_up.yaml"
    made_up.write_text("recipe: hello\n")
    assert "unknown recipe 'hello'" in mgm.refused("train", "--config", made_up, "--out", tmp_path / "r")


def test_places_that_cannot_be_written(mgm, finished, tmp_path):
    (tmp_path / "folder.png").mkdir()
    code, _, err = mgm("generate", finished, "--num", 1, "--out", tmp_path / "folder.png")
    assert code == 2
    assert "cannot write" in err
    photograph = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(photograph)
    assert "cannot write" in mgm.refused("predict", finished, photograph, "--out", "/proc")


def test_data_verbs(mgm, photographs, tmp_path):
    code, out, _ = mgm("data", "list")
    assert code == 0
    assert "rooms" in out
    code, out, _ = mgm("data", "inspect", photographs, "--num", 4, "--out", tmp_path / "sheet.png")
    assert code == 0
    assert (tmp_path / "sheet.png").exists()
    out = mgm.done("data", "render", "--num-images", 3, "--image-size", 32, "--cache", tmp_path / "cache")
    assert Path(out.strip()).exists()


ERRORS = [
    (["trian"], "Did you mean 'train'"),
    (["train", "mgmm"], "unknown recipe 'mgmm'"),
    (["train", "--preset", "huge"], "unknown preset"),
    (["train", "--data", "/nowhere"], "/nowhere"),
    (["train", "--image-size", "50"], "multiple of 16"),
    (
        ["train", "--image-size", "144"],
        "can make 160 and 128, and recipes without a generator (mt, mgm_no_generator) take",
    ),
    (
        ["train", "mt", "--image-size", "96x100"],
        "image_size is 96x100; 100 must be a multiple of 16, for example 96x96",
    ),
    (["train", "--image-size", "32x64", "--quarter-turns"], "quarter_turns is on"),
    (["train", "mt", "--image-size", "64xwide"], "one number (a square) or HEIGHTxWIDTH"),
    (
        ["train", "mt", "--image-size", "96x128", "--early-sizes", "32"],
        "no image of the shape of 96x128 has a shorter side of 32",
    ),
    (["train", "mt", "--image-size", "96x192", "--early-sizes", "16", "--encoder-stride", "32"], "multiples of 32"),
    (["train", "--fraction", "1.5"], "(0, 1]"),
    (["train", "--refinement", "em"], "Did you mean 'eml'"),
    (["train", "--extra-images", "gan"], "Choices"),
    (["train", "--extra-uses", "labels"], "no pixel labels"),
    (["train", "--generator", "biggan"], "unknown generator"),
    (["train", "--architecture", "mt"], "unknown architecture"),
    (["train", "--depth", "50"], "Choices"),
    (["train", "--decoder", "piramid"], "Did you mean 'pyramid'"),
    (["train", "--decoder-width", "0"], "decoder_width is 0; it must be above 0"),
    (["train", "--output-stride", "3"], "output_stride is 3. Choices: 2, 4"),
    (["train", "--encoder-stride", "8"], "encoder_stride is 8. Choices: 16, 32"),
    (["train", "mt", "--encoder-stride", "32", "--image-size", "48"], "multiple of 32, for example 64"),
    (["train", "--schedule", "cosine"], "unknown schedule 'cosine'. Choices: constant, linear, one_cycle"),
    (["train", "--warm-up", "1"], "warm_up is 1.0; it must lie in [0, 1)"),
    (["train", "--warm-up", "-0.1"], "[0, 1)"),
    (["train", "--warm-up", "nan"], "warm_up is nan; it must be a number below"),
    (["train", "--device", "cuda"], "no CUDA GPU"),
    (["train", "--device", "tpu"], "unknown device"),
    (["train", "--tasks", "depht"], "Did you mean 'depth'"),
    (["train", "--batch-size", "4000"], "too few"),
    (["train", "--split", "scenery"], "split"),
    (["train", "mt", "--folds", "1000"], "too few for 1000 folds"),
    (["train", "MT"], "Did you mean 'mt'"),
    (["train", "mgm_real", "--fraction", "1"], "--fraction"),
    (["train", "--steps", "-5"], "steps"),
    (["train", "--learning-rate", "0"], "above 0"),
    (["train", "--learning-rate", "inf"], "learning_rate is inf; it must be a number below"),
    (["train", "--joint-share", "0"], "would be its baseline"),
    (["train", "--config", "/tmp"], "cannot be read"),
    (["data", "render", "--image-size", "-1"], "one number"),
    (["generate", "/nowhere", "--out", "a.jpg"], ".png"),
    (["train", "--ema", "1"], "[0, 1)"),
    (["train", "mgm_combine"], "--generator-runs RUN"),
    (["train", "mgm_combine", "--generator-runs", "/nowhere"], "generator_runs /nowhere: no run folder"),
    (["train", "st_synthesized"], "--annotator RUN"),
    (["train", "st_synthesized", "--annotator", "/nowhere"], "annotator /nowhere: no run folder"),
    (["train", "mt", "--encoder-run", "/nowhere"], "encoder_run /nowhere: no run folder"),
    (["train", "mt", "--freeze-encoder"], "--encoder-run RUN"),
    (["train", "task_grouping"], "--groups semantic+depth normal"),
    (["train", "task_grouping", "--groups", "semantic+dept", "normal"], "'dept' is no task"),
    (["train", "mt", "--groups", "semantic"], "task_grouping"),
    (["train", "--tasks", "depth", "--extra-images", "composites"], "semantic"),
    (["train", "--pretrain", "/nowhere"], "/nowhere"),
    (["train", "--config", "/nowhere.yaml"], "does not exist"),
    (["train", "--config", "a.yaml", "--preset", "tiny"], "exclude"),
    (["train", "--resume", "/nowhere"], "no run folder"),
    (["train", "--resume", "/nowhere", "--steps", "9"], "own settings"),
    (["evaluate", "/nowhere"], "no run folder"),
    (["predict", "/nowhere", "a.jpg"], "no run folder"),
    (["generate", "/nowhere"], "no run folder"),
    (["data", "inspcet"], "Did you mean 'inspect'"),
    (["inspect"], "Did you mean 'data inspect'"),
    (["predict", __file__, "a.jpg"], "is a file; give the folder of the run or of the exported model"),
    (["data", "inspect", "/nowhere"], "/nowhere"),
]


@pytest.mark.parametrize(
    "arguments, message", ERRORS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_errors_are_one_clear_line(mgm, photographs, tmp_path, arguments, message):
    out = tmp_path / "out"
    if arguments[0] == "train" and "--resume" not in arguments:
        recipe = [] if len(arguments) > 1 and not arguments[1].startswith("-") else ["mgm"]
        preset = [] if {"--preset", "--config"} & set(arguments) else TINY[:2]
        data = [] if "--data" in arguments else ["--data", photographs]
        arguments = [arguments[0], *recipe, *arguments[1:], *preset, *data, "--out", out]
    assert message in mgm.refused(*arguments)
    assert not out.exists(), "an error must leave nothing behind"


def test_unknown_option_lists_near_ones(mgm):
    code, out, err = mgm("train", "mgm", "--fractoin", "0.5")
    assert code == 2
    assert "--fraction" in out + err
    assert "Traceback" not in err


def test_occupied_folder_is_refused(mgm, photographs, finished):
    code, _, err = mgm("train", "mgm", *TINY, "--data", photographs, "--out", finished)  # says first what is built
    assert code == 2
    assert "--resume" in err


@pytest.mark.parametrize("verb", ["evaluate", "predict", "generate"])
def test_gpu_that_is_not_there(mgm, finished, tmp_path, verb):
    images = [tmp_path / "a.png"] if verb == "predict" else []
    assert "no CUDA GPU" in mgm.refused(verb, finished, *images, "--device", "cuda")


def test_damaged_files_of_a_run(mgm, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "checkpoints/best.pt").write_bytes(b"junk")
    assert "damaged" in mgm.refused("evaluate", copy)
    (copy / "dataset.json").write_text("{")
    assert mgm("evaluate", copy)[0] == 2
    (copy / "config.yaml").write_text("seed: [")
    assert mgm("evaluate", copy)[0] == 2


def test_one_scene_alone_is_refused(mgm, tmp_path):
    root = write_nyuv2(tmp_path / "one")
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["scene_type"], row["scene_type_id"] = rows[0]["scene_type"], rows[0]["scene_type_id"]
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert "--refinement none" in mgm.refused("train", "mgm", *TINY, "--data", root, "--out", tmp_path / "r")


def _truncate(root: Path) -> str:
    victim = sorted((root / "rgb").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:40])
    return victim.name


def _remove_partner(root: Path) -> str:
    victim = sorted((root / "normal").iterdir())[0]
    victim.unlink()
    return victim.stem


@pytest.mark.parametrize("damage", [_truncate, _remove_partner])
def test_damaged_data_stop_before_anything_is_written(mgm, tmp_path, damage):
    root = write_nyuv2(tmp_path / "nyuv2")
    named = damage(root)
    out = tmp_path / "run"
    assert named in mgm.refused("train", "mgm", *TINY, "--data", root, "--out", out)
    assert not out.exists()


@undrawn
def test_rooms_for_pretraining_and_as_extra_images(mgm, photographs, tmp_path):
    uses = ("labels", "refinement", "self_supervision")
    options = ["--num-rooms", "20", "--pretrain", "rooms", "--extra-images", "rooms", "--extra-uses", *uses]
    mgm.done("train", "mgm", *SHORT, "--data", photographs, *options, "--no-baseline", "--out", tmp_path / "r")
    stages = [json.loads(line)["stage"] for line in (tmp_path / "r/metrics.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(stages)) == ["pretrain", "multi_task", "joint"]


@undrawn
def test_rooms_first_is_compared_with_as_many_steps_on_photographs(mgm, photographs, tmp_path):
    options = [*TINY, "--num-rooms", "20", "--pretrain-steps", "3", "--steps", "4", "--data", photographs]
    code, out, err = mgm("train", "mt_rooms", *options, "--out", tmp_path / "r")
    assert code == 0, err
    assert "mt_rooms against mt at 4 and 7 steps on the labelled images: mean gain" in " ".join(out.split())
    result = json.loads((tmp_path / "r/result.json").read_text())
    assert (result["steps"], result["baseline"]["recipe"], result["baseline"]["steps"]) == (4, "mt", 7)
    for run, expected in (("r", ["pretrain", "multi_task", "continued"]), ("r/baseline", ["multi_task", "continued"])):
        lines = (tmp_path / run / "metrics.jsonl").read_text().splitlines()
        assert list(dict.fromkeys(json.loads(line)["stage"] for line in lines)) == expected


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_how_threads_wait_is_the_users_to_say(given, expected):
    environment = dict(given)
    set_waiting(environment)
    assert environment == expected
