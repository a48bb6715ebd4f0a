"""API, worker and Celery's own commands meet at one Redis, whatever names it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.common.errors import QueueUnavailable
from apps.jobs.store import JobStore
from lab.paths import CHECKOUT
from lab.processes.queue import redis_server, worker
from lab.processes.service import add_episode, clean_environment, serving, wait_for
from tests.support.tls import tls_front

NOWHERE = "redis://127.0.0.1:1/0"
_NAMES = ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND")
OTHERS = {f"CELERY_{name}": NOWHERE for name in _NAMES}


@contextmanager
def by_socket_with_password(folder: Path) -> Iterator[str]:
    path = folder / "redis.sock"
    with redis_server(folder, "--unixsocket", str(path)) as server:
        server.ask("CONFIG", "SET", "requirepass", "p/ss word")
        yield f"unix://:p%2Fss%20word@{path}?db=2"


@contextmanager
def by_tls(folder: Path) -> Iterator[str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    with redis_server(folder) as server, tls_front(folder, server.port) as front:
        yield f"rediss://127.0.0.1:{front.port}/1?ssl_ca_certs={front.certificate}"


@pytest.mark.parametrize("kind", [by_socket_with_password, by_tls], ids=lambda k: k.__name__)
def test_a_job_and_a_command_reach_the_worker(tmp_path: Path, test_data: Path, kind) -> None:
    """Also where the environment has Celery's own variables, which name another server."""
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    with (
        kind(tmp_path / "redis") as url,
        serving(data_root, SCREENALYTICS_REDIS_URL=url, **OTHERS) as server,
        worker(data_root, url, **OTHERS),
    ):
        body = {"ep_id": "talk", "stride": 120}
        answer = server.client.post("/celery_jobs/detect_track", json=body)
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        result = lambda: server.client.get(where).json()["result"]  # noqa: E731
        wait_for(result, 30, "the job's end")
        environment = clean_environment(SCREENALYTICS_REDIS_URL=url, **OTHERS)
        asked = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "apps.worker.celery_app", "inspect", "ping"],
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert "1 node online" in asked.stdout


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path / "redis"
    with redis_server(folder) as redis, tls_front(folder, redis.port) as front:
        store = JobStore(f"rediss://127.0.0.1:{front.port}/0", 1)
        with pytest.raises(QueueUnavailable) as caught:
            store.check()
        store.close()
    assert "TLS" in caught.value.detail
