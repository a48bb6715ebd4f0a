"""What the library does by way of the page's server: these calls, from the page, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.processes.service import Server, add_episode, serving
from tests.support.page import page_server

KEY = "correct-horse-battery"


@dataclass
class Served:
    server: Server
    client: httpx.Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Served]:
    """A page before an API with a key; the client is as the page in a browser is."""
    folder = tmp_path_factory.mktemp("library")
    for ep_id in ("talk", "gone"):
        add_episode(folder / "data", ep_id, test_data / "videos" / "carphone_pristine.mp4")
    keys = {"SCREENALYTICS_API_KEY": KEY}
    with (
        serving(folder / "data", SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0", **keys) as server,
        page_server(server.url, folder, **keys) as page,
        httpx.Client(base_url=page.url, trust_env=False, timeout=30) as client,
    ):
        client.headers["origin"] = page.url
        yield Served(server, client)


def test_the_calls_of_the_page_pass(served: Served) -> None:
    client = served.client
    listed = client.get("/files/library", params={"q": "talk", "other": "x"}).json()
    assert [item["ep_id"] for item in listed["items"]] == ["talk"]
    changed = client.patch("/files/episodes/talk", json={"title": "T", "ep_id": "other"})
    assert changed.json() == {"ep_id": "talk", "title": "T", "pinned": False, "show": None}
    gone = client.delete("/files/episodes/gone").json()
    assert client.get("/files/trash").json()["items"][0]["trash_id"] == gone["trash_id"]
    assert client.post(f"/files/trash/{gone['trash_id']}/restore").status_code == 200
    gone = client.delete("/files/episodes/gone").json()
    assert client.delete(f"/files/trash/{gone['trash_id']}").status_code == 204
    assert client.get("/files/retention", params={"keep": 2}).json()["policy"]["keep"] == 2
    pruned = client.post("/files/retention", json={"keep": 2, "keep_days": None}).json()
    assert (pruned["pruned"], pruned["policy"]["keep"]) == ([], 2)
    body = {"episodes": ["talk"], "profile": "balanced"}
    refused = client.post("/files/batches", json=body)
    assert (refused.status_code, "hint" in refused.json()) == (503, True)  # there is no queue


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/files/episodes/talk"),
        ("DELETE", "/files/episodes/talk"),
        ("POST", "/files/batches"),
        ("POST", "/files/demo"),
        ("POST", "/files/retention"),
        ("DELETE", "/files/trash/x"),
        ("POST", "/files/episodes/talk/runs/r1/people/corrections"),
    ],
)
def test_nothing_changes_but_from_the_page(served: Served, method: str, path: str) -> None:
    for origin in ("https://evil.example", None):
        with httpx.Client(base_url=served.client.base_url, trust_env=False) as client:
            headers = {} if origin is None else {"origin": origin}
            assert client.request(method, path, headers=headers).status_code == 403
    assert "talk" in served.client.get("/files/library").text


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("PATCH", "/files/episodes/a..b", b"{}", 404),
        ("DELETE", "/files/episodes/%2e%2e", b"", 400),  # Streamlit refuses it
        ("DELETE", "/files/trash/.moving-x", b"", 404),
        ("PATCH", "/files/episodes/talk", b"x" * 5000, 422),
        ("PATCH", "/files/episodes/talk", b"[1]", 422),
        ("PATCH", "/files/episodes/talk", b"[" * 4000, 422),
        ("POST", "/files/episodes/talk", b"{}", 405),
        ("PUT", "/files/episodes/talk", b"{}", 405),
        ("DELETE", "/files/library", b"", 405),
        ("GET", "/files/episodes/talk", b"", 404),
        ("POST", "/files/episodes/talk/runs/a..b/people/corrections", b"{}", 404),
        ("POST", "/files/episodes/talk/runs/r1/people/corrections", b"[" + b"1," * 600_000, 422),
        ("DELETE", "/files/episodes/talk/people", b"", 405),
    ],
)
def test_other_calls_do_not_pass(
    served: Served, method: str, path: str, content: bytes, status: int
) -> None:
    assert served.client.request(method, path, content=content).status_code == status
