"""``mgm completion``: shell scripts, written by tyro, that complete verbs, options and file names."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from mgm.cli.main import VERBS
from mgm.cli.parsing import parse
from mgm.errors import ConfigError, unknown
from mgm.method.recipes import PRESETS

SHELLS = ("bash", "zsh", "fish")
FILES_TOO = {
    "get_completions(words, current_index, COMPLETION_SPEC)": (
        "get_completions(words, current_index, COMPLETION_SPEC) or ['__TYRO_COMPLETE_FILES__']"
    ),
    'compgen -f -- "$cur"': 'compgen -f -- "${COMP_WORDS[COMP_CWORD]}"',
}
"""Replacements in tyro's scripts, which do not complete positional arguments; ours are mostly files."""


@dataclass(frozen=True)
class CompletionOptions:
    """Print a shell script that completes mgm's verbs, options and file names.

    Example: mgm completion bash > ~/.local/share/bash-completion/completions/mgm

    zsh: mgm completion zsh > DIR/_mgm, where DIR is in $fpath; fish: mgm completion fish > ~/.config/fish/completions/mgm.fish
    """

    shell: tyro.conf.Positional[str]
    """bash, zsh or fish."""


def completion(arguments: list[str]) -> None:
    """``mgm completion``."""
    options = parse(CompletionOptions, "completion", arguments)
    if options.shell not in SHELLS:
        raise ConfigError(unknown("shell", options.shell, SHELLS))
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(
            _all_verbs(),
            prog="mgm",
            args=["--tyro-print-completion", options.shell],
            config=(tyro.conf.OmitArgPrefixes,),
        )
    text = script.getvalue()
    for before, after in FILES_TOO.items():
        text = text.replace(before, after)
    print(text)


def _all_verbs() -> Any:
    """The options of all verbs as one union type, in which each verb is a subcommand."""
    kinds: dict[str, Any] = {}
    for name, verb in VERBS.items():
        if name == "data":
            kinds[name] = _one_of({inner: kind for inner, (kind, _) in verb.module.DATA_VERBS.items()})
        else:
            kind = getattr(verb.module, f"{name.capitalize()}Options")
            kinds[name] = _with_presets(kind) if hasattr(kind, "preset") else kind
    return _one_of(kinds)


def _with_presets(options: type) -> type:
    """The options class with the presets as a `Literal` type, so that the shell can complete them."""
    preset = ("preset", Literal[tuple(PRESETS)], field(default="quick"))
    return make_dataclass(options.__name__, [preset], bases=(options,), frozen=True)


def _one_of(kinds: dict[str, Any]) -> Any:
    return Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in kinds.items())]  # noqa: UP007
