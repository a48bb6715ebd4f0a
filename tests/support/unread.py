"""A client that asks the service for something that takes long, and does not read the answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lab.processes.service import Server

NDJSON = {"accept": "application/x-ndjson"}


@contextmanager
def unread_post(server: Server, path: str, *, stream: bool) -> Iterator[socket.socket]:
    """Posts nothing to a path; the client leaves when its socket is closed, or after the block.

    Args:
        stream: it wants events as lines, else one answer at the end.
    """
    accept = NDJSON["accept"] if stream else "*/*"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        yield connection
