"""What the documents hold: code blocks, commands, links, headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "SUMMARY.md")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]


def name_of(path: Path) -> str:
    """For test names: the path in the repository."""
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A block of code; ``kind`` is the word behind the fence, empty for an indented one."""

    kind: str
    text: str
    heading: str


def blocks_of(path: Path) -> list[Block]:
    """All code blocks of a document, in order."""
    found: list[Block] = []
    heading, kind, lines = "", None, []
    for line in [*path.read_text().splitlines(), "end"]:
        if kind == "" and line and not line.startswith("    "):  # the line behind an indented block may begin another
            found.append(Block(kind, "\n".join(lines).rstrip() + "\n", heading))
            kind = None
        if kind is None and line.startswith("```"):
            kind, lines = line[3:].strip() or "none", []
        elif kind is None and line.startswith("    "):
            kind, lines = "", [line[4:]]
        elif kind is None and line.startswith("#"):
            heading = line.lstrip("# ")
        elif kind and line.startswith("```"):
            found.append(Block(kind, "\n".join(lines) + "\n", heading))
            kind = None
        elif kind is not None:
            lines.append(line[4:] if kind == "" else line)
    assert kind is None, f"{path}: a block is not closed"
    return found


def python_of(path: Path) -> list[Block]:
    """The blocks of Python."""
    return [block for block in blocks_of(path) if block.kind == "python"]


def commands_in(path: Path) -> list[list[str]]:
    """Command lines of ``mgm`` in the shell blocks of a document, as words behind ``mgm``.

    Found too: ``python -m mgm`` behind torchrun, and a command in quotes for a batch system. What a shell does on top
    (variables, redirections, comments) is dropped, as is an ellipsis.
    """
    lines = (line for block in blocks_of(path) if block.kind in ("", "sh") for line in block.text.splitlines())
    return [words for line in lines for words in _commands(line)]


def _commands(line: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # prose or a table with an apostrophe
        return
    for word in words:
        if word.startswith("mgm "):
            yield from _commands(word)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if "torchrun" in words[:1] and "-m" in words:
        words = words[words.index("-m") + 1 :]
    if words[:1] == ["mgm"]:
        end = words.index(">") if ">" in words else len(words)
        yield [word for word in words[1:end] if word != "..."]


def links_of(path: Path) -> list[str]:
    """Targets of all links and pictures, outside of code."""
    text = re.sub(r"^```.*?^```|^    .*?$|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors_of(path: Path) -> set[str]:
    """What may stand behind ``#``: the headings, as GitHub and the site name them."""
    fences = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", fences, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
