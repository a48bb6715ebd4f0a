"""Resumable uploads over HTTP: whatever breaks, they go on, and what was sent is what is kept."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.api.upload_files import KEEP_SECONDS
from lab.processes.service import Server, serving, wait_for
from tests.api.test_episodes import check_problem

TUS = {"tus-resumable": "1.0.0"}
CHUNK = {**TUS, "content-type": "application/offset+octet-stream"}
NO_REDIS = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("uploads") / "data"
    with serving(root, SCREENALYTICS_UPLOAD_MAX_MB="100", **NO_REDIS) as running:
        yield running


@pytest.fixture(scope="module")
def video(test_data: Path) -> bytes:
    return (test_data / "videos" / "carphone_pristine.mp4").read_bytes()


def metadata(**values: str) -> str:
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()
    )


def create(server: Server, ep_id: str, length: int, **values: str) -> httpx.Response:
    named = {"ep_id": ep_id, "filename": "clip.mp4", **values}
    headers = {**TUS, "upload-length": str(length), "upload-metadata": metadata(**named)}
    return server.client.post("/uploads", headers=headers)


def begin(server: Server, ep_id: str, length: int, **values: str) -> str:
    answer = create(server, ep_id, length, **values)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def send(server: Server, path: str, offset: int, data: bytes) -> httpx.Response:
    return server.client.patch(path, content=data, headers={**CHUNK, "upload-offset": str(offset)})


def offset_of(server: Server, path: str) -> int:
    answer = server.client.head(path, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def end(server: Server, path: str) -> int:
    return server.client.delete(path, headers=TUS).status_code


def kept(server: Server, path: str) -> Path:
    return server.data_root / ".uploads" / path.rpartition("/")[2]


def open_request(server: Server, path: str, offset: int, length: int) -> socket.socket:
    """A request that tells more bytes than it has sent yet."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    named = {**CHUNK, "upload-offset": str(offset)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    connection.sendall(f"{head}{lines}\r\n".encode())
    return connection


def test_a_video_in_pieces_over_broken_connections_becomes_an_episode(
    server: Server, video: bytes
) -> None:
    path = begin(server, "pieces", len(video), filename="My Clip.MKV")
    listed = server.client.get("/uploads").json()["items"]
    assert [(one["ep_id"], one["offset"], one["state"]) for one in listed] == [
        ("pieces", 0, "receiving")
    ]
    offset = 0
    for more in (1, 70_000, 300_001):  # each connection breaks before its request has ended
        connection = open_request(server, path, offset, len(video) - offset)
        connection.sendall(video[offset : offset + more])
        wait_for(lambda now=offset + more: offset_of(server, path) == now, what="the bytes")
        connection.close()
        offset += more
        idle = lambda: not server.client.get(path).json()["active"]  # noqa: E731
        wait_for(idle, what="the server to notice")
    assert server.client.get("/episodes/pieces").status_code == 404
    expires = server.client.head(path).headers["upload-expires"]
    assert parsedate_to_datetime(expires).timestamp() > time.time() + KEEP_SECONDS - 3600
    answer = send(server, path, offset, video[offset:])
    assert answer.status_code == 204, answer.text
    assert int(answer.headers["upload-offset"]) == len(video)
    stored = server.data_root / "videos/pieces/episode.mkv"
    assert stored.read_bytes() == video
    assert server.client.get("/episodes/pieces").json()["facts"]["frames"] == 120
    assert server.client.get(path).json()["state"] == "finished"
    assert server.client.get("/uploads").json()["total"] == 0
    assert end(server, path) == 409
    assert stored.exists()
    check_problem(create(server, "pieces", 5), 409)


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, video: bytes) -> None:
    """Also with the check of a video of which it had the last byte; what has expired is removed."""
    root, half = tmp_path / "data", 200_000
    with serving(root, **NO_REDIS) as first:
        path = begin(first, "killed", len(video))
        with open_request(first, path, 0, len(video)) as connection:
            connection.sendall(video[:half])
            wait_for(lambda: offset_of(first, path) == half, what="the bytes")
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait()
        complete = begin_complete(root, kept(first, path), video)
        old, young = expiring(root, path, hours=1), expiring(root, path, hours=-1)
    with serving(root, **NO_REDIS) as second:
        assert offset_of(second, path) == half
        published = root / "videos" / "complete" / "episode.mp4"
        wait_for(published.exists, what="the check of what had arrived")
        assert second.client.get(complete).json()["state"] == "finished"
        assert second.client.head(old).status_code == 404
        assert not kept(second, old).exists()
        assert offset_of(second, young) == half
        assert send(second, path, half, video[half:]).status_code == 204
    assert published.read_bytes() == video
    assert (root / "videos/killed/episode.mp4").read_bytes() == video


def begin_complete(root: Path, like: Path, video: bytes) -> str:
    """Leaves what a server leaves that is killed while it checks a video; its address."""
    folder = root / ".uploads" / ("c" * 32)
    shutil.copytree(like, folder)
    about = folder / "upload.json"
    about.write_text(about.read_text().replace('"killed"', '"complete"'))
    (folder / "video").write_bytes(video)
    return f"/uploads/{folder.name}"


def expiring(root: Path, like: str, hours: int) -> str:
    """An upload that is to be removed since so many hours; its address."""
    uploads = root / ".uploads"
    folder = uploads / ("d" * 31 + ("0" if hours > 0 else "1"))
    shutil.copytree(uploads / like.rpartition("/")[2], folder)
    at = time.time() - KEEP_SECONDS - hours * 3600
    for file in folder.iterdir():
        os.utime(file, (at, at))
    return f"/uploads/{folder.name}"


def test_after_a_power_cut_only_what_was_synced_counts(server: Server, video: bytes) -> None:
    path = begin(server, "power", len(video))
    assert send(server, path, 0, video[:1000]).status_code == 204
    folder = kept(server, path)
    with (folder / "video").open("ab") as stream:
        stream.write(b"\0" * 500)  # what a journal may leave of bytes that were not synced
    assert offset_of(server, path) == 1500
    about = folder / "upload.json"
    boot = about.read_text().partition('"boot": "')[2].partition('"')[0]
    about.write_text(about.read_text().replace(boot, "another"))
    assert offset_of(server, path) == 1000
    assert send(server, path, 1000, video[1000:]).status_code == 204
    assert (server.data_root / "videos/power/episode.mp4").read_bytes() == video


def test_one_request_at_a_time_and_only_from_where_it_is(server: Server, video: bytes) -> None:
    path = begin(server, "writers", len(video))
    for offset in (1, 100):
        problem = check_problem(send(server, path, offset, b"x"), 409)
        assert (problem["type"].rpartition(":")[2], problem["offset"]) == ("upload-conflict", 0)
    check_problem(send(server, path, 0, video + b"x"), 413)
    with open_request(server, path, 0, len(video)) as connection:
        connection.sendall(video[:10])
        wait_for(lambda: offset_of(server, path) == 10, what="the first request")
        assert check_problem(send(server, path, 10, b"x"), 423)["type"].endswith("upload-busy")
        assert end(server, path) == 204  # what is being sent is not waited for
        assert not kept(server, path).exists()
        connection.sendall(video[10:20])
        assert b" 404 " in connection.recv(1000)
    check_problem(send(server, path, 10, b"x"), 404)
    assert end(server, path) == 404


def test_a_body_without_a_length_is_not_kept_beyond_the_file(server: Server) -> None:
    path = begin(server, "endless", 100_000)
    endless = (b"x" * 30_000 for _ in range(5))
    headers = {**CHUNK, "upload-offset": "0"}
    check_problem(server.client.patch(path, content=endless, headers=headers), 413)
    assert offset_of(server, path) <= 100_000
    assert end(server, path) == 204


def test_what_is_no_video_is_refused_and_frees_the_disk(server: Server) -> None:
    text = b"This is no video.\n" * 1000
    path = begin(server, "notes", len(text))
    problem = check_problem(send(server, path, 0, text), 422)
    assert problem["type"].endswith("video-unreadable")
    assert [file.name for file in kept(server, path).iterdir()] == ["upload.json"]
    assert check_problem(server.client.get(path), 422) == problem  # to whom missed the answer
    assert server.client.get("/uploads").json()["total"] == 0
    check_problem(server.client.get("/episodes/notes"), 404)
    assert end(server, begin(server, "notes", 5)) == 204  # the name is free
    assert end(server, path) == 204
    assert not kept(server, path).exists()


def test_the_same_file_goes_on_and_another_one_may_not_have_its_name(server: Server) -> None:
    path = begin(server, "same", 500, modified="17")
    assert send(server, path, 0, b"x" * 100).status_code == 204
    again = create(server, "same", 500, modified="17")
    assert (again.headers["location"], again.headers["upload-offset"]) == (path, "100")
    for length, modified in ((501, "17"), (500, "18")):
        problem = check_problem(create(server, "same", length, modified=modified), 409)
        assert problem["upload_id"] == path.rpartition("/")[2]
    assert end(server, path) == 204
    assert end(server, begin(server, "same", 501)) == 204


BAD: list[tuple[dict[str, str], int]] = [
    ({"upload-metadata": metadata(ep_id="../../etc/passwd", filename="a.mp4")}, 422),
    ({"upload-metadata": metadata(ep_id="a", filename="x" * 1001)}, 422),
    ({"upload-metadata": metadata(ep_id="a")}, 422),
    ({"upload-metadata": "ep_id not-base64!,filename YQ=="}, 422),
    ({"upload-metadata": "ep_id /w==,filename YQ=="}, 422),
    ({"upload-metadata": "x " + "A" * 5000}, 422),
    ({"upload-length": "-1"}, 422),
    ({"upload-length": "0"}, 422),
    ({"upload-length": "1e3"}, 422),
    ({"upload-length": "100000001"}, 413),
    ({"tus-resumable": "0.2.2"}, 412),
]


@pytest.mark.parametrize(("headers", "status"), BAD)
def test_uploads_that_are_refused_at_once(
    server: Server, headers: dict[str, str], status: int
) -> None:
    good = {"upload-length": "9", "upload-metadata": metadata(ep_id="a", filename="a.mp4")}
    answer = server.client.post("/uploads", headers={**TUS, **good, **headers})
    check_problem(answer, status)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert ("tus-version" in answer.headers) == (status == 412)
    assert "a" not in [one["ep_id"] for one in server.client.get("/uploads").json()["items"]]


def test_other_addresses_and_kinds_of_bodies_are_refused(server: Server) -> None:
    for other in ("x", "0" * 32, "..%2f..%2fvideos", "0" * 10_000):
        assert server.client.get(f"/uploads/{other}").status_code in (400, 404)
        assert end(server, f"/uploads/{other}") in (400, 404)
    path = begin(server, "kinds", 9)
    answer = server.client.patch(path, content=b"x", headers={**TUS, "upload-offset": "0"})
    check_problem(answer, 415)
    check_problem(server.client.patch(path, content=b"x", headers=CHUNK), 422)
    assert end(server, path) == 204
    abilities = server.client.options("/uploads").headers
    assert abilities["tus-extension"] == "creation,termination,expiration"
    assert abilities["tus-max-size"] == "100000000"


def test_a_full_disk_keeps_what_it_has(tmp_path: Path, video: bytes) -> None:
    root = tmp_path / "data"
    root.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(root)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with serving(root, SCREENALYTICS_MIN_FREE_MB="0", **NO_REDIS) as server:
            full_disk(server, root, video)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def full_disk(server: Server, root: Path, video: bytes) -> None:
    check_problem(create(server, "large", 6_000_000), 507)
    path = begin(server, "fits", len(video))
    free = shutil.disk_usage(root).free
    check_problem(
        create(server, "no-more", free - len(video) + 1), 507
    )  # the first one's bytes are still to come
    filler = root / "filler"
    filler.write_bytes(b"x" * (free - len(video) // 2))
    problem: dict[str, Any] = check_problem(send(server, path, 0, video), 507)
    assert "full" in problem["detail"]
    offset = offset_of(server, path)
    assert 0 < offset < len(video)
    filler.unlink()
    assert send(server, path, offset, video[offset:]).status_code == 204
    assert (root / "videos/fits/episode.mp4").read_bytes() == video
