"""Who may ask, how much, and which code answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from lab.processes.service import Server, serving, wait_for

KEY = "correct-horse-battery"


@pytest.fixture(scope="module")
def locked(data_root: Path) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_API_KEY=KEY, WEB_CONCURRENCY="3") as running:
        yield running


@pytest.mark.parametrize("key", [None, "", "wrong-horse-battery", KEY + "x", KEY[:-1]])
@pytest.mark.parametrize("path", ["/episodes", "/version", "/docs", "/openapi.json", "/nothing"])
def test_without_the_key_nobody_comes_in(locked: Server, key: str | None, path: str) -> None:
    headers = {} if key is None else {"x-api-key": key}
    answer = locked.client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert KEY not in answer.text


def test_with_the_key_and_for_health_the_door_is_open(locked: Server) -> None:
    assert locked.client.get("/health/live").status_code == 200
    assert locked.client.get("/episodes", headers={"x-api-key": KEY}).status_code == 200
    body = {"ep_id": "nobody", "execution_mode": "local"}
    headers = {"x-api-key": KEY}
    run = locked.client.post("/celery_jobs/detect_track", json=body, headers=headers)
    assert run.status_code == 404  # it is looked for
    assert locked.client.post("/celery_jobs/detect_track", json=body).status_code == 401


def test_one_process_serves_whatever_the_environment_says(locked: Server) -> None:
    """It is asked for three; see test_one_process.py."""
    assert locked.client.get("/health/live").status_code == 200
    assert psutil.Process(locked.process.pid).children() == []


def test_a_look_at_the_health_is_no_line_in_the_log(locked: Server) -> None:
    begun = len(locked.log.read_text())
    assert locked.client.get("/health/live").status_code == 200
    assert locked.client.get("/health/nothing").status_code == 404
    wait_for(lambda: '"/health/nothing"' in locked.log.read_text()[begun:], what="the log")
    assert '"/health/live"' not in locked.log.read_text()[begun:]


def test_no_key_is_needed_where_none_is_set(server: Server) -> None:
    assert server.client.get("/episodes").status_code == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_large_bodies_are_refused(server: Server, chunked: bool) -> None:
    body = b'{"ep_id": "' + b"x" * 2_000_000 + b'"}'
    content = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    answer = server.client.post(
        "/celery_jobs/detect_track", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_answer_names_version_and_request(server: Server) -> None:
    version = server.client.get("/version").json()
    for path in ("/version", "/nothing", "/episodes/nobody", "/health/live"):
        answer = server.client.get(path, headers={"x-request-id": "my-1"})
        expected = f"{version['version']}+{version['source_fingerprint']}"
        assert answer.headers["x-screenalytics-version"] == expected
        assert answer.headers["x-request-id"] == "my-1"
    given = server.client.get("/version", headers={"x-request-id": "a b\\n"})
    assert given.headers["x-request-id"] != "a b\\n"


def test_log_lines_name_the_request_and_the_run(server: Server) -> None:
    body = {"ep_id": "talk", "execution_mode": "local", "stride": 48}
    headers = {"x-request-id": "traced-1"}
    result = server.client.post("/celery_jobs/detect_track", json=body, headers=headers).json()
    server.client.get("/version", headers={"x-request-id": "after-1"})
    # A line is written after its answer has been sent.
    wait_for(lambda: "after-1" in server.log.read_text(), what="its line")
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    traced = [line for line in lines if line.get("request_id") == "traced-1"]
    assert [line["message"] for line in traced] == ["run started", "run ended", "request"]
    assert {line["run_id"] for line in traced[:2]} == {result["run_id"]}
    assert traced[1]["outcome"] == "completed"
    assert (traced[2]["path"], traced[2]["status"]) == ("/celery_jobs/detect_track", 200)
    (after,) = [line for line in lines if line.get("request_id") == "after-1"]
    assert after["path"] == "/version"
    assert "run_id" not in after


def test_it_listens_on_loopback_only_and_allows_no_other_origin(server: Server) -> None:
    answer = server.client.get("/episodes", headers={"origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{server.port}/health/live")
