"""Real servers and real runs for tests: started as users start them, ended by their id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from apps.common.layout import Layout
from apps.common.processes import is_alive
from apps.runs.launch import RUN_MODULE
from lab.paths import CHECKOUT
from lab.processes.ports import free_port

RUN_SCRIPT = CHECKOUT / "tools" / "episode_run.py"


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment with this checkout's code and `extra`.

    It is without the product's variables, and without those of a `make` that runs the tests.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCREENALYTICS_", "MAKE"))}
    return {**kept, "PYTHONPATH": str(CHECKOUT), **extra}


def add_episode(data_root: Path, ep_id: str, video: Path) -> None:
    folder = Layout(data_root).episode(ep_id)
    folder.mkdir(parents=True)
    shutil.copyfile(video, folder / f"episode{video.suffix}")


def run_cli(
    data_root: Path, *arguments: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `tools/episode_run.py` from start to end; `timeout` in seconds."""
    return subprocess.run(
        cli_command(data_root, *arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        env=clean_environment(
            INSIGHTFACE_HOME=str(data_root.parent / "insightface"), **environment
        ),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def cli_command(data_root: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(RUN_SCRIPT), "--data-root", str(data_root), *arguments]


# Beside other tests everything takes longer; those of time itself run alone (mark `alone`).
PATIENCE = 3.0 if "PYTEST_XDIST_WORKER" in os.environ else 1.0
# With the product's 10 a local run gets next to nothing of a busy machine, and takes minutes.
LOCAL_NICE = 1
START_SECONDS = 180.0  # more than any server takes that lives, also where ten others start
LOWERED_NICE = os.nice(0) + LOCAL_NICE  # what it comes to, where the tests themselves are nice


def wait_for(condition: Callable[[], Any], timeout: float = 20.0, what: str = "it") -> Any:
    """The first true answer of `condition`; fails the test after `timeout` seconds.

    It is asked less and less often, and every 0.2 s in the end: a request takes 5 ms of CPU.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    pause = 0.01
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(pause)
        pause = min(1.2 * pause, 0.2)
    raise AssertionError(f"waited {timeout:g} s for {what}")


def wait_for_start(
    process: subprocess.Popen[Any], is_up: Callable[[], Any], log: Path, what: str
) -> Any:
    """The first true answer of `is_up`, as long as the program lives; fails where it has ended.

    Nothing else says that it hangs: on a busy machine it takes as long as it takes.
    """

    def asked() -> Any:
        answer = is_up()
        if not answer and process.poll() is not None:
            raise AssertionError(f"{what} died: {_end_of(log)}")
        return answer

    try:
        return wait_for(asked, START_SECONDS, what)
    except AssertionError as error:
        raise AssertionError(f"{error}; its log: {_end_of(log)}") from None


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def exit_code(process: subprocess.Popen[Any], timeout: float = 20.0) -> int:
    """Of a process that was told to end; fails the test where it lives on for `timeout` seconds."""
    wait_for(lambda: process.poll() is not None, timeout, f"the end of {process.args!r}")
    return int(process.returncode)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(is_alive(process) for process in processes)


@dataclass
class Server:
    """A live API. `client` has no read timeout: a local run may take long."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    data_root: Path
    log: Path

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    @property
    def port(self) -> int:
        return int(self.client.base_url.port or 0)

    def another_client(self, timeout: float) -> httpx.Client:
        """A client for a thread that asks beside others; `timeout` in seconds."""
        return _client_at(self.url, httpx.Timeout(timeout))

    def cpu_seconds(self) -> float:
        """CPU time of the server and of what it started and has ended since it began.

        Other work on the machine, which makes every answer late, hardly changes it.
        """
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    def children_cpu_seconds(self) -> float:
        """CPU time of processes that it started and that have ended: grows with each of them."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.children_user + times.children_system

    def run_processes(self) -> list[psutil.Process]:
        """Processes of runs that this server started, with their descendants."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [p for p in children if _is_run(p)]

    def wait_for_run(self) -> list[psutil.Process]:
        found: list[psutil.Process] = wait_for(self.run_processes, what="a run to start")
        return found

    def detect_track(self, ep_id: str, **fields: Any) -> httpx.Response:
        body = {"ep_id": ep_id, "execution_mode": "local", **fields}
        return self.client.post("/celery_jobs/detect_track", json=body)

    def phase(self, ep_id: str) -> str | None:
        """Phase of the newest run of the episode, as the API tells it."""
        runs = self.client.get(f"/episodes/{ep_id}/runs").json()["items"]
        if not runs:
            return None
        answer = self.client.get(f"/episodes/{ep_id}/runs/{runs[0]['run_id']}/progress")
        return str(answer.json()["phase"]) if answer.status_code == 200 else None


def _is_run(process: psutil.Process) -> bool:
    try:
        return not {str(RUN_SCRIPT), RUN_MODULE}.isdisjoint(process.cmdline())
    except psutil.Error:
        return False


@contextmanager
def serving(data_root: Path, *options: str, **environment: str) -> Iterator[Server]:
    """An API server on a free port of loopback; ends it, and what it left, after the block."""
    with serving_checkout(CHECKOUT, data_root, *options, **environment) as server:
        yield server


@contextmanager
def serving_checkout(
    root: Path, data_root: Path, *options: str, **environment: str
) -> Iterator[Server]:
    """As `serving`, from another checkout than this one."""
    port = free_port()
    log = data_root.parent / f"server-{port}.log"
    command = [sys.executable, "-m", "apps.api", "--port", str(port), *options]
    env = clean_environment(
        SCREENALYTICS_DATA_ROOT=str(data_root),
        INSIGHTFACE_HOME=str(data_root.parent / "insightface"),  # never the user's own weights
        **{
            "PYTHONPATH": str(root),
            "SCREENALYTICS_LOCAL_NICE": str(LOCAL_NICE),
            **environment,
        },
    )
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env=env, stdout=output, stderr=output)
    client = _client_at(f"http://127.0.0.1:{port}", httpx.Timeout(5, read=120))
    server = Server(process, client, data_root, log)
    try:
        wait_for_start(process, lambda: _is_live(server), log, "the server")
        yield server
    finally:
        client.close()
        end_process(process)


def _client_at(url: str, timeout: httpx.Timeout) -> httpx.Client:
    """Plain HTTP: certificates need not be loaded."""
    return httpx.Client(base_url=url, timeout=timeout, verify=False)


def _is_live(server: Server) -> bool:
    try:
        return server.client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, and kills it where it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
