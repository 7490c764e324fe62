"""``mgm bench``: options, and what is printed. The work is done in `mgm.bench`."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.commands import parse
from mgm.errors import ConfigError


@dataclass(frozen=True)
class BenchOptions:
    """Time and count a training step beside the pass structure of the authors' public code.

    Example: mgm bench step work --size 64 --width 32 --batch 16 --json step.json
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """work, step, parts, stages, augmentation, prediction, identities; nothing: all of them."""
    preset: str = "paper"
    """Scale of encoder, decoders and refinement: paper, small, quick, tiny."""
    size: int = 64
    """Side of the images in pixels: 32, 64, 128 or 256."""
    width: int = 32
    """Base number of channels of generator and discriminator (paper: 64)."""
    batch: int = 16
    """Images per step (paper: 32)."""
    data: str = "rooms"
    """Data set, by name or path."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    rounds: int = 5
    """Times that each variant is measured; they take turns."""
    json: Path | None = None
    """File for all numbers."""
    markdown: Path | None = None
    """File for the tables."""


def bench(arguments: list[str]) -> None:
    """``mgm bench``."""
    options = parse(BenchOptions, "bench", arguments)
    for path in (options.json, options.markdown):
        if path and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: the folder {path.parent} does not exist")
    from rich.console import Console

    from mgm.bench.document import document, markdown, table
    from mgm.bench.sections import measure
    from mgm.bench.workbench import BenchSetting

    setting = BenchSetting(
        options.preset, options.size, options.width, options.batch, options.data, options.device, options.rounds
    )
    waiting = Console(stderr=True)
    with waiting.status("measuring") as status:
        sections = measure(setting, options.what, lambda text: status.update(text))
    found = document(sections, setting, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    for path, text in ((options.json, json.dumps(found, indent=2) + "\n"), (options.markdown, markdown(found))):
        if path:
            path.write_text(text, encoding="utf-8")
    console = Console()
    for section in sections.values():
        console.print(table(section))
