"""Builds the documentation site: gathers the pages, then runs zensical with warnings as errors.

    python docs/build.py            # writes site/
    python docs/build.py --gather   # only gathers, for `zensical serve`

Pages are written for two readers: in the repository they link to `../results/...`, on the site these lie beside them. So the pages
are gathered in `build/pages` with such links bent. Navigation lines of pages that do not exist are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
BESIDE = ("results",)
"""Folders beside docs/ that are part of the site."""


def main() -> None:
    """Gather and build; exits with zensical's code."""
    gather(PAGES)
    if "--gather" not in sys.argv[1:]:
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


def gather(target: Path) -> None:
    """Write pages and pictures of docs/ and of the folders beside it below ``target``, which is emptied."""
    shutil.rmtree(target, ignore_errors=True)
    for folder, below in ((ROOT / "docs", target), *((ROOT / name, target / name) for name in BESIDE)):
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".md", ".json", ".png", ".jpg", ".svg", ".css"):
                place = below / file.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                if file.suffix == ".md":
                    place.write_text(bent(file.read_text(encoding="utf-8"), below != target), encoding="utf-8")
                else:
                    shutil.copyfile(file, place)
    summary = target / "SUMMARY.md"
    summary.write_text(without_absent_pages(summary.read_text(encoding="utf-8"), target), encoding="utf-8")


def bent(page: str, beside: bool) -> str:
    """A page whose links hold on the site: ``../results/x`` is ``results/x`` there, and ``../docs/x`` from beside is ``../x``."""
    if beside:
        return page.replace("](../docs/", "](../")
    return re.sub(rf"\]\(\.\./({'|'.join(BESIDE)})/", r"](\1/", page)


def without_absent_pages(summary: str, pages: Path) -> str:
    """The navigation without links to pages that do not exist, and without sections that hold no page then."""
    kept: list[str] = []
    for line in reversed(summary.splitlines()):
        link = re.search(r"\]\(([^)#]+)\)", line)
        section = line.startswith("- ") and not link
        inside = bool(kept) and kept[-1].startswith(" ")
        if (link is None or (pages / link[1]).exists()) and (not section or inside):
            kept.append(line)
    return "\n".join(reversed(kept)) + "\n"


if __name__ == "__main__":
    main()
