"""What was measured as a table on the terminal, as JSON and as Markdown."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from mgm.bench.sections import Section
from mgm.bench.setting import BenchSetting
from mgm.runs.devices import single_device
from mgm.runs.provenance import current_commit, versions


def document(sections: dict[str, Section], setting: BenchSetting, command: str) -> dict[str, Any]:
    """All that is needed to read, and to repeat, the measurement; plain values."""
    device = single_device(setting.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "command": command,
        "commit": current_commit(),
        "versions": versions(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "setting": asdict(setting),
        "sections": {name: asdict(section) for name, section in sections.items()},
    }


def table(section: Section) -> Table:
    """A section for the terminal."""
    shown = Table(
        title=section.title,
        caption=section.note or None,
        caption_justify="left",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column, value in section.rows[0].items():
        # half a name or half a number says nothing, so only the headings break; times have their unit in the cell
        heading = column.removesuffix("_seconds").replace("_", "\n")
        shown.add_column(heading, justify="left" if isinstance(value, str) else "right", no_wrap=True)
    for row in section.rows:
        shown.add_row(*(cell(column, value) for column, value in row.items()))
    return shown


def markdown(found: dict[str, Any]) -> str:
    """A document as a page."""
    lines = [f"    {found['command']}", ""]
    lines += [
        f"Commit {found['commit']}, torch {found['versions']['torch']}, {found['device']}, {found['threads']} threads.",
    ]
    for section in found["sections"].values():
        columns = list(section["rows"][0])
        lines += ["", f"## {section['title'].capitalize()}", ""]
        lines += [f"| {' | '.join(column.replace('_', ' ') for column in columns)} |", "| --- " * len(columns) + "|"]
        lines += [f"| {' | '.join(cell(column, row[column]) for column in columns)} |" for row in section["rows"]]
        lines += ["", f"{section['note']}."] if section["note"] else []
    return "\n".join(lines) + "\n"


def cell(column: str, value: Any) -> str:
    """A value in the unit that reads best."""
    if isinstance(value, tuple | list):
        return " – ".join(f"{number:.2f}" for number in value)
    if column.endswith("ratio") or column == "share":
        return f"{value:.3f}"
    if "seconds" in column:
        return f"{1e3 * value:,.1f} ms"
    if column.startswith("flop"):
        return f"{value / 1e9:,.2f} G"
    if column == "peak_bytes":
        return f"{value / 2**20:,.0f} MiB"
    return f"{value:,}" if isinstance(value, int) else str(value)
