"""The service is one process: several are refused at the start, and none of them is left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from itertools import count
from pathlib import Path

import httpx
import psutil

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import clean_environment, gone, serving, wait_for


def test_several_are_refused(tmp_path: Path) -> None:
    """As for `--workers 2`, which sets the same."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "apps.api.main:app", "--port", str(port)]
    env = clean_environment(SCREENALYTICS_DATA_ROOT=str(tmp_path / "data"), WEB_CONCURRENCY="2")
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=env, stdout=output, stderr=output)
    watched = psutil.Process(process.pid)
    family: set[psutil.Process] = set()
    try:
        asked = count()

        def ended() -> bool:
            if next(asked) % 10 == 0:  # to look at all processes costs more than to ask for one
                with contextlib.suppress(psutil.NoSuchProcess):
                    family.update(watched.children(recursive=True))
            return process.poll() is not None

        wait_for(ended, timeout=150, what="its end")
        wait_for(lambda: gone(list(family)), what="the others to be gone")
    finally:
        process.kill()
        process.wait()
        for other in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                other.kill()
    said = [line for line in log.read_text().splitlines() if "one of several" in line]
    assert said
    assert all("--workers 1" in line and "WEB_CONCURRENCY" in line for line in said)
    assert "Traceback" not in log.read_text()


def test_the_command_refuses_several_before_it_starts_any() -> None:
    command = [sys.executable, "-m", "apps.api", "--port", "0", "--workers", "2"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--workers 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reloader_has_one_process_at_a_time(tmp_path: Path) -> None:
    """Its process is a child as well, and the next one starts when the last one has ended."""
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "module.py").touch()
    options = ("--reload", "--reload-dir", str(watched))
    with serving(tmp_path / "data", *options, WEB_CONCURRENCY="3") as server:
        first = server.client.get("/version").json()["started_at"]

        asked = count()

        def is_another() -> bool:
            if next(asked) % 100 == 0:  # again, as the first may come before it watches
                (watched / "module.py").write_text("changed = True\n")
            try:
                return bool(server.client.get("/version").json()["started_at"] != first)
            except httpx.TransportError:
                return False

        wait_for(is_another, timeout=60, what="the server to be loaded again")


def test_what_starts_it_here_says_so() -> None:
    """`make serve`, `make up`, the demo and the image are not hit by WEB_CONCURRENCY."""
    started = {
        "Makefile": "-m apps.api",
        "apps/stack/up.py": 'python_module("apps.api")',
        "apps/demo/demo.py": 'python_module("apps.api")',
        "Dockerfile": '"screenalytics", "serve"',
        "apps/api/__main__.py": '"--workers", "1"',
    }
    for name, words in started.items():
        assert words in (CHECKOUT / name).read_text(), name
