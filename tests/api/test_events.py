"""The state of all episodes as one stream: real runs, a real Redis, and who listens."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.files import read_json
from apps.common.layout import Layout
from apps.jobs.store import JobStore
from lab.processes.queue import Redis
from lab.processes.service import Server, add_episode, serving, wait_for
from tests.support.jobs import IDLER


@dataclass
class Stream:
    """A client of `GET /events`, and what it has heard."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def states(self, ep_id: str) -> list[str]:
        """Names of the states that the episode went through."""
        names: list[str] = []
        for event, body in self.heard:
            items = body["items"] if event == "states" else [body] if event == "state" else []
            names += [item["state"] for item in items if item["ep_id"] == ep_id]
        return [name for place, name in enumerate(names) if names[place - 1 : place] != [name]]

    def last(self, ep_id: str) -> dict[str, Any]:
        bodies = [
            item
            for event, body in self.heard
            for item in (body["items"] if event == "states" else [body])
            if event in ("states", "state") and item["ep_id"] == ep_id
        ]
        found: dict[str, Any] = bodies[-1]
        return found

    def server(self) -> dict[str, Any]:
        """What was told last of the server itself."""
        told = [
            body["server"] if event == "states" else body
            for event, body in self.heard
            if event in ("states", "server")
        ]
        found: dict[str, Any] = told[-1]
        return found


@contextmanager
def listening(server: Server) -> Iterator[Stream]:
    stream = Stream()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        thread = threading.Thread(target=_hear, args=(client, stream), daemon=True)
        thread.start()
        try:
            wait_for(lambda: stream.heard, what="the first event")
            assert stream.heard[0][0] == "states"
            yield stream
        finally:
            client.shutdown(socket.SHUT_RDWR)
            thread.join()


def _hear(client: socket.socket, stream: Stream) -> None:
    name = ""
    with client.makefile(encoding="utf-8") as lines:
        for line in lines:  # those with the sizes of chunks among them
            if line.startswith("event: "):
                name = line.removeprefix("event: ").strip()
            elif line.startswith("data: "):
                stream.heard.append((name, json.loads(line.removeprefix("data: "))))


def figure(server: Server, name: str) -> float:
    """One of the figures for Prometheus."""
    lines = server.client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


def state(server: Server, ep_id: str) -> dict[str, Any]:
    [item] = server.client.get("/states", params={"ep_id": ep_id}).json()["items"]
    found: dict[str, Any] = item
    return found


def test_a_run_is_told_to_all_from_its_start_to_its_result(server: Server) -> None:
    with listening(server) as one, listening(server) as other:
        run_id = server.detect_track("talk", stride=1, max_cpu_percent=30).json()["run_id"]
        for stream in (one, other):
            wait_for(lambda s=stream: s.last("talk")["state"] == "done", what="the end")
            assert stream.states("talk") == ["never_run", "running", "done"]
            assert stream.last("talk")["latest_run_id"] == run_id
            assert stream.last("talk")["runs"] == 1
    told = [body for event, body in one.heard if event == "state" and body["ep_id"] == "talk"]
    assert any(body["report"] is not None for body in told)
    assert all(body["progress"] is None or 0 <= body["progress"] <= 1 for body in told)
    assert "street" not in {body.get("ep_id") for event, body in one.heard if event == "state"}


def test_a_cancelled_run_is_told_and_a_replaced_video_makes_a_result_stale(
    server: Server, data_root: Path, test_data: Path
) -> None:
    with listening(server) as stream:
        run = threading.Thread(target=server.detect_track, args=("show",), kwargs={"stride": 1})
        run.start()
        wait_for(lambda: stream.last("show")["state"] == "running", what="the run")
        run_id = stream.last("show")["run_id"]
        server.client.post(f"/episodes/show/runs/{run_id}/cancel")
        run.join()
        wait_for(lambda: stream.last("show")["state"] == "cancelled", what="the cancel")
        assert stream.last("show")["latest_run_id"] is None

        add_episode(data_root, "changing", test_data / "videos" / "carphone_pristine.mp4")
        wait_for(lambda: stream.states("changing") == ["never_run"], what="the episode")
        server.detect_track("changing", stride=24)
        video = data_root / "videos" / "changing" / "episode.mp4"
        copy = video.with_suffix(".tmp")
        shutil.copyfile(video, copy)
        copy.replace(video)  # the same content, another file
        wait_for(lambda: stream.last("changing")["state"] == "done", what="the result")
        copy.write_bytes(video.read_bytes()[:-1] + b"?")
        copy.replace(video)
        wait_for(lambda: stream.last("changing")["state"] == "stale", what="another video")
        shutil.rmtree(data_root / "videos" / "changing")
        shutil.rmtree(data_root / "manifests" / "changing")
        wait_for(lambda: ("removed", {"ep_id": "changing"}) in stream.heard, what="its going")


def test_a_queued_job_tells_its_place_and_a_redis_that_is_away_is_told(
    server: Server, broker: Redis, data_root: Path, test_data: Path
) -> None:
    for name in ("first", "second"):
        add_episode(data_root, name, test_data / "videos" / "carphone_pristine.mp4")
    store = JobStore(broker.url, 3)
    store.announce(IDLER, 60)
    with listening(server) as stream:
        jobs = [
            server.detect_track(name, execution_mode="redis").json()["job_id"]
            for name in ("first", "second")
        ]
        wait_for(lambda: stream.last("second")["state"] == "queued", what="the queue")
        told = stream.last("second")
        assert (told["ahead"], told["job_id"]) == (1, jobs[1])
        wait_for(lambda: stream.server()["workers"] == 1, what="who listens")
        store.sign_off(IDLER.name)
        store.close()
        wait_for(lambda: stream.server()["workers"] == 0, what="that nobody listens")

        broker.stop()
        wait_for(lambda: stream.server()["queue_problem"] is not None, what="the queue's problem")
        server.detect_track("talk", stride=24)
        wait_for(lambda: stream.last("talk")["runs"] >= 2, what="a local run meanwhile")
        broker.start()
        wait_for(lambda: stream.server()["queue_problem"] is None, what="the queue again")
        wait_for(lambda: stream.last("second")["state"] == "queued", what="its job again")
        for job_id in jobs:
            server.client.post(f"/celery_jobs/{job_id}/cancel")
        wait_for(lambda: stream.last("second")["state"] != "queued", what="the cancel")


def test_runs_of_comparisons_are_nobodys_newest(server: Server, data_root: Path) -> None:
    before = state(server, "talk")
    server.detect_track("talk", run_id="compare-20261128T080000-00ff00-1-local", stride=24)
    after = state(server, "talk")
    assert [after[key] for key in ("state", "latest_run_id", "runs", "run_id")] == [
        before[key] for key in ("state", "latest_run_id", "runs", "run_id")
    ]
    latest = read_json(Layout(data_root).latest("talk")) or {}
    assert latest.get("run_id") == before["latest_run_id"]


def test_a_run_that_was_killed_has_failed(server: Server, data_root: Path) -> None:
    with listening(server) as stream:
        body = {"ep_id": "street", "stride": 1, "max_cpu_percent": 30}
        server.client.post("/jobs/detect_track", json=body)
        # It holds the episode a moment before it has a record, which alone says that it failed.
        wait_for(lambda: stream.last("street").get("report"), what="the run's record")
        for process in server.run_processes():
            process.kill()
        wait_for(lambda: stream.last("street")["state"] == "failed", what="its end")


def test_many_listeners_cost_one_look_and_none_costs_nothing(server: Server) -> None:
    looks = "screenalytics_state_looks_total"
    listeners = "screenalytics_state_listeners"
    wait_for(lambda: figure(server, listeners) == 0, what="all to be gone")
    before = figure(server, looks)
    with listening(server), listening(server), listening(server):
        assert figure(server, listeners) == 3
        first = figure(server, looks)
        started = time.monotonic()
        wait_for(lambda: figure(server, looks) >= first + 3, what="some looks")
        took = time.monotonic() - started
    assert first - before <= 4  # one for each that came, and one that was due
    assert took > 2, "three would have made three looks a second"
    wait_for(lambda: figure(server, listeners) == 0, what="all to be gone")
    ended = figure(server, looks)
    assert (
        state(server, "talk")["state"] == "done"
    )  # of one episode, for which no other is looked at
    assert figure(server, looks) == ended
    assert server.client.get("/states").status_code == 200  # asked once, that is one look
    assert figure(server, looks) == ended + 1


def test_there_is_room_for_so_many_and_no_more(server: Server) -> None:
    with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=None)) as client:
        answers = [
            client.send(client.build_request("GET", "/events"), stream=True) for _ in "x" * 64
        ]
        wait_for(lambda: figure(server, "screenalytics_state_listeners") == 64, what="all of them")
        refused = client.get("/events")
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:screenalytics:problem:too-many-listeners"
        for answer in answers:
            answer.close()
    wait_for(lambda: figure(server, "screenalytics_state_listeners") == 0, what="all to be gone")
