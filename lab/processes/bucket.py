"""A bucket of a real server of S3 on loopback, and a proxy before it that does what networks do."""

from __future__ import annotations

import http.client
import os
import re
import secrets
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
SERVER = "SCREENALYTICS_TEST_S3"  # address of one that is there already, in place of moto's
KEY = os.environ.get(f"{SERVER}_KEY", "AKIATESTKEYOFNOBODY")
SECRET = os.environ.get(f"{SERVER}_SECRET", "secret/of+nobody")
_REGION = "us-east-1"


@dataclass(frozen=True)
class S3:
    """A server of S3 that speaks HTTP."""

    port: int
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def bucket(self) -> str:
        """A new one."""
        name = f"bucket-{secrets.token_hex(6)}"
        self._ask("PUT", name)
        return name

    def remove_bucket(self, name: str) -> None:
        for key in self.keys(name):
            self._ask("DELETE", f"{name}/{key}")
        self._ask("DELETE", name)

    def keys(self, bucket: str) -> list[str]:
        return self._named(f"{bucket}?list-type=2")

    def uploads(self, bucket: str) -> list[str]:
        """Keys of objects whose parts are being stored, or were left."""
        return self._named(f"{bucket}?uploads")

    def _named(self, path: str) -> list[str]:
        return re.findall("<Key>([^<]*)</Key>", self._ask("GET", path).text)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self._ask("PUT", f"{bucket}/{key}", body)

    def get(self, bucket: str, key: str) -> bytes:
        return self._ask("GET", f"{bucket}/{key}").content

    def _ask(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        url = f"{self.url}/{path}"
        answer = httpx.request(method, url, content=body, headers=_signed(method, url, body))
        answer.raise_for_status()
        return answer


def _signed(method: str, url: str, body: bytes) -> dict[str, str]:
    """The headers of a request that has none yet."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, url, data=body)
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", _REGION).add_auth(request)
    return dict(request.headers)


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Moto's server in a process of its own, or the one that the environment names."""
    if named := os.environ.get(SERVER):
        address = httpx.URL(named)
        yield S3(80 if address.port is None else address.port, address.host)
        return
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = folder / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=output, stderr=output, cwd=folder
        )
    try:
        wait_for_start(process, lambda: listens(port), log, "the server of S3")
        yield S3(port)
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Whether a server of loopback has it."""
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
    s3: ClassVar[S3]
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
        connection = http.client.HTTPConnection(self.s3.host, self.s3.port)
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


def has_no_etag(handler: Handler) -> bool:
    """Keeps the ETag of an object of parts to itself, as Ceph does."""
    status, headers, content = handler.asked()
    handler.answer(status, headers, re.sub(rb"<ETag>.*</ETag>", b"<ETag></ETag>", content))
    return True


def compares_bare_etags(handler: Handler) -> bool:
    """Takes quotes for a part of what is asked for, as Ceph does where something is stored."""
    asked = handler.headers.get("if-match")
    if asked is None:
        return False
    if asked.startswith('"'):
        return refuses(412, "PreconditionFailed")(handler)
    handler.headers.replace_header("if-match", f'"{asked}"')
    return False


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
    kind = type("Proxy", (Handler,), {"faults": faults, "s3": s3})
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
