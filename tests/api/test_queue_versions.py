"""A run tells when its worker or its server runs other code than it should."""

from __future__ import annotations

from pathlib import Path

from lab.processes.queue import redis_server, worker
from lab.processes.service import Server, add_episode, serving_checkout, wait_for
from tests.support.checkout import copy_checkout


def warnings_of_a_job(server: Server) -> list[str]:
    answer = server.client.post("/celery_jobs/detect_track", json={"ep_id": "talk", "stride": 120})
    url = answer.headers["location"]
    wait_for(lambda: server.client.get(url).json()["state"] == "success", 30, "the job's success")
    return server.client.get(url).json()["result"]["warnings"]


def test_a_stale_worker_warns_and_so_does_another_version(tmp_path: Path, test_data: Path) -> None:
    """A program keeps the code that it loaded; here a file of its source is touched."""
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    root = copy_checkout(tmp_path / "checkout")
    source = root / "apps" / "worker" / "__init__.py"
    before = source.read_bytes()
    with (
        redis_server(tmp_path / "redis") as broker,
        serving_checkout(root, data_root, SCREENALYTICS_REDIS_URL=broker.url) as server,
    ):

        def is_stale() -> bool:
            return bool(server.client.get("/version").json()["stale"])

        assert not is_stale()
        source.write_bytes(before + b"\n# touched\n")
        wait_for(is_stale, what="the server to see it")
        local = server.detect_track("talk", stride=120).json()
        assert any("Restart" in warning for warning in local["warnings"])
        with worker(data_root, broker.url, root=root):  # loads the touched source
            found = warnings_of_a_job(server)
            assert [w for w in found if "another version" in w]
            assert [w for w in found if "server runs older code" in w]
            assert not [w for w in found if "worker runs older code" in w]
            source.write_bytes(before)
            wait_for(lambda: not is_stale(), what="it to be as before")
            found = warnings_of_a_job(server)
            assert [w for w in found if "another version" in w]
            assert [w for w in found if "worker runs older code" in w]
            assert not [w for w in found if "server runs older code" in w]
