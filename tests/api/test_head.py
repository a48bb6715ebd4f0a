"""HEAD answers as GET does, without the body, whatever GET would send."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lab.processes.service import Server

VARYING = {"date", "x-request-id"}
ENDLESS = "/events"


@pytest.fixture(scope="module")
def names(server: Server) -> dict[str, Any]:
    answer = server.detect_track("talk", stride=60, save_crops=True, save_preview=True)
    assert answer.status_code == 200, answer.text
    run_id = answer.json()["run_id"]
    crops = server.data_root / "manifests" / "talk" / "runs" / run_id / "crops"
    crop = next(crops.rglob("*.jpg")).relative_to(crops)
    track = {"track_id": "track-00001", "crop": crop}
    none = dict.fromkeys(("job_id", "batch_id", "upload_id"), "none")
    return {"ep_id": "talk", "run_id": run_id, **none, **track}


def compared(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in VARYING}


def test_every_route_that_answers_get_answers_head(server: Server, names: dict[str, Any]) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    asked = [path for path, methods in paths.items() if "get" in methods]
    assert len(asked) > 20
    found = []
    for path in [*asked, "/docs", "/openapi.json"]:
        url = path.format(**names) + ("?format=csv" if path.endswith("/export") else "")
        if path not in ("/metrics", ENDLESS):  # the first counts its own requests
            get, head = server.client.get(url), server.client.head(url)
            assert (head.status_code, head.content) == (get.status_code, b""), url
            assert compared(head) == compared(get), url
            found.append(get.status_code)
    assert found.count(200) > 15


def test_of_a_stream_that_does_not_end(server: Server) -> None:
    """HEAD ends it; nobody listens on afterwards."""
    for _ in range(200):  # more than may listen
        head = server.client.head(ENDLESS)
        assert (head.status_code, head.content) == (200, b"")
    with server.client.stream("GET", ENDLESS) as get:
        assert get.status_code == 200
        assert compared(get) == compared(head)


def test_of_a_part_of_a_file(server: Server, names: dict[str, Any]) -> None:
    url = f"/episodes/talk/runs/{names['run_id']}/preview"
    for wanted, status in (("bytes=0-9", 206), ("bytes=999999999-", 416), ("bytes=x", 400)):
        head = server.client.head(url, headers={"range": wanted})
        assert (head.status_code, head.content) == (status, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/episodes/nobody", 404), ("/jobs/detect_track/stream", 405)],
)
def test_of_what_get_does_not_find(server: Server, path: str, status: int) -> None:
    assert server.client.get(path).status_code == status
    head = server.client.head(path)
    assert (head.status_code, head.content) == (status, b"")


def test_it_starts_nothing(server: Server) -> None:
    before = len(server.client.get("/episodes/talk/runs").json()["items"])
    assert server.client.head("/celery_jobs/detect_track").status_code >= 400
    assert len(server.client.get("/episodes/talk/runs").json()["items"]) == before
