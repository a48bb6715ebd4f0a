"""Many episodes in one request: queued, followed, ended, tried again; with Redis and worker."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.common.batch_schemas import MAX_EPISODES
from apps.common.errors import IdempotencyKeyReused, StillAnswering
from apps.jobs.idempotency import Answer, IdempotencyKeys
from apps.jobs.store import PREFIX, JobStore
from lab.processes.queue import Redis, worker
from lab.processes.service import (
    Server,
    add_episode,
    clean_environment,
    exit_code,
    serving,
    wait_for,
)
from tests.support.jobs import ended, submit

PATH = "/celery_jobs/detect_track/batch"
SEASON = [f"season-s01e{number:02d}" for number in range(1, 5)]
QUICK = {"stride": 60, "det_size": 160, "people": False}
SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 30}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("batch") / "data"
    for ep_id in SEASON:
        add_episode(root, ep_id, test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "season-empty").mkdir()
    return root


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


def ask(server: Server, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return server.client.post(PATH, json=body, headers=headers)


def status(server: Server, batch_id: str) -> dict[str, Any]:
    answer = server.client.get(f"{PATH}/{batch_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def finished(server: Server, batch_id: str) -> dict[str, Any]:
    wait_for(lambda: status(server, batch_id)["state"] != "active", 60, "the end of the batch")
    return status(server, batch_id)


def cancel(server: Server, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client.post(f"{PATH}/{batch_id}/cancel").json()
    return found


def states(batch: dict[str, Any]) -> dict[str, str]:
    return {item["ep_id"]: item["state"] for item in batch["items"]}


def test_a_season_from_start_to_end(server: Server, data_root: Path, broker: Redis) -> None:
    with worker(data_root, broker.url):
        answer = ask(server, pattern="season-*", **QUICK)
        assert answer.status_code == 202, answer.text
        begun = answer.json()
        assert answer.headers["location"] == f"{PATH}/{begun['batch_id']}"
        assert (begun["state"], begun["total"], begun["priority"]) == ("active", 5, "low")
        assert begun["counts"]["refused"] == 1  # a folder without a video
        end = finished(server, begun["batch_id"])
        assert states(end) == {"season-empty": "refused", **dict.fromkeys(SEASON, "success")}
        assert (end["state"], end["progress"], end["eta_sec"]) == ("failed", 1.0, 0.0)
        assert "no video" in end["items"][0]["error"]["detail"]
        item = end["items"][1]
        assert server.client.get(f"/celery_jobs/{item['job_id']}").json()["state"] == "success"
        run = server.client.get(f"/episodes/{item['ep_id']}/runs/{item['run_id']}").json()
        assert (run["status"], run["options"]["stride"]) == ("completed", 60)
        listed = server.client.get(PATH).json()
        assert listed["items"][0] == {k: v for k, v in end.items() if k != "items"}
        # The one that was refused has got its video since.
        [video] = (data_root / "videos" / SEASON[0]).glob("episode.*")
        late = data_root / "videos" / "season-empty" / video.name
        shutil.copy(video, late)
        again = server.client.post(f"{PATH}/{begun['batch_id']}/retry").json()
        assert again["counts"]["success"] == 4
        assert again["state"] == "active"
        assert finished(server, begun["batch_id"])["state"] == "success"
        late.unlink()


def test_who_waits_for_one_episode_goes_before_a_season(
    server: Server, data_root: Path, broker: Redis
) -> None:
    with worker(data_root, broker.url):
        batch = ask(server, episodes=SEASON[:3], **SLOW).json()
        first = lambda: states(status(server, batch["batch_id"]))[SEASON[0]] == "in_progress"  # noqa: E731
        wait_for(first, 30, "the first one")
        waiting = server.client.get("/celery_jobs").json()["items"]
        assert [(one["ep_id"], one["ahead"]) for one in waiting] == [
            (SEASON[0], None), (SEASON[1], 1), (SEASON[2], 2),
        ]  # fmt: skip
        alone = submit(server, SEASON[3], **QUICK).json()["job_id"]
        turns = {
            one["ep_id"]: one["ahead"] for one in server.client.get("/celery_jobs").json()["items"]
        }
        assert turns == {SEASON[0]: None, SEASON[3]: 1, SEASON[1]: 2, SEASON[2]: 3}
        server.client.post(f"/celery_jobs/{batch['items'][0]['job_id']}/cancel")
        assert ended(server, alone)["state"] == "success"
        assert states(status(server, batch["batch_id"]))[SEASON[2]] == "queued"
        # To the end of the whole batch: none of those that waited begins meanwhile.
        end = cancel(server, batch["batch_id"])
        assert (end["state"], end["counts"]) == ("cancelled", {"cancelled": 3})
    assert not broker.ask("ZRANGE", "screenalytics:active", 0, -1)


def test_a_request_that_is_sent_again_gets_the_first_answer(server: Server, idle: JobStore) -> None:
    try:
        first = ask(server, "one", episodes=SEASON[:2], **QUICK)
        again = ask(server, "one", episodes=SEASON[:2], **QUICK)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["location"] == first.headers["location"]
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (
            None, "true",
        )  # fmt: skip
        other = ask(server, "one", episodes=SEASON[:1], **QUICK)
        assert other.status_code == 422
        assert other.json()["type"].endswith("idempotency-key-reused")
        # Without a key, or with another one, the episodes are busy.
        assert ask(server, episodes=SEASON[:2], **QUICK).status_code == 409
        refused = ask(server, "two", episodes=SEASON[:2], **QUICK)
        assert refused.status_code == 409
        assert "None of 2 episodes" in refused.json()["detail"]
        assert len(idle.active()) == 2
        cancel(server, first.json()["batch_id"])
        assert ask(server, "two", episodes=SEASON[:2], **QUICK).status_code == 202
    finally:
        for batch in server.client.get(PATH).json()["items"]:
            cancel(server, batch["batch_id"])


def test_what_an_autoscaler_goes_by(server: Server, idle: JobStore) -> None:
    def figures() -> dict[str, float]:
        lines = server.client.get("/metrics").text.splitlines()
        pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in pairs}

    assert figures()["screenalytics_queue_oldest_seconds"] == 0
    batch = ask(server, episodes=SEASON[:2], **QUICK).json()
    found = wait_for(
        lambda: (now := figures())["screenalytics_queue_oldest_seconds"] > 0.01 and now, what="age"
    )
    assert found["screenalytics_queue_depth"] == 2
    assert found['screenalytics_worker_slots{state="busy"}'] == 0
    assert found['screenalytics_worker_slots{state="idle"}'] == 1
    cancel(server, batch["batch_id"])


def test_one_queued_run_that_is_asked_for_again(server: Server, idle: JobStore) -> None:
    body = {"ep_id": SEASON[0], **QUICK}
    headers = {"Idempotency-Key": "run"}
    first, again = (
        server.client.post("/celery_jobs/detect_track", json=body, headers=headers)
        for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert [job.request.job_id for job in idle.active()] == [first.json()["job_id"]]
    server.client.post(f"/celery_jobs/{first.json()['job_id']}/cancel")


def test_an_answer_that_the_version_before_has_kept(idle: JobStore) -> None:
    """Its records had a state as well, which followed from the answer."""
    keys, request = IdempotencyKeys(idle), hashlib.sha256(b"what").hexdigest()
    name = f"{PREFIX}:idempotency:{hashlib.sha256(b'before').hexdigest()}"
    body = {"status": 202, "body": {"job_id": "job-1"}, "location": "/celery_jobs/job-1"}
    for state, answer in (("answering", None), ("answered", body)):
        idle.redis.set(name, json.dumps({"state": state, "request": request, "answer": answer}))
        with pytest.raises(IdempotencyKeyReused):
            keys.take("before", "something else")
        if answer is None:
            with pytest.raises(StillAnswering):
                keys.take("before", "what")
    assert keys.take("before", "what") == Answer.model_validate(body)
    keys.give_back("before")
    assert keys.take("before", "what") is None


def test_what_nobody_answered_may_come_again(server: Server, broker: Redis) -> None:
    """No worker listens: nothing is queued, no batch is left, and the key stays free."""
    before = server.client.get(PATH).json()["total"]
    refused = ask(server, "three", episodes=SEASON, **QUICK)
    assert refused.status_code == 503
    assert "No worker listens" in refused.json()["detail"]
    assert server.client.get(PATH).json()["total"] == before
    assert ask(server, "three", episodes=SEASON, **QUICK).status_code == 503
    assert broker.ask("ZCARD", "screenalytics:active") == 0


def test_without_redis_there_are_none_and_it_is_said(data_root: Path) -> None:
    with serving(data_root, SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0") as alone:
        listed = alone.client.get(PATH)
        assert (listed.status_code, listed.json()["items"]) == (200, [])
        assert "Redis" in listed.json()["queue_problem"]
        assert alone.client.get(f"{PATH}/batch-0").status_code == 503
        assert ask(alone, "key", episodes=SEASON, **QUICK).status_code == 503
        done = run(alone, "--list")
        assert (done.returncode, "Redis" in done.stderr) == (1, True)
        ended = run(alone, SEASON[0])
        assert (ended.returncode, "Redis" in ended.stderr) == (1, True)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "pattern"),
        ({"episodes": [SEASON[0]], "pattern": "*"}, "pattern"),
        ({"episodes": []}, "episodes"),
        ({"episodes": [SEASON[0], SEASON[0]]}, "twice"),
        ({"episodes": ["../../etc/passwd"]}, "ep_id"),
        ({"episodes": [f"e{number}" for number in range(MAX_EPISODES + 1)]}, "episodes"),
        ({"pattern": "nobody-*"}, "No episode matches"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "*", "stride": 0}, "stride"),
        ({"pattern": "*", "priority": "high"}, "priority"),
        ({"pattern": "*", "ep_id": "talk"}, "ep_id"),
    ],
)
def test_bad_requests(server: Server, body: dict[str, Any], word: str) -> None:
    answer = ask(server, **body)
    assert answer.status_code == 422, answer.text
    assert word in answer.text


def test_a_batch_that_is_not_there(server: Server) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        answer = server.client.request(method, f"{PATH}/batch-0{path}")
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("batch-not-found")


def run(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "queue", "--url", server.url, *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_by_the_command(server: Server, data_root: Path, broker: Redis) -> None:
    options = ("--stride", "60", "--det-size", "160")
    with worker(data_root, broker.url):
        done = run(server, "--pattern", "season-*", *options)
        assert done.returncode == 1, done.stderr
        last = done.stdout.splitlines()[-1]
        assert last.endswith(": 100% of 5: 1 refused, 4 success")
        assert done.stderr.startswith("season-empty: refused: ")
        assert "Traceback" not in done.stderr
        batch_id = last.partition(":")[0]
        assert status(server, batch_id)["items"][1]["state"] == "success"
        assert batch_id in run(server, "--list").stdout
        good = run(server, SEASON[0], *options, "--priority", "normal")
        assert (good.returncode, good.stderr) == (0, "")
        command = [sys.executable, "-m", "apps.cli.main", "queue", "--url", server.url]
        following = subprocess.Popen(
            [*command, *SEASON, "--stride", "1", "--max-cpu-percent", "30"],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with following:
            assert following.stdout is not None
            batch_id = following.stdout.readline().partition(":")[0]
            following.send_signal(signal.SIGINT)
            assert exit_code(following) == 130
            assert "goes on" in following.communicate()[1]
        assert status(server, batch_id)["state"] == "active"
        ended = run(server, "--cancel", batch_id)
        assert ended.returncode == 0
        assert "cancelled" in ended.stdout
        again = run(server, "--retry", batch_id, "--no-wait")
        assert "4 queued" in again.stdout or "in_progress" in again.stdout
        cancel(server, batch_id)
    refused = run(server, "nobody")
    assert refused.returncode == 3
    assert "'nobody'" in refused.stderr


def test_a_folder_of_new_files(
    server: Server, data_root: Path, broker: Redis, test_data: Path, tmp_path: Path
) -> None:
    """Each becomes an episode and is queued, once; what is none is named."""
    folder, source = tmp_path / "new", test_data / "videos" / "carphone_pristine.mp4"
    folder.mkdir()
    long_ago = (1e9, 1e9)
    for name in ("Show S01E01.mp4", "show.s01e02.mkv", ".hidden.mp4", "notes.txt"):
        shutil.copy(source, folder / name)
        os.utime(folder / name, long_ago)
    odd = os.fsdecode(b"odd \xff\x1b[2J.mp4")
    for name in ("broken.mp4", odd):
        (folder / name).write_text("no video")
        os.utime(folder / name, long_ago)
    shutil.copyfile(source, folder / "arriving.mp4")
    os.utime(folder / "arriving.mp4", (2e9, 2e9))
    options = ("--folder", str(folder), "--stride", "60", "--det-size", "160")
    with worker(data_root, broker.url):
        done = run(server, *options)
        assert done.returncode == 1  # of three files
        assert done.stdout.splitlines()[-1].endswith(": 100% of 2: 2 success")
        assert "broken.mp4: not uploaded: " in done.stderr
        assert r"odd \udcff\x1b[2J.mp4: not uploaded: " in done.stderr
        assert "\x1b" not in done.stderr
        assert "arriving.mp4: not uploaded: It is still being written." in done.stderr
        assert "Traceback" not in done.stderr
        for name in ("broken.mp4", "arriving.mp4", odd):
            (folder / name).unlink()
        again = run(server, *options)
        assert (again.returncode, again.stdout) == (0, "Nothing new.\n")
    for ep_id in ("Show-S01E01", "show.s01e02"):
        runs = server.client.get(f"/episodes/{ep_id}/runs").json()["items"]
        assert [one["status"] for one in runs] == ["completed"]
    for wrong in (tmp_path / "none", tmp_path):
        refused = run(server, "--folder", str(wrong))
        assert (refused.returncode, "--folder: " in refused.stderr) == (2, True), refused


def test_the_command_says_what_is_wrong(server: Server) -> None:
    for arguments, code, word in (
        ((SEASON[0],), 1, "No worker listens"),
        (("--follow", "batch-0"), 3, "no batch"),
        (("--pattern", "nobody-*"), 2, "No episode matches"),
        ((), 2, "required"),
        ((SEASON[0], "--url", "http://127.0.0.1:1"), 1, "No service answers"),
        ((SEASON[0], "--url", "ftp://here"), 1, "No service answers"),
        ((SEASON[0], "--stride", "0"), 2, "stride"),
    ):
        done = run(server, *arguments)
        assert (done.returncode, word in done.stderr) == (code, True), (arguments, done)
        assert "Traceback" not in done.stderr


def test_a_damaged_record_is_no_batch(server: Server, broker: Redis) -> None:
    broker.ask("HSET", "screenalytics:batch:odd", "static", "{")
    broker.ask("ZADD", "screenalytics:batches", 9e9, "odd")
    assert server.client.get(f"{PATH}/odd").status_code == 404
    assert all(one["batch_id"] != "odd" for one in server.client.get(PATH).json()["items"])


def test_a_job_that_redis_has_lost_can_be_had_again(server: Server, idle: JobStore) -> None:
    batch = ask(server, episodes=SEASON[:2], **QUICK).json()
    idle.forget(batch["items"][0]["job_id"])
    lost = status(server, batch["batch_id"])
    assert lost["counts"] == {"failed": 1, "queued": 1}
    assert "not known" in lost["items"][0]["error"]["detail"]
    again = server.client.post(f"{PATH}/{batch['batch_id']}/retry").json()
    assert again["counts"] == {"queued": 2}
    assert again["items"][1] == lost["items"][1]
    assert cancel(server, batch["batch_id"])["counts"] == {"cancelled": 2}
