"""A bucket of a real server of S3 on loopback, and a proxy before it that does what networks do."""

from __future__ import annotations

import http.client
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx

from lab.processes.ports import free_port
from lab.processes.service import clean_environment, wait_for_start

ALWAYS = 1_000_000  # requests
KEY, SECRET = "AKIATESTKEYOFNOBODY", "secret/of+nobody"
_AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=none"
)
_names = itertools.count(1)


@dataclass(frozen=True)
class S3:
    """A server of S3: moto's, in a process of its own."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self) -> str:
        """A new one."""
        name = f"bucket-{next(_names)}"
        self._ask("PUT", name)
        return name

    def remove_bucket(self, name: str) -> None:
        for key in self.keys(name):
            self._ask("DELETE", f"{name}/{key}")
        self._ask("DELETE", name)

    def keys(self, bucket: str) -> list[str]:
        text = self._ask("GET", f"{bucket}?list-type=2").text
        return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self._ask("PUT", f"{bucket}/{key}", body)

    def get(self, bucket: str, key: str) -> bytes:
        return self._ask("GET", f"{bucket}/{key}").content

    def _ask(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        headers = {"authorization": _AUTHORIZATION}
        answer = httpx.request(method, f"{self.url}/{path}", content=body, headers=headers)
        answer.raise_for_status()
        return answer


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = folder / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=output, stderr=output, cwd=folder
        )
    try:
        wait_for_start(process, lambda: _listens(port), log, "the server of S3")
        yield S3(port)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Answer = Callable[["Handler"], bool]
"""Answers a request in place of the server, or returns False: then that is asked."""


@dataclass
class Faults:
    """What a proxy does: for each request the first rule that fits and is not used up.

    Attributes:
        rules: method, what its path contains, how often, what is done.
        seen: requests, as "METHOD path".
        away: what is done with all requests, whatever the rules say; None where nothing is.
    """

    rules: list[list[Any]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    away: Answer | None = None

    def add(self, method: str, part: str, do: Answer, times: int = ALWAYS) -> None:
        self.rules.append([method, part, times, do])

    def chosen(self, method: str, path: str) -> Answer | None:
        with self.lock:
            self.seen.append(f"{method} {path}")
            if self.away is not None:
                return self.away
            for rule in self.rules:
                if rule[0] == method and rule[1] in path and rule[2] > 0:
                    rule[2] -= 1
                    do: Answer = rule[3]
                    return do
        return None


class Handler(BaseHTTPRequestHandler):
    """Passes requests on to the server, and does what the rules say."""

    protocol_version = "HTTP/1.1"
    faults: ClassVar[Faults]
    port: ClassVar[int]
    body: bytes

    def _handle(self) -> None:
        self.body = self._read_body()
        do = self.faults.chosen(self.command, self.path)
        if do is None or not do(self):
            self.answer(*self.asked())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _read_body(self) -> bytes:
        length = int(self.headers.get("content-length") or 0)
        return self.rfile.read(length) if length else b""

    def asked(self) -> tuple[int, dict[str, str], bytes]:
        """What the server answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(self.command, self.path, self.body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "") if self.command == "HEAD" else ""
        self.send_header("content-length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def refuses(status: int, code: str) -> Answer:
    """As S3 does it, with the key in its words."""

    def do(handler: Handler) -> bool:
        text = f"<Error><Code>{code}</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>"
        handler.answer(status, {"content-type": "application/xml"}, text.encode())
        return True

    return do


def breaks_off(handler: Handler) -> bool:
    """Resets the connection in the middle of the answer."""
    status, headers, content = handler.asked()
    handler.send_response_only(status)
    for name in ("ETag", "Last-Modified", "Content-Range"):
        if name in headers:
            handler.send_header(name, headers[name])
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    with suppress(OSError):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def is_short(handler: Handler) -> bool:
    """Answers with half of the content, as if that were all."""
    status, headers, content = handler.asked()
    handler.answer(status, headers, content[: len(content) // 2])
    return True


def has_etag(e_tag: str) -> Answer:
    """Answers with another ETag."""

    def do(handler: Handler) -> bool:
        status, headers, content = handler.asked()
        headers = {k: v for k, v in headers.items() if k.lower() != "etag"}
        handler.answer(status, {**headers, "ETag": e_tag}, content)
        return True

    return do


def is_slow(seconds: float) -> Answer:
    def do(_: Handler) -> bool:
        time.sleep(seconds)
        return False

    return do


def answer_is_lost(handler: Handler) -> bool:
    """The server does what it is told; its answer does not arrive."""
    handler.asked()
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def is_unreachable(handler: Handler) -> bool:
    """Resets the connection before anything is done."""
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.shutdown(socket.SHUT_RDWR)
    return True


@contextmanager
def proxy(s3: S3) -> Iterator[tuple[str, Faults]]:
    """A proxy before a server of S3: its address, and what it does."""
    faults = Faults()
    kind = type("Proxy", (Handler,), {"faults": faults, "port": s3.port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
