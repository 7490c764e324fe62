"""What is built is whole: the wheel, the extras, the syntax of every supported Python."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from mgm.version import __version__

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src/mgm").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LARGEST_WHEEL = 2e6


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy with the setuptools that are installed: no network."""
    pytest.importorskip("setuptools")
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = out.iterdir()
    assert file.stat().st_size < LARGEST_WHEEL
    return zipfile.ZipFile(file)


@pytest.mark.slow
def test_wheel_has_all_of_the_package_and_nothing_else(wheel):
    names = set(wheel.namelist())
    own = {name for name in names if not name.startswith(f"mgm-{__version__}.dist-info/")}
    there = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/mgm").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert own == there, own ^ there
    assert "mgm/py.typed" in own
    assert f"mgm-{__version__}.dist-info/licenses/LICENSE" in names


@pytest.mark.slow
def test_wheel_knows_version_command_and_extras(wheel):
    info = f"mgm-{__version__}.dist-info"
    text = wheel.read(f"{info}/METADATA").decode()
    assert f"Version: {__version__}" in text
    extras = set(re.findall(r"^Provides-Extra: (\S+)$", text, re.MULTILINE))
    assert extras == set(PROJECT["optional-dependencies"])
    assert "mgm = mgm.cli.main:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_nothing_but_code_and_templates_is_shipped():
    kinds = {
        path.suffix for path in (ROOT / "src/mgm").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert kinds <= {".py", ".typed", ".html", ".css", ".js", ".jinja", ".yaml", ""}, kinds


def test_syntax_of_the_oldest_supported_python():
    """What it understands, its successors do too."""
    for path in SOURCES:
        assert ast.parse(path.read_text(), filename=str(path), feature_version=(3, 11)).body, f"{path} is empty"


def test_supported_pythons_are_declared():
    declared = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert declared == {"3.11", "3.12", "3.13"}
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_extra_that_is_named_exists():
    named = {}
    for path in [*SOURCES, *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]:
        for found in re.findall(r"pip install '?mgm\[([\w,]+)\]", path.read_text()):
            named.update(dict.fromkeys(found.split(","), path.name))
    assert {"encoders", "balance", "tensorboard", "nyuv2"} <= named.keys()
    unknown = {extra: file for extra, file in named.items() if extra not in PROJECT["optional-dependencies"]}
    assert not unknown
