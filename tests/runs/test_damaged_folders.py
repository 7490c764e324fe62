"""Whatever a run's or a model's files hold, the command line answers with what it can show, or with one line and exit code 2.

A long campaign: ``MGM_FUZZ=1000 pytest -m slow tests/runs/test_damaged_folders.py``.
"""

import json
import os
import random
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from fake_runs import write_run
from mgm.inference.model import TrainedModel
from trained_toys import write_run as write_finished

COUNT = int(os.environ.get("MGM_FUZZ", "30"))
DEEP = "[" * 100_000
ODD: list[Any] = [
    None, True, -1, 0, 1e308, float("nan"), 10**30, "", "x", "\x1b]0;title\x07", "../..", "\0", [], {}, [[]], {"": None}, [None],
    {"a": {"b": [1]}}, "semantic", 4097, 2**31, -(2**63),
]  # fmt: skip
TENSORS: list[Any] = [
    None, 3, "x", [], {}, {3: torch.zeros(1)}, {None: 1}, torch.zeros(0), torch.zeros(2, 2), torch.tensor(float("nan")),
    torch.zeros(1).expand(10**9), {"a": torch.full((3,), torch.inf)},
]  # fmt: skip
SECONDS = 60.0


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """A finished run, an unfinished one with a generator, a model folder, and a photograph."""
    root = tmp_path_factory.mktemp("originals")
    for path in (write_finished(root / "finished"), write_run(root / "begun", stages=("joint",))):
        records = [
            {"stage": "multi_task", "step": 3, "losses": {"task": 1.5}},
            {"stage": "multi_task", "step": 3, "validation": {"depth": {"abs_error_m": 1.0}}, "score": 0.1},
        ]
        (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (root / "begun/failure.json").write_text(json.dumps({"error": "DataError", "reason": "a file is missing"}))
    TrainedModel.load(root / "finished").save_pretrained(root / "model")
    Image.fromarray(np.full((40, 50, 3), 100, np.uint8)).save(root / "photo.png")
    return root


def spoil(value: Any, dice: random.Random, odd: list[Any]) -> Any:
    """Plain values with one of them replaced, left out, or given another name."""
    if not isinstance(value, dict | list) or not value or dice.random() < 0.15:
        return dice.choice(odd)
    key = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy = value.copy()
    if isinstance(copy, list) or dice.random() < 0.7:
        copy[key] = spoil(value[key], dice, odd)
    elif dice.random() < 0.5:
        del copy[key]
    else:
        copy[dice.choice([3, None, "other"])] = copy.pop(key)
    return copy


def damage(file: Path, dice: random.Random) -> None:
    """Change a file: a bit, its length, or a value inside it; or put something else in its place."""
    content, kind = file.read_bytes(), dice.random()
    if kind < 0.15:
        content = content[: dice.randrange(len(content) + 1)]
    elif kind < 0.4 and content:
        place = dice.randrange(len(content))
        content = content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]
    elif kind < 0.45:
        content = dice.choice([b"", b"\xff\xfe\0", DEEP.encode(), b"\0" * 1000, b"- " * 20_000, b"{}", b"[]", b"1"])
    elif kind < 0.5:
        file.unlink()
        return dice.choice([lambda: None, file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")])()
    elif file.suffix == ".pt":
        odd = TENSORS if dice.random() < 0.7 else ODD
        torch.save(spoil(torch.load(file, weights_only=True), dice, odd), file)
        return None
    elif file.suffix == ".json":
        content = json.dumps(spoil(json.loads(content), dice, ODD)).encode()
    elif file.suffix == ".yaml":
        content = yaml.safe_dump(spoil(yaml.safe_load(content), dice, ODD)).encode()
    elif file.suffix == ".jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        spoilt = spoil(lines, dice, ODD)
        content = "\n".join(map(json.dumps, spoilt if isinstance(spoilt, list) else [spoilt])).encode()
    file.write_bytes(content)
    return None


def commands(root: Path, damaged: Path, dice: random.Random) -> list[list[object]]:
    """Two command lines that read what was damaged."""
    out, choices = root / "out", [["train", "--resume", root / "begun"], ["evaluate", root / "begun", "--json"]]
    if damaged.suffix == ".yaml":  # may ask for any number of images and steps
        choices = []
    return dice.sample(
        [
            *choices,
            ["runs", root, "--json"],
            ["report", root / "finished", "--out", out / "report.html"],
            ["compare", root / "finished", root / "begun"],
            ["predict", root / "finished", root / "photo.png", "--out", out],
            ["predict", root / "model", root / "photo.png", "--out", out],
            ["generate", root / "begun", "--out", out / "generated.png"],
            ["export", root / "finished", "--out", out / "model"],
            ["train", "--config", root / "finished/config.yaml", "--out", out / "run", "--steps", "0"],
        ],
        2,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_end_in_one_line(mgm, originals, tmp_path):
    failures = []
    for number in range(COUNT):
        dice = random.Random(number)
        root = tmp_path / str(number)
        shutil.copytree(originals, root)
        names = [path for path in root.rglob("*") if path.is_file() and path.suffix not in (".png", ".md", ".lock")]
        file = dice.choice(sorted(names))
        damage(file, dice)
        for command in commands(root, file, dice):
            begun = time.monotonic()
            try:
                code, _, err = mgm(*command)
                wrong = (
                    "" if code in (0, 2) and "Traceback" not in err and "\x1b" not in err else f"{code}: {err[-300:]}"
                )
            except BaseException:
                wrong = traceback.format_exc()[-900:]
            if time.monotonic() - begun > SECONDS:
                wrong += f"took {time.monotonic() - begun:.0f} s"
            if wrong:
                failures.append(f"{number} {file.relative_to(root)} {command[0]}: {wrong}")
        shutil.rmtree(root)
        if number % 50 == 49:
            print(f"{number + 1} inputs, {len(failures)} failures", file=sys.__stdout__, flush=True)
    assert not failures, f"{len(failures)} of {2 * COUNT}\n" + "\n".join(failures)
