"""``mgm bench``: options, and what is printed. The work is done in `mgm.bench`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from mgm.bench.setting import BenchSetting
from mgm.cli.parsing import parse
from mgm.errors import ConfigError


@dataclass(frozen=True)
class BenchOptions:
    """Time and count a training step beside the pass structure of the authors' public code.

    Example: mgm bench step work --size 64 --width 32 --batch 16 --json step.json
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """work, work_of_parts, step, parts, operators, stages, augmentation, prediction, identities, rates; nothing: all of them."""
    setting: tyro.conf.OmitArgPrefixes[BenchSetting] = field(default_factory=BenchSetting)
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
    # torch's profiler announces each start on standard error; read when it loads
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from rich.console import Console

    from mgm.bench.document import document, markdown, table
    from mgm.bench.sections import measure

    waiting = Console(stderr=True)
    with waiting.status("measuring") as status:
        sections = measure(options.setting, options.what, lambda text: status.update(text))
    found = document(sections, options.setting, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    for path, text in ((options.json, json.dumps(found, indent=2) + "\n"), (options.markdown, markdown(found))):
        if path:
            path.write_text(text, encoding="utf-8")
    console = Console()
    for section in sections.values():
        shown = table(section)
        # in a narrower terminal lines wrap, and nothing is cut off
        needed = console.measure(shown, options=console.options.update(width=1000)).maximum
        console.width = max(console.width, needed)
        console.print(shown)
