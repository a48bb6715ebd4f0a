"""What bad input gets: the right status, one clear sentence, nothing started."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.common.names import IllegalName, check_name
from lab.processes.service import Server

HUGE = "x" * 10_000


@pytest.fixture(scope="module")
def run(server: Server) -> dict[str, Any]:
    """A run under a name of its own that asked for an accelerator, and was let do without."""
    options = {"device": "coreml", "allow_cpu_fallback": True, "stride": 30}
    answer = server.detect_track("talk", run_id="mine", **options)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


@pytest.mark.trap(11)
@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"ep_id": "../../etc/passwd"}, 422, "ep_id"),
        ({"ep_id": "a/b"}, 422, "ep_id"),
        ({"ep_id": "a..b"}, 422, "ep_id"),
        ({"ep_id": "a\x00b"}, 422, "ep_id"),
        ({"ep_id": HUGE}, 422, "ep_id"),
        ({"ep_id": ""}, 422, "ep_id"),
        ({"ep_id": 7}, 422, "ep_id"),
        ({"ep_id": "nobody"}, 404, "does not exist"),
        ({"run_id": "../x"}, 422, "run_id"),
        ({"stride": 0}, 422, "stride"),
        ({"stride": -1}, 422, "stride"),
        ({"stride": 10**9}, 422, "stride"),
        ({"stride": 1.5}, 422, "stride"),
        ({"stride": True}, 422, "true or false"),
        ({"timeout_s": True}, 422, "true or false"),
        ({"video_stream": True}, 422, "true or false"),
        ({"video_stream": "first"}, 422, "or 'auto'"),
        ({"video_stream": [1]}, 422, "or 'auto'"),
        ({"video_stream": -1}, 422, "video_stream: Input"),
        ({"fps": 0}, 422, "fps"),
        ({"det_thresh": 2}, 422, "det_thresh"),
        ({"det_size": 1}, 422, "det_size"),
        ({"cpu_threads": 0}, 422, "cpu_threads"),
        ({"cpu_threads": 10_000}, 422, "cpu_threads"),
        ({"max_cpu_percent": 0}, 422, "max_cpu_percent"),
        ({"timeout_s": 0}, 422, "timeout_s"),
        ({"colour": "red"}, 422, "colour"),
        ({"profile": "turbo"}, 422, "low_power"),
        ({"device": "tpu"}, 422, "coreml"),
        ({"device": "cuda"}, 422, "CPUExecutionProvider"),
        ({"device": "mps"}, 422, "CPUExecutionProvider"),
        ({"detector": "yolo"}, 422, "centerface"),
        ({"execution_mode": "cloud"}, 422, "execution_mode"),
        ({"execution_mode": "redis", "segments": 1}, 422, "segments"),
        ({"execution_mode": "redis", "segments": 101}, 422, "segments"),
        ({"execution_mode": "redis", "segments": "some"}, 422, "segments"),
        ({"segments": 2}, 422, "A local run is not divided"),
        ({"detector": "retinaface"}, 500, "buffalo_l"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_bad_fields(server: Server, fields: dict, status: int, word: str) -> None:
    answer = server.detect_track(**{"ep_id": "talk", **fields})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    assert word in json.dumps(problem)
    assert len(problem["detail"]) < 300
    assert server.run_processes() == []


def test_a_name_that_is_none_has_its_own_problem(server: Server) -> None:
    problems = []
    for what in ("ep_id", "run_id", "job_id"):
        with pytest.raises(IllegalName) as caught:
            check_name("a..b", what)
        problems.append(caught.value.to_dict())
    episode, run, job = problems
    for path, problem in (
        ("/episodes/a..b", episode), ("/episodes/a..b/runs/latest", episode),
        ("/episodes/talk/runs/a..b/log", run), ("/celery_jobs/a..b", job), ("/jobs/a..b", job),
    ):  # fmt: skip
        answer = server.client.get(path)
        assert (answer.status_code, answer.json()) == (422, problem), path
    for path in ("/celery_jobs/detect_track", "/jobs/detect_track", "/options/resolve"):
        answer = server.client.post(path, json={"ep_id": "a..b"})
        assert (answer.status_code, answer.json()) == (422, episode), path
        detail = server.client.post(path, json={"ep_id": "a..b", "stride": 0}).json()["detail"]
        assert detail.startswith("stride: ")  # what else is wrong comes first


NUMBERS = ["stride", "fps", "det_size", "det_thresh", "cpu_threads", "max_cpu_percent",
           "video_stream"]  # fmt: skip
EXTREMES = ["5e-324", "-5e-324", "1e-300", "1e-9", "0.001", "-0.0", "1e15", "1e308", "1e309",
            "NaN", "-Infinity", "9" * 400, "9007199254740993", "18446744073709551616"]  # fmt: skip


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_at_the_edge_of_what_there_is(server: Server, field: str) -> None:
    json_body = {"content-type": "application/json"}
    for value in EXTREMES:
        for path in ("/options/resolve", "/episodes/talk/comparisons"):
            inner = f'{{"ep_id": "talk", "{field}": {value}}}'
            body = inner if path == "/options/resolve" else f'{{"modes": [], "options": {inner}}}'
            answer = server.client.post(path, content=body, headers=json_body)
            assert answer.status_code in (200, 422), (value, answer.text)


def test_the_smallest_numbers_that_are_allowed(server: Server) -> None:
    slow = server.detect_track("talk", fps=0.001)
    assert slow.status_code == 200, slow.text
    assert slow.json()["frames_done"] == 1
    assert server.detect_track("talk", timeout_s=5e-324).status_code == 504


@pytest.mark.parametrize("name", ["offset", "limit", "bins"])
def test_query_numbers_at_the_edge_of_what_there_is(
    server: Server, run: dict[str, Any], name: str
) -> None:
    run_id = run["run_id"]
    for path in ("", "/talk/runs", f"/talk/runs/{run_id}/tracks", f"/talk/runs/{run_id}/charts"):
        for value in (*EXTREMES, "1", "1000000000", "٣", "1_000", "0x10", "+1", " 1"):
            answer = server.client.get(f"/episodes{path}", params={name: value})
            assert answer.status_code in (200, 422), (path, value, answer.text)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"ep_id": "talk", "fps": NaN}', b"\xff\xfe"],
)
def test_bodies_that_are_no_request(server: Server, body: bytes) -> None:
    answer = server.client.post(
        "/celery_jobs/detect_track", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.trap(21)
def test_missing_accelerator_falls_back_only_when_asked(
    server: Server, run: dict[str, Any]
) -> None:
    refused = server.detect_track("talk", device="coreml").json()
    assert refused["exit_code"] == 4
    assert run["device"] == "cpu"
    assert run["provider"] == "CPUExecutionProvider"
    assert any("coreml was asked for" in warning for warning in run["warnings"])
    assert any("coreml was asked for" in line for line in run["logs"])


def test_a_run_id_is_used_once(server: Server, run: dict[str, Any]) -> None:
    assert run["run_id"] == "mine"
    assert server.detect_track("talk", run_id="mine").status_code == 409
    assert server.client.get("/episodes/talk/runs/mine").json()["status"] == "completed"


def test_no_path_of_the_host_leaks(server: Server) -> None:
    for answer in (
        server.detect_track("nobody"),
        server.client.get("/episodes/nobody"),
        server.client.get("/episodes/talk/runs/none"),
        server.client.get("/nothing"),
    ):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(server.data_root) not in answer.text
