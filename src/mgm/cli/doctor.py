"""``mgm doctor``: diagnosis of the installation and the machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from mgm.cli.parsing import parse

BROKEN = 1
"""Exit code if something essential is broken."""


@dataclass(frozen=True)
class DoctorOptions:
    """Check this machine and the installation, and list what each optional feature lacks; exit code 1 if something is broken.

    Example: mgm doctor --json
    """

    json: bool = False
    """Print JSON instead of text."""
    cache: str = ""
    """Folder for converted data; empty: $MGM_CACHE or ~/.cache/mgm."""


def doctor(arguments: list[str]) -> None:
    """``mgm doctor``."""
    options = parse(DoctorOptions, "doctor", arguments)
    from mgm.runs.doctor import examine

    findings = examine(options.cache)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        marks = {"ok": "  ", "note": "! ", "missing": "- ", "broken": "X "}
        group = ""
        for finding in findings:
            if finding.group != group:
                group = finding.group
                print(group)
            remedy = f"\n      {finding.remedy}" if finding.remedy else ""
            print(f"  {marks[finding.state]}{finding.name:<20}  {finding.detail}{remedy}")
        print("! note   - missing, needed only for this feature   X broken")
    if any(finding.state == "broken" for finding in findings):
        sys.exit(BROKEN)
