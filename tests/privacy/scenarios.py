"""What people do with the product, executed in a sealed place by `tests/support/sealed.py`.

Each is given a folder of its own and the path of a short video.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.queue import redis_server, worker
from lab.processes.service import add_episode, cli_command, exit_code, serving, wait_for

# An upload that is not wanted begins seconds after ONNX Runtime was loaded; a run that is slow
# enough to see it, and yet short.
_SLOW = ("--stride", "4", "--max-cpu-percent", "30")


def run(folder: str, video: str, *options: str) -> None:
    """The command line."""
    root = Path(folder) / "data"
    add_episode(root, "ep", Path(video))
    command = cli_command(root, "--ep-id", "ep", "--save-preview", "--save-crops", *options, *_SLOW)
    subprocess.run(command, check=True, stdout=sys.stderr)


def service(folder: str, video: str) -> None:
    """The API, the worker, and the command that compares the ways to run, the bare command line
    among them; it draws.
    """
    root = Path(folder) / "data"
    add_episode(root, "ep", Path(video))
    command = [sys.executable, str(CHECKOUT / "tools" / "compare_modes.py"), "--ep-id", "ep"]
    command += ["--modes", "local,redis", "--repeat", "1", "--data-root", str(root)]
    with (
        redis_server(Path(folder) / "redis") as redis,
        worker(root, redis.url),
        serving(root, SCREENALYTICS_REDIS_URL=redis.url) as server,
    ):
        command += ["--url", server.url, "--save-preview", "--save-crops", *_SLOW]
        subprocess.run(command, check=True, stdout=sys.stderr)
        runs = server.client.get("/episodes/ep/runs").json()["items"]
    assert {run["execution_mode"] for run in runs} == {"cli", "local", "redis"}
    assert {run["status"] for run in runs} == {"completed"}


def page(folder: str, _: str) -> None:
    """The page as the README, the contract and the image start it, with a visitor."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "apps/ui/app.py"]
    command += ["--server.address", "0.0.0.0", "--server.port", str(port)]
    command += ["--server.headless", "true"]
    with (Path(folder) / "page.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"), 60, "the page")
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
    finally:
        process.terminate()
        exit_code(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
