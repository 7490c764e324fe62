"""Marks of runs with a pre-trained encoder, which tables show so that they are not compared with runs from scratch unawares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mgm.config import ModelConfig

RECIPE = "pretrain"
"""What runs of `mgm pretrain` are called in the place of a recipe."""
MARK = "†"
"""Follows the name of every such run in tables."""


def pretraining(model: ModelConfig) -> str:
    """What the encoder was pre-trained on, in short; empty for one from scratch.

    ``hf:NAME`` stays as it is; of a folder only the last part of the path is shown. Weights that come with an encoder of the
    package are from ImageNet.
    """
    found: list[str] = []
    if model.encoder != "resnet" and model.pretrained:
        source, _, name = model.encoder.rpartition(":")
        short = Path(name).name if Path(name).expanduser().is_absolute() else name
        found.append(f"{source}:{short}" if source else f"ImageNet ({name})")
    return ", then ".join([*found, model.pretrained_on] if model.pretrained_on else found)


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
