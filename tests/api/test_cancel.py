"""Stopping a run by its name, whoever started it; and who is seen running."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from apps.common.contracts.manifest import Holder
from apps.common.layout import Layout
from lab.processes.queue import LEASE_SECONDS, Redis, worker
from lab.processes.service import (
    Server,
    clean_environment,
    cli_command,
    exit_code,
    gone,
    serving,
    wait_for,
)
from tests.support.holding import holding
from tests.support.progress import under_way

SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 30}  # lasts long enough to be stopped
STOPPED = "The run was stopped from elsewhere."
NDJSON = {"accept": "application/x-ndjson"}
Ask = Callable[[Server, str], Any]


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0") as running:
        yield running


@pytest.fixture(scope="module")
def other(data_root: Path, broker: Redis) -> Iterator[Server]:
    """Another one on the same data root, with a queue and one slot for local runs."""
    environment = {
        "SCREENALYTICS_REDIS_URL": broker.url,
        "SCREENALYTICS_LEASE_S": LEASE_SECONDS,
        "SCREENALYTICS_MAX_LOCAL_RUNS": "1",
    }
    with serving(data_root, **environment) as running:
        yield running


def cancel(server: Server, run_id: str, ep_id: str = "show") -> httpx.Response:
    return server.client.post(f"/episodes/{ep_id}/runs/{run_id}/cancel")


def cancelled(server: Server, run_id: str) -> None:
    """It is cancelled, and says so everywhere."""
    answer = cancel(server, run_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["finished_at"] is not None
    assert server.client.get("/celery_jobs").json()["items"] == []
    assert cancel(server, run_id).json() == answer.json()  # again: as it is
    assert not list((server.data_root / "manifests/show/runs").glob("*/.partial"))


def is_free(server: Server) -> None:
    assert server.detect_track("show", stride=120, det_size=320).status_code == 200


def run_ids(server: Server) -> list[str]:
    return [run["run_id"] for run in server.client.get("/celery_jobs").json()["items"]]


def blocking(server: Server, run_id: str) -> dict[str, Any]:
    body: dict[str, Any] = server.detect_track("show", run_id=run_id, **SLOW).json()
    return body


def streamed(server: Server, run_id: str) -> dict[str, Any]:
    body = {"ep_id": "show", "execution_mode": "local", "run_id": run_id, **SLOW}
    answer = server.client.post("/celery_jobs/detect_track", json=body, headers=NDJSON)
    last: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    assert last["type"] == "error"
    return last["problem"]


def events(server: Server, run_id: str) -> dict[str, Any]:
    body = {"ep_id": "show", "run_id": run_id, **SLOW}
    lines = server.client.post("/jobs/detect_track/stream", json=body).text.splitlines()
    at = lines.index("event: error")
    problem: dict[str, Any] = json.loads(lines[at + 1].removeprefix("data: "))
    return problem


@contextmanager
def waiting(ask: Ask, server: Server, run_id: str) -> Iterator[list[dict[str, Any]]]:
    """A client that waits for its run; its answer is in the list after the block."""
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(daemon=True, target=lambda: answers.append(ask(server, run_id)))
    thread.start()
    yield answers
    thread.join(60)


def test_a_waiting_client_learns_of_the_end(server: Server) -> None:
    """Each of them begins as soon as the one before it was stopped."""
    for ask in (blocking, streamed, events):
        run_id = ask.__name__
        with waiting(ask, server, run_id) as answers:
            processes = server.wait_for_run()
            under_way(server.data_root, "show", run_id)
            assert run_ids(server) == [run_id]  # once, though it holds the lock as well
            cancelled(server, run_id)
            assert gone(processes)
        assert answers[0]["detail"] == STOPPED
        assert answers[0]["type"].endswith("run-cancelled")
        run = server.client.get(f"/episodes/show/runs/{run_id}").json()
        assert run["exit_reason"] == STOPPED
    is_free(server)


def test_runs_that_have_no_manifest_yet_or_have_ended_or_never_were(server: Server) -> None:
    for number, seconds in enumerate((0.0, 0.3)):  # at once, and while its process loads
        with waiting(blocking, server, f"early-{number}") as answers:
            processes = server.wait_for_run()
            time.sleep(seconds)
            cancelled(server, f"early-{number}")
            assert gone(processes)
        assert answers[0]["detail"] == STOPPED
    done = server.detect_track("show", stride=120, det_size=320).json()
    for name in (done["run_id"], "latest"):
        answer = cancel(server, name)
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert cancel(server, "nobody").status_code == 404
    assert cancel(server, done["run_id"], "nothing").status_code == 404
    assert cancel(server, "a..b").status_code == 422


def test_a_run_that_waits_for_its_turn(other: Server) -> None:
    def talk(server: Server, run_id: str) -> None:
        server.detect_track("talk", run_id=run_id, **SLOW)

    with waiting(talk, other, "first"):
        processes = other.wait_for_run()
        with waiting(blocking, other, "second") as answers:
            wait_for(lambda: len(run_ids(other)) == 2, what="the second one to wait")
            states = {
                run["run_id"]: run["state"]
                for run in other.client.get("/celery_jobs").json()["items"]
            }
            assert states == {"first": "in_progress", "second": "queued"}
            assert cancel(other, "second").json()["status"] == "cancelled"
        assert answers[0]["detail"] == STOPPED
        assert not gone(processes)  # the first one goes on
        assert run_ids(other) == ["first"]
        assert cancel(other, "first", "talk").json()["status"] == "cancelled"
    is_free(other)  # and so is the slot


def test_runs_of_two_episodes_with_one_name(server: Server) -> None:
    def talk(server: Server, run_id: str) -> Any:
        return server.detect_track("talk", run_id=run_id, **SLOW).json()

    with waiting(blocking, server, "same") as of_show:
        with waiting(talk, server, "same") as of_talk:
            wait_for(lambda: run_ids(server) == ["same", "same"], what="both runs")
            assert cancel(server, "same", "talk").json()["status"] == "cancelled"
        assert of_talk[0]["detail"] == STOPPED
        assert of_show == []
        assert cancel(server, "same").json()["status"] == "cancelled"
    assert of_show[0]["detail"] == STOPPED


def test_a_background_job(server: Server) -> None:
    body = {"ep_id": "show", **SLOW}
    job = server.client.post("/jobs/detect_track", json=body).json()
    record = json.loads((server.data_root / f".jobs/{job['job_id']}.json").read_bytes())
    process = psutil.Process(record["process"]["pid"])
    family = [process, *process.children(recursive=True)]
    under_way(server.data_root, "show", job["run_id"])
    (seen,) = server.client.get("/celery_jobs").json()["items"]
    assert (seen["run_id"], seen["execution_mode"], seen["job_id"]) == (job["run_id"], "sse", None)
    assert seen["progress"]["phase"] == "running"
    cancelled(server, job["run_id"])
    assert gone(family)
    assert server.client.get(f"/jobs/{job['job_id']}").json()["state"] == "cancelled"
    is_free(server)


def test_jobs_of_the_queue(other: Server, broker: Redis) -> None:
    def submit(**fields: object) -> dict[str, Any]:
        body = {"ep_id": "show", **SLOW, **fields}
        accepted: dict[str, Any] = other.client.post("/celery_jobs/detect_track", json=body).json()
        return accepted

    def workers() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = other.client.get("/health/ready").json()["workers"]
        return found

    with worker(other.data_root, broker.url) as one:
        assert [worker["running"] for worker in workers()] == [0]
        running = submit()
        under_way(other.data_root, "show", running["run_id"])
        processes = one.runs()
        assert processes
        assert run_ids(other) == [running["run_id"]]
        (summary,) = workers()
        assert (summary["running"], summary["concurrency"]) == (1, 1)
        waits = submit(ep_id="talk")  # for the worker, which is busy
        answer = cancel(other, waits["run_id"], "talk")
        assert answer.json()["status"] == "cancelled"
        assert answer.json()["exit_reason"] == STOPPED
        assert other.client.get(f"/celery_jobs/{waits['job_id']}").json()["state"] == "cancelled"
        cancelled(other, running["run_id"])
        assert gone(processes)
        assert other.client.get(f"/celery_jobs/{running['job_id']}").json()["state"] == "cancelled"
        wait_for(lambda: workers()[0]["running"] == 0, what="the worker to be free")
    is_free(other)


def test_a_run_of_the_command_line_is_seen_and_left_alone(server: Server) -> None:
    arguments = ("--ep-id", "show", "--run-id", "hand", "--stride", "1", "--max-cpu-percent", "30")
    process = subprocess.Popen(
        cli_command(server.data_root, *arguments),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        under_way(server.data_root, "show", "hand")
        (seen,) = server.client.get("/celery_jobs", params={"ep_id": "show"}).json()["items"]
        assert (seen["run_id"], seen["execution_mode"]) == ("hand", "cli")
        assert server.client.get("/celery_jobs", params={"ep_id": "talk"}).json()["total"] == 0
        answer = cancel(server, "hand")
        assert answer.status_code == 409
        problem = answer.json()
        assert problem["type"].endswith("run-elsewhere")
        assert "command line" in problem["detail"]
        assert problem["host"] in problem["detail"]
        assert problem["since"] in problem["detail"]
        assert "Ctrl-C" in problem["hint"]
        assert str(server.data_root) not in answer.text
        assert process.poll() is None
    finally:
        process.terminate()
        assert exit_code(process) == 143
    assert server.client.get("/celery_jobs").json()["total"] == 0


def test_a_local_run_of_another_server(server: Server, other: Server) -> None:
    with waiting(blocking, server, "theirs"):
        under_way(server.data_root, "show", "theirs")
        answer = cancel(other, "theirs")
        assert answer.status_code == 409
        assert "another server" in answer.json()["detail"]
        cancelled(server, "theirs")


def test_five_hundred_episodes_are_listed_at_once(server: Server) -> None:
    """As many runs were killed, and two are on, one of them with a holder that is no name."""
    layout = Layout(server.data_root)
    layout.locks.mkdir(exist_ok=True)
    for number in range(500):
        layout.shown_lock(f"ep-{number}").touch()
        layout.holder(f"ep-{number}").write_text(holder(f"ep-{number}").model_dump_json())
    with holding(layout) as hold:
        hold(holder("ep-7"))
        hold(holder("ep-8"))
        layout.holder("ep-8").write_text(holder("ep-8").model_dump_json().replace("ep-8", "../ep"))
        spent = []
        for _ in range(3):
            before = server.cpu_seconds()
            items = server.client.get("/celery_jobs").json()["items"]
            spent.append(server.cpu_seconds() - before)
        assert min(spent) < 0.5
    assert [run["ep_id"] for run in items] == ["ep-7"]


def holder(ep_id: str) -> Holder:
    return Holder(
        ep_id=ep_id, run_id="r1", execution_mode="cli", pid=1, host="here", since="2026-01-01"
    )
