"""Queued mode on a real Redis with real workers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lab.processes.queue import Redis, Worker, redis_server, worker
from lab.processes.service import Server, gone, run_cli, serving, wait_for
from tests.support.jobs import ENDS, ended, job, submit
from tests.support.progress import under_way

OPTIONS = {"stride": 16, "det_size": 320}  # few frames, and yet some tracks


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


@pytest.fixture(scope="module")
def working(data_root: Path, broker: Redis, server: Server) -> Iterator[Worker]:
    heard = str(heartbeat(data_root))
    with worker(data_root, broker.url, SCREENALYTICS_HEARTBEAT_FILE=heard) as running:
        yield running


def heartbeat(data_root: Path) -> Path:
    """The file that shows that the module's worker listens."""
    return data_root.parent / "heartbeat"


@pytest.mark.trap(13, 34, 35)
def test_no_worker_and_no_broker_are_said(data_root: Path, tmp_path: Path) -> None:
    """Redis that does not answer, and none at all. Local mode needs neither."""
    with (
        redis_server(tmp_path / "other") as other,
        serving(data_root, SCREENALYTICS_REDIS_URL=other.url) as server,
    ):
        answer = submit(server, "talk")
        assert answer.status_code == 503
        assert "celery -A apps.worker.celery_app worker" in answer.json()["hint"]
        assert other.process is not None
        other.process.send_signal(signal.SIGSTOP)
        is_away(server)
        other.process.send_signal(signal.SIGCONT)
        other.stop()
        is_away(server)
        assert server.detect_track("talk", stride=120).status_code == 200
        ready = server.client.get("/health/ready")
        assert ready.status_code == 200
        assert not ready.json()["dependencies"]["redis"]["ok"]


def is_away(server: Server) -> None:
    answer = submit(server, "talk")
    assert answer.status_code == 503
    assert "Redis" in answer.json()["detail"]
    listing = server.client.get("/celery_jobs")
    assert listing.status_code == 200
    assert listing.json()["queue_problem"]


def test_a_job_from_start_to_end(server: Server, working: Worker, data_root: Path) -> None:
    """And its tracks are those of every other path."""
    answer = submit(server, "show", **OPTIONS)
    assert answer.status_code == 202
    accepted = answer.json()
    assert set(accepted) == {
        "job_id", "state", "ep_id", "run_id", "execution_mode", "profile", "message",
    }  # fmt: skip
    assert accepted["state"] == "queued"
    assert answer.headers["location"] == f"/celery_jobs/{accepted['job_id']}"
    active = server.client.get("/celery_jobs").json()["items"]
    assert [item["job_id"] for item in active] == [accepted["job_id"]]
    found = server.client.get("/celery_jobs", params={"ep_id": "show"}).json()["items"]
    assert found[0]["job_id"] == accepted["job_id"]
    end = ended(server, accepted["job_id"])
    assert end["state"] == "success"
    assert end["attempts"] == 1
    result = end["result"]
    assert result["execution_mode"] == "redis"
    assert result["warnings"] == []
    assert result["frames_done"] == 18
    assert end["progress"]["frames_done"] == 18
    assert server.client.get("/celery_jobs").json()["total"] == 0
    manifest = server.client.get(f"/episodes/show/runs/{accepted['run_id']}").json()
    assert manifest["result"] == result
    lines = [json.loads(x) for x in working.log.read_text().splitlines() if x[:1] == "{"]
    begun = [line for line in lines if line["message"] == "job begun"]
    assert begun[-1]["job_id"] == accepted["job_id"]
    assert begun[-1]["run_id"] == accepted["run_id"]

    runs = [accepted["run_id"], server.detect_track("show", **OPTIONS).json()["run_id"]]
    command = ("--ep-id", "show", "--stride", "16", "--det-size", "320", "--run-id", "cli")
    assert run_cli(data_root, *command).returncode == 0
    body = {"ep_id": "show", **OPTIONS, "run_id": "sse"}
    with server.client.stream("POST", "/jobs/detect_track/stream", json=body) as streamed:
        assert "event: done" in streamed.read().decode()
    folder = data_root / "manifests" / "show" / "runs"
    texts = {(folder / run / "tracks.jsonl").read_text() for run in (*runs, "cli", "sse")}
    assert len(texts) == 1
    assert texts.pop().count("\n") > 5


@pytest.mark.trap(4)
def test_much_output_does_not_stop_a_job(server: Server, working: Worker) -> None:
    """Every frame of a video, with crops and preview; the older runner's pipe was full by then."""
    accepted = submit(server, "talk", stride=1, fps=1000, save_crops=True, save_preview=True)
    end = ended(server, accepted.json()["job_id"])
    assert end["state"] == "success"
    assert end["result"]["frames_done"] == 120


def test_events_of_a_job(server: Server, working: Worker) -> None:
    """HEAD does not wait for their end."""
    job_id = submit(server, "talk", stride=6, max_cpu_percent=15).json()["job_id"]
    head = server.client.head(f"/celery_jobs/{job_id}/events")
    assert job(server, job_id)["state"] not in ENDS
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    events: list[tuple[str, dict]] = []
    with server.client.stream("GET", f"/celery_jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                events.append((name, json.loads(line.removeprefix("data:"))))
    names = [name for name, _ in events]
    assert set(names) == {"progress", "result"}
    assert names[-1] == "result"
    assert len(names) > 3
    assert events[-1][1]["frames_done"] == 20


@pytest.mark.trap(5, 6, 33)
def test_cancel_kills_the_tree_and_says_so(server: Server, working: Worker) -> None:
    """While it runs the episode takes no other run, and a job that waits is cancelled at once."""
    accepted = submit(server, "show", stride=1, det_size=320, max_cpu_percent=30).json()
    refused = submit(server, "show")
    assert refused.status_code == 409
    assert refused.json()["job_id"] == accepted["job_id"]
    processes = wait_for(working.runs, what="the run")
    under_way(server.data_root, "show", accepted["run_id"], frames=1)
    wait_for(lambda: (job(server, accepted["job_id"])["progress"] or {}).get("frames_done"))
    local = server.detect_track("show")
    assert local.status_code == 409
    assert local.json()["execution_mode"] == "redis"
    assert local.json()["run_id"] == accepted["run_id"]

    second = submit(server, "talk").json()
    assert job(server, second["job_id"])["state"] == "queued"
    answer = server.client.post(f"/celery_jobs/{second['job_id']}/cancel")
    assert answer.json()["state"] == "cancelled"

    assert job(server, accepted["job_id"])["state"] == "in_progress"
    answer = server.client.post(f"/celery_jobs/{accepted['job_id']}/cancel")
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    wait_for(lambda: gone(processes), what="the run's end")
    run = server.client.get(f"/episodes/show/runs/{accepted['run_id']}").json()
    assert run["status"] == "cancelled"
    assert run["exit_reason"] == "The job was cancelled."
    again = server.client.post(f"/celery_jobs/{accepted['job_id']}/cancel")
    assert again.json()["state"] == "cancelled"

    third = submit(server, "talk", stride=120).json()
    assert ended(server, third["job_id"])["state"] == "success"
    runs = server.client.get("/episodes/talk/runs").json()["items"]
    assert second["run_id"] not in [run["run_id"] for run in runs]


@pytest.mark.trap(13)
def test_a_job_that_fails_is_failed(server: Server, working: Worker, data_root: Path) -> None:
    (data_root / "videos" / "text").mkdir(exist_ok=True)
    (data_root / "videos" / "text" / "episode.mp4").write_text("no video")
    end = ended(server, submit(server, "text").json()["job_id"])
    assert end["state"] == "failed"
    assert end["error"]["status"] == 422
    assert end["result"] is None
    run = server.client.get("/episodes/text/runs").json()["items"][0]
    assert (run["status"], run["exit_reason"]) == ("failed", end["error"]["detail"])
    assert submit(server, "nobody").status_code == 404


@pytest.mark.trap(13, 14)
@pytest.mark.parametrize("path", ["", "/events", "/cancel"])
def test_an_unknown_job_is_unknown(server: Server, path: str) -> None:
    call = server.client.post if path == "/cancel" else server.client.get
    for name in ("job-0000", "history", "active"):
        answer = call(f"/celery_jobs/{name}{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.trap(25, 32)
def test_a_job_delivered_twice_runs_once(
    server: Server, working: Worker, data_root: Path, broker: Redis
) -> None:
    """The same message again, while the first runs and after it, to a second worker as well."""
    from apps.common.settings import Settings
    from apps.jobs.queue import Publisher
    from apps.jobs.store import JobStore

    publisher = Publisher(Settings(redis_url=broker.url, data_root=data_root))
    store = JobStore(broker.url, 3)
    with worker(data_root, broker.url) as second:

        def dropped() -> int:
            logs = (working.log, second.log)
            return sum(log.read_text().count("delivery dropped") for log in logs)

        before = dropped()
        # Slow enough to be on still when the other worker has the message, also beside other tests.
        accepted = submit(server, "show", stride=30, det_size=320, max_cpu_percent=15).json()
        request = store.read(accepted["job_id"]).request
        wait_for(lambda: working.runs() or second.runs(), what="the first run")
        publisher.send(request)
        wait_for(lambda: dropped() == before + 1, what="the second delivery")
        assert job(server, accepted["job_id"])["state"] == "in_progress"
        end = ended(server, accepted["job_id"])
        publisher.send(request)
        wait_for(lambda: dropped() == before + 2, what="the third delivery")
    store.close()
    assert end["state"] == "success"
    runs = server.client.get("/episodes/show/runs").json()["items"]
    assert [run["run_id"] for run in runs].count(accepted["run_id"]) == 1
    log = (data_root / "manifests/show/runs" / accepted["run_id"] / "run.log").read_text()
    assert log.count("Using CPUExecutionProvider") == 1


def test_readiness_names_redis_and_workers(server: Server, working: Worker) -> None:
    answer = server.client.get("/health/ready")
    assert answer.status_code == 200
    found = answer.json()["dependencies"]
    assert found["redis"]["ok"]
    assert found["detector"] == {"ok": True, "required": True, "detail": "centerface loads"}
    assert found["workers"]["ok"]
    assert "version" in found["workers"]["detail"]


def test_metrics(server: Server, working: Worker) -> None:
    def figures() -> dict[str, float]:
        lines = server.client.get("/metrics").text.splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    before = figures()
    assert before["screenalytics_redis_up"] == 1
    assert before["screenalytics_workers"] == 1
    assert server.detect_track("talk", stride=48).status_code == 200
    assert server.detect_track("show", timeout_s=0.2).status_code == 504
    assert ended(server, submit(server, "talk", stride=120).json()["job_id"])["state"] == "success"
    after = figures()

    def gained(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert gained('screenalytics_runs_total{mode="local",outcome="completed"}') == 1
    assert gained('screenalytics_runs_total{mode="local",outcome="timed_out"}') == 1
    assert gained('screenalytics_processed_frames_total{mode="local"}') == 3
    assert gained('screenalytics_jobs_total{state="success"}') == 1
    assert after["screenalytics_queue_depth"] == 0


def test_a_worker_without_the_weights_takes_the_detector_that_it_has(
    data_root: Path, test_data: Path, broker: Redis, working: Worker
) -> None:
    """The server's `auto` is InsightFace's detector; the worker decides for itself."""
    weights = str(test_data / "weights" / "scrfd_500m_kps.onnx")
    environment = {
        "SCREENALYTICS_REDIS_URL": broker.url,
        "SCREENALYTICS_RETINAFACE_MODEL": weights,
    }
    with serving(data_root, **environment) as server:
        plan = server.client.post("/options/resolve", json={"ep_id": "talk"}).json()
        assert plan["options"]["detector"] == "retinaface"
        done = ended(server, submit(server, "talk", stride=120).json()["job_id"])
    assert done["state"] == "success"
    assert done["result"]["options"]["detector"] == "centerface"
    assert done["result"]["options"]["detector_asked"] == "auto"


def test_a_worker_shows_that_it_listens_by_a_file_of_its_own(
    data_root: Path, broker: Redis, working: Worker, tmp_path: Path
) -> None:
    """Its health check looks at that file: no other worker answers for it, nobody is asked."""
    mine, other = tmp_path / "mine", heartbeat(data_root)
    with worker(data_root, broker.url, SCREENALYTICS_HEARTBEAT_FILE=str(mine)) as running:
        for file in (mine, other, mine, other):
            wait_for(file.exists, what="the first touch")
            before = file.stat().st_mtime_ns
            wait_for(lambda f=file, b=before: f.stat().st_mtime_ns > b, what="the next touch")
        running.process.send_signal(signal.SIGSTOP)
        process = psutil.Process(running.process.pid)
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED, what="the stop")
        last = mine.stat().st_mtime_ns
        for _ in range(3):
            before = other.stat().st_mtime_ns
            wait_for(lambda b=before: other.stat().st_mtime_ns > b, what="the other's touch")
        assert mine.stat().st_mtime_ns == last
        running.process.send_signal(signal.SIGCONT)


def test_a_job_that_waits_says_for_what(data_root: Path, tmp_path: Path) -> None:
    """For its turn; and for a worker, where the only one has died."""
    with (
        redis_server(tmp_path / "redis") as own,
        serving(data_root, SCREENALYTICS_REDIS_URL=own.url) as server,
        worker(data_root, own.url) as only,
    ):
        first = submit(server, "show", stride=1).json()["job_id"]
        wait_for(lambda: job(server, first)["state"] == "in_progress", what="the first job")
        submit(server, "talk")

        def listed() -> tuple[int, int, int]:
            body = server.client.get("/celery_jobs", params={"ep_id": "talk"}).json()
            line = next(item for item in body["items"] if item["state"] == "queued")
            return body["total"], line["ahead"], body["workers"]

        assert listed() == (1, 1, 1)
        only.kill()
        wait_for(lambda: listed() == (1, 1, 0), what="the worker to be missed")
        everything = server.client.get("/celery_jobs").json()
        assert [item["ahead"] for item in everything["items"] if item["ep_id"] == "talk"] == [1]
