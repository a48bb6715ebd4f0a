"""Slow clients: what they begin and do not finish is ended, and keeps nobody else out."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import (
    Server,
    add_episode,
    clean_environment,
    serving,
    wait_for,
    wait_for_start,
)
from tests.support.page import page_server

FILES = 256
HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /options/resolve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UPLOAD = b"POST /episodes HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD += b"Content-Type: multipart/form-data; boundary=b\r\n"
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nx'
NO_REDIS = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}


@contextmanager
def few_files(process: int) -> Iterator[None]:
    """A process that may open 256 files."""
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)


def clients(
    stack: ExitStack, port: int, count: int, say: Callable[[int], bytes]
) -> list[socket.socket]:
    opened = []
    for number in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        client.sendall(say(number))
        opened.append(client)
    return opened


def ending(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection; the test's own limit is the last."""
    client.settimeout(150)
    said = b""
    try:
        while piece := client.recv(4096):
            said += piece
    except ConnectionResetError:
        pass
    return said


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Waits a second for headers, and for a body."""
    folder = tmp_path_factory.mktemp("slow")
    with serving(folder / "data", "--http", "tests.web.impatient:Impatient", **NO_REDIS) as running:
        yield running


def test_300_unfinished_requests_keep_nobody_out(tmp_path: Path) -> None:
    """Some say nothing, some a part of their headers."""
    with (
        serving(tmp_path / "data", **NO_REDIS) as server,
        ExitStack() as stack,
        few_files(server.process.pid),
    ):
        held = clients(stack, server.port, 300, lambda n: (b"", HEAD, b"G")[n % 3])
        for path in ("/health/live", "/health/live", "/health/ready"):
            with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
                # The last one starts a process, which needs files as well.
                assert client.get(path).status_code == 200
        assert all(ending(client).startswith(b"HTTP/1.1 408 ") for client in held)


def test_where_files_run_short_the_longest_wait_ends(tmp_path: Path) -> None:
    """However long a client might take: those that came first have to go, the last ones stay."""
    with (
        serving(tmp_path / "data", "--http", "tests.web.impatient:Patient", **NO_REDIS) as server,
        ExitStack() as stack,
        few_files(server.process.pid),
    ):
        held = clients(stack, server.port, 300, lambda n: (b"", HEAD, b"G")[n % 3])
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            assert client.get("/health/live").status_code == 200
        assert all(ending(client).startswith(b"HTTP/1.1 408 ") for client in held[:100])
        held[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            held[-1].recv(1)


@pytest.mark.parametrize("part", [b"", b"G", HEAD, HEAD + b"\r\n" + HEAD])
def test_headers_that_do_not_end_are_not_waited_for(impatient: Server, part: bytes) -> None:
    """The last client has asked for something before."""
    with ExitStack() as stack:
        (client,) = clients(stack, impatient.port, 1, lambda _: part)
        said = ending(client)
    assert said.count(b"HTTP/1.1 200 ") == part.count(b"\r\n\r\n")
    assert said.count(b"HTTP/1.1 408 ") == 1


def test_a_byte_now_and_then_does_not_help(impatient: Server) -> None:
    with ExitStack() as stack:
        (client,) = clients(stack, impatient.port, 1, lambda _: HEAD + b"X: ")
        client.settimeout(0.1)
        said = b""
        while not said:
            try:
                client.sendall(b"y")
                said = client.recv(4096)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "begun",
    [
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        UPLOAD + b"Content-Length: 1000\r\n\r\n" + FORM,
    ],
    ids=["length", "chunked", "upload"],
)
def test_a_body_that_does_not_end_is_not_waited_for(impatient: Server, begun: bytes) -> None:
    with ExitStack() as stack:
        (client,) = clients(stack, impatient.port, 1, lambda _: begun)
        assert ending(client) == b""
    uploads = impatient.data_root / ".uploads"
    wait_for(lambda: not list(uploads.glob("*")), what="the part of the upload to be gone")


def test_a_slow_body_that_goes_on_is_taken(impatient: Server) -> None:
    body = b'{"stride": 6}'
    with ExitStack() as stack:
        head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        (client,) = clients(stack, impatient.port, 1, lambda _: head)
        for place in range(len(body)):
            client.sendall(body[place : place + 1])
            time.sleep(0.2)  # in all more than the limit
        assert ending(client).startswith(b"HTTP/1.1 200 ")


def test_a_long_answer_is_not_cut_short(impatient: Server, test_data: Path) -> None:
    """What the client owes is limited, not what it waits for."""
    add_episode(impatient.data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    answer = impatient.detect_track("talk", stride=24, max_cpu_percent=20)
    assert answer.status_code == 200, answer.text
    assert answer.json()["elapsed_seconds"] > 1.0


def test_the_page_bears_them_as_well(tmp_path: Path) -> None:
    with (
        page_server("http://127.0.0.1:1", tmp_path) as page,
        ExitStack() as stack,
        few_files(page.process.pid),
    ):
        held = clients(stack, httpx.URL(page.url).port or 0, 300, lambda n: (b"", HEAD)[n % 2])
        health = httpx.get(f"{page.url}/_stcore/health", trust_env=False, timeout=60)
        assert health.status_code == 200
        assert all(ending(client).startswith(b"HTTP/1.1 408 ") for client in held)


def test_a_web_socket_may_be_silent(tmp_path: Path) -> None:
    """As that of a page that is only looked at: it owes no body."""
    port, log = free_port(), tmp_path / "server.log"
    command = [sys.executable, "-m", "uvicorn", "tests.web.impatient:echo", "--port", str(port)]
    command += ["--http", "tests.web.impatient:Impatient", "--lifespan", "off"]
    with (
        log.open("wb") as said,
        subprocess.Popen(command, cwd=CHECKOUT, env=clean_environment(), stderr=said) as server,
    ):
        try:
            wait_for_start(server, lambda: "running on" in log.read_text(), log, "the server")
            with connect(f"ws://127.0.0.1:{port}") as client:
                time.sleep(1.5)  # more than it waits for a body
                client.send("still there")
                assert client.recv(30) == "still there"
        finally:
            server.terminate()
    assert "Traceback" not in log.read_text()
