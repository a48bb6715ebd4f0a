"""The page's server passes on what changes: who may listen, and what it costs the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apps.ui.modules import module_path
from lab.processes.service import Server, add_episode, serving, wait_for
from tests.support.page import PageServer, page_server

KEY = "correct-horse-battery"
_LISTENERS = "screenalytics_state_listeners "


@dataclass
class Served:
    server: Server
    page: PageServer

    def open(self, **options: Any) -> ClientConnection:
        """A tab's WebSocket."""
        url = self.page.url.replace("http", "ws") + "/files/live"
        return connect(url, proxy=None, **options)

    def listeners(self) -> float:
        lines = self.server.client.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(_LISTENERS))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("relay")
    add_episode(folder / "data", "talk", test_data / "videos" / "carphone_pristine.mp4")
    key = {"SCREENALYTICS_API_KEY": KEY}
    with (
        serving(folder / "data", SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0", **key) as server,
        page_server(server.url, folder, **key) as page,
    ):
        server.client.headers["x-api-key"] = KEY
        yield Served(server, page)


def heard(tab: ClientConnection, event: str) -> Any:
    """What the next message of that kind says."""
    while True:
        text = tab.recv(timeout=60)
        assert KEY not in str(text)
        message = json.loads(text)
        if message["event"] == event:
            return message["data"]


def test_all_tabs_together_are_one_listener_of_the_api(served: Served) -> None:
    with served.open() as one, served.open() as other:
        for tab in (one, other):
            states = heard(tab, "states")
            assert [item["state"] for item in states["items"]] == ["never_run"]
            assert states["server"]["queue_problem"]
        assert served.listeners() == 1
        served.server.detect_track("talk", stride=24)
        for tab in (one, other):
            while heard(tab, "state")["state"] != "done":
                pass
        with served.open() as late:  # it is told what the others know
            assert heard(late, "states")["items"][0]["state"] == "done"
        assert served.listeners() == 1
    wait_for(lambda: served.listeners() == 0, what="nobody to listen")


def test_other_sites_and_other_names_hear_nothing(served: Served) -> None:
    refused: list[dict[str, Any]] = [
        {"origin": "http://elsewhere.invalid"},
        {"origin": "null"},
        {"additional_headers": {"Sec-Fetch-Site": "cross-site"}},
    ]
    for options in refused:
        with pytest.raises(InvalidStatus) as refusal:
            served.open(**options)
        assert refusal.value.response.status_code == 403
    with served.open(origin=served.page.url) as own:
        heard(own, "states")


def test_a_server_that_is_away_is_told(served: Served) -> None:
    with page_server("http://127.0.0.1:1", served.page.log.parent) as page:
        url = page.url.replace("http", "ws") + "/files/live"
        with connect(url, proxy=None) as tab:
            assert heard(tab, "away") is None


@pytest.mark.parametrize("folder", ["review", "live"])
def test_modules_are_kept_under_an_address_of_their_content(served: Served, folder: str) -> None:
    name = {"review": "review.js", "live": "follow.js"}[folder]
    with httpx.Client(base_url=served.page.url, trust_env=False) as client:
        answer = client.get(module_path(folder, name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        for other in (
            module_path(folder, "live.css"),
            module_path(folder, "..%2fupload.js"),
            module_path(folder, name).replace(folder, "other"),
        ):
            assert client.get(other).status_code in (400, 404)
