"""Whoever is told by webhooks: a real HTTP server on loopback that answers as it is asked to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BREAK_OFF, SILENT, DRIP = "break off", "silent", "drip"


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def is_signed(self) -> bool:
        """Checked as the specification says, without the product's code."""
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        stamp = self.headers["webhook-timestamp"]
        content = f"{self.headers['webhook-id']}.{stamp}.".encode() + self.body
        made = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return hmac.compare_digest(f"v1,{made}", self.headers["webhook-signature"])


@dataclass
class Receiver:
    """What has come, and what is answered next: statuses or one of the words above; then 204."""

    port: int
    answers: list[int | str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def of(self, kind: str) -> list[Received]:
        return [one for one in self.received if one.event["type"] == kind]


@contextmanager
def receiving(*answers: int | str) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.answers.pop(0) if receiver.answers else 204
            receiver.received.append(Received(self.path, headers, body))
            if answer == BREAK_OFF:
                self.close_connection = True
            elif answer == SILENT:
                receiver.released.wait(60)
                self.close_connection = True
            elif answer == DRIP:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not receiver.released.wait(0.05):
                    self.wfile.write(b"x")
            else:
                self.send_response(int(answer))
                if int(answer) in (301, 302, 307, 308):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that is gone

    server = Quiet(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1], list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
