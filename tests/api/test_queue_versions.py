"""A queued run tells when its worker or its server runs other code than it should."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.queue import redis_server, worker
from tests.support.service import ROOT, Server, add_episode, serving, wait_for


def warnings_of_a_job(server: Server) -> list[str]:
    answer = server.client.post("/celery_jobs/detect_track", json={"ep_id": "talk", "stride": 30})
    url = answer.headers["location"]
    wait_for(lambda: server.client.get(url).json()["state"] == "success", 30, "the job's success")
    return server.client.get(url).json()["result"]["warnings"]


def test_a_stale_worker_warns_and_so_does_another_version(tmp_path: Path, test_data: Path) -> None:
    """A program keeps the code that it loaded; here a source file is touched, and restored."""
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    source = ROOT / "apps" / "worker" / "__init__.py"
    before = source.read_bytes()
    with (
        redis_server(tmp_path / "redis") as broker,
        serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as server,
    ):
        try:
            with worker(data_root, broker.url):
                assert warnings_of_a_job(server) == []
                source.write_bytes(before + b"# touched\n")
                time.sleep(1.1)  # the server looks at its source once a second
                assert [w for w in warnings_of_a_job(server) if "worker runs older code" in w]
            with worker(data_root, broker.url):  # loads the touched source; the server did not
                found = warnings_of_a_job(server)
                assert [w for w in found if "another version" in w]
                assert [w for w in found if "server runs older code" in w]
                assert not [w for w in found if "worker runs older code" in w]
        finally:
            source.write_bytes(before)
