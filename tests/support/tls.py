"""TLS in front of a server that has none, with a certificate of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.processes.service import free_port, wait_for


@dataclass(frozen=True)
class TlsFront:
    port: int
    certificate: Path


@contextmanager
def tls_front(folder: Path, port: int) -> Iterator[TlsFront]:
    """Passes everything on to that port of loopback, by TLS from outside."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    front = TlsFront(free_port(), certificate)
    loops: list[asyncio.AbstractEventLoop] = []
    ended = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer), contextlib.closing(inner_writer):
            ways = [_pass_on(reader, inner_writer), _pass_on(inner_reader, writer)]
            tasks = [asyncio.create_task(way) for way in [*ways, ended.wait()]]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def serve() -> None:
        async with await asyncio.start_server(accept, "127.0.0.1", front.port, ssl=context):
            loops.append(asyncio.get_running_loop())
            await ended.wait()
            await asyncio.sleep(0.1)  # for connections to be closed

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    wait_for(lambda: loops, what="the front")
    try:
        yield front
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
