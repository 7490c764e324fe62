"""Model folders for sharing: weights, the description that rebuilds the network, and a model card. They contain no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from torch import Tensor

from mgm.config import MAX_IMAGE_SIZE, DataConfig, Experiment, ModelConfig
from mgm.data.files import check_bounded, read_bounded, schema, write_atomically, write_text
from mgm.errors import ConfigError, RunError, first_problem
from mgm.functional.levels import LEVEL_CENTRE
from mgm.runs.folder import Inside, write_json
from mgm.runs.settings import check_names, check_numbers
from mgm.runs.starting_weights import required_stride
from mgm.tasks import tasks_for
from mgm.training.checkpoint import MAX_CHECKPOINT_BYTES, check_finite, make_folder
from mgm.types import Aspect, DatasetInfo, ImageFormat, parse_size, plain_size
from mgm.version import __version__

FORMAT = "mgm-model"
FORMAT_VERSION = 1
_METADATA = {"format": "pt"}  # safetensors readers expect this for weights from PyTorch
Level = Annotated[int, Field(ge=0, le=255)]
MAX_CONFIG_BYTES = 1 << 20
"""Size limit of config.json; a larger file is not read."""


@dataclass(frozen=True)
class Normalisation:
    """Normalisation of the network's input, ``(level - mean) / std`` with levels scaled to [0, 255], the same for all channels."""

    mean: float = LEVEL_CENTRE
    std: float = LEVEL_CENTRE


@dataclass(frozen=True)
class ModelDescription:
    """Contents of ``config.json``: everything needed to rebuild M and to interpret its outputs."""

    tasks: tuple[str, ...]
    """Tasks in the order of the outputs."""
    image_size: int | str
    """Input size in pixels, see `mgm.types.plain_size`."""
    model: ModelConfig
    """Architecture, depth and widths of the networks."""
    aspect: Aspect = "squeeze"
    """How training images of another shape were brought to that size."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order."""
    colours: tuple[tuple[Level, Level, Level], ...] = ()
    """Display colours of the semantic classes, see `DatasetInfo.colours`."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Custom task of the data set -> its definition, see `mgm.tasks.own.define`."""
    dataset: str = "unknown"
    """Name of the training data."""
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """Notes of the data set on its labels."""
    recipe: str = "mgm"
    """Training recipe."""
    seed: int = 0
    """Seed of the training."""
    image: ImageFormat = field(default_factory=ImageFormat)
    """Number of channels and value range of the images."""
    normalisation: Normalisation = field(default_factory=Normalisation)
    mgm_version: str = __version__
    """Version of mgm that wrote the description."""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @classmethod
    def of(cls, experiment: Experiment, info: DatasetInfo) -> ModelDescription:
        """Description of a trained network, without paths of the machine that trained it."""
        return cls(
            tasks=tuple(experiment.data.tasks or info.tasks),
            image_size=plain_size(experiment.data.size),
            aspect=experiment.data.aspect,
            model=replace(experiment.model, flip_average=experiment.flip_average),
            classes=info.classes,
            colours=info.colours,
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
        """Description of the data set, as far as it is known."""
        return DatasetInfo(
            self.dataset,
            self.tasks,
            self.classes,
            notes=self.notes,
            colours=self.colours,
            own_tasks=self.own_tasks,
            image=self.image,
        )


@dataclass(frozen=True)
class ModelFolder:
    """Paths of a model folder and access to its files."""

    path: Path

    config_file = Inside("config.json")
    """The description of the network."""
    weights_file = Inside("model.safetensors")
    """The weights."""
    card_file = Inside("README.md")
    """The model card."""

    @property
    def exists(self) -> bool:
        """Whether the folder holds a model."""
        return self.config_file.is_file()

    def describe(self) -> ModelDescription:
        """Read and check ``config.json``.

        Raises:
            RunError: If it is missing, damaged, or does not describe a model of this package.
            ConfigError: If it was written by a later version, or describes a network that cannot be built.
        """
        values = self._values()
        if values.get("format") != FORMAT:
            raise RunError(f'{self.config_file} does not describe a model of mgm ("format" is not "{FORMAT}")')
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.config_file} has format version {version!r}, but this version of mgm ({__version__}) reads "
                f"{FORMAT_VERSION}; install the version that wrote it, or export the model again"
            )
        check_names(values, ModelDescription, str(self.config_file))
        if isinstance(values.get("model"), dict):
            # ignoring an unknown field would silently build a different network
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
        """Check that a description with valid types describes a network that can be built.

        Raises:
            ConfigError: If the normalisation or a setting is not supported.
            RunError: If the image channels or the image size do not suit the network.
        """
        if found.normalisation != Normalisation():
            raise ConfigError(
                f"{self.config_file}: images normalised by {found.normalisation}; this version supports only {Normalisation()}"
            )
        if found.model.image_channels != found.image.channels:
            raise RunError(
                f"{self.config_file}: image has {found.image.channels} channels, but the model takes {found.model.image_channels}"
            )
        stride = max(1, required_stride(found.model))  # the network itself rejects an invalid stride
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
        """Read the tensors of ``model.safetensors`` by name.

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
        """Write all files; ``config.json`` comes last, since it marks the folder as a model.

        Raises:
            RunError: If the folder cannot be written to.
        """
        from safetensors.torch import save

        make_folder(self.path)
        content = save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, _METADATA)
        write_atomically(self.weights_file, lambda file: file.write(content))
        write_text(self.card_file, card)
        write_json(self.config_file, asdict(description))
