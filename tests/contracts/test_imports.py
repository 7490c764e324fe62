"""Imports go one way, and the command line's help needs no torch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mgm
from mgm.cli.main import VERBS
from mgm.version import __version__

ROOT = Path(mgm.__file__).parent
ORDER: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "version errors types config plugins",
        "functional",
        "tasks",
        "data networks",
        "models",
        "training",
        "method",
        "runs",
        "inference experiments",
        "report",
        "demo",
        "api",
        "cli",
    )
)
"""From the bottom to the top: a package imports what lies below it; packages of one layer do not know each other."""


def imports(path: Path) -> set[str]:
    """Packages of mgm that a file imports, for types alone too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("mgm.")}


@pytest.mark.parametrize("layer", range(1, len(ORDER)))
def test_imports_go_one_way(layer):
    below = frozenset().union(*ORDER[:layer])
    for package in ORDER[layer]:
        files = sorted((ROOT / package).rglob("*.py")) or sorted(ROOT.glob(f"{package}.py"))
        assert files
        for file in files:
            found = imports(file) - below - {package}
            assert not found, f"{file.relative_to(ROOT)} imports {', '.join(sorted(found))}"


def test_every_package_is_in_a_layer():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert packages | modules == set().union(*ORDER)


ALL_HELP = """
import contextlib, io, json, sys
from mgm.cli.main import VERBS, dispatch
texts = {}
for words in (["--help"], ["--version"], ["experiment", "list"], *([verb, "--help"] for verb in VERBS)):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        dispatch(words)
    texts[" ".join(words)] = text.getvalue()
assert not {"torch", "numpy"} & sys.modules.keys()
print(json.dumps(texts))
"""


def test_help_imports_no_torch_and_has_an_example_for_every_verb():
    done = subprocess.run([sys.executable, "-c", ALL_HELP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    assert texts["--version"] == f"mgm {__version__}\n"
    assert all(texts.values())
    for verb, entry in VERBS.items():
        assert f"Example: mgm {verb}" in texts[f"{verb} --help"], verb
        assert entry.example.startswith(f"mgm {verb}")
