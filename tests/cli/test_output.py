"""What reaches the terminal: any name in any encoding, and no escape sequences of others."""

import io
import sys

import pytest

from mgm.cli.output import PlainOutput, printable, reports, tolerate_any_name
from mgm.errors import DataError, Interrupted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NAME = "a\x1b]0;title\x07b\x1b[2Jc\x9bd\u202e"


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO, r"\x1b[2J"), (Terminal, "\x1b[2J")])
def test_names_give_no_orders(stream, shown):
    """On a terminal the sequences of colours and progress bars stay."""
    kept = stream()
    print(NAME, "ok\tok", file=PlainOutput(kept))
    assert kept.getvalue() == rf"a\x1b]0;title\x07b{shown}c\x9bd\u202e" + " ok\tok\n"


def test_errors_are_plain_everywhere(mgm):
    assert printable(NAME) == r"a\x1b]0;title\x07b\x1b[2Jc\x9bd\u202e"
    err = mgm.refused("runs", "no\x1b[31mfolder")
    assert r"no\x1b[31mfolder" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(monkeypatch, encoding):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9.png\n"), "utf-8"))
    tolerate_any_name()
    print("mIoU \u2191 caf\udce9")
    sys.stdout.flush()
    assert content.getvalue().startswith(b"mIoU ")
    assert content.getvalue().endswith(b"caf?\n")
    assert list(sys.stdin) == ["caf\udce9.png\n"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("what\x1b[1m"), 2, r"error: what\x1b[1m"),
        (OSError(28, "No space left on device", "/data/x"), 2, "error: cannot use /data/x (No space left on device)"),
        (MemoryError(), 2, "error: not enough memory"),
        (KeyboardInterrupt(), 130, "stopped"),
        (Interrupted(15, "stopped; step 3 is saved"), 143, "stopped; step 3 is saved"),
        (Interrupted(1), 129, "stopped"),
    ],
    ids=str,
)
def test_every_end_is_one_line_and_a_code(mgm, monkeypatch, error, code, message):
    def fail(arguments):
        raise error

    monkeypatch.setattr("mgm.cli.main.dispatch", fail)
    found, _, err = mgm("runs")
    assert found == code
    assert err.startswith(f"mgm: {message}")
    assert len(err.splitlines()) == 1


def test_one_of_several_processes_reports(monkeypatch):
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setenv(name, value)
    assert [reports("wrong"), reports("wrong"), reports("other")] == [True, False, True]
