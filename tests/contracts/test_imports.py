"""Imports go one way (house plan), and the command line's help needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mgm

ROOT = Path(mgm.__file__).parent
LIBRARY = ["functional", "tasks", "data", "networks", "models", "selfsup", "training", "experiments", "report"]
APPLICATIONS = ["studies", "bench", "demo"]
"""What only a verb of the command line imports."""
LAYERS = LIBRARY + APPLICATIONS
ALLOWED = {
    "functional": {"functional"},
    "tasks": {"functional", "tasks"},
    "data": {"functional", "tasks", "data"},
    "networks": {"functional", "networks"},
    "models": {"functional", "networks", "models"},
    "selfsup": {"functional", "networks", "selfsup"},
    "training": {"functional", "tasks", "networks", "models", "selfsup", "training"},
    "experiments": set(LIBRARY) - {"report"},
    "report": set(LIBRARY),
    **{application: {*LIBRARY, application} for application in APPLICATIONS},
}


def runtime_imports(path: Path) -> set[str]:
    """Layers that a file imports at run time (not for types alone)."""
    tree = ast.parse(path.read_text())
    typing_only = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    skipped = {id(child) for node in typing_only for child in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "mgm" and len(parts) > 1 and parts[1] in LAYERS:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer):
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    for file in files:
        assert runtime_imports(file) <= ALLOWED[layer], f"{file} imports {runtime_imports(file) - ALLOWED[layer]}"


def test_every_package_is_a_layer():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(LAYERS)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["experiment", "list"]])
def test_help_does_not_import_torch(arguments):
    code = f"import sys; sys.argv = ['mgm', *{arguments!r}]\nfrom mgm.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert time.perf_counter() - start < 5  # half a second on a quiet machine
