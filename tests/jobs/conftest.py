from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.processes.queue import LEASE_SECONDS, Redis
from lab.processes.service import Server, add_episode, serving


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("jobs") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    settings = {"SCREENALYTICS_REDIS_URL": broker.url, "SCREENALYTICS_LEASE_S": LEASE_SECONDS}
    with serving(data_root, **settings) as running:
        yield running
