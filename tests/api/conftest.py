from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.jobs.queue import QUEUES
from apps.jobs.store import JobStore
from lab.processes.queue import LEASE_SECONDS, Redis
from lab.processes.service import Server, add_episode, serving
from tests.support.jobs import IDLER


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("service") / "data"
    videos = test_data / "videos"
    add_episode(root, "talk", videos / "carphone_pristine.mp4")
    add_episode(root, "show", videos / "short_hamilton_clip.mp4")
    add_episode(root, "street", videos / "facenet_video.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root) as running:
        yield running


@pytest.fixture
def idle(broker: Redis) -> Iterator[JobStore]:
    """A worker that listens, says the store, and takes no job."""
    store = JobStore(broker.url, float(LEASE_SECONDS))
    store.announce(IDLER, 60)
    yield store
    store.sign_off(IDLER.name)
    store.close()
    broker.ask("DEL", *QUEUES)
