"""``mgm completion``: scripts by which a shell completes verbs, options and names, made from the help of every verb."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import tyro

from mgm.cli.main import VERBS
from mgm.cli.parsing import parse
from mgm.errors import choose
from mgm.method.recipes import PRESETS, RECIPES

_OPTION = re.compile(r"[│\s]*(?:-\w,\s*)?(--[a-z][a-z0-9-]*(?:,\s*--[a-z][a-z0-9-]*)*)(?=[\s│,]|$)")
_SUBVERBS = re.compile(r"^usage: mgm \w+ ([\w-]+(?:\|[\w-]+)+)")


@dataclass(frozen=True)
class CompletionOptions:
    """Print a script that completes mgm's verbs, options and names in a shell.

    Example: mgm completion bash > ~/.local/share/bash-completion/completions/mgm

    zsh: source <(mgm completion zsh) in ~/.zshrc; fish: mgm completion fish > ~/.config/fish/completions/mgm.fish
    """

    shell: tyro.conf.Positional[str]
    """bash, zsh or fish."""


@dataclass(frozen=True)
class Words:
    """What may follow a verb."""

    options: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    below: dict[str, Words] = field(default_factory=dict)
    """Verb below the verb -> what may follow it."""


def completion(arguments: list[str]) -> None:
    """``mgm completion``."""
    options = parse(CompletionOptions, "completion", arguments)
    script = choose("shell", options.shell, SHELLS)
    print(script({verb: words_of(verb) for verb in VERBS}), end="")


def words_of(verb: str, *below: str) -> Words:
    """What may follow a verb, from its help."""
    text = _help(verb, *below)
    found = _SUBVERBS.match(text)
    names = tuple(RECIPES) if verb == "train" else ()
    if found and not below:
        return Words(below={name: words_of(verb, name) for name in found.group(1).split("|")})
    options = [part.strip() for line in text.splitlines() for part in _options_in(line)]
    return Words(tuple(dict.fromkeys(options)), names)


def _options_in(line: str) -> Iterator[str]:
    found = _OPTION.match(line)
    yield from found.group(1).split(",") if found else ()


def _help(*words: str) -> str:
    """The help of a verb, in one column, wide enough that no option is wrapped."""
    verb, *rest = words
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            VERBS[verb].run([*rest, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())


def _bash(verbs: dict[str, Words]) -> str:
    cases = [
        f'    "{verb}") words="{" ".join((*words.names, *words.options, *words.below))}" ;;'
        for verb, words in verbs.items()
    ]
    cases += [
        f'    "{verb} {name}") words="{" ".join(inner.options)}" ;;'
        for verb, words in verbs.items()
        for name, inner in words.below.items()
    ]
    nested = "|".join(verb for verb, words in verbs.items() if words.below) or "-"
    return f"""# completion of mgm for bash
_mgm() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" previous="" words="" place=""
  [ "$COMP_CWORD" -gt 0 ] && previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  place="${{COMP_WORDS[1]}}"
  case "$place" in
    {nested}) [ "$COMP_CWORD" -gt 2 ] && place="$place ${{COMP_WORDS[2]}}" ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{" ".join(verbs)} --help --version"
  elif [ "$previous" = "--preset" ]; then
    words="{" ".join(PRESETS)}"
  else case "$place" in
{chr(10).join(cases)}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ "$COMP_CWORD" -gt 1 ] && [ "${{word#-}}" = "$word" ]; then
    COMPREPLY+=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _mgm mgm
"""


def _zsh(verbs: dict[str, Words]) -> str:
    return "#compdef mgm\nautoload -U +X bashcompinit && bashcompinit\n" + _bash(verbs)


def _fish(verbs: dict[str, Words]) -> str:
    lines = ["# completion of mgm for fish"]
    for verb, summary in ((verb, VERBS[verb].summary.replace("'", "")) for verb in verbs):
        lines.append(f"complete -c mgm -n __fish_use_subcommand -a {verb} -d '{summary}'")
    for verb, words in verbs.items():
        here = f"-n '__fish_seen_subcommand_from {verb}'"
        lines += [f"complete -c mgm {here} -a '{' '.join((*words.names, *words.below))}'"] * bool(
            words.names or words.below
        )
        lines += [f"complete -c mgm {here} -l {option.removeprefix('--')}" for option in words.options]
        for name, inner in words.below.items():
            below = f"-n '__fish_seen_subcommand_from {verb}; and __fish_seen_subcommand_from {name}'"
            lines += [f"complete -c mgm {below} -l {option.removeprefix('--')}" for option in inner.options]
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[dict[str, Words]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Shell -> what writes its script."""
