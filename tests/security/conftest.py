from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.paths import CHECKOUT
from lab.processes.service import Server, add_episode, serving
from tests.security.tricks import Findings, read_raw

HEAD = """\
# Attacks and answers

What the service promises to whoever can reach it, and for whatever lies in its data root:

- no request and no file makes it answer with an unexplained server error (5xx), or stop answering;
- nothing outside the data root is served, and names never become paths without a check;
- a video opens no other file and no connection, whatever it says;
- a page of another site, open in the same browser, neither reads nor changes anything, in API and
  page (`apps/web/guard.py`), and makes the page's server ask nobody;
- clients that begin a request and do not end it keep nobody else out (`apps/web/connections.py`);
- what it does not accept it refuses with `application/problem+json`, in bounded time and memory.

It does not promise to withstand someone who can write to the data root as its own user: that person
owns the results. `SCREENALYTICS_API_KEY` decides who may ask at all; without one it is meant for
loopback only.

The table is made by the attack tests (`tests/security`), which run against a live server, with real
files:

```sh
SCREENALYTICS_WRITE_DOCS=1 .venv/bin/pytest tests/security
```
"""


@pytest.fixture(scope="session")
def findings() -> Iterator[Findings]:
    found = Findings()
    yield found
    if os.environ.get("SCREENALYTICS_WRITE_DOCS") == "1":
        found.write(CHECKOUT / "docs" / "security.md", HEAD)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("attacked") / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="session")
def server(data_root: Path) -> Iterator[Server]:
    """Without Redis: port 1 answers nobody."""
    with serving(data_root, SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0") as running:
        yield running


@pytest.fixture(scope="session")
def run(server: Server) -> dict[str, Any]:
    """The result of a completed run that has all files."""
    answer = server.detect_track("talk", stride=15, save_crops=True, save_preview=True)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


@pytest.fixture(autouse=True)
def _healthy(server: Server) -> Iterator[None]:
    """Whatever was done to it, the server goes on."""
    yield
    assert server.process.poll() is None
    assert read_raw(server, "/health/live")[0] == 200
