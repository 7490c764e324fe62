"""Requests that no well-behaved client would send."""

import http.client
from urllib.parse import urlsplit


def answered(address: str, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a request whose headers are exactly these (``_`` for ``-`` in their names).

    Args:
        address: Whom to ask, whatever the headers say.
        method: GET, POST, ...
        path: What for.
        body: JSON text.
        headers: All of them, but for type and length of the body.
    """
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body:
        connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body.encode() or None)
    answer = connection.getresponse()
    text = answer.read(2000).decode(errors="replace")
    connection.close()
    return answer.status, text
