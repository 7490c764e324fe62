"""A trained network as a graph that runs without this package: images in, values of every task out."""

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

import torch
from torch import Tensor, nn

from mgm.data.files import move_files, write_atomically
from mgm.errors import ConfigError, RunError, choose
from mgm.functional.levels import normalise_levels
from mgm.inference.model import TrainedModel
from mgm.inference.model_card import CardDetails, Trials, model_card
from mgm.runs.folder import RunFolder
from mgm.tasks.base import Task
from mgm.training.checkpoint import make_folder
from mgm.training.evaluate import flip_averaged
from mgm.types import ImageFormat

INPUT = "images"
"""Name of the graph's input, ``[B, C, H, W]`` as of `GraphInput`; its outputs have the names of the tasks."""
OPSET = 20
"""Version of the ONNX operators."""
CHECKED_BATCHES = (1, 3)
"""Numbers of images on which a new graph is compared with PyTorch."""
WORST_DIFFERENCE = 1e-3
"""A graph that differs by more (metres, components of vectors, shares of `Task.error_size`, of pixels of another class) is not
exported."""
CONFIG = "config.json"
"""Name under which a graph carries the description of its model."""
EXAMPLES = 2
"""Images that a graph is traced with: any number but one, which torch would take for a constant."""
_ANY_NUMBER = {INPUT: {0: torch.export.Dim("batch")}}

Graph = Callable[[Tensor], dict[str, Tensor]]
"""Images ``[B, C, H, W]`` to values per task."""


class GraphInput(nn.Module):
    """What a graph takes, and what the network sees of it.

    uint8 or uint16 levels, as they are; where the data set declares a range, numbers as they are in its files, float32.
    """

    low: Tensor
    width: Tensor

    def __init__(self, kind: ImageFormat) -> None:
        super().__init__()
        self.dtype = torch.float32 if kind.value_range else getattr(torch, kind.dtype)
        if kind.value_range:
            low, high = torch.tensor(kind.value_range).T[:, :, None, None]
            self.register_buffer("low", low.clone())  # a tensor of its own, as exporters want it
            self.register_buffer("width", high - low)

    def forward(self, images: Tensor) -> Tensor:
        """``[B, C, H, W]`` to (-1, 1)."""
        if self.dtype != torch.float32:
            return normalise_levels(images)
        return 2 * ((images - self.low) / self.width).clamp(0, 1) - 1

    def random(self, shape: Sequence[int], seed: int = 0) -> Tensor:
        """Images of random numbers, from the whole range."""
        generator = torch.Generator().manual_seed(seed)
        if self.dtype == torch.float32:
            return self.low + self.width * torch.rand(shape, generator=generator)
        return torch.randint(256 if self.dtype == torch.uint8 else 65536, shape, generator=generator).to(self.dtype)


class PredictionGraph(nn.Module):
    """What `TrainedModel.predict` does between scaling the photograph down and scaling predictions up.

    Args:
        trained: The model; stays as it is.
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
        """Images ``[B, C, H, W]``, as of `GraphInput`, to values.

        Returns:
            Task -> class indices int64 ``[B, H, W]``, others float32 ``[B, C, H, W]``.
        """
        predict = flip_averaged(self.model, self.tasks) if self.flip_average else self.model
        predictions = predict(self.input(images))
        return {name: task.decode(predictions[name]) for name, task in self.tasks.items()}

    def example(self) -> Tensor:
        """Images to trace the graph with."""
        return torch.zeros(EXAMPLES, self.channels, *self.image_size, dtype=self.input.dtype)


def write_program(trained: TrainedModel, path: Path) -> None:
    """Write the graph as a program of `torch.export` (``.pt2``), for any number of images."""
    graph = PredictionGraph(trained)
    with _quietly():
        program = torch.export.export(graph, (graph.example(),), dynamic_shapes=_ANY_NUMBER)
    files = {CONFIG: json.dumps(asdict(trained.description))}
    content = io.BytesIO()  # torch aborts where a disk is full while it writes
    torch.export.save(program, content, extra_files=files)
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def open_program(path: Path) -> Graph:
    """A program that `write_program` wrote; open only your own, since a program is code."""
    with _quietly():
        program = torch.export.load(path).module()
    return lambda images: program(images)


def write_onnx(trained: TrainedModel, path: Path) -> None:
    """Write the graph as ONNX, for any number of images.

    Raises:
        ConfigError: If the extra ``onnx`` is not installed.
    """
    onnx = _onnx_library("onnx")
    _onnx_library("onnxscript")  # what torch translates with
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
    """An ONNX file in onnxruntime, on the CPU.

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
    """How far a graph is from PyTorch: the largest difference per task; for classes, the share of pixels that differ.

    Args:
        trained: The model that the graph was made of.
        graph: From `GraphFormat.open`.
        images: ``[B, C, H, W]``.
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
    """Silence the exporters, which warn of their own deprecations and log their progress."""
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
    """A kind of file that holds the graph."""

    description: str
    file: str
    """Its name in the model folder."""
    write: Callable[[TrainedModel, Path], None]
    open: Callable[[Path], Graph]


GRAPHS: dict[str, GraphFormat] = {
    "torch": GraphFormat("program of torch.export, runs with PyTorch alone", "model.pt2", write_program, open_program),
    "onnx": GraphFormat(f"ONNX, opset {OPSET}, runs with onnxruntime and others", "model.onnx", write_onnx, open_onnx),
}
"""Format -> how to write and run the graph; `safetensors` is no graph and part of every model folder."""


def export_run(
    run: str | Path,
    out: str | Path,
    formats: Sequence[str] = (),
    *,
    seeds: Sequence[str | Path] = (),
    details: CardDetails | None = None,
) -> dict[str, float]:
    """Export the best model of a run, or an exported one again, as a model folder.

    Args:
        run: Folder of a run or of a model.
        out: The folder; must be new or empty.
        formats: Keys of `GRAPHS`, to be written beside the weights.
        seeds: Finished runs that differ only in their seed, for the spread of the scores on the card.
        details: Title and licences for the card; default: the name of ``out``, and unknown licences.

    Returns:
        As of `export_model`.

    Raises:
        RunError: If there is no model, the folder is not empty or cannot be written to, or a graph differs too much.
        ConfigError: If a format does not exist or its extra is not installed, or the runs differ in more than their seed.
    """
    folder, out = RunFolder(Path(run)), Path(out)
    for name in formats:
        choose("format", name, GRAPHS)
    trained = TrainedModel.load(run, "cpu")
    if seeds and not folder.finished:
        raise ConfigError(f"--seeds needs a finished run as the first, and {run} has no result.json")
    trials = Trials.read([folder, *(RunFolder(Path(seed)) for seed in seeds)]) if folder.finished else Trials()
    return export_model(trained, out, formats, details or CardDetails(out.resolve().name), trials)


def export_model(
    trained: TrainedModel, out: Path, formats: Sequence[str], details: CardDetails, trials: Trials
) -> dict[str, float]:
    """Write a model folder, and graphs into it; all of it or nothing.

    Args:
        trained: The model.
        out: The folder; must be new or empty.
        formats: Keys of `GRAPHS`.
        details: For the card.
        trials: For the card.

    Returns:
        Format -> largest difference from PyTorch over all tasks, on random images, see `disagreement`.

    Raises:
        RunError: If the folder is not empty or cannot be written to, or a graph differs too much.
        ConfigError: If a format does not exist, or its extra is not installed.
    """
    graphs = [choose("format", name, GRAPHS) for name in formats]
    if out.is_file() or (out.is_dir() and any(not file.name.startswith(".") for file in out.iterdir())):
        raise RunError(f"{out} is not empty; choose another folder with --out, or remove it")
    out = out.resolve()  # "." and ".." have names, too
    make_folder(out.parent)
    # a folder that is there may be another disk, or somebody's working directory: it is filled, not replaced
    staging = (out if out.is_dir() else out.parent) / f".{out.name}.{os.getpid()}.tmp"
    files = [
        f"`{graph.file}`: {graph.description}; input `{INPUT}` `[B, {trained.info.image.channels}, "
        f"{', '.join(map(str, trained.image_size))}]` {_input_type(trained.info.image)}, an output per task"
        for graph in graphs
    ]
    try:
        trained.save_pretrained(staging, card=model_card(trained.description, trials, details, files))
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
    """What the numbers of a graph's input are, in words."""
    return f"float32, {kind}" if kind.value_range else f"{kind.dtype} {'RGB' if kind.channels == 3 else 'levels'}"


def _checked(trained: TrainedModel, graph: GraphFormat, folder: Path) -> float:
    """The largest difference of a graph from PyTorch, unless it is too large."""
    kind = trained.info.image
    images = GraphInput(kind).random((max(CHECKED_BATCHES), kind.channels, *trained.image_size))
    run = graph.open(folder / graph.file)
    worst = max(max(disagreement(trained, run, images[:count]).values()) for count in CHECKED_BATCHES)
    if not worst <= WORST_DIFFERENCE:
        raise RunError(
            f"{graph.file} differs from PyTorch by {worst:.1e}, so it is not written; please report the versions"
        )
    return worst
