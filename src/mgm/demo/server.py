"""The server of the page: address, limits, and no connections to other machines."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mgm.demo.hosts import Hosts
from mgm.demo.photographs import MAX_UPLOAD
from mgm.demo.uploads import Uploads
from mgm.errors import ConfigError

if TYPE_CHECKING:
    from gradio.themes import Base

    from mgm.demo.runs import Served

SESSIONS = 32
"""Visitors whose images are kept in memory; the one that was idle longest is dropped."""
_ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ALLOWED_PATHS": "", "GRADIO_RUN_HISTORY": "False"}
"""Environment variables of gradio, set to safe values; gradio reads them when it is imported and launched."""


def import_gradio() -> None:
    """Import gradio and plotly, with gradio's analytics off.

    Raises:
        ConfigError: If one of them is not installed.
    """
    os.environ.update(_ENVIRONMENT)
    try:
        for name in ("gradio", "plotly"):
            importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"the web page needs {error.name}; install it with: pip install 'mgm[demo]'") from None


def check_address(host: str, port: int) -> None:
    """Check, before models are loaded, that a server can listen on this address.

    Raises:
        ConfigError: If the port is invalid, in use or forbidden, or the host is not an address of this machine.
    """
    if not 1 <= port <= 65535:
        raise ConfigError(f"--port is {port}; it must be from 1 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"--host {host!r} is not an address; use 127.0.0.1 to serve this machine only") from None
    try:
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(
            f"cannot listen on {host}, port {port} ({reason}); choose another with --port or --host"
        ) from None


@contextmanager
def start(served: Served, host: str, port: int, allow_hosts: Iterable[str] = ()) -> Generator[str]:
    """Serve a page, whose URL is yielded, until the block ends; the folder of uploads is then removed.

    Raises:
        ConfigError: If gradio is not installed, the server cannot listen on the address, or a host name is invalid.
    """
    import_gradio()
    hosts = Hosts(host, allow_hosts)
    from starlette.middleware import Middleware

    from mgm.demo.gate import Gate
    from mgm.demo.html import source_of
    from mgm.demo.page import make_page

    with tempfile.TemporaryDirectory(prefix="mgm-serve-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        uploads = Uploads(Path(folder))
        page = make_page(served, uploads)
        uploads.keep_present()
        ended = threading.Event()
        sweeper = threading.Thread(target=uploads.sweep_until, args=(ended.wait,), name="mgm-sweep", daemon=True)
        try:
            try:
                _, address, _ = page.launch(
                    server_name=host,
                    server_port=port,
                    share=False,
                    prevent_thread_lock=True,
                    quiet=True,
                    ssr_mode=False,
                    mcp_server=False,
                    enable_monitoring=False,
                    max_file_size=MAX_UPLOAD,
                    state_session_capacity=SESSIONS,
                    footer_links=[],
                    theme=_theme(),
                    css=source_of("page.css"),
                    app_kwargs={"middleware": [Middleware(Gate, hosts=hosts, uploads=uploads)]},
                )
            except OSError as error:  # another process took the port in the meantime
                raise ConfigError(
                    f"cannot listen on {host}, port {port} ({error}); choose another with --port"
                ) from None
            sweeper.start()
            yield address
        finally:
            ended.set()
            page.close(verbose=False)
            os.environ.pop("GRADIO_TEMP_DIR", None)


def _theme() -> Base:
    """Theme with greys, one accent colour, and fonts served by the page itself."""
    from gradio.themes import Base, LocalFont, colors, sizes

    return Base(
        primary_hue=colors.teal,
        secondary_hue=colors.teal,
        neutral_hue=colors.slate,
        spacing_size=sizes.spacing_sm,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=[LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        block_title_text_size="*text_sm",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_700",
        block_title_text_weight="600",
    )


def wait_for_end(message: str) -> None:
    """Print a message and block until the process receives SIGINT (Ctrl-C) or SIGTERM."""
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    with suppress(KeyboardInterrupt):
        print(message, flush=True)
        ended.wait()
