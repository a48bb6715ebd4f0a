"""A worker as it is meant to run tells no other worker that it lives, and listens to none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.processes.queue import Redis, worker


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neighbours") / "data"


def test_workers_do_not_listen_to_each_other(broker: Redis, data_root: Path) -> None:
    """A thousand of them would send a million messages every two seconds."""
    with worker(data_root, broker.url, as_product=True) as running:
        assert broker.ask("PUBSUB", "NUMPAT") == 1  # the commands of an operator, and no more
        assert "mingle" not in running.log.read_text()
