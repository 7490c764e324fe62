"""A league of its own: runs whose encoder has seen other images before, which no comparison with runs from scratch may hide."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mgm.config import ModelConfig

MARK = "†"
"""Stands behind the name of every such run in tables."""


def pretraining(model: ModelConfig) -> str:
    """What the encoder was pre-trained on, in short; empty for one from scratch.

    ``hf:NAME`` stays as it is, of a folder its own name alone (a result travels, paths of a machine do not); weights that come
    with an encoder of the package are ImageNet's.
    """
    if model.encoder == "resnet" or not model.pretrained:
        return ""
    source, _, name = model.encoder.rpartition(":")
    if not source:
        return f"ImageNet ({name})"
    return f"{source}:{Path(name).name if Path(name).expanduser().is_absolute() else name}"


def marked(title: str, pretrained: str) -> str:
    """The name of a run as tables show it."""
    return f"{title} {MARK}" if pretrained else title


def footnotes(pretrained: Iterable[str]) -> list[str]:
    """What the mark means: a line for each kind of pre-training."""
    return [
        f"{MARK} pre-trained encoder, {kind}: not comparable with runs from scratch"
        for kind in dict.fromkeys(pretrained)
        if kind
    ]
