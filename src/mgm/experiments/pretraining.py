"""A league of its own: runs whose encoder has seen other images before, which no comparison with runs from scratch may hide."""

from __future__ import annotations

from collections.abc import Iterable

from mgm.config import ModelConfig

MARK = "†"
"""Stands behind the name of every such run in tables."""


def pretraining(model: ModelConfig) -> str:
    """What the encoder was pre-trained on, in short; empty for one from scratch.

    ``hf:NAME`` stays as it is; weights that come with an encoder of the package are ImageNet's.
    """
    if model.encoder == "resnet" or not model.pretrained:
        return ""
    return model.encoder if ":" in model.encoder else f"ImageNet ({model.encoder})"


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
