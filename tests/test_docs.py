"""The documents say what is so: code runs, commands exist with their options, links hold, numbers are those of the results."""

import importlib
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import mgm as package
from documents import DOCS, DOCUMENTS, PAGES, ROOT, anchors_of, blocks_of, commands_in, links_of, name_of, python_of
from mgm.cli import main as cli
from mgm.cli import parsing
from mgm.cli import train as train_verb
from mgm.config import MethodConfig
from mgm.errors import MgmError
from mgm.method.algorithm import joint_updates
from mgm.runs.checks import check_experiment
from trained_toys import toy_settings, write_run

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)

EXECUTED_ELSEWHERE = {
    "docs/extending.md": "tests/test_extending.py",
    "docs/models.md": "tests/runs/test_paper_settings.py",
    "docs/report.md": "tests/cli/test_report.py",
}
"""Document -> the test that runs its Python."""

IN_ORDER = ("docs/predicting.md", "docs/models_that_travel.md", "docs/own_field.md")
"""Documents whose Python and commands are run in the order in which they stand."""

SHELL = {
    "mgm",
    "make",
    "source",
    "pip",
    "torchrun",
    "python",
    "ray",
    "sbatch",
    "srun",
    "#SBATCH",
    "--rdzv-endpoint",
    "MGM_CACHE=/scratch/mgm",
}
"""First words of lines that are commands; those of `mgm` are parsed, the others are other programs' business."""

LISTINGS = {
    "paths of files, to look at": r"[\w{},*.]+/\S*",
    "a file's columns": r"\w+,\w+",
    "continuation of a tree, or of a file's rows": r"[\w.-]+\.(png|npy|jpg|csv|yaml|mat)",
    ".venv is what `make` installs": r"\.venv/bin/\S+",
    "what mkdocstrings is told": r"options:|show_root_heading:|filters:",
    "names of folders, to look at": r"(normal|rgb)/",
    "the first line of a run": r"70",
    "a line that inspect prints": r"heat:",
    "settings in the environment, before a command": r"MGM_[A-Z]+=\d+",
}
"""Why an indented block is not run -> what its lines begin with."""


@every_document
def test_every_block_is_run_or_of_a_known_kind(path):
    for block in blocks_of(path):
        if block.kind == "python":
            elsewhere = EXECUTED_ELSEWHERE.get(name_of(path))
            assert elsewhere is None or path.name in (ROOT / elsewhere).read_text(), (
                f"{elsewhere} does not run {path.name}"
            )
            continue
        if block.kind == "bibtex":
            continue
        if block.kind == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
            continue
        assert block.kind == "", (
            f"{name_of(path)}, {block.heading}: a block of {block.kind!r}; say in this test what runs it"
        )
        for line in filter(str.strip, block.text.splitlines()):
            first = line.split()[0]
            known = first in SHELL or any(re.match(pattern, first) for pattern in LISTINGS.values())
            assert known, f"{name_of(path)}, {block.heading}: neither a command nor a listing: {line}"


COMMANDS = [
    importlib.import_module(f"mgm.cli.{file.stem}")
    for file in sorted(Path(train_verb.__file__).parent.glob("*.py"))
    if file.stem not in ("__init__", "main", "output", "parsing")
]
"""Modules of verbs; each calls `parse` by that name, imported before it is replaced."""


class ParsedError(Exception):
    """No error: options that were understood; nothing else is done."""


def parse_only(monkeypatch, words: list[str]) -> None:
    """Take a command line apart as the command would, and stop before it does anything.

    A training's settings are checked too; an experiment lists its trials, on rooms, whatever data a reader has.
    """
    verb, *options = words
    if verb == "train" and "--help" not in options:
        check_experiment(train_verb.parse_train(options).experiment)
        return
    if verb == "experiment":
        before = ["", *options]
        options = ["rooms" if last == "--data" else word for last, word in zip(before, options, strict=False)]
        options[0] = options[0].replace("all", "table2")  # the options are the same, and quicker
        own = options[1 : options.index("--")] if "--" in options else options[1:]
        rest = options[1 + len(own) :]
        seeds = [] if options[0] == "list" else ["--seeds", "1"]  # the last one counts; one is quicker
        cli.dispatch([verb, options[0], *(word for word in own if word != "--dry-run"), "--dry-run", *seeds, *rest])
        return
    real = parsing.parse

    def stop(*arguments):
        raise ParsedError(real(*arguments))

    for module in COMMANDS:
        monkeypatch.setattr(module, "parse", stop)
    try:
        cli.dispatch(words)
    except ParsedError:
        return
    assert set(words) & {"--help", "--version"}, "was carried out"


def test_blocks_are_found(tmp_path):
    """Also one right behind another, of another kind."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n    mgm runs\n\n```python\nx = 1\n\n    y\n```\n## B\n```yaml\na: 1\n```\n\n    b\n\n    c\n"
    )
    found = [(block.kind, block.text, block.heading) for block in blocks_of(page)]
    assert found == [
        ("", "mgm runs\n", "A"),
        ("python", "x = 1\n\n    y\n", "A"),
        ("yaml", "a: 1\n", "B"),
        ("", "b\n\nc\n", "B"),
    ]


@every_document
def test_commands_and_options_exist(path, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for words in commands_in(path):
        if any("torchjd:" in word for word in words) and not importlib.util.find_spec("torchjd"):
            continue  # an extra, which is asked for before anything is trained
        with monkeypatch.context() as patch:
            try:
                parse_only(patch, words)
            except (SystemExit, Exception) as error:
                if isinstance(error, SystemExit) and not error.code:  # help
                    continue
                pytest.fail(f"{name_of(path)}: mgm {' '.join(words)}: {error} {capsys.readouterr().err}")


def test_a_command_that_does_not_exist_is_found(monkeypatch, capsys):
    for words in (
        ["trian", "mgm"],
        ["train", "mgn"],
        ["train", "mgm", "--step", "3"],
        ["train", "mgm", "--refinement", "emll"],
        ["predict", "runs/first", "a.jpg", "--output", "x"],
        ["data", "prepare", "photos", "--size", "3"],
        ["experiment", "table99"],
        ["experiment", "table3", "--settings", "26"],
        ["experiment", "table2", "--", "--stesp", "3"],
    ):
        with monkeypatch.context() as patch, pytest.raises((SystemExit, MgmError)):
            parse_only(patch, words)


def test_verbs_in_running_text_exist():
    for path in DOCUMENTS:
        for verb in re.findall(r"`mgm ([a-z]+)[^`]*`", path.read_text()):
            assert verb in cli.VERBS, f"{name_of(path)}: mgm {verb}"


PAPER = "https://arxiv.org/abs/2106.13409"
"""The one link out of the repository."""


@every_document
def test_links_and_anchors(path):
    for link in links_of(path):
        place, _, anchor = link.partition("#")
        if place == PAPER:
            continue
        assert not re.match("[a-z]+:", place), f"{name_of(path)} links to another host: {link}"
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), f"{name_of(path)}: {link}"
        assert not anchor or anchor in anchors_of(target), f"{name_of(path)}: {link}; there are {anchors_of(target)}"


def test_every_page_is_in_the_navigation():
    lines = re.findall(r"\]\(([^)]+)\)", (DOCS / "SUMMARY.md").read_text())
    assert len(lines) == len(set(lines))
    there = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert there - set(lines) == set()
    assert all((DOCS / line).exists() for line in lines)


def test_symbols_of_the_method_exist():
    """Every dotted name in a table of docs/method.md, and every update that it speaks of."""
    text = (DOCS / "method.md").read_text()
    names = re.findall(r"`((?:mgm\.)?(?:config|functional|method|models|networks|tasks|training)\.[\w.]+)`", text)
    assert len(names) > 18
    for name in names:
        *place, symbol = name.removeprefix("mgm.").split(".")
        owner: Any = package
        for part in place:
            owner = getattr(owner, part, None) or importlib.import_module(f"{owner.__name__}.{part}")
        assert hasattr(owner, symbol) or importlib.import_module(f"mgm.{'.'.join([*place, symbol])}"), name
    known = {update.name for update in joint_updates(MethodConfig())}
    assert set(re.findall(r"in the update `(\w+)`", text)) <= known
    table = text[text.index("| Algorithm 1 |") :].split("\n\n")[0]
    assert {row.split("|")[2].strip(" `") for row in table.splitlines()[2:]} == known


@pytest.mark.parametrize("page", ["README.md", "docs/base.md"])
@pytest.mark.parametrize("preset", ["quick", "small", "best"])
def test_scores_of_the_presets_are_those_of_the_results(page, preset):
    """They are repeated as results/base has them, without the zeros before the point."""
    made = (ROOT / "results" / "base" / f"{preset}.md").read_text().splitlines()
    found = next(line for line in made if line.startswith("| base |"))
    scores = [re.sub(r"\b0\.", ".", cell.strip()) for cell in found.split("|")[2:6]]
    row = next(line for line in (ROOT / page).read_text().splitlines() if line.startswith(f"| `{preset}`"))
    shown = [cell.strip() for cell in row.split("|") if "±" in cell]
    assert shown == scores


RUN_HERE = [
    pytest.param(path, marks=pytest.mark.slow) if path.stem == "faq" else path
    for path in PAGES
    if python_of(path) and path.stem != "index" and name_of(path) not in {*EXECUTED_ELSEWHERE, *IN_ORDER}
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where a reader of the documents would be: beside photographs."""
    for name in ("photo.jpg", "holiday/beach.jpg", "holiday/day 2/beach.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((80, 120, 3), 99, np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_and_first_page_show_the_same_code():
    assert [block.text for block in python_of(ROOT / "README.md")] == [
        block.text for block in python_of(DOCS / "index.md")
    ]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("path", RUN_HERE, ids=name_of)
def test_python_runs(path, place, monkeypatch):
    """As it stands, at the smallest scale; that of the FAQ after that of README.md, which trains a run."""
    if path.stem == "encoders":
        pytest.importorskip("transformers")
    original = package.make_experiment
    monkeypatch.setattr(package, "make_experiment", lambda recipe, preset: original(recipe, "tiny"), raising=False)
    names: dict = {}
    for page in (ROOT / "README.md", path) if path.stem == "faq" else (path,):
        for block in python_of(page):
            exec(compile(block.text, f"{name_of(page)}, {block.heading}", "exec"), names)
    if path.stem == "faq":
        assert names["result"]["recipe"] == "mgm"
        assert names["values"]["depth"].shape == names["depth"].shape == (1, 80, 120)
    if path.stem == "encoders":
        assert names["backbone"]["backbone"]["model_type"] == "resnet"
        assert [level.shape[1] for level in names["pyramid"]] == [16, 24, 40, 112, 320]
    if path.stem == "balancing":
        assert names["experiment"].method.balance == "uncertainty"


@pytest.mark.slow
def test_minimal_example(tmp_path, capsys):
    runpy.run_path(str(ROOT / "examples/minimal.py"))["main"](tmp_path)
    out = capsys.readouterr().out
    assert "gain over the baseline, mean:" in out
    assert "predicted normal: (3, 120, 160)" in out
    assert (tmp_path / "run/pictures/predictions.png").exists()


NOTEBOOK = ROOT / "examples/first_steps.ipynb"


def test_the_notebook_is_stored_without_what_it_printed():
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    """Its cells in one namespace, as a kernel has it; its pictures go nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    plt = importlib.import_module("matplotlib.pyplot")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["result"]["test"]["semantic"]["miou"] > 0.6
    assert names["classes"].shape == (48, 48)


@pytest.fixture
def trained(place):
    """A reader's place with two runs."""
    write_run(place / "runs/first")
    write_run(place / "runs/second", toy_settings(seed=1))
    return place


def run_all(path: Path) -> None:
    """The Python and the commands of a document, in order; YAML is the file that its first line names, else that of its cells."""
    for block in blocks_of(path):
        if block.kind == "yaml":
            named = (
                block.text.splitlines()[0].removeprefix("# ") if block.text.startswith("# ") else "cells/dataset.yaml"
            )
            Path(named).write_text(block.text, encoding="utf-8")
        if block.kind == "python":
            exec(compile(block.text, f"{name_of(path)}, {block.heading}", "exec"), {})
        for line in block.text.splitlines() if block.kind == "" else ():
            if line.startswith("mgm "):
                cli.dispatch(shlex.split(line, comments=True)[1:])


def test_predicting(trained):
    cli.dispatch(["export", "runs/first", "--out", "models/first"])
    run_all(DOCS / "predicting.md")
    assert (trained / "results/day 2/beach_all.png").exists()
    assert (trained / "cloud/photo_points.ply").exists()
    assert (trained / "piecewise/photo_depth_mm.png").exists()


@pytest.mark.slow
def test_models_that_travel(trained):
    pytest.importorskip("onnxruntime")
    run_all(DOCS / "models_that_travel.md")
    assert "2 seeds" in (trained / "models/spread/README.md").read_text()
    assert (trained / "models/saved/model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_own_field(capsys):
    run_all(DOCS / "own_field.md")
    out = capsys.readouterr().out
    (line,) = (block.text for block in blocks_of(DOCS / "own_field.md") if "images labelled" in block.text)
    assert line in out
    assert "Temperature: 35 to 45 °C" in out
    page = Path("runs/cells/report.html").read_text()
    assert "Temperature: 35 to 45 °C" in page
    assert "absolute error [°C]" in page
    assert "35 to 45 °C" in Path("models/cells/README.md").read_text()
    assert 20 < np.load("predictions/003_heat.npy").mean() < 60
    with Image.open("predictions/003_parts_labels.png") as image:
        assert image.getpalette()[6:9] == [80, 30, 120]
    assert "images of 4 channels of numbers 0 to 1000, 0 to 1000, 0 to 1000, 0 to 4095, stored as uint16" in out
    assert "absolute error [m]" in Path("runs/tiles/report.html").read_text()
    assert "4 channels of numbers 0 to 1000" in Path("models/tiles/README.md").read_text()
    assert np.load("heights/003_height.npy").shape == (1, 64, 64)


def test_python_is_clean(tmp_path):
    """Linted by the rules of the package: no name is unused or undefined."""
    pytest.importorskip("ruff")
    files = []
    for path in DOCUMENTS:
        for number, block in enumerate(python_of(path)):
            files.append(tmp_path / f"{path.stem}_{number}.py")
            files[-1].write_text(block.text)
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "D100,I001"]
    done = subprocess.run([*ruff, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
