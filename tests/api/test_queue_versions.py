"""A queued run tells when its worker or its server runs other code than it should."""

from __future__ import annotations

import time
from pathlib import Path

from lab.processes.queue import redis_server, worker
from lab.processes.service import Server, add_episode, serving_checkout, wait_for
from tests.support.checkout import copy_checkout


def warnings_of_a_job(server: Server) -> list[str]:
    answer = server.client.post("/celery_jobs/detect_track", json={"ep_id": "talk", "stride": 30})
    url = answer.headers["location"]
    wait_for(lambda: server.client.get(url).json()["state"] == "success", 30, "the job's success")
    return server.client.get(url).json()["result"]["warnings"]


def test_a_stale_worker_warns_and_so_does_another_version(tmp_path: Path, test_data: Path) -> None:
    """A program keeps the code that it loaded; here a file of its source is touched."""
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    root = copy_checkout(tmp_path / "checkout")
    source = root / "apps" / "worker" / "__init__.py"
    with (
        redis_server(tmp_path / "redis") as broker,
        serving_checkout(root, data_root, SCREENALYTICS_REDIS_URL=broker.url) as server,
    ):
        with worker(data_root, broker.url, root=root):
            assert warnings_of_a_job(server) == []
            source.write_bytes(b"# touched\n")
            time.sleep(1.1)  # the server looks at its source once a second
            assert [w for w in warnings_of_a_job(server) if "worker runs older code" in w]
        with worker(data_root, broker.url, root=root):  # loads the touched source
            found = warnings_of_a_job(server)
            assert [w for w in found if "another version" in w]
            assert [w for w in found if "server runs older code" in w]
            assert not [w for w in found if "worker runs older code" in w]
