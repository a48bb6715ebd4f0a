"""A client that wants lines gets one at least every second, while its run waits as well."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.processes.service import Server, add_episode, serving, wait_for

NDJSON = {"accept": "application/x-ndjson"}
SLOW = {"stride": 1, "max_cpu_percent": 20}


@pytest.fixture
def server(tmp_path: Path, test_data: Path) -> Iterator[Server]:
    """With one slot for local runs."""
    root = tmp_path / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "text").mkdir()
    (root / "videos" / "text" / "episode.mp4").write_text("no video")
    with serving(root, SCREENALYTICS_MAX_LOCAL_RUNS="1") as running:
        yield running


@contextmanager
def slot_taken(server: Server) -> Iterator[None]:
    """Another episode's run has the slot until the block ends."""
    body = {"ep_id": "show", "execution_mode": "local", "run_id": "first", **SLOW}
    with server.client.stream(
        "POST", "/celery_jobs/detect_track", json=body, headers=NDJSON
    ) as answer:
        lines = answer.iter_lines()  # kept: without it the connection would be closed
        next(lines)
        yield


class Reader(threading.Thread):
    """A client that reads lines, and when they came."""

    def __init__(self, server: Server, path: str, body: dict[str, Any] | None) -> None:
        super().__init__(daemon=True)
        self._server, self._path, self._body = server, path, body
        self.status = 0
        self.lines: list[dict[str, Any]] = []
        self.times = [time.monotonic()]
        self.start()

    def run(self) -> None:
        with self._server.client.stream(
            "POST", self._path, json=self._body, headers=NDJSON
        ) as answer:
            self.status = answer.status_code
            for line in answer.iter_lines():
                self.times.append(time.monotonic())
                self.lines.append(json.loads(line))

    def ended(self) -> dict[str, Any]:
        """The last line."""
        self.join(60)
        assert not self.is_alive()
        return self.lines[-1]

    def longest_silence(self) -> float:
        return max(b - a for a, b in zip(self.times, self.times[1:], strict=False))


def run_of(server: Server, ep_id: str, **fields: Any) -> Reader:
    body = {"ep_id": ep_id, "execution_mode": "local", "run_id": "second", **fields}
    return Reader(server, "/celery_jobs/detect_track", body)


@pytest.mark.alone
@pytest.mark.trap(40)
def test_a_run_that_waits_for_its_turn_says_so_every_second(server: Server) -> None:
    with slot_taken(server):
        reader = run_of(server, "talk", stride=24)
        wait_for(lambda: len(reader.lines) >= 4, what="four lines")
        waiting = reader.lines[:4]
    assert reader.ended()["type"] == "result"
    assert [(line["type"], line["phase"]) for line in waiting] == [("progress", "waiting")] * 4
    assert {line["run_id"] for line in waiting} == {"second"}
    assert [line["elapsed_sec"] for line in waiting] == sorted(x["elapsed_sec"] for x in waiting)
    assert reader.longest_silence() < 1.6  # promised: 1 s; the machine has other things to do
    phases = [line["phase"] for line in reader.lines if line["type"] == "progress"]
    # A start of less than a heartbeat is not told.
    assert [p for p in dict.fromkeys(phases) if p != "starting"][:2] == ["waiting", "loading"]
    assert reader.status == 200


def test_what_is_refused_after_a_wait_is_the_last_line(server: Server) -> None:
    with slot_taken(server):
        reader = run_of(server, "text")
        wait_for(lambda: reader.lines, what="a line")
    last = reader.ended()
    assert (reader.status, last["type"], last["status"]) == (200, "error", 422)
    newest = server.client.get("/episodes/text/runs").json()["items"][0]
    assert (newest["status"], newest["exit_reason"]) == ("failed", last["detail"])


def test_a_run_that_is_stopped_while_it_waits_is_told_so(server: Server) -> None:
    with slot_taken(server):
        reader = run_of(server, "talk")
        wait_for(lambda: reader.lines, what="a line")
        answer = server.client.post("/episodes/talk/runs/second/cancel")
        assert answer.json()["status"] == "cancelled"
        last = reader.ended()
    assert (last["type"], last["detail"]) == ("error", "The run was stopped from elsewhere.")


def test_what_is_refused_at_once_keeps_its_status(server: Server) -> None:
    with slot_taken(server):
        reader = run_of(server, "talk")
        wait_for(lambda: reader.lines, what="a line")
        for ep_id, status in (("nobody", 404), ("show", 409), ("talk", 409)):
            body = {"ep_id": ep_id, "execution_mode": "local"}
            answer = server.client.post("/celery_jobs/detect_track", json=body, headers=NDJSON)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
    reader.ended()


def test_a_preview_that_waits_for_its_turn_says_so(server: Server) -> None:
    done = server.detect_track("talk", stride=24).json()
    with slot_taken(server):
        reader = Reader(server, f"/episodes/talk/runs/{done['run_id']}/preview", None)
        wait_for(lambda: len(reader.lines) >= 2, what="two lines")
        assert {line["phase"] for line in reader.lines} == {"waiting"}
    assert reader.ended()["type"] == "result"
