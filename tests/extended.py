"""Enters the classes of docs/extending.md into the package's dictionaries, and takes them out again."""

from collections.abc import Generator
from contextlib import contextmanager
from unittest import mock

import mgm
from documents import Block
from mgm.data import DATASETS
from mgm.method.recipes import RECIPES
from mgm.method.selfsup import SELF_SUPERVISION
from mgm.models import MODELS
from mgm.networks.generators import GENERATORS
from mgm.tasks import TASKS

REGISTRIES: tuple[dict, ...] = (TASKS, DATASETS, RECIPES, MODELS, GENERATORS, SELF_SUPERVISION)


@contextmanager
def restored() -> Generator[None]:
    """All dictionaries are afterwards what they were before."""
    before = [dict(registry) for registry in REGISTRIES]
    try:
        yield
    finally:
        for registry, content in zip(REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(content)


def enter(program: Block) -> dict:
    """Run a program without its training; returns its names."""
    names: dict = {}
    nothing = mock.MagicMock()
    with (
        mock.patch.object(mgm, "train", nothing, create=True),
        mock.patch.object(mgm, "generate", nothing, create=True),
    ):
        exec(compile(program.text, f"docs/extending.md, {program.heading}", "exec"), names)
    return names
