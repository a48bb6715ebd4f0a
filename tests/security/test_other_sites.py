"""Pages of other sites, in the browser of somebody who has this service open: they get nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.processes.service import Server, serving
from tests.security.tricks import Findings

KEY = "correct-horse-battery"
PROBLEM = "application/problem+json"
CHANGES = ["/episodes", "/episodes/talk/runs/latest/preview", "/episodes/talk/runs/latest/cancel",
           "/celery_jobs/detect_track", "/celery_jobs/any/cancel", "/jobs/detect_track",
           "/jobs/detect_track/stream", "/jobs/any/cancel", "/options/resolve",
           "/episodes/talk/comparisons"]  # fmt: skip
FOREIGN = {
    "a form of another site": {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
    "a page of another server on this machine": {
        "origin": "http://127.0.0.1:3000",
        "sec-fetch-site": "same-site",
    },
    "an old browser": {"origin": "http://evil.example"},
    "a sandboxed frame": {"origin": "null"},
    "a browser that hides the origin": {"sec-fetch-site": "cross-site"},
}


@pytest.fixture(scope="module")
def locked(data_root: Path) -> Iterator[Server]:
    """Asks for a key, and answers to other names too."""
    environment = {
        "SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0",
        "SCREENALYTICS_API_KEY": KEY,
        "SCREENALYTICS_ALLOWED_HOSTS": "faces.example, api",
    }
    with serving(data_root, **environment) as running:
        running.client.headers["x-api-key"] = KEY
        yield running


@pytest.fixture(scope="module", params=["server", "locked"], ids=["open", "with a key"])
def asked(request: pytest.FixtureRequest, run: dict[str, Any]) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def is_refused(answer: httpx.Response, status: int) -> bool:
    return (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)


@pytest.mark.parametrize(
    "path",
    ["/episodes", "/version", "/openapi.json", "/docs", "/metrics", "/health/ready",
     "/episodes/talk/runs/latest/preview"],
)  # fmt: skip
def test_a_name_that_somebody_else_made_reads_nothing(
    asked: Server, findings: Findings, path: str
) -> None:
    for host in ("evil.example", f"evil.example:{asked.port}", f"127.0.0.1.evil:{asked.port}"):
        answer = asked.client.get(path, headers={"host": host})
        assert is_refused(answer, 421), answer.text
        assert "SCREENALYTICS_ALLOWED_HOSTS" in answer.json()["hint"]
    findings.add("other sites", "DNS rebinding: `Host: evil.example` reads", "421")
    assert asked.client.get(path, headers={"host": f"localhost:{asked.port}"}).status_code < 300


@pytest.mark.parametrize(
    ("hosts", "status"),
    [([], 421), (["localhost", "evil.example"], 400), (["evil.example", "localhost"], 400)],
)
def test_no_name_and_two_names_read_nothing(asked: Server, hosts: list[str], status: int) -> None:
    """As only programs can ask, and old protocols."""
    head = ["GET /episodes HTTP/1.0", *(f"Host: {host}" for host in hosts), f"X-API-Key: {KEY}"]
    with socket.create_connection(("127.0.0.1", asked.port), timeout=30) as client:
        client.sendall("\r\n".join([*head, "", ""]).encode())
        with client.makefile("rb") as answer:
            assert int(answer.readline().split()[1]) == status


def test_a_probe_may_ask_by_any_name_whether_it_lives(asked: Server) -> None:
    answer = asked.client.get("/health/live", headers={"host": "10.1.2.3:8000"})
    assert answer.json() == {"status": "ok"}


@pytest.mark.parametrize("who", FOREIGN)
def test_other_sites_change_nothing(asked: Server, findings: Findings, who: str) -> None:
    shown = ("/episodes", "/episodes/talk/runs", "/episodes/talk/runs/latest")
    before = [asked.client.get(path).json() for path in shown]
    for path in CHANGES:
        for body in ({"data": {"ep_id": "evil"}}, {"json": {"ep_id": "talk"}}):
            answer = asked.client.post(path, headers=FOREIGN[who], **body)  # type: ignore[arg-type]
            assert is_refused(answer, 403), (path, answer.text)
    for method in ("PUT", "PATCH", "DELETE"):
        assert is_refused(asked.client.request(method, "/episodes", headers=FOREIGN[who]), 403)
    findings.add("other sites", f"{who} sends a change", "403")
    assert [asked.client.get(path).json() for path in shown] == before


@pytest.mark.parametrize(
    "own", [{}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin", "origin": "{url}"}]
)
def test_programs_and_own_pages_do(asked: Server, own: dict[str, str]) -> None:
    """Programs send neither header; /docs sends both."""
    headers = {name: value.format(url=asked.url) for name, value in own.items()}
    answer = asked.client.post("/options/resolve", json={"ep_id": "talk"}, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_link_from_another_site_may_be_followed(asked: Server) -> None:
    answer = asked.client.get("/docs", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200


def test_other_sites_may_not_embed_what_is_there(asked: Server) -> None:
    for path in ("/episodes", "/episodes/talk/runs/latest/preview", "/nothing", "/docs"):
        headers = asked.client.get(path).headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["content-security-policy"] == "frame-ancestors 'self'"
        assert "access-control-allow-origin" not in headers


def test_the_owner_may_allow_a_name(locked: Server) -> None:
    for host, status in (("faces.example", 200), ("api:8000", 200), ("evil.example", 421)):
        assert locked.client.get("/episodes", headers={"host": host}).status_code == status
