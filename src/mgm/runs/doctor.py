"""Diagnosis of the machine and the installation: versions, devices, threads, disk, data sets, and missing extras."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

from packaging.requirements import Requirement

from mgm.version import __version__

State = Literal["ok", "note", "missing", "broken"]
GB = 1e9
LITTLE_DISK_GB = 5.0
FEATURES = {
    "nyuv2": "NYUv2 and NYUv2-like .mat files",
    "grid": "experiments on a Ray cluster",
    "demo": "the web page, mgm serve",
    "onnx": "export as ONNX",
    "hub": "models on the Hugging Face Hub",
    "encoders": "pre-trained encoders, --encoder hf:NAME",
    "lite": "ImageNet weights of EfficientNet-Lite0",
    "balance": "gradient balancing, --balance torchjd:NAME",
    "tensorboard": "TensorBoard, --log tensorboard",
    "wandb": "Weights & Biases, --log wandb",
    "mlflow": "MLflow, --log mlflow",
    "import": "annotations of labelling tools, mgm import",
    "docs": "building the documentation",
}
"""Extra -> the features that need it."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    group: str
    name: str
    state: State
    """ok; note: works, with a caveat; missing: optional and absent; broken: essential."""
    detail: str
    remedy: str = ""
    """How to fix it."""


Row = tuple[str, State, str, str]
"""Name, state, detail and remedy of a `Finding`."""


def examine(cache: str = "") -> list[Finding]:
    """Run all checks; a check that raises becomes a finding too. ``cache`` is that of `mgm.data.store.cache_root`."""
    groups: dict[str, Callable[[], Iterator[Row]]] = {
        "versions": _versions,
        "devices": _devices,
        "threads": _threads,
        "disk": lambda: _disk(cache),
        "data sets": _data_sets,
        "features": _features,
    }
    findings: list[Finding] = []
    for group, look in groups.items():
        try:
            findings.extend(Finding(group, *row) for row in look())
        except Exception as error:  # whatever breaks here is what the user wants to know
            reason, remedy = f"{type(error).__name__}: {error}", "pip install --force-reinstall mgm"
            findings.append(Finding(group, group, "broken", reason, remedy))
    return findings


def _versions() -> Iterator[Row]:
    yield "mgm", "ok", f"{__version__} in {Path(__file__).parents[1]}", ""
    yield "python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}", ""
    for requirement in _requirements():
        yield _checked(requirement, "broken", f"pip install '{requirement.name}{requirement.specifier}'")


def _requirements(extra: str = "") -> list[Requirement]:
    """Requirements of the package or of one of its extras."""
    found = [Requirement(line) for line in metadata.requires("mgm") or ()]
    if not extra:
        return [requirement for requirement in found if not requirement.marker]
    return [r for r in found if r.marker and r.marker.evaluate({"extra": extra})]


def _checked(requirement: Requirement, otherwise: State, remedy: str) -> Row:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return requirement.name, otherwise, "not installed", remedy
    if not requirement.specifier.contains(version, prereleases=True):
        return requirement.name, otherwise, f"{version} does not fit {requirement.specifier}", remedy
    return requirement.name, "ok", version, ""


def _devices() -> Iterator[Row]:
    import torch

    layer = torch.nn.Conv2d(3, 4, 3)
    layer(torch.ones(1, 3, 8, 8)).sum().backward()
    yield "cpu", "ok", f"{os.cpu_count()} cores, gradients work", ""
    for index in range(torch.cuda.device_count()):
        properties = cast(Any, torch.cuda.get_device_properties(index))  # untyped in torch
        yield f"cuda:{index}", "ok", f"{properties.name}, {properties.total_memory / GB:.0f} GB", ""
    if torch.backends.mps.is_available():
        yield "mps", "ok", "Apple GPU", ""
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        build = "this PyTorch is built without CUDA" if torch.version.cuda is None else "no CUDA GPU is visible"
        yield "gpu", "note", build, "the presets quick and small are meant for a CPU"


def _threads() -> Iterator[Row]:
    import torch

    from mgm.data.conversion import num_cores

    cores, threads = num_cores(), torch.get_num_threads()
    remedy = f"OMP_NUM_THREADS={cores}" if threads > cores else ""
    many = f", more than the {cores} cores that this process may use" if remedy else f" on {cores} cores"
    yield "torch", "note" if remedy else "ok", f"{threads} threads{many}", remedy
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS"):
        yield name, "ok", os.environ.get(name, "not set"), ""
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        detail = "threads that wait by spinning take the cores from one another when anything else runs"
        yield "OMP_WAIT_POLICY", "note", detail, "OMP_WAIT_POLICY=PASSIVE"


def _disk(cache: str) -> Iterator[Row]:
    from mgm.data.preparing import existing_folder
    from mgm.data.store import cache_root

    root = cache_root(cache)
    place = existing_folder(root)
    free = shutil.disk_usage(place).free / GB
    little = free < LITTLE_DISK_GB
    remedy = "MGM_CACHE=FOLDER on a larger disk" if little else ""
    yield "cache", "note" if little else "ok", f"{root}, {free:.1f} GB free", remedy
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        yield "cache", "broken", f"{place} cannot be written to ({error.strerror})", "MGM_CACHE=FOLDER"


def _data_sets() -> Iterator[Row]:
    from mgm.data import DATASETS, open_source
    from mgm.errors import MgmError

    place = os.environ.get("MGM_DATA", "")
    if not place:
        detail = "not set, so that only data sets that make themselves have a name"
        yield "MGM_DATA", "note", detail, "MGM_DATA=FOLDER of data sets, or --data PATH"
    for name, entry in DATASETS.items():
        if place or not entry.layout:
            try:
                yield name, "ok", f"{len(open_source(name))} images", ""
            except MgmError as error:
                yield name, "missing", str(error).partition(". ")[0], "mgm data list says more"


def _features() -> Iterator[Row]:
    for extra, purpose in FEATURES.items():
        remedy = f"pip install 'mgm[{extra}]'"
        checks = [_checked(requirement, "missing", remedy) for requirement in _requirements(extra)]
        lacking = [f"{name} {detail}" for name, state, detail, _ in checks if state != "ok"]
        found = lacking or [f"{name} {detail}" for name, _, detail, _ in checks]
        state, remedy = ("missing", remedy) if lacking else ("ok", "")
        yield extra, state, f"{purpose}: {', '.join(found)}", remedy
