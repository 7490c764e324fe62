"""Marking of runs with a pre-trained encoder in tables, so that they are not compared with runs from scratch by accident."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mgm.config import ModelConfig

RECIPE = "pretrain"
"""Name used in place of a recipe for runs of `mgm pretrain`."""
MARK = "†"
"""Mark after the name of a run whose encoder is pre-trained."""


def pretraining(model: ModelConfig) -> str:
    """Short description of the encoder's pre-training; empty for an encoder trained from scratch.

    ``hf:NAME`` is kept, and of a folder only the last part of the path is shown. Encoders of this package are pre-trained on
    ImageNet.
    """
    found: list[str] = []
    if model.encoder != "resnet" and model.pretrained:
        source, _, name = model.encoder.rpartition(":")
        short = Path(name).name if os.path.isabs(os.path.expanduser(name)) else name
        found.append(f"{source}:{short}" if source else f"ImageNet ({name})")
    return ", then ".join([*found, model.pretrained_on] if model.pretrained_on else found)


def marked(title: str, pretrained: str) -> str:
    """Add the mark to the name of a run if its encoder is pre-trained."""
    return f"{title} {MARK}" if pretrained else title


def footnotes(pretrained: Iterable[str]) -> list[str]:
    """Footnotes that explain the mark, one for each kind of pre-training."""
    return [
        f"{MARK} pre-trained encoder, {kind}: not comparable with runs from scratch"
        for kind in dict.fromkeys(pretrained)
        if kind
    ]
