"""Episodes over HTTP: list, look, upload. Whatever goes wrong leaves nothing behind."""

from __future__ import annotations

import secrets
import select
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from lab.processes.service import Server, serving, wait_for
from tests.pipeline.videos import VP9, write_audio, write_numbered

BOUNDARY = "upload-test"
FORM = "multipart/form-data"
MULTIPART = {"content-type": f"{FORM}; boundary={BOUNDARY}"}
CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()


def form_start(ep_id: str, filename: str = "clip.mp4") -> bytes:
    """A form up to the first byte of its file."""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="ep_id"\r\n\r\n{ep_id}\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{filename}"\r\nContent-Type: video/mp4\r\n\r\n'
    ).encode()


def send_head(server: Server, length: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = (
        "POST /episodes HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {MULTIPART['content-type']}\r\nContent-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def upload(server: Server, ep_id: str, video: Path, name: str | None = None) -> httpx.Response:
    file = (video.name if name is None else name, video.read_bytes())
    return server.client.post("/episodes", data={"ep_id": ep_id}, files={"file": file})


def parts_left(server: Server) -> list[Path]:
    return list((server.data_root / ".uploads").glob("*"))


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    return problem


@contextmanager
def leaves_nothing(server: Server) -> Iterator[None]:
    """Fails where the block adds a file or a folder under the data root."""

    def names() -> set[str]:
        folders = [server.data_root / "videos", server.data_root / "manifests"]
        found = {str(path) for folder in folders for path in folder.rglob("*")}
        return found | {str(path) for path in server.data_root.parent.glob("*.mp4")}

    before = names()
    yield
    assert names() == before
    assert parts_left(server) == []


@pytest.fixture
def talk(test_data: Path) -> Path:
    return test_data / "videos" / "carphone_pristine.mp4"


def test_list_has_every_episode_by_name(server: Server, data_root: Path) -> None:
    body = server.client.get("/episodes").json()
    names = [item["ep_id"] for item in body["items"]]
    assert names == sorted(names)
    assert {"talk", "show", "street"} <= set(names)
    assert body["total"] == len(names)
    street = next(item for item in body["items"] if item["ep_id"] == "street")
    assert street == {
        "ep_id": "street",
        "video": "episode.mp4",
        "size_bytes": (data_root / "videos/street/episode.mp4").stat().st_size,
        "running": False,
        "runs": 0,
        "latest_run_id": None,
    }


@pytest.mark.parametrize(
    ("ep_id", "size", "stored", "fps", "frames"),
    [
        ("talk", (193, 144), (176, 144), 29.97, 120),  # pixels that are not square
        ("show", (640, 360), (640, 360), 29.97, 275),
    ],
)
def test_detail_has_the_videos_facts(
    server: Server, ep_id: str, size: tuple[int, int], stored: tuple, fps: float, frames: int
) -> None:
    body = server.client.get(f"/episodes/{ep_id}").json()
    facts = body["facts"]
    assert (facts["width"], facts["height"]) == size
    assert (facts["coded_width"], facts["coded_height"]) == stored
    assert facts["fps"] == pytest.approx(fps, abs=0.001)
    assert facts["frames"] == frames
    assert facts["duration_s"] == pytest.approx(frames / fps, abs=0.01)
    assert facts["codec"] == "h264"
    assert body["problem"] is None


def test_detail_of_a_video_that_cannot_be_read_says_why(server: Server, data_root: Path) -> None:
    folder = data_root / "videos" / "broken"
    folder.mkdir()
    (folder / "episode.mp4").write_text("no video")
    body = server.client.get("/episodes/broken").json()
    assert body["facts"] is None
    assert "not a video" in body["problem"]
    (folder / "episode.mp4").unlink()
    empty = server.client.get("/episodes/broken").json()
    assert (empty["video"], empty["facts"], empty["problem"]) == (None, None, None)


def test_side_files_are_no_videos(server: Server, data_root: Path, talk: Path) -> None:
    """Neither looked at nor in the way of an upload; a second video gives a warning."""
    folder = data_root / "videos" / "dressed"
    folder.mkdir()
    for name in ("episode.en.srt", "episode.jpg", "episode.json"):
        (folder / name).write_text("beside it")
    assert server.client.get("/episodes/dressed").json()["video"] is None
    assert upload(server, "dressed", talk).json()["video"] == "episode.mp4"
    assert server.client.get("/episodes/dressed").json()["other_videos"] == []
    shutil.copyfile(talk, folder / "episode.mkv")
    detail = server.client.get("/episodes/dressed").json()
    assert (detail["video"], detail["other_videos"]) == ("episode.mkv", ["episode.mp4"])
    plan = server.client.post("/options/resolve", json={"ep_id": "dressed"}).json()
    assert any("episode.mkv is taken, not episode.mp4" in warning for warning in plan["warnings"])


@pytest.mark.parametrize(
    ("ep_id", "status"),
    [
        ("nobody", 404),
        ("a..b", 422),
        ("..%2f..%2fetc", 404),  # decoded, it is another path, which has no route
        (".uploads", 422),
        ("a%00b", 422),
        ("a%0a", 422),
        ("x" * 129, 422),
        ("caf%C3%A9", 422),
    ],
)
def test_detail_of_unknown_and_illegal_names(server: Server, ep_id: str, status: int) -> None:
    check_problem(server.client.get(f"/episodes/{ep_id}"), status)
    check_problem(server.client.get(f"/episodes/{ep_id}/runs/latest"), status)


def test_an_uploaded_clip_runs(server: Server, data_root: Path, talk: Path) -> None:
    answer = upload(server, "new", talk)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/episodes/new"
    assert answer.json()["facts"]["frames"] == 120
    assert (data_root / "videos/new/episode.mp4").read_bytes() == talk.read_bytes()
    assert parts_left(server) == []
    looked = server.client.get(answer.headers["location"]).json()
    assert looked == answer.json()
    result = server.detect_track("new", stride=30).json()
    assert result["status"] == "completed"
    assert result["tracks"] == 1
    after = server.client.get("/episodes/new").json()
    assert (after["runs"], after["latest_run_id"]) == (1, result["run_id"])
    (data_root / "videos/new/episode.mp4").unlink()
    check_episode_without_video(server, result["run_id"])
    assert upload(server, "new", talk).status_code == 201
    preview = server.client.post(f"/episodes/new/runs/{result['run_id']}/preview")
    assert preview.status_code == 200  # it is the same video


def check_episode_without_video(server: Server, run_id: str) -> None:
    """As after a run of the command line: its run is found; what needs the video says so."""
    listed = server.client.get("/episodes", params={"q": "new"}).json()
    (item,) = listed["items"]
    assert listed["total"] == 1
    assert (item["video"], item["runs"], item["latest_run_id"]) == (None, 1, run_id)
    detail = server.client.get("/episodes/new").json()
    assert (detail["video"], detail["size_bytes"], detail["facts"]) == (None, None, None)
    run = f"/episodes/new/runs/{run_id}"
    for part in ("", "/tracks", "/detections", "/metrics", "/charts", "/diagnosis"):
        answer = server.client.get(run + part)
        assert answer.status_code == 200, part
    for answer in (
        server.detect_track("new"),
        server.client.post("/options/resolve", json={"ep_id": "new"}),
        server.client.get("/episodes/new/thumbnail"),
        server.client.post(f"{run}/preview"),
    ):
        assert "has no video" in check_problem(answer, 404)["detail"]


def test_a_file_that_comes_first_and_holds_the_boundarys_start_is_kept_whole(
    server: Server, data_root: Path, talk: Path
) -> None:
    """The form's own marks inside the video must not end it; MP4 allows any bytes at its end."""
    tail = f"\r\n--{BOUNDARY[:-1]}x\r\n--\r\n\r\n--".encode()
    video = talk.read_bytes() + (len(tail) + 8).to_bytes(4, "big") + b"free" + tail
    name, file = form_start("marks").split(b"\r\n--", 1)
    body = b"--" + file + video + b"\r\n" + name + CLOSING
    answer = server.client.post("/episodes", content=body, headers=MULTIPART)
    assert answer.status_code == 201, answer.text
    assert (data_root / "videos/marks/episode.mp4").read_bytes() == video


def test_usual_endings_are_kept(server: Server, tmp_path: Path) -> None:
    clip = write_numbered(tmp_path / "clip.webm", 30, VP9)
    body = upload(server, "ends.webm", clip, "My Clip.WEBM").json()
    assert body["video"] == "episode.webm"
    assert body["facts"]["frames"] == 30
    stored = server.data_root / "videos/ends.webm/episode.webm"
    assert stored.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("name", ["clip.exe", "..\\..\\x.py"])
def test_other_endings_become_mp4(server: Server, talk: Path, name: str) -> None:
    ep_id = f"odd-{secrets.token_hex(4)}"
    assert upload(server, ep_id, talk, name).json()["video"] == "episode.mp4"
    assert [path.name for path in (server.data_root / "videos" / ep_id).iterdir()] == [
        "episode.mp4"
    ]


@pytest.mark.parametrize("what", ["empty", "sound"])
def test_what_is_no_video_leaves_nothing(server: Server, tmp_path: Path, what: str) -> None:
    file = tmp_path / "clip.mp4"
    if what == "empty":
        file.touch()
    else:
        write_audio(file)
    with leaves_nothing(server):
        problem = check_problem(upload(server, "garbage", file), 422)
    assert str(server.data_root) not in str(problem)
    check_problem(server.client.get("/episodes/garbage"), 404)


def test_an_existing_episode_is_kept(server: Server, data_root: Path, test_data: Path) -> None:
    original = data_root / "videos/talk/episode.mp4"
    before = (original.read_bytes(), original.stat().st_mtime_ns)
    with leaves_nothing(server):
        other = test_data / "videos" / "short_hamilton_clip.mp4"
        for name in ("clip.mp4", "clip.mkv"):
            problem = check_problem(upload(server, "talk", other, name), 409)
    assert "talk" in problem["detail"]
    assert (original.read_bytes(), original.stat().st_mtime_ns) == before


FILE = ("file", ("clip.mp4", b"x" * 100))
NAME = ("ep_id", (None, "form"))


@pytest.mark.parametrize(
    ("request_parts", "word"),
    [
        ({"files": [NAME]}, "no file"),
        ({"files": [FILE]}, "no ep_id"),
        ({"files": [NAME, FILE, FILE]}, "two files"),
        ({"files": [("ep_id", (None, "../../etc/passwd")), FILE]}, "ep_id"),
        ({"files": [("ep_id", (None, "a/b")), FILE]}, "ep_id"),
        ({"files": [("ep_id", (None, "a\nb")), FILE]}, "ep_id"),
        ({"files": [("ep_id", (None, "")), FILE]}, "ep_id"),
        ({"files": [("ep_id", (None, "x" * 5000)), FILE]}, "too long"),
        ({"files": [("ep_id", (None, b"\xff\xfe")), FILE]}, "ep_id"),
        ({"files": [*((f"f{n}", (None, "x")) for n in range(50)), NAME, FILE]}, "too many parts"),
        ({"json": {"ep_id": "form"}}, "multipart"),
        ({"data": {"ep_id": "form"}}, "multipart"),
        ({"content": b""}, "multipart"),
        ({"content": b"x", "headers": {"content-type": FORM}}, "multipart"),
        ({"content": b"x", "headers": {"content-type": f"{FORM}; boundary="}}, "multipart"),
        ({"content": b"x", "headers": {"content-type": f"{FORM}; boundary={'x' * 300}"}}, "form"),
        ({"content": b"no form", "headers": MULTIPART}, "form"),
        ({"content": b"", "headers": MULTIPART}, "form"),
        ({"content": form_start("form") + b"x" * 100, "headers": MULTIPART}, "breaks off"),
    ],
    ids=[
        "no file", "no ep_id", "two files", "passwd", "slash", "newline", "empty", "long",
        "bytes", "fields", "json", "urlencoded", "no body", "no boundary", "empty boundary",
        "long boundary", "no form", "empty form", "unfinished",
    ],
)  # fmt: skip
def test_forms_that_are_refused(server: Server, request_parts: dict, word: str) -> None:
    with leaves_nothing(server):
        problem = check_problem(server.client.post("/episodes", **request_parts), 422)
    assert word in problem["detail"]
    assert len(problem["detail"]) < 300
    check_problem(server.client.get("/episodes/form"), 404)


def test_too_large_is_refused_early(data_root: Path) -> None:
    with serving(data_root, SCREENALYTICS_UPLOAD_MAX_MB="0.5") as server:
        length, sent, block = 200_000_000, 0, b"x" * 65_536
        with leaves_nothing(server), send_head(server, length) as connection:
            connection.sendall(form_start("large"))
            while sent < length and not select.select([connection], [], [], 0)[0]:
                connection.sendall(block)
                sent += len(block)
            answer = connection.recv(65_536).decode()
            assert answer.startswith("HTTP/1.1 413 ")
            assert "application/problem+json" in answer
            # What the system's buffers hold counts as sent, so the bound is wide.
            assert sent < 30_000_000
            wait_for(lambda: parts_left(server) == [], what="the part to be removed")
        assert server.client.get("/health/live").status_code == 200
        just_over = form_start("large") + b"x" * 500_001 + CLOSING
        answer = server.client.post("/episodes", content=just_over, headers=MULTIPART)
        problem = check_problem(answer, 413)
        assert "0.5 MB" in problem["detail"]
        assert "SCREENALYTICS_UPLOAD_MAX_MB" in problem["hint"]
        just_fits = form_start("large") + b"x" * 500_000 + CLOSING
        answer = server.client.post("/episodes", content=just_fits, headers=MULTIPART)
        check_problem(answer, 422)  # small enough, but no video


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_upload_that_breaks_off_leaves_nothing(server: Server, talk: Path, reset: bool) -> None:
    log_before = server.log.stat().st_size
    with leaves_nothing(server):
        connection = send_head(server, 50_000_000)
        connection.sendall(form_start("half") + talk.read_bytes()[:300_000])
        wait_for(lambda: parts_left(server), what="the upload to begin")
        if reset:
            linger_none = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
        connection.close()
        wait_for(lambda: not parts_left(server), what="the part to be removed")
    check_problem(server.client.get("/episodes/half"), 404)
    assert server.client.get("/health/live").status_code == 200
    assert b"Traceback" not in server.log.read_bytes()[log_before:]


@pytest.mark.parametrize("endings", [(".mp4", ".mp4"), (".mp4", ".mkv")], ids=["same", "other"])
def test_two_uploads_of_one_name_at_once(
    server: Server, talk: Path, endings: tuple[str, str]
) -> None:
    """Both bodies are complete before either is looked at, so only the last step can tell."""
    for attempt in range(1):
        ep_id = f"race-{'-'.join(endings).replace('.', '')}-{attempt}"
        answers: list[httpx.Response] = []
        together = threading.Barrier(2)

        def send(ending: str, ep_id=ep_id, answers=answers, together=together) -> None:
            with server.another_client(30) as client:
                files = {"file": (f"clip{ending}", talk.read_bytes())}
                together.wait()
                answers.append(client.post("/episodes", data={"ep_id": ep_id}, files=files))

        threads = [threading.Thread(target=send, args=(e,), daemon=True) for e in endings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        stored = list((server.data_root / "videos" / ep_id).iterdir())
        assert [path.read_bytes() for path in stored] == [talk.read_bytes()]
        won = next(answer for answer in answers if answer.status_code == 201)
        assert won.json()["video"] == stored[0].name
        assert parts_left(server) == []


def test_a_large_upload_is_not_held_in_memory(server: Server) -> None:
    """The service stays light and answers others while 60 MB come in."""
    process = psutil.Process(server.process.pid)
    block = secrets.token_bytes(262_144)

    def body(blocks: int) -> Iterator[bytes]:
        yield form_start("huge")
        for _ in range(blocks):
            yield block
        yield CLOSING

    check_problem(server.client.post("/episodes", content=body(4), headers=MULTIPART), 422)
    before = process.memory_info().rss
    sizes, answers = [], []

    def send() -> None:
        with server.another_client(60) as client:
            answers.append(client.post("/episodes", content=body(230), headers=MULTIPART))

    with leaves_nothing(server):
        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        while sending.is_alive():
            assert server.client.get("/health/live").status_code == 200
            sizes.append(process.memory_info().rss)
            time.sleep(0.02)
    check_problem(answers[0], 422)
    assert len(sizes) >= 10  # others were answered meanwhile
    assert max(sizes) - before < 36e6
