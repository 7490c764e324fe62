"""The folder of a model that travels: weights, what is needed to rebuild the network, and a card. No pickle anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from mgm.config import MAX_IMAGE_SIZE, DataConfig, Experiment, ModelConfig
from mgm.data.files import check_bounded, read_bounded, schema, write_atomically, write_text
from mgm.errors import ConfigError, RunError, first_problem
from mgm.functional.levels import LEVEL_CENTRE
from mgm.runs.folder import write_json
from mgm.runs.settings import check_names, check_numbers
from mgm.runs.starting_weights import required_stride
from mgm.tasks import tasks_for
from mgm.training.checkpoint import MAX_CHECKPOINT_BYTES, check_finite, make_folder
from mgm.types import Aspect, DatasetInfo, ImageFormat, parse_size, plain_size
from mgm.version import __version__

FORMAT = "mgm-model"
FORMAT_VERSION = 1
_METADATA = {"format": "pt"}  # what tools that read safetensors expect of weights from PyTorch
MAX_CONFIG_BYTES = 1 << 20
"""A larger config.json is refused unread."""


@dataclass(frozen=True)
class Normalisation:
    """What is done to levels, scaled to 0 to 255, before the network sees them: ``(level - mean) / std``, all channels alike."""

    mean: float = LEVEL_CENTRE
    std: float = LEVEL_CENTRE


@dataclass(frozen=True)
class ModelDescription:
    """``config.json``: all that is needed to rebuild M and to read its outputs."""

    tasks: tuple[str, ...]
    """What it predicts, in the order of outputs."""
    image_size: int | str
    """Size of its images in pixels, see `mgm.types.plain_size`."""
    model: ModelConfig
    """Architecture, depth and widths of the networks."""
    aspect: Aspect = "squeeze"
    """How pictures of another shape got into that size."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Tasks that the data set defined -> their definitions, see `mgm.tasks.own.define`."""
    dataset: str = "unknown"
    """What it was trained on."""
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """What the data set says about its labels."""
    recipe: str = "mgm"
    """How it was trained."""
    seed: int = 0
    """Seed of its training."""
    image: ImageFormat = field(default_factory=ImageFormat)
    """Channels of its images, and the numbers that become the lowest and highest level."""
    normalisation: Normalisation = field(default_factory=Normalisation)
    mgm_version: str = __version__
    """Version that wrote it."""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @classmethod
    def of(cls, experiment: Experiment, info: DatasetInfo) -> ModelDescription:
        """Description of a trained network; paths of the machine that trained it stay behind."""
        return cls(
            tasks=tuple(experiment.data.tasks or info.tasks),
            image_size=plain_size(experiment.data.size),
            aspect=experiment.data.aspect,
            model=replace(experiment.model, flip_average=experiment.flip_average),
            classes=info.classes,
            own_tasks=info.own_tasks,
            image=info.image,
            dataset=info.name,
            notes=info.notes,
            recipe=experiment.recipe,
            seed=experiment.seed,
        )

    def experiment(self) -> Experiment:
        """The settings that prediction needs."""
        data = DataConfig(data=self.dataset, image_size=self.image_size, aspect=self.aspect, tasks=self.tasks)
        return Experiment(recipe=self.recipe, seed=self.seed, data=data, model=self.model)

    def info(self) -> DatasetInfo:
        """What is known of the data set."""
        return DatasetInfo(
            self.dataset, self.tasks, self.classes, notes=self.notes, own_tasks=self.own_tasks, image=self.image
        )


@dataclass(frozen=True)
class ModelFolder:
    """Paths of a model folder and access to its files."""

    path: Path

    @property
    def config_file(self) -> Path:
        """What the network is."""
        return self.path / "config.json"

    @property
    def weights_file(self) -> Path:
        """Its weights."""
        return self.path / "model.safetensors"

    @property
    def card_file(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    @property
    def exists(self) -> bool:
        """Whether there is a model here."""
        return self.config_file.is_file()

    def describe(self) -> ModelDescription:
        """Read and check ``config.json``.

        Raises:
            RunError: If it is missing, damaged, or no description of a model of this package.
            ConfigError: If it was written by a later version, or describes what cannot be built.
        """
        values = self._values()
        if values.get("format") != FORMAT:
            raise RunError(f'{self.config_file} describes no model of mgm ("format" is not "{FORMAT}")')
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.config_file}: format {version!r}, this version of mgm ({__version__}) reads {FORMAT_VERSION}; "
                "install the version that wrote it, or export it again"
            )
        check_names(values, ModelDescription, str(self.config_file))
        if isinstance(values.get("model"), dict):
            # a field that this version does not know would be another network under the same name
            check_names(values["model"], ModelConfig, f"{self.config_file}, model")
        try:
            found = schema(ModelDescription).validate_python(values)
        except ValidationError as error:
            raise RunError(f"{self.config_file}: {first_problem(error)}; restore it or export again") from None
        self._check(found)
        return found

    def _values(self) -> dict[str, Any]:
        try:
            return schema(dict[str, Any]).validate_json(read_bounded(self.config_file, MAX_CONFIG_BYTES))
        except FileNotFoundError:
            raise RunError(f"{self.path} holds no model (no config.json); models are made by: mgm export") from None
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else first_problem(error)
            raise RunError(f"{self.config_file} is damaged ({reason}); restore it or export again") from None

    def _check(self, found: ModelDescription) -> None:
        """Raise where a description has the right types and yet describes nothing that can be built."""
        if found.normalisation != Normalisation():
            raise ConfigError(
                f"{self.config_file}: images normalised by {found.normalisation}, this version knows {Normalisation()}"
            )
        if found.model.image_channels != found.image.channels:
            raise RunError(
                f"{self.config_file}: image has {found.image.channels} channels, and model is for {found.model.image_channels}"
            )
        stride = max(1, required_stride(found.model))  # whether there is such a stride the network says itself
        try:
            size = parse_size(found.image_size)
        except ConfigError as error:
            raise RunError(f"{self.config_file}: {error}") from None
        if any(side % stride or side > MAX_IMAGE_SIZE for side in size):
            raise RunError(
                f"{self.config_file}: image_size is {found.image_size}; it must be a multiple of {stride}, "
                f"{stride} to {MAX_IMAGE_SIZE}"
            )
        tasks_for(found.info())
        check_numbers(found, str(self.config_file))

    def weights(self) -> dict[str, Tensor]:
        """Tensors of ``model.safetensors`` by name.

        Raises:
            RunError: If the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

        try:
            check_bounded(self.weights_file, MAX_CHECKPOINT_BYTES)
            weights = load_file(self.weights_file)
            check_finite("model", weights)
        except FileNotFoundError:
            raise RunError(f"{self.weights_file} does not exist; copy the whole folder, or export again") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{self.weights_file} is damaged ({error}); copy it again, or export again") from None
        return weights

    def write(self, description: ModelDescription, weights: Mapping[str, Tensor], card: str) -> None:
        """Write all files; the description comes last, because it is what a model is recognised by.

        Raises:
            RunError: If the place cannot be written to.
        """
        from safetensors.torch import save

        make_folder(self.path)
        content = save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, _METADATA)
        write_atomically(self.weights_file, lambda file: file.write(content))
        write_text(self.card_file, card)
        write_json(self.config_file, asdict(description))
