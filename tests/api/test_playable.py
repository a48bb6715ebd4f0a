"""An episode's video, and what browsers play of it, over HTTP."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from apps.common.config import CONFIG_DIR_VARIABLE
from apps.runs.playable import state_of_video
from lab.paths import CHECKOUT
from lab.processes.service import LOWERED_NICE, Server, gone, serving, wait_for
from tests.pipeline.videos import (
    H264,
    HEVC,
    MPEG4,
    VP9,
    Recipe,
    corners,
    write_audio,
    write_numbered,
    write_repeated,
    write_video,
)
from tests.support.unread import NDJSON, unread_post

MAKER = "apps.cli.make_playable"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("playable") / "data"
    for name, file, recipe in (
        ("plain", "episode.mp4", replace(H264, audio=True)),
        ("quick", "episode.mov", H264),
        ("web", "episode.webm", VP9),
        ("stream", "episode.ts", replace(H264, audio=True)),
        ("film", "episode.mkv", H264),
        ("new", "episode.mp4", HEVC),
        ("deep", "episode.mp4", replace(H264, pix_fmt="yuv420p10le")),
    ):
        write_numbered(folder(root, name) / file, 60, recipe)
    # Long to encode at a small budget.
    write_repeated(folder(root, "slow") / "episode.mp4", corners(1280, 720), 500, HEVC)
    (folder(root, "text") / "episode.mp4").write_text("<script>alert(1)</script>" * 100)
    write_audio(folder(root, "radio") / "episode.mp4")
    return root


def folder(root: Path, name: str) -> Path:
    found = root / "videos" / name
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_MAX_CPU_PERCENT="200") as running:
        yield running


@pytest.fixture(scope="module")
def slow_server(data_root: Path) -> Iterator[Server]:
    """One whose budget is so small that there is time to look."""
    with serving(data_root, SCREENALYTICS_MAX_CPU_PERCENT="25") as running:
        yield running


@pytest.fixture
def slow(data_root: Path, request: pytest.FixtureRequest) -> str:
    """An episode of a test's own: a server forgets a maker a moment after it has gone."""
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    os.link(folder(data_root, "slow") / "episode.mp4", folder(data_root, name) / "episode.mp4")
    return name


def video_of(server: Server, name: str) -> Path:
    [found] = (server.data_root / "videos" / name).iterdir()
    return found


def cache_of(server: Server, name: str) -> Path:
    return server.data_root / ".cache" / "playable" / name


def names_in(path: Path) -> set[str]:
    return {one.name for one in path.iterdir()} if path.is_dir() else set()


def check_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"].endswith(slug), body
    assert "/tmp" not in answer.text
    return body


def playable(server: Server, name: str) -> dict[str, Any]:
    answer = server.client.get(f"/episodes/{name}/playable")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def make(server: Server, name: str) -> dict[str, Any]:
    answer = server.client.post(f"/episodes/{name}/playable")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


# --- the video itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain", "video/mp4"), ("quick", "video/quicktime"), ("web", "video/webm"),
        ("stream", "video/mp2t"), ("film", "video/x-matroska"), ("new", "video/mp4"),
        ("text", "application/octet-stream"),
    ],
)  # fmt: skip
def test_the_video_is_sent_as_what_it_is(server: Server, name: str, kind: str) -> None:
    answer = server.client.get(f"/episodes/{name}/video")
    assert answer.status_code == 200
    assert answer.content == video_of(server, name).read_bytes()
    assert answer.headers["content-type"] == kind
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"
    head = server.client.head(f"/episodes/{name}/video")
    assert head.status_code == 200
    assert head.content == b""
    for field in ("content-type", "content-length", "etag", "last-modified"):
        assert head.headers[field] == answer.headers[field]


def test_ranges_of_the_video(server: Server) -> None:
    address, data = "/episodes/plain/video", video_of(server, "plain").read_bytes()
    size = len(data)
    for asked, start, end in (
        ("bytes=0-99", 0, 100), ("bytes=100-", 100, size), ("bytes=-50", size - 50, size),
        (f"bytes={size - 1}-{size + 999}", size - 1, size),
    ):  # fmt: skip
        answer = server.client.get(address, headers={"range": asked})
        assert answer.status_code == 206
        assert answer.content == data[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    answer = server.client.get(address, headers={"range": f"bytes={size}-"})
    check_problem(answer, 416, "about:blank")
    assert answer.headers["content-range"] == f"bytes */{size}"
    check_problem(server.client.get(address, headers={"range": "bytes=x"}), 400, "about:blank")


def test_a_range_of_a_replaced_video_is_the_whole_new_one(server: Server) -> None:
    path = folder(server.data_root, "changing") / "episode.mp4"
    write_numbered(path, 20)
    address = "/episodes/changing/video"
    tag = server.client.get(address).headers["etag"]
    part = {"range": "bytes=10-19", "if-range": tag}
    assert server.client.get(address, headers=part).status_code == 206
    write_numbered(path, 21)
    answer = server.client.get(address, headers=part)
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert answer.headers["etag"] != tag


def test_only_the_episodes_own_video_in_the_data_root(server: Server, tmp_path: Path) -> None:
    outside = write_numbered(tmp_path / "outside.mp4", 10)
    (folder(server.data_root, "linked") / "episode.mp4").symlink_to(outside)
    (server.data_root / "videos" / "away").symlink_to(tmp_path)
    shutil.copyfile(outside, tmp_path / "episode.mp4")
    folder(server.data_root, "none")
    (folder(server.data_root, "none") / "other.mp4").write_bytes(outside.read_bytes())
    for name in ("linked", "away", "none", "nobody"):
        for path in ("video", "playable", "playable/file"):
            answer = server.client.get(f"/episodes/{name}/{path}")
            check_problem(answer, 404, "episode-not-found")
        check_problem(server.client.post(f"/episodes/{name}/playable"), 404, "episode-not-found")
    inside = folder(server.data_root, "inside") / "episode.mp4"
    inside.symlink_to(video_of(server, "plain"))
    assert server.client.get("/episodes/inside/video").status_code == 200


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..", ".cache", "a..b", "plain%00", "plain%2f..%2fnew", "x" * 129]
)
@pytest.mark.parametrize("path", ["video", "playable", "playable/file"])
def test_names_of_no_episode(server: Server, name: str, path: str) -> None:
    for method in ("GET", "POST"):
        if method == "POST" and path != "playable":
            continue
        answer = server.client.request(method, f"/episodes/{name}/{path}")
        assert answer.status_code in (404, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


# --- what is to be played ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mime"),
    [("plain", "video/mp4; codecs"), ("quick", "video/mp4; codecs"), ("web", "video/webm; codecs")],
)
def test_a_video_that_browsers_play(server: Server, name: str, mime: str) -> None:
    body = playable(server, name)
    size = video_of(server, name).stat().st_size
    assert body.pop("mime").startswith(mime)
    assert body == {
        "kind": "source", "ready": True, "path": "video", "why": None, "size_bytes": size,
    }  # fmt: skip
    before = server.children_cpu_seconds()
    made = make(server, name)
    assert server.children_cpu_seconds() == before  # nothing was looked at again
    assert (made["kind"], made["path"], made["elapsed_seconds"]) == ("source", "video", 0.0)
    assert names_in(cache_of(server, name)) == set()
    answer = server.client.get(f"/episodes/{name}/playable/file")
    assert "playable" in check_problem(answer, 404, "episode-not-found")["hint"]


@pytest.mark.parametrize(
    ("name", "kind", "tags"),
    [
        ("stream", "remuxed", ["avc1.", "mp4a.40.2"]), ("film", "remuxed", ["avc1."]),
        ("new", "proxy", ["avc1."]), ("deep", "proxy", ["avc1."]),
    ],
)  # fmt: skip
def test_a_video_that_browsers_do_not_play(
    server: Server, name: str, kind: str, tags: list[str]
) -> None:
    body = playable(server, name)
    assert (body["kind"], body["ready"], body["path"]) == (kind, False, "playable/file")
    assert body["size_bytes"] is None
    assert body["why"]
    answer = server.client.get(f"/episodes/{name}/playable/file")
    check_problem(answer, 404, "episode-not-found")
    made = make(server, name)
    assert made["status"] == "completed"
    assert (made["ep_id"], made["kind"], made["path"]) == (name, kind, "playable/file")
    assert made["elapsed_seconds"] > 0
    again = playable(server, name)
    assert again == {**body, "ready": True, "mime": made["mime"], "size_bytes": made["size_bytes"]}
    assert all(tag in made["mime"] for tag in tags)
    state = state_of_video(video_of(server, name))
    assert names_in(cache_of(server, name)) == {f"{state}.mp4", f"{state}.json"}
    file = cache_of(server, name) / f"{state}.mp4"
    answer = server.client.get(f"/episodes/{name}/playable/file")
    assert answer.content == file.read_bytes()
    assert len(answer.content) == made["size_bytes"]
    assert answer.headers["content-type"] == "video/mp4"
    part = server.client.get(
        f"/episodes/{name}/playable/file",
        headers={"range": "bytes=5-9", "if-range": answer.headers["etag"]},
    )
    assert (part.status_code, part.content) == (206, file.read_bytes()[5:10])
    before = server.children_cpu_seconds()
    assert make(server, name) == {**made, "elapsed_seconds": 0.0}
    assert server.children_cpu_seconds() == before
    streamed = server.client.post(f"/episodes/{name}/playable", headers=NDJSON)
    assert [json.loads(line)["type"] for line in streamed.text.splitlines()] == ["result"]


@pytest.mark.parametrize("name", ["text", "radio"])
def test_what_is_no_video(server: Server, name: str) -> None:
    check_problem(server.client.get(f"/episodes/{name}/playable"), 422, "video-unreadable")
    check_problem(server.client.post(f"/episodes/{name}/playable"), 422, "video-unreadable")
    assert names_in(cache_of(server, name)) == set()


def test_a_replaced_video_gets_another_file(server: Server) -> None:
    path = folder(server.data_root, "replaced") / "episode.mkv"
    write_numbered(path, 30)
    first = make(server, "replaced")
    write_numbered(path, 45)
    assert playable(server, "replaced")["ready"] is False
    answer = server.client.get("/episodes/replaced/playable/file")
    check_problem(answer, 404, "episode-not-found")
    second = make(server, "replaced")
    assert second["size_bytes"] > first["size_bytes"]
    state = state_of_video(path)
    assert names_in(cache_of(server, "replaced")) == {f"{state}.mp4", f"{state}.json"}
    path.unlink()
    for address in ("playable", "playable/file", "video"):
        answer = server.client.get(f"/episodes/replaced/{address}")
        check_problem(answer, 404, "episode-not-found")


def test_what_lies_in_the_cache_is_not_trusted(server: Server, tmp_path: Path) -> None:
    path = folder(server.data_root, "odd") / "episode.mkv"
    write_numbered(path, 30)
    cache, state = cache_of(server, "odd"), state_of_video(path)
    cache.mkdir(parents=True)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    note = cache / f"{state}.json"
    kind = {"kind": "remuxed", "mime": "text/html"}
    for body in ("", "[]", "{", '{"file": 3}', json.dumps({**kind, "file": "../../../x.mp4"}),
                 json.dumps({**kind, "file": str(secret)})):  # fmt: skip
        note.write_text(body)
        assert playable(server, "odd")["ready"] is False
    (cache / f"{state}.mp4").symlink_to(secret)
    note.write_text(json.dumps({**kind, "file": f"{state}.mp4"}))
    assert playable(server, "odd")["ready"] is False
    answer = server.client.get("/episodes/odd/playable/file")
    check_problem(answer, 404, "episode-not-found")


# --- making ------------------------------------------------------------------------------------


def makers(server: Server) -> list[psutil.Process]:
    family = psutil.Process(server.process.pid).children(recursive=True)
    found = []
    for process in family:
        with contextlib.suppress(psutil.Error):
            if MAKER in process.cmdline():
                found.append(process)
    return found


def address_of(name: str) -> str:
    return f"/episodes/{name}/playable"


def begun(server: Server, name: str) -> bool:
    return any(one.startswith(".") for one in names_in(cache_of(server, name)))


def test_it_tells_its_progress_within_its_budget(slow_server: Server) -> None:
    server = slow_server
    path = folder(server.data_root, "told") / "episode.mp4"
    write_video(path, [corners(640, 360)] * 300, HEVC)
    lines: list[dict[str, Any]] = []
    spent: list[tuple[float, float]] = []  # seconds, and CPU seconds of the process by then
    with server.client.stream("POST", "/episodes/told/playable", headers=NDJSON) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.iter_lines():
            lines.append(json.loads(line))
            if len(lines) == 2:
                (maker,) = makers(server)
                wait_for(lambda: maker.nice() == LOWERED_NICE, what="its priority to be low")  # noqa: B023
            if len(lines) > 1 and lines[-1].get("phase") == "running":
                with contextlib.suppress(psutil.Error):
                    times = maker.cpu_times()
                    spent.append((time.monotonic(), times.user + times.system))
    assert lines[-1]["type"] == "result", lines[-1]
    assert (lines[-1]["ep_id"], lines[-1]["kind"]) == ("told", "proxy")
    beats = [line for line in lines if line["type"] == "progress"]
    assert {beat["phase"] for beat in beats} >= {"running"}
    assert [beat["frames_done"] for beat in beats] == sorted(b["frames_done"] for b in beats)
    assert beats[-1]["frames_done"] == beats[-1]["frames_total"] == 300
    (begin, before), (end, after) = spent[0], spent[-1]
    assert (after - before) / (end - begin) < 0.6  # an unlimited one takes all of two cores


@pytest.mark.parametrize("stream", [False, True], ids=["json", "ndjson"])
def test_it_dies_with_its_client(slow_server: Server, slow: str, stream: bool) -> None:
    with unread_post(slow_server, address_of(slow), stream=stream):
        processes = wait_for(lambda: makers(slow_server), what="it to start")
        wait_for(lambda: begun(slow_server, slow), what="the writing to begin")
        answer = slow_server.client.post(address_of(slow))
        assert check_problem(answer, 409, "playable-busy")["hint"]
    wait_for(lambda: gone(processes) and not makers(slow_server), what="its end")
    wait_for(lambda: not names_in(cache_of(slow_server, slow)), what="the folder as it was")
    assert playable(slow_server, slow)["ready"] is False


def test_a_stopped_one_dies_too(slow_server: Server, slow: str) -> None:
    with unread_post(slow_server, address_of(slow), stream=True):
        processes = wait_for(lambda: makers(slow_server), what="it to start")
        wait_for(lambda: begun(slow_server, slow), what="the writing to begin")
        for process in processes:
            process.suspend()
    wait_for(lambda: gone(processes), what="its end")
    wait_for(lambda: not names_in(cache_of(slow_server, slow)), what="the folder as it was")


def test_one_whose_process_is_killed(slow_server: Server, slow: str) -> None:
    answers: list[httpx.Response] = []
    post = slow_server.client.post
    thread = threading.Thread(target=lambda: answers.append(post(address_of(slow))))
    thread.start()
    (maker,) = wait_for(lambda: makers(slow_server), what="it to start")
    wait_for(lambda: begun(slow_server, slow), what="the writing to begin")
    maker.kill()
    thread.join()
    assert check_problem(answers[0], 500, "run-failed")["run_exit_code"] == -9
    assert names_in(cache_of(slow_server, slow)) == set()


def end_while_it_makes(server: Server, slow: str, number: signal.Signals) -> None:
    with unread_post(server, address_of(slow), stream=True):
        processes = wait_for(lambda: makers(server), what="it to start")
        wait_for(lambda: begun(server, slow), what="the writing to begin")
        server.process.send_signal(number)
        server.process.wait(timeout=60)
        wait_for(lambda: gone(processes), what="the orphan's end")


def test_it_dies_with_the_server_and_the_next_one_sweeps(data_root: Path, slow: str) -> None:
    with serving(data_root, SCREENALYTICS_MAX_CPU_PERCENT="25") as server:
        end_while_it_makes(server, slow, signal.SIGKILL)
    with serving(data_root, SCREENALYTICS_MAX_CPU_PERCENT="25") as server:
        wait_for(lambda: not begun(server, slow), what="what was left to be freed")
        end_while_it_makes(server, slow, signal.SIGTERM)
    with serving(data_root) as server:
        wait_for(lambda: not begun(server, slow), what="what was left to be freed")


def test_two_servers_make_it_once(data_root: Path, slow_server: Server, slow: str) -> None:
    with (
        serving(data_root) as other,
        unread_post(slow_server, address_of(slow), stream=False),
    ):
        wait_for(lambda: begun(slow_server, slow), what="the writing to begin")
        check_problem(other.client.post(address_of(slow)), 409, "playable-busy")
    wait_for(lambda: not makers(slow_server), what="its end")


def test_a_video_that_is_replaced_meanwhile(slow_server: Server) -> None:
    path = folder(slow_server.data_root, "fleeting") / "episode.mp4"
    write_video(path, [corners(640, 360)] * 180, HEVC)
    answers: list[httpx.Response] = []
    post = slow_server.client.post
    thread = threading.Thread(target=lambda: answers.append(post("/episodes/fleeting/playable")))
    thread.start()
    wait_for(lambda: begun(slow_server, "fleeting"), what="the writing to begin")
    other = path.with_name("other.tmp")
    shutil.copyfile(path, other)
    other.replace(path)
    thread.join()
    check_problem(answers[0], 409, "video-replaced")
    assert names_in(cache_of(slow_server, "fleeting")) == set()


# --- the disk ----------------------------------------------------------------------------------


def test_a_full_disk(tmp_path: Path) -> None:
    """The cache lies on a disk of its own, which is nearly full."""
    root = tmp_path / "data"
    path = folder(root, "film") / "episode.mkv"
    noise = np.random.default_rng(5).integers(0, 255, (20, 360, 640, 3), np.uint8)
    write_video(path, list(noise), H264)
    write_video(folder(root, "new") / "episode.mp4", list(noise), MPEG4)
    cache = root / ".cache" / "playable"
    cache.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(cache)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        with serving(root, SCREENALYTICS_MIN_FREE_MB="0") as server:
            for name in ("film", "new"):
                answer = server.client.post(f"/episodes/{name}/playable")
                check_problem(answer, 507, "storage-failed")
                assert names_in(cache / name) == set()
                assert playable(server, name)["ready"] is False
    finally:
        subprocess.run(["umount", "--lazy", str(cache)], check=True)


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose cache may hold about two files."""
    config = tmp_path_factory.mktemp("config")
    text = (CHECKOUT / "apps" / "config" / "pipeline.toml").read_text()
    root = tmp_path_factory.mktemp("small") / "data"
    for name in ("one", "two", "three"):
        write_numbered(folder(root, name) / "episode.mkv", 60)
    size = (folder(root, "one") / "episode.mkv").stat().st_size
    assert "max_gb = 20.0 " in text
    (config / "pipeline.toml").write_text(
        text.replace("max_gb = 20.0 ", f"max_gb = {2.5 * size / 1e9:.9f} ")
    )
    with serving(root, **{CONFIG_DIR_VARIABLE: str(config)}) as running:
        yield running


@pytest.fixture
def small(small_server: Server) -> Server:
    """It, with nothing in its cache."""
    shutil.rmtree(small_server.data_root / ".cache" / "playable", ignore_errors=True)
    return small_server


def test_what_was_played_longest_ago_goes_first(small: Server) -> None:
    make(small, "one")
    make(small, "two")
    time.sleep(0.05)
    assert small.client.get("/episodes/one/playable/file").status_code == 200
    make(small, "three")
    ready = {name: playable(small, name)["ready"] for name in ("one", "two", "three")}
    assert ready == {"one": True, "two": False, "three": True}
    assert names_in(cache_of(small, "two")) == set()


def test_what_is_being_read_stays(small: Server) -> None:
    make(small, "one")
    make(small, "two")
    note = next(cache_of(small, "one").glob("*.json"))
    os.utime(note, (1, 1))  # not played for long
    file = next(cache_of(small, "one").glob("*.mp4"))
    tag = small.client.get("/episodes/one/playable/file").headers["etag"]
    os.utime(note, (1, 1))
    with file.open("rb") as stream:  # as the server does while it sends
        fcntl.flock(stream.fileno(), fcntl.LOCK_SH)
        make(small, "three")
        assert playable(small, "one")["ready"] is True
    assert small.client.get("/episodes/one/playable/file").headers["etag"] == tag
    assert playable(small, "two")["ready"] is False


def test_the_server_holds_what_it_sends(server: Server) -> None:
    """A client that reads slowly: its file is locked until it leaves."""
    path = folder(server.data_root, "large") / "episode.mp4"
    with path.open("wb") as stream:
        stream.write(b"\0\0\0\x18ftypisom")
        stream.truncate(50_000_000)

    def is_free() -> bool:
        with path.open("rb+") as stream:
            try:
                fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /episodes/large/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(100)
        wait_for(lambda: not is_free(), what="it to be held")
    wait_for(is_free, what="it to be let go")


def test_more_than_all_may_take_together_is_refused(small: Server) -> None:
    write_numbered(folder(small.data_root, "huge") / "episode.mkv", 250)
    answer = small.client.post("/episodes/huge/playable")
    assert "max_gb" in check_problem(answer, 507, "storage-failed")["hint"]


def test_as_many_are_made_at_once_as_there_are_slots(server: Server) -> None:
    """Two files at once are made, and a third waits: none is refused."""
    names = ["at-once-1", "at-once-2", "at-once-3"]
    for name in names:
        recipe = Recipe("libx264", options=H264.options, audio=True)
        write_numbered(folder(server.data_root, name) / "episode.ts", 60, recipe)
    answers: list[int] = []

    def ask(name: str) -> None:
        with server.another_client(120) as client:
            answers.append(client.post(f"/episodes/{name}/playable").status_code)

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(makers(server)))
        time.sleep(0.02)
    assert answers == [200] * 3
    assert most <= 2
