"""Entry point of the command line. Torch is imported only by verbs that need it, so that ``mgm --help`` answers at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from keyword import iskeyword
from types import ModuleType

from mgm.cli.output import PlainOutput, printable, reports, tolerate_any_name
from mgm.errors import ENDING_SIGNALS, ConfigError, Interrupted, MgmError, unknown
from mgm.plugins import load_plugins
from mgm.version import __version__


@dataclass(frozen=True)
class Verb:
    """A command, implemented by the function NAME in the module ``mgm.cli.NAME``, with the options ``NameOptions``."""

    name: str
    summary: str
    example: str

    @property
    def module(self) -> ModuleType:
        """The module, imported only now; ``import_`` for the verb ``import``."""
        return import_module(f"mgm.cli.{self.name}{'_' * iskeyword(self.name)}")

    def run(self, arguments: list[str]) -> None:
        """Run the command with the arguments that follow it."""
        getattr(self.module, self.module.__name__.rpartition(".")[2])(arguments)


VERBS: dict[str, Verb] = {
    name: Verb(name, summary, example)
    for name, summary, example in (
        ("train", "train a recipe, evaluate it, compare it with the baseline", "mgm train mgm --out runs/first"),
        (
            "pretrain",
            "pre-train an encoder on photographs without labels, for mgm train --encoder-run",
            "mgm pretrain photographs --out runs/encoder",
        ),
        ("evaluate", "score a run on a split of its own or another data set", "mgm evaluate runs/first"),
        (
            "predict",
            "predict every task for photographs of any size",
            "mgm predict runs/first photo.jpg --out predictions",
        ),
        (
            "autolabel",
            "label photographs by predictions, to correct and to train on",
            "mgm autolabel runs/first holiday --out labelled --confidence 0.6",
        ),
        (
            "export",
            "write a model for others: a folder, a torch.export program, ONNX",
            "mgm export runs/first --out models/first",
        ),
        ("generate", "draw generated images, by scene", "mgm generate runs/first --num 8 --out generated.png"),
        (
            "experiment",
            "reproduce a table or figure of the paper, with seeds and statistics",
            "mgm experiment table2 --data nyuv2 --seeds 3 --out runs/nyuv2",
        ),
        ("report", "write one HTML page about a run or an experiment", "mgm report runs/first"),
        ("runs", "list runs with their state and key figures", "mgm runs runs"),
        (
            "compare",
            "compare finished runs: test scores, statistics over seeds, predictions",
            "mgm compare runs/mgm-s0 runs/mt-s0 --out compared.png",
        ),
        ("doctor", "check the installation and list what each feature lacks", "mgm doctor"),
        (
            "completion",
            "print a completion script for bash, zsh or fish",
            "mgm completion bash > ~/.local/share/bash-completion/completions/mgm",
        ),
        ("serve", "open a web page for trying out and comparing runs", "mgm serve runs/first"),
        ("data", "list, inspect, verify, prepare and render data sets", "mgm data inspect rooms --out rooms.png"),
        ("import", "convert COCO, CVAT or VOC annotations to a data folder", "mgm import coco export --out cells"),
    )
}


def usage() -> str:
    """The text of ``mgm --help``."""
    from mgm.method.recipes import PRESETS, RECIPES

    width = max(len(name) for name in (*VERBS, *RECIPES, *PRESETS))
    lines = ["mgm: multi-task visual learning with generative modelling", "", "usage: mgm VERB ...", "", "verbs:"]
    lines += [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    lines += ["", "recipes (mgm train RECIPE):"]
    lines += [f"  {name:<{width}}  {recipe.description}" for name, recipe in RECIPES.items()]
    lines += ["", "presets (mgm train RECIPE --preset PRESET):"]
    lines += [f"  {name:<{width}}  {preset.description}" for name, preset in PRESETS.items()]
    lines += ["", "examples:"]
    lines += [f"  {verb.example}" for verb in VERBS.values()]
    lines += [
        "",
        "mgm VERB --help explains a verb; --plugin FILE.py loads your own tasks, data sets, ...; mgm --version prints the version.",
    ]
    return "\n".join(lines)


def dispatch(arguments: Sequence[str]) -> None:
    """Run one command line.

    Raises:
        MgmError: For any error that the user can fix.
    """
    arguments, plugins = without_plugins(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
    elif arguments[0] == "--version":
        print(f"mgm {__version__}")
    elif arguments[0] in VERBS:
        load_plugins(plugins)
        VERBS[arguments[0]].run(list(arguments[1:]))
    else:
        from mgm.cli.data import DATA_VERBS

        raise ConfigError(unknown("verb", arguments[0], [*VERBS, *(f"data {command}" for command in DATA_VERBS)]))


def without_plugins(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off ``--plugin FILE``, which every verb accepts: the other arguments, and the files.

    Raises:
        ConfigError: If the value is missing.
    """
    rest: list[str] = []
    plugins: list[str] = []
    left = iter(arguments)
    for argument in left:
        option, equals, value = argument.partition("=")
        if option != "--plugin":
            rest.append(argument)
        elif value := value if equals else next(left, ""):
            plugins.append(value)
        else:
            raise ConfigError("--plugin needs a file or the name of a module: --plugin my_tasks.py")
    return rest, plugins


def set_waiting(environment: MutableMapping[str, str]) -> None:
    """Set how idle OpenMP threads wait for work, unless the user has; must run before torch is loaded.

    Threads that spin for long block the cores for other programs; threads that sleep at once must be woken for every layer.
    The spin count is a compromise found by measurement (``benchmarks/threads.py``).
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment.setdefault("GOMP_SPINCOUNT", "1000")


def end_on_signals() -> None:
    """Make every signal that ends a process end it cleanly, as Ctrl-C does, unless the signal is ignored (``nohup``)."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(number)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)


def main() -> None:
    """Run the command line: an error that the user can fix gives one line and exit code 2, a signal exit code 128 + its number."""
    set_waiting(os.environ)
    end_on_signals()
    tolerate_any_name()
    with redirect_stdout(PlainOutput(sys.stdout)), redirect_stderr(PlainOutput(sys.stderr)):  # type: ignore[type-var]
        try:
            dispatch(sys.argv[1:])
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discard what Python flushes at exit
            sys.exit(141)
        except MgmError as error:
            _end(2, f"error: {error}")
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            _end(2, f"error: cannot use{where or ' a file'} ({error.strerror or error}); check the place and the disk")
        except MemoryError:
            _end(2, "error: not enough memory; take smaller images, batches or networks")
        except KeyboardInterrupt as stop:
            _end(128 + getattr(stop, "number", signal.SIGINT), str(stop) or "stopped")


def _end(code: int, message: str) -> None:
    if reports(message):
        print(f"mgm: {printable(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
