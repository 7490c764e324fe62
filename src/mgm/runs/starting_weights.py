"""What a run takes over from a finished one: so far the encoder that it starts from (paper Table 11)."""

from __future__ import annotations

from pathlib import Path

from mgm.config import ModelConfig
from mgm.errors import ConfigError, RunError
from mgm.runs.folder import RunFolder
from mgm.models.base import MultiTaskModel
from mgm.training.checkpoint import load_checkpoint


def finished_run(run: str, setting: str) -> RunFolder:
    """The folder of a run that another run builds upon.

    Args:
        run: Its path.
        setting: The setting that names it, for messages.

    Raises:
        RunError: If there is no run, or it is not finished.
    """
    folder = RunFolder(Path(run).expanduser())
    if not folder.exists:
        raise RunError(f"{setting} {run}: no run folder (no config.yaml); runs are made by: mgm train --out {run}")
    if not folder.finished:
        raise RunError(f"{setting} {run}: the run is not finished; continue it with: mgm train --resume {run}")
    return folder


def start_encoder(model: MultiTaskModel, config: ModelConfig) -> None:
    """Give M's encoder the weights and statistics of the run's best model that ``encoder_run`` names, if it names one.

    Raises:
        ConfigError: If that run's encoder is of another kind or size, or belongs to other tasks.
        RunError: If there is no such run, it is not finished, or its weights are damaged.
    """
    if not config.encoder_run:
        return
    folder = finished_run(config.encoder_run, "encoder_run")
    theirs = folder.experiment().model
    for name in ("architecture", "depth", "widths", "encoder_stride"):
        value = getattr(theirs, name)
        if value != getattr(config, name):
            written = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ConfigError(
                f"encoder_run {config.encoder_run}: its {name} is {value}, this run's {getattr(config, name)}; "
                f"use --{name.replace('_', '-')} {written}"
            )
    path = folder.checkpoints / "best.pt"
    state = load_checkpoint(path).get("model", {})
    encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    if not encoder:
        raise RunError(f"{path} holds no encoder; train {config.encoder_run} again")
    try:
        model.encoder.load_state_dict(encoder)
    except RuntimeError:
        learned = ", ".join(folder.experiment().data.tasks or folder.info().tasks)
        raise ConfigError(
            f"encoder_run {config.encoder_run}: its encoder has a part per task or group and learned {learned}; with other "
            "tasks only the shared encoder of --architecture multi_task can be taken over"
        ) from None
