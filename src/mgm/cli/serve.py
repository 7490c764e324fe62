"""``mgm serve``: a web page for trying out runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse
from mgm.errors import ConfigError


@dataclass(frozen=True)
class ServeOptions:
    """Serve a web page for trying out runs: predictions for your photographs, generated images, two runs compared.

    The page needs no network and, by default, can be opened on this machine only. Ctrl-C stops the server.

    Example: mgm serve runs/first --port 7860
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs or of exported models; the page opens with the first. A single run is shown together with its baseline."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all networks of this machine (there is no password)."""
    allow_host: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Another host name under which the page may be opened, such as that of a reverse proxy; can be repeated."""
    port: int = 7860
    """Port to listen on."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def serve(arguments: list[str]) -> None:
    """``mgm serve``."""
    options = parse(ServeOptions, "serve", arguments)
    if not options.runs:
        raise ConfigError("no run given; usage: mgm serve RUN [RUN2 ...]")
    from mgm.demo.hosts import Hosts, is_local
    from mgm.demo.server import check_address, import_gradio, start, wait_for_end

    import_gradio()
    Hosts(options.host, options.allow_host)
    check_address(options.host, options.port)
    from mgm.demo.runs import open_runs

    served = open_runs(options.runs, options.device)
    if served.no_examples:
        print(f"mgm: no example images: {served.no_examples}", file=sys.stderr)
    if not is_local(options.host):
        print(
            f"mgm: warning: everyone who reaches {options.host} can use the page; there is no password", file=sys.stderr
        )
    with start(served, options.host, options.port, options.allow_host) as address:
        wait_for_end(f"serving {', '.join(served.runs)} at {address}; Ctrl-C ends it")
