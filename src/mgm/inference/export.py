"""Export of a trained network as a graph that runs without this package: images in, values of every task out."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from mgm.data.files import move_files, write_atomically
from mgm.errors import ConfigError, RunError, choose
from mgm.functional.levels import normalise_levels
from mgm.inference.model import TrainedModel
from mgm.inference.model_card import CardDetails, Trials, card_of, model_card, with_graphs
from mgm.runs.folder import RunFolder
from mgm.tasks.base import Task
from mgm.training.checkpoint import make_folder
from mgm.training.evaluate import flip_averaged
from mgm.types import ImageFormat

INPUT = "images"
"""Name of the graph's input, ``[B, C, H, W]`` in the format of `GraphInput`; the outputs are named like the tasks."""
OPSET = 20
"""ONNX operator set version."""
CHECKED_BATCHES = (1, 3)
"""Batch sizes at which a new graph is compared with PyTorch."""
WORST_DIFFERENCE = 1e-3
"""Largest accepted difference between a graph and PyTorch, in the units of `disagreement`; beyond it the export fails."""
CONFIG = "config.json"
"""Name of the metadata entry in a graph that holds the description of its model."""
EXAMPLES = 2
"""Batch size for tracing; not 1, which torch would specialise to a constant."""
_ANY_NUMBER = {INPUT: {0: torch.export.Dim("batch")}}

Graph = Callable[[Tensor], dict[str, Tensor]]
"""Maps images ``[B, C, H, W]`` to the values of every task."""


class GraphInput(nn.Module):
    """Normalises the input of a graph for the network.

    The input is uint8 or uint16 levels; if the data set declares a value range, it is float32 in the units of the image files.

    Args:
        kind: Format of the images.
    """

    low: Tensor
    width: Tensor

    def __init__(self, kind: ImageFormat) -> None:
        super().__init__()
        self.dtype = torch.float32 if kind.value_range else getattr(torch, kind.dtype)
        if kind.value_range:
            low, high = torch.tensor(kind.value_range).T[:, :, None, None]
            self.register_buffer("low", low.clone())  # exporters do not accept views as buffers
            self.register_buffer("width", high - low)

    def forward(self, images: Tensor) -> Tensor:
        """Scale images ``[B, C, H, W]`` to (-1, 1)."""
        if self.dtype != torch.float32:
            return normalise_levels(images)
        shares = (images - self.low) / self.width
        return 2 * torch.where(images.isnan(), 0.0, shares).clamp(0, 1) - 1  # missing pixels as in to_levels

    def random(self, shape: Sequence[int], seed: int = 0) -> Tensor:
        """Random images, uniform over the whole value range."""
        generator = torch.Generator().manual_seed(seed)
        if self.dtype == torch.float32:
            return self.low + self.width * torch.rand(shape, generator=generator)
        return torch.randint(256 if self.dtype == torch.uint8 else 65536, shape, generator=generator).to(self.dtype)


class PredictionGraph(nn.Module):
    """The part of `TrainedModel.predict` between resizing the image and resizing the predictions.

    Args:
        trained: The model; it is copied.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(trained.model).cpu()
        self.model.fix_decisions()
        self.input = GraphInput(trained.info.image)
        self.channels = trained.info.image.channels
        self.tasks: dict[str, Task] = trained.tasks
        self.image_size = trained.image_size
        self.flip_average = trained.experiment.flip_average

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Predict values for images ``[B, C, H, W]`` in the format of `GraphInput`.

        Returns:
            Task -> value: class indices int64 ``[B, H, W]``, others float32 ``[B, C, H, W]``.
        """
        predict = flip_averaged(self.model, self.tasks) if self.flip_average else self.model
        predictions = predict(self.input(images))
        return {name: task.decode(predictions[name]) for name, task in self.tasks.items()}

    def example(self) -> Tensor:
        """Images for tracing the graph."""
        return torch.zeros(EXAMPLES, self.channels, *self.image_size, dtype=self.input.dtype)


def write_program(trained: TrainedModel, path: Path) -> None:
    """Write the graph as a `torch.export` program (``.pt2``) with a dynamic batch size."""
    graph = PredictionGraph(trained)
    with _quietly():
        program = torch.export.export(graph, (graph.example(),), dynamic_shapes=_ANY_NUMBER)
    files = {CONFIG: json.dumps(asdict(trained.description))}
    content = io.BytesIO()  # torch aborts the process if the disk fills up while it writes a file itself
    torch.export.save(program, content, extra_files=files)
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def open_program(path: Path) -> Graph:
    """Load a program written by `write_program`. Open only your own files: a program contains code."""
    with _quietly():
        program = torch.export.load(path).module()
    return lambda images: program(images)


def write_onnx(trained: TrainedModel, path: Path) -> None:
    """Write the graph as ONNX with a dynamic batch size.

    Raises:
        ConfigError: If the extra ``onnx`` is not installed.
    """
    onnx = _onnx_library("onnx")
    _onnx_library("onnxscript")  # used by torch.onnx
    graph = PredictionGraph(trained)
    with _quietly():
        program = torch.onnx.export(
            graph,
            (graph.example(),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(trained.tasks),
            dynamic_shapes=_ANY_NUMBER,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {CONFIG: json.dumps(asdict(trained.description))})
    onnx.checker.check_model(model)
    write_atomically(path, lambda file: file.write(model.SerializeToString()))


def open_onnx(path: Path) -> Graph:
    """Load an ONNX file into onnxruntime, on the CPU.

    Raises:
        ConfigError: If the extra ``onnx`` is not installed.
    """
    runtime = _onnx_library("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(images: Tensor) -> dict[str, Tensor]:
        values = session.run(names, {INPUT: images.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}

    return run


def _onnx_library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(f"ONNX needs the package {name}, which is not installed: pip install 'mgm[onnx]'") from None


@torch.no_grad()
def disagreement(trained: TrainedModel, graph: Graph, images: Tensor) -> dict[str, float]:
    """Difference between a graph and PyTorch, per task.

    Args:
        trained: The model that the graph was exported from.
        graph: From `GraphFormat.open`.
        images: ``[B, C, H, W]`` in the format of `GraphInput`.

    Returns:
        Task -> largest absolute difference in units of `Task.error_size`; for classes, the share of pixels that differ.
    """
    expected = PredictionGraph(trained)(images)
    found = graph(images)
    return {
        name: float((value - found[name]).abs().max()) / trained.tasks[name].error_size
        if value.is_floating_point()
        else float((value != found[name]).float().mean())
        for name, value in expected.items()
    }


@contextmanager
def _quietly() -> Generator[None]:
    """Silence the exporters' deprecation warnings and progress messages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class GraphFormat:
    """A file format for graphs."""

    description: str
    file: str
    """File name in the model folder."""
    write: Callable[[TrainedModel, Path], None]
    open: Callable[[Path], Graph]


GRAPHS: dict[str, GraphFormat] = {
    "torch": GraphFormat("program of torch.export, runs with PyTorch alone", "model.pt2", write_program, open_program),
    "onnx": GraphFormat(f"ONNX, opset {OPSET}, runs with onnxruntime and others", "model.onnx", write_onnx, open_onnx),
}
"""Name -> graph format. The weights (`safetensors`) are not a graph and belong to every model folder."""


def export_run(
    run: str | Path,
    out: str | Path,
    formats: Sequence[str] = (),
    *,
    seeds: Sequence[str | Path] = (),
    details: CardDetails | None = None,
) -> dict[str, float]:
    """Export the best model of a run, or an already exported model, as a model folder.

    Args:
        run: Folder of a run or of a model.
        out: The output folder; must be new or empty.
        formats: Keys of `GRAPHS`: graphs to write in addition to the weights.
        seeds: Finished runs that differ only in their seed, for the standard deviation of the scores on the card.
        details: Title and licences for the card; default: the name of ``out`` and unknown licences. An exported model keeps its
            card.

    Returns:
        As for `export_model`.

    Raises:
        RunError: If there is no model, the folder is not empty or cannot be written to, or a graph differs too much.
        ConfigError: If a format does not exist or its extra is not installed, the runs differ in more than their seed, or there
            are ``details`` for an exported model.
    """
    folder, out = RunFolder(Path(run)), Path(out)
    for name in formats:
        choose("format", name, GRAPHS)
    trained = TrainedModel.load(run, "cpu")
    if seeds and not folder.finished:
        raise ConfigError(f"--seeds needs {run} to be a finished run, but it has no result.json")
    card, usual = "", CardDetails(out.resolve().name)
    if folder.exists:
        trials = Trials.read([folder, *(RunFolder(Path(seed)) for seed in seeds)]) if folder.finished else Trials()
        card = model_card(trained.description, trials, details or usual)
    elif details not in (None, usual):
        raise ConfigError(
            f"{run} is an exported model and keeps its card, so title and licences cannot be given; edit {out / 'README.md'}"
        )
    return export_model(trained, out, formats, card)


def export_model(trained: TrainedModel, out: Path, formats: Sequence[str], card: str = "") -> dict[str, float]:
    """Write a model folder with its graphs, completely or not at all.

    Args:
        trained: The model.
        out: The output folder; must be new or empty.
        formats: Keys of `GRAPHS`.
        card: Text of the card, without the graphs; empty: as for `TrainedModel.save_pretrained`.

    Returns:
        Format -> largest difference from PyTorch over all tasks on random images, see `disagreement`.

    Raises:
        RunError: If the folder is not empty or cannot be written to, or a graph differs too much.
        ConfigError: If a format does not exist, or its extra is not installed.
    """
    graphs = [choose("format", name, GRAPHS) for name in formats]
    if out.is_file() or (out.is_dir() and any(not file.name.startswith(".") for file in out.iterdir())):
        raise RunError(f"{out} is not empty; choose another folder with --out, or remove it")
    out = out.resolve()  # so that "." and ".." have a name
    make_folder(out.parent)
    # an existing folder may be a mount point or a working directory, so it is filled rather than replaced
    staging = (out if out.is_dir() else out.parent) / f".{out.name}.{os.getpid()}.tmp"
    files = [
        f"`{graph.file}`: {graph.description}; input `{INPUT}` `[B, {trained.info.image.channels}, "
        f"{', '.join(map(str, trained.image_size))}]` {_input_type(trained.info.image)}, an output per task"
        for graph in graphs
    ]
    try:
        card = with_graphs(card or card_of(trained.description, trained.origin), files)
        trained.save_pretrained(staging, card=card)
        for graph in graphs:
            graph.write(trained, staging / graph.file)
        differences = {name: _checked(trained, GRAPHS[name], staging) for name in formats}
        try:
            if out.is_dir():
                move_files(staging, out, CONFIG)
            else:
                staging.replace(out)
        except OSError as error:
            raise RunError(f"cannot write {out} ({error.strerror}); choose another folder with --out") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return differences


def _input_type(kind: ImageFormat) -> str:
    """Data type and meaning of a graph's input, in words."""
    return f"float32, {kind}" if kind.value_range else f"{kind.dtype} {'RGB' if kind.channels == 3 else 'levels'}"


def _checked(trained: TrainedModel, graph: GraphFormat, folder: Path) -> float:
    """Largest difference between a graph and PyTorch over all tasks.

    Raises:
        RunError: If it is above `WORST_DIFFERENCE`.
    """
    kind = trained.info.image
    images = GraphInput(kind).random((max(CHECKED_BATCHES), kind.channels, *trained.image_size))
    run = graph.open(folder / graph.file)
    # np.max, since max does not see every NaN
    worst = np.max([[*disagreement(trained, run, images[:count]).values()] for count in CHECKED_BATCHES]).item()
    if not worst <= WORST_DIFFERENCE:
        raise RunError(
            f"{graph.file} differs from PyTorch by {worst:.1e} and is not written; please report it with your package versions"
        )
    return worst
