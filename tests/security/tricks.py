"""What the attacks are made of: raw bytes, forged boxes and headers, witnesses."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, settings

from lab.processes.service import Server

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
PROBLEM = "application/problem+json"
_BOXES_WITH_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}
_TOO_MUCH_BYTES = 4e9  # what takes more is ended before it takes the machine


def is_documented_503(status: int | None, path: str, text: str) -> bool:
    """Redis is away in these tests, and the queue's answers say so."""
    return status == 503 and path.startswith("/celery_jobs") and "queue-unavailable" in text


class Findings:
    """Every attack with its answer, for docs/security.md."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, name: str, tried: str, answer: str) -> None:
        if (name, tried, answer) not in self.rows:
            self.rows.append((name, tried, answer))

    def write(self, path: Path, head: str) -> None:
        lines = ["| attack | tried | answer |", "|---|---|---|"]
        for row in sorted(self.rows):
            cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in row)
            lines.append(f"| {' | '.join(cells)} |")
        path.write_text(head + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


def send_raw(server: Server, data: bytes, timeout: float = 3.0) -> int | None:
    """Status of the answer to these bytes; None where the connection closes without one,
    or waits for more."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
        with suppress(OSError):  # it may hang up while we still send
            connection.sendall(data)
        with suppress(OSError):
            while b"\r\n" not in answer and (part := connection.recv(65_536)):
                answer += part
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def read_raw(server: Server, path: str) -> tuple[int | None, bytes]:
    """Status and everything that comes back for `GET path`, sent as it is."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(
        "latin-1"
    )
    answer = b""
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=20) as connection, suppress(OSError):
        connection.sendall(request)
        while part := connection.recv(1 << 16):
            answer += part
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None, answer


def upload(server: Server, ep_id: str, content: bytes, name: str = "clip.mp4") -> Any:
    return server.client.post("/episodes", data={"ep_id": ep_id}, files={"file": (name, content)})


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """A port of loopback, and who connected to it."""
    visitors: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.1)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    connection, address = server.accept()
                    visitors.append(str(address))
                    connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(server.getsockname()[1]), visitors
        finally:
            stop.set()
            thread.join()


class Peak:
    """Most memory of a server's children (bytes) and the seconds it took."""

    rss = 0
    seconds = 0.0
    ended = False


def peak_memory(process: psutil.Process) -> int:
    """The most that a process has had so far, in bytes; what it has now where nobody knows."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return int(process.memory_info().rss)
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return 0 if found is None else int(found[1]) * 1024


@contextmanager
def measuring(server: Server) -> Iterator[Peak]:
    peak = Peak()
    stop = threading.Event()
    parent = psutil.Process(server.process.pid)

    def watch() -> None:
        while not stop.wait(0.05):
            with suppress(psutil.Error):
                for child in parent.children(recursive=True):
                    with suppress(psutil.Error):
                        peak.rss = max(peak.rss, peak_memory(child))
                        if child.memory_info().rss > _TOO_MUCH_BYTES:
                            peak.ended = True
                            child.kill()

    thread = threading.Thread(target=watch)
    start = time.monotonic()
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.seconds = time.monotonic() - start


def patch_boxes(data: bytes, edits: dict[bytes, Callable[[bytes], bytes]]) -> bytes:
    """An MP4 with some boxes' payloads changed; its index must lie behind its media."""
    out, place = b"", 0
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        payload = data[place + 8 : place + size]
        if kind in _BOXES_WITH_BOXES:
            payload = patch_boxes(payload, edits)
        elif kind in edits:
            payload = edits[kind](payload)
        out += struct.pack(">I4s", len(payload) + 8, kind) + payload
        place += size
    return out


def with_reference(url: str) -> Callable[[bytes], bytes]:
    """A `dref` whose media lies elsewhere."""
    entry = b"\0\0\0\0" + url.encode() + b"\0"
    box = struct.pack(">I4s", len(entry) + 8, b"url ") + entry
    return lambda _: b"\0\0\0\0" + struct.pack(">I", 1) + box


def with_delta(delta: int) -> Callable[[bytes], bytes]:
    """An `stts` whose frames are that far apart."""

    def edit(payload: bytes) -> bytes:
        count = sum(
            struct.unpack(">I", payload[i : i + 4])[0] for i in range(8, len(payload) - 7, 8)
        )
        return payload[:4] + struct.pack(">III", 1, count, delta)

    return edit


def with_timescale(scale: int) -> Callable[[bytes], bytes]:
    return lambda payload: payload[:12] + struct.pack(">I", scale) + payload[16:]


def with_coded_size(width: int, height: int) -> Callable[[bytes], bytes]:
    """An `stsd` that tells another size than the pictures have."""
    return lambda payload: payload[:40] + struct.pack(">HH", width, height) + payload[44:]


def with_pixel_shape(across: int, down: int) -> Callable[[bytes], bytes]:
    """An `stsd` whose pixels are not square."""

    def edit(payload: bytes) -> bytes:
        size = struct.unpack(">I", payload[8:12])[0]
        pasp = struct.pack(">I4sII", 16, b"pasp", across, down)
        entry = payload[12 : 8 + size].replace(b"pasp", b"free")
        return payload[:8] + struct.pack(">I", size + 16) + entry + pasp + payload[8 + size :]

    return edit


def element(name: str, payload: bytes) -> bytes:
    """One of Matroska's."""
    return bytes.fromhex(name) + struct.pack(">Q", len(payload) | 1 << 56) + payload


def webm(width: int, height: int, codec: bytes, frame: bytes) -> bytes:
    size = element("b0", struct.pack(">I", width)) + element("ba", struct.pack(">I", height))
    track = (
        element("d7", b"\1") + element("73c5", b"\1") + element("83", b"\1") + element("86", codec)
    )
    tracks = element("1654ae6b", element("ae", track + element("e0", size)))
    cluster = element("1f43b675", element("e7", b"\0") + element("a3", b"\x81\0\0\x80" + frame))
    head = element("1a45dfa3", element("4282", b"webm"))
    return head + element("18538067", tracks + cluster)


def vp8_key_frame(width: int, height: int) -> bytes:
    """Its header, and noise that decodes to anything."""
    head = bytes([0x10, 0x02, 0x00]) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return head + bytes(range(256)) * 4


def ivf(width: int, height: int, frame: bytes) -> bytes:
    head = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", width, height, 25, 1, 1, 0)
    return head + struct.pack("<IQ", len(frame), 0) + frame


def gif(width: int, height: int, frames: int) -> bytes:
    """A large canvas with one-pixel pictures on it."""
    size = struct.pack("<HH", width, height)
    picture = (
        b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
        b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    )
    return b"GIF89a" + size + b"\xf0\0\0" + b"\0\0\0\xff\xff\xff" + picture * frames + b"\x3b"


def y4m(width: int, height: int, body: bytes = b"") -> bytes:
    return f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420\nFRAME\n".encode() + body


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    pairs = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


def with_literal(document: Any, number: int, literal: str) -> bytes:
    """The document as JSON, one of its values replaced by a text that need not be JSON."""
    copy = json.loads(json.dumps(document))
    spots = list(places(copy))
    container, key = spots[number % len(spots)]
    container[key] = "@here@"
    return json.dumps(copy).replace('"@here@"', literal).encode()
