"""Allowed host names of the page, as a protection against DNS rebinding.

A browser lets scripts of ``evil.example`` read responses from ``evil.example``, and the owner of that name can make it resolve to
127.0.0.1. The request still has the header ``Host: evil.example``, so it can be rejected. IP addresses and ``localhost`` cannot be
redirected in this way. Jupyter has the same check.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from mgm.errors import ConfigError

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
"""A lower-case ``Host`` header: name or address, and optionally a port."""


def is_local(host: str) -> bool:
    """Whether an address can be reached only from this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


class Hosts:
    """The host names and addresses that requests may be sent to.

    Always allowed are ``localhost``, loopback addresses (127.0.0.1, ::1), the address that the server listens on, and the names
    in ``also``. A server that other machines can reach also answers to any IP address and to the machine's own name.

    Args:
        listens_at: Address that the server listens on.
        also: Further names, for example that of a reverse proxy.

    Raises:
        ConfigError: If one of ``also`` is not a valid host name.
    """

    def __init__(self, listens_at: str, also: Iterable[str] = ()) -> None:
        self._also = frozenset(_checked(name) for name in also)
        self._local = is_local(listens_at)
        machine = socket.gethostname().lower()
        own = () if self._local else (machine, machine.partition(".")[0])
        self._names = {"localhost", listens_at.lower(), *own, *self._also}

    def accept(self, header: str) -> bool:
        """Whether a request may have this ``Host`` header. The port is ignored, since it differs behind ``ssh -L``."""
        name = _name(header)
        address = _address(name)
        return name in self._names or (address is not None and (address.is_loopback or not self._local))

    def accept_origin(self, origin: str, host: str) -> bool:
        """Whether a request with this ``Host`` may have this ``Origin``: the page itself, or a page under a name in ``also``."""
        try:
            sender = urlsplit(origin.lower())
        except ValueError:
            return False
        known = sender.netloc == host.lower() or _name(sender.netloc) in self._also
        return known and sender.scheme in ("http", "https")


def _checked(name: str) -> str:
    found = _HOST.fullmatch(name.lower())
    if found is None or found[1] != name.lower():
        raise ConfigError(f"--allow-host {name!r} is not a host name; give it as in: --allow-host lab.example.org")
    return _name(name)


def _name(header: str) -> str:
    """Name or address without port, brackets and trailing dot; empty if the header is invalid."""
    found = _HOST.fullmatch(header.lower())
    return found[1].strip("[]").removesuffix(".") if found else ""


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
