"""Reading, writing and validation of settings as YAML."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mgm.config import DataConfig, Experiment, MethodConfig, ModelConfig, TrainingConfig
from mgm.data import DATASETS
from mgm.data.files import parse_yaml, read_bounded, schema
from mgm.errors import ConfigError, first_problem, unknown
from mgm.training.metrics_log import plain
from mgm.types import is_mapping, is_sequence

LARGEST_NUMBER = 1 << 31
"""Numbers in settings must be smaller than this in absolute value."""
NO_DIFFERENCE = {"data": ("cache", "split_seed"), "training": ("device", "log", "checkpoint_every", "gradients_every")}
"""Settings without influence on the model, such as the device, and the seed of the split."""
GROUPS = {"data": DataConfig, "model": ModelConfig, "method": MethodConfig, "training": TrainingConfig}


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """Convert settings to plain nested values."""
    return plain(dataclasses.asdict(experiment))


def to_yaml(experiment: Experiment) -> str:
    """Convert settings to the text of a YAML file."""
    return yaml.safe_dump(to_dict(experiment), sort_keys=False)


def of_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `to_dict` without seeds and `NO_DIFFERENCE`, as one dictionary: equal for runs that differ in their seed only."""
    return {"recipe": settings["recipe"]} | {
        name: value
        for group in ("data", "model", "method", "training")
        for name, value in settings[group].items()
        if name not in NO_DIFFERENCE.get(group, ()) and name != "backbone"
    }


def in_words(value: Any) -> str:
    """The value of a setting as it is written on the command line."""
    return " ".join(map(str, value)) if is_sequence(value) else str(value)


def from_yaml(path: Path) -> Experiment:
    """Read settings from a YAML file; missing fields have their defaults.

    Raises:
        ConfigError: If the file is missing or not YAML, or has unknown fields or values of the wrong type.
    """
    try:
        values = parse_yaml(read_bounded(path))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; a run folder has its settings in config.yaml") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give the file config.yaml of a run") from None
    except ValueError as error:
        raise ConfigError(f"{path} is no YAML ({error})") from None
    if not is_mapping(values):
        raise ConfigError(f"{path} holds no settings; it must be a mapping such as config.yaml of a run")
    return from_dict(values, str(path))


def from_dict(values: dict[str, Any], where: str = "settings") -> Experiment:
    """Build an experiment from plain values.

    Raises:
        ConfigError: If a field is unknown (the message lists the choices) or a value has the wrong type.
    """
    check_names(values, Experiment, where)
    built: dict[str, Any] = {}
    for name, value in values.items():
        group = GROUPS.get(name)
        if group is None:
            built[name] = value
            continue
        if not is_mapping(value):
            raise ConfigError(f"{where}: {name} must be a mapping of fields, not {value!r}")
        check_names(value, group, f"{where}, {name}")
        built[name] = _validated(group, value, f"{where}, {name}")
    experiment = _validated(Experiment, built, where)
    check_numbers(experiment, where)
    return experiment


def check_names(values: dict[str, Any], kind: type, where: str) -> None:
    """Raise `ConfigError` for a key that is not a field of the dataclass; the message lists the choices."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in values:
        if name not in names:
            raise ConfigError(f"{where}: {unknown('field', str(name), names)}")


def check_numbers(settings: object, where: str) -> None:
    """Raise `ConfigError` if a dataclass contains, at any depth, a number that is NaN, infinite or too large."""
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            check_numbers(value, where)
        for number in value if is_sequence(value) else (value,):
            if isinstance(number, int | float) and not abs(number) < LARGEST_NUMBER:
                raise ConfigError(f"{where}: {field.name} is {number}; it must be a number below {LARGEST_NUMBER:,}")


def with_absolute_paths(experiment: Experiment) -> Experiment:
    """Make all paths in settings absolute, so that they do not depend on the working directory.

    Settings that may also be names (of a data set or an encoder) are changed only if the path exists.
    """
    data, model, method = experiment.data, experiment.model, experiment.method
    hub = "hf:"
    encoder = model.encoder.removeprefix(hub)
    encoder = hub + _place(encoder) if model.encoder.startswith(hub) else model.encoder
    generators = tuple(map(_absolute, method.generator_runs))
    return replace(
        experiment,
        data=replace(data, data=_place(data.data), pretrain=_place(data.pretrain), cache=_absolute(data.cache)),
        model=replace(model, encoder=encoder, encoder_run=_absolute(model.encoder_run)),
        method=replace(method, generator_runs=generators, annotator=_absolute(method.annotator)),
    )


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path else path


def _place(name: str) -> str:
    return name if name in DATASETS or not os.path.exists(os.path.expanduser(name)) else _absolute(name)


def _validated(kind: type[Any], values: dict[str, Any], where: str) -> Any:
    try:
        return schema(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_problem(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
