"""What trials with a storage look at finds what is wrong there; and a way that is cut."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import httpx
import pytest

from apps.objects.records import StoredFile, StoredRun, record_key
from lab.faults.storage_hosts import Hosts
from lab.processes.bucket import is_unreachable, proxy, s3_server
from lab.processes.link import linked

TOKENS = "0" * 16, "f" * 16


def test_what_is_half_stored_and_what_no_record_names_is_found(tmp_path: Path) -> None:
    with s3_server(tmp_path) as s3:
        hosts = Hosts(s3, s3.bucket(), {})
        body = b"{}\n"
        files = [
            StoredFile(name=name, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
            for name in ("tracks.jsonl", "run.log", "track_metrics.json")
        ]
        record = StoredRun(token=TOKENS[0], manifest={}, files=files)
        hosts.put(record_key("show", "one"), record.model_dump_json().encode())
        for token in TOKENS:
            hosts.put(f"runs/show/one/{token}/tracks.jsonl", body)
        hosts.put(f"runs/show/one/{TOKENS[0]}/run.log", b"[]\n")
        (found,) = hosts.records("show").items()
        assert found == ("one", record)
        where = f"runs/show/one/{TOKENS[0]}"
        assert hosts.broken("show", *found) == [f"{where}/run.log", f"{where}/track_metrics.json"]
        assert hosts.strays("show") == [f"runs/show/one/{TOKENS[1]}/tracks.jsonl"]
        assert (hosts.records("other"), hosts.strays("other")) == ({}, [])


def test_a_storage_that_is_away_comes_back(tmp_path: Path) -> None:
    with s3_server(tmp_path) as s3, proxy(s3) as (url, faults):
        faults.away = is_unreachable
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        faults.away = None
        assert httpx.get(url).status_code == 200


def test_a_way_that_is_cut_and_mended() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        linked(server.getsockname()[1]) as link,
        socket.create_connection(("127.0.0.1", link.port), timeout=10) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"there")
            assert accepted.recv(5) == b"there"
            link.cut()
            assert (client.recv(1), accepted.recv(1)) == (b"", b"")
        with socket.create_connection(("127.0.0.1", link.port), timeout=10) as refused:
            assert refused.recv(1) == b""
        link.mend()
        with socket.create_connection(("127.0.0.1", link.port), timeout=10) as again:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"and back")
                assert again.recv(8) == b"and back"
