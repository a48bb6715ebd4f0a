"""Ready is who can do what a run needs: tried, not guessed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import clean_environment, exit_code, wait_for_start

# Root may read and write whatever the rights say; these are what lets it.
_LIKE_A_USER = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


class Served(NamedTuple):
    client: httpx.Client
    pid: int


@contextmanager
def served(data_root: Path, command: list[str]) -> Iterator[Served]:
    """A server that a command starts: what is needed is put before the server's own."""
    port = free_port()
    log = data_root.parent / "server.log"
    env = clean_environment(
        SCREENALYTICS_DATA_ROOT=str(data_root),
        SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0",
        INSIGHTFACE_HOME=str(data_root.parent / "insightface"),
    )
    whole = [*command, sys.executable, "-m", "apps.api", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(whole, cwd=CHECKOUT, env=env, stdout=output, stderr=output)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", verify=False, trust_env=False, timeout=60
    ) as client:

        def lives() -> bool:
            try:
                return client.get("/health/live").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_for_start(process, lives, log, "the server")
            yield Served(client, process.pid)
        finally:
            process.terminate()
            exit_code(process)


def readiness(server: Served) -> tuple[int, bool, str]:
    answer = server.client.get("/health/ready")
    data_root = answer.json()["dependencies"]["data_root"]
    return answer.status_code, data_root["ok"], data_root["detail"]


@pytest.fixture
def as_a_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to lay down its rights")
    return _LIKE_A_USER


def test_folders_that_cannot_be_used(tmp_path: Path, as_a_user: list[str]) -> None:
    """Nor can those of a data root that cannot be seen, where no detector is kept either."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o000)
    root = hidden / "data"
    with served(root, as_a_user) as server:
        assert readiness(server)[:2] == (503, False)
        hidden.chmod(0o700)
        assert readiness(server)[:2] == (200, True)
        assert not (root / "manifests").exists()  # asking makes nothing
        for name in (".cache", ".locks", "manifests"):
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            assert readiness(server)[:2] == (200, True)
            for rights in (0o000, 0o500, 0o300):
                folder.chmod(rights)
                status, ok, detail = readiness(server)
                assert (status, ok) == (503, False), (name, oct(rights))
                assert name in detail
            folder.chmod(0o700)
            assert list(folder.glob(".ready-*")) == []
        assert readiness(server)[:2] == (200, True)
        root.chmod(0o500)
        assert readiness(server)[:2] == (503, False)
        root.chmod(0o700)
        shutil.rmtree(root / ".cache")
        (root / ".cache").write_text("a file in the place of a folder")
        status, ok, detail = readiness(server)
        assert (status, ok) == (503, False)
        assert ".cache" in detail


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """Where a process that has mounts of its own may mount a disk."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare to mount a small disk")
    mount = tmp_path / "disk"
    mount.mkdir()
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(mount)]
    if subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a disk")
    return mount


def on_disk(mount: Path, inodes: int, taken: int) -> list[str]:
    """A prefix: the command runs with a disk of few inodes, some of which are taken."""
    where = shlex.quote(str(mount))
    script = f"mount -t tmpfs -o nr_inodes={inodes} none {where} && mkdir {where}/data && "
    script += f'i=0; while [ $i -lt {taken} ] && : > {where}/$i; do i=$((i+1)); done; exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def test_no_files_left_on_the_disk(small_disk: Path) -> None:
    with served(small_disk / "data", on_disk(small_disk, 500, 0)) as server:
        assert readiness(server)[:2] == (200, True)
        seen = Path(f"/proc/{server.pid}/root{small_disk}")  # the server's own mount
        for number in range(os.statvfs(seen).f_ffree):
            (seen / str(number)).touch()
        status, ok, detail = readiness(server)
        assert (status, ok) == (503, False)
        assert "0 more files" in detail


def test_a_run_says_it_before_it_begins(small_disk: Path, test_data: Path) -> None:
    root = small_disk / "data"
    run = [sys.executable, "tools/episode_run.py", "--data-root", str(root), "--ep-id", "talk"]
    run += ["--video", str(test_data / "videos" / "carphone_pristine.mp4")]
    command = [*on_disk(small_disk, 80, 60), *run]
    env = clean_environment(INSIGHTFACE_HOME=str(small_disk.parent / "insightface"))
    done = subprocess.run(
        command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "more files fit on the disk" in done.stderr
