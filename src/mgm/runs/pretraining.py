"""Marks of runs with a pre-trained encoder, which tables show so that they are not compared with runs from scratch unawares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mgm.config import ModelConfig

MARK = "†"
"""Follows the name of every such run in tables."""


def pretraining(model: ModelConfig) -> str:
    """What the encoder was pre-trained on, in short; empty for one from scratch.

    ``hf:NAME`` stays as it is; of a folder only the last part of the path is shown. Weights that come with an encoder of the
    package are from ImageNet.
    """
    if model.encoder == "resnet" or not model.pretrained:
        return ""
    source, _, name = model.encoder.rpartition(":")
    if not source:
        return f"ImageNet ({name})"
    return f"{source}:{Path(name).name if Path(name).expanduser().is_absolute() else name}"


def marked(title: str, pretrained: str) -> str:
    """The name of a run, with the mark if its encoder is pre-trained."""
    return f"{title} {MARK}" if pretrained else title


def footnotes(pretrained: Iterable[str]) -> list[str]:
    """The meaning of the mark: a line for each kind of pre-training."""
    return [
        f"{MARK} pre-trained encoder, {kind}: not comparable with runs from scratch"
        for kind in dict.fromkeys(pretrained)
        if kind
    ]
