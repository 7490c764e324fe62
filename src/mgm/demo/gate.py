"""Middleware that checks every request before it reaches gradio. Needs starlette, which comes with gradio.

Gradio checks a path only if the request itself marks it as one (``meta``), serves more endpoints than this page needs, and fetches
any URL on request. This middleware therefore allows only the paths that the page needs, and only files that were uploaded.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mgm.demo.hosts import Hosts
from mgm.demo.uploads import Uploads

MAX_BODY = 1 << 20
"""Largest request body in bytes; images are uploaded separately."""
_API = "/gradio_api"
_FILE = f"{_API}/file="
_UPLOAD = f"{_API}/upload"
_PATHS = frozenset(
    {
        *("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/pwa_icon", "/robots.txt"),
        *(f"{_API}/{name}" for name in ("app_id", "cancel", "info", "info/", "reset", "startup-events", "theme.css")),
        *(f"{_API}/{name}" for name in ("queue/data", "queue/join", "queue/status", "upload", "upload_progress")),
    }
)
_FOLDERS = ("/assets/", "/static/", "/pwa_icon/", *(f"{_API}/{name}/" for name in ("call", "heartbeat", "run")))


class Gate:
    """Rejects requests to or from unknown hosts, for paths that the page does not need, and for files that are not uploads."""

    def __init__(self, app: ASGIApp, hosts: Hosts, uploads: Uploads) -> None:
        self._app = app
        self._hosts = hosts
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it on."""
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            try:
                self._check_hosts(Headers(scope=scope))
                self._check_path(scope["path"])
                if scope["method"] not in ("GET", "HEAD") and scope["path"] != _UPLOAD:
                    receive = await self._checked_body(receive)
            except HTTPException as refused:
                await PlainTextResponse(f"{refused.detail}\n", refused.status_code)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_hosts(self, headers: Headers) -> None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._hosts.accept(hosts[0]):
            raise HTTPException(
                403,
                "mgm serve does not answer under this host name. Open the address that it printed when it was started, "
                "or restart it with --allow-host NAME if the name is yours.",
            )
        if not all(self._hosts.accept_origin(origin, hosts[0]) for origin in origins):
            raise HTTPException(
                403,
                "mgm serve answers only its own page, but this request comes from another one. Open the address that it "
                "printed when it was started, or restart it with --allow-host NAME if the other page is yours.",
            )

    def _check_path(self, path: str) -> None:
        if path.startswith(_FILE):
            if not self._uploads.holds(path.removeprefix(_FILE)):
                raise HTTPException(403, "this file does not belong to the page")
        elif path not in _PATHS and not path.startswith(_FOLDERS):
            raise HTTPException(404, "not found")

    async def _checked_body(self, receive: Receive) -> Receive:
        """Read the body, check the files that it names, and return a function that replays it."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if len(body) > MAX_BODY:
                raise HTTPException(413, "the request is too large; images have to be uploaded")
        try:
            named = _named_files(body)
        except (ValueError, RecursionError):
            raise HTTPException(400, "the request is not valid JSON") from None
        if not all(map(self._uploads.holds, named)):
            raise HTTPException(
                403, "the request names a file that was not uploaded or has been deleted; upload it again"
            )
        unread: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        return again


def _named_files(body: bytearray) -> list[str]:
    """Every value of a key ``path`` at any depth of the JSON, whatever event or component it belongs to."""
    found: list[str] = []

    def note(value: dict[str, Any]) -> None:
        path = value.get("path")
        if isinstance(path, str):
            found.append(path)

    json.loads(body or b"null", object_hook=note)
    return found
