"""Faults of processes: stopped ones, ones that have just begun, and what they leave behind."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from apps.common.layout import PART, RunFiles
from lab.faults.scenarios import (
    PATIENCE,
    RUN,
    SHORT_RUN,
    Stack,
    Trial,
    judge_job,
    leave,
    left,
    submit,
    works_again,
)
from lab.processes.service import Server, wait_for

_STAGING = RunFiles(Path()).staging.name
_IMPORTS = 0.8  # seconds; so long a run's process is busy with loading modules
_SLOW = {"stride": 1, "max_cpu_percent": 20}


def api_killed_in_imports(stack: Stack) -> Trial:
    """`kill -9` of the API while its run's process is still loading modules."""
    with stack.api() as server, _asking(stack, server):
        server.wait_for_run()
        time.sleep(stack.rng.uniform(0, _IMPORTS))
        _kill(server)
        orphans = left(stack)
    return _next_api(stack, orphans)


def api_killed_run_stopped(stack: Stack) -> Trial:
    """The run is stopped (SIGSTOP) at any phase, then `kill -9` of the API."""
    with stack.api() as server, _asking(stack, server):
        _stop_at_any_moment(stack, server.wait_for_run())
        _kill(server)
        orphans = left(stack)
    return _next_api(stack, orphans)


def client_gone_run_stopped(stack: Stack) -> Trial:
    """The run is stopped (SIGSTOP) at any phase, then its client leaves."""
    with stack.api() as server:
        asking = threading.Thread(target=leave, args=(stack, server, 3.0), daemon=True)
        asking.start()
        _stop_at_any_moment(stack, server.wait_for_run(), within=2.0)
        asking.join()
        orphans = left(stack)
        again = works_again(stack, server)
        return Trial(int(again), int(not again), 0, orphans)


def pool_process_killed_run_stopped(stack: Stack) -> Trial:
    """A job's run is stopped (SIGSTOP), then `kill -9` of the worker's process that executes it."""
    with stack.api() as server, stack.worker() as running:
        job = submit(stack, server)
        runs = wait_for(running.runs, what="the run")
        _stop_at_any_moment(stack, runs)
        for process in running.pool():
            process.kill()
        wait_for(lambda: not any(_is_stopped(run) for run in runs), 2.5, "the stopped run's end")
        return judge_job(stack, server, job)


def api_killed_preview(stack: Stack) -> Trial:
    """`kill -9` of the API while it makes a preview; the next one makes it."""
    with stack.api() as server:
        run_id = server.detect_track(stack.episode, **SHORT_RUN).json()["run_id"]
        path = f"/episodes/{stack.episode}/runs/{run_id}/preview"
        with _asking(stack, server, path, None):
            wait_for(stack.orphans, what="the preview's process")
            time.sleep(stack.rng.uniform(0, 1))
            _kill(server)
            orphans = left(stack)
    with stack.api() as server:
        made = server.client.post(path).status_code == 200
        swept = _swept(stack)
        return Trial(int(made), int(not made or not swept), 0, orphans)


def api_killed_upload(stack: Stack) -> Trial:
    """`kill -9` of the API in the middle of an upload: the next one frees what had arrived."""
    head = (
        "POST /episodes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    )
    with (
        stack.api() as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection,
    ):
        connection.sendall(head.encode() + b"x" * stack.rng.randrange(100_000, 1_000_000))
        wait_for(lambda: _uploads(stack), what="the upload to begin")
        _kill(server)
    with stack.api() as server:
        freed = _holds(lambda: not _uploads(stack))
        again = works_again(stack, server)
        return Trial(int(again), int(not freed or not again), 0, left(stack))


def client_gone_failing(stack: Stack) -> Trial:
    """A client leaves a run that fails by itself at any moment: the first ending stays."""
    broken = stack.layout.episode("broken")
    broken.mkdir()
    (broken / "episode.mp4").write_text("no video")
    with stack.api() as server:
        body = {"ep_id": "broken", "execution_mode": "local", "run_id": "r1"}
        with suppress(httpx.HTTPError):
            # Most of this time it loads; the moments after that are those in question.
            timeout = httpx.Timeout(5, read=stack.rng.uniform(0.6, 1.6))
            server.client.post("/celery_jobs/detect_track", json=body, timeout=timeout)
        orphans = left(stack)
        run = stack.layout.run("broken", "r1")
        honest = not run.folder.exists() or _holds(lambda: _says_what_happened(run))
        again = works_again(stack, server)
        return Trial(int(again), int(not honest or not again), 0, orphans)


def waits_for_its_turn(stack: Stack) -> Trial:
    """A client that reads lines waits for a slot: it hears of it, and is served when it is free."""
    with stack.api(SCREENALYTICS_MAX_LOCAL_RUNS="1") as server:
        other = stack.layout.episode("other")
        other.mkdir()
        (other / "episode.mp4").symlink_to(stack.layout.episode(stack.episode) / "episode.mp4")
        body = {"ep_id": "other", "execution_mode": "local", **SHORT_RUN}
        lines: list[dict[str, Any]] = []
        with _asking(stack, server, fields=_SLOW):
            server.wait_for_run()
            reading = threading.Thread(target=_read, args=(server, body, lines), daemon=True)
            reading.start()
            heard = _holds(lambda: len(lines) > 1)
            for run in server.client.get("/celery_jobs").json()["items"]:
                if run["ep_id"] == stack.episode:
                    server.client.post(f"/episodes/{stack.episode}/runs/{run['run_id']}/cancel")
            reading.join(PATIENCE)
        served = bool(lines) and lines[-1]["type"] == "result"
        waited = bool(lines) and lines[0].get("phase") == "waiting"
        return Trial(int(served), int(not (heard and served and waited)), 0, left(stack))


def _kill(server: Server) -> None:
    server.process.kill()
    server.process.wait()


@contextmanager
def _asking(
    stack: Stack,
    server: Server,
    path: str = "/celery_jobs/detect_track",
    fields: dict[str, Any] | None = RUN,
) -> Iterator[None]:
    """A client that waits for its answer beside the block; it may be disappointed."""
    body = None if fields is None else {"ep_id": stack.episode, "execution_mode": "local", **fields}

    def ask() -> None:
        with suppress(httpx.HTTPError):
            server.client.post(path, json=body)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)


def _read(server: Server, body: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    headers = {"accept": "application/x-ndjson"}
    with (
        server.another_client(PATIENCE) as client,
        client.stream("POST", "/celery_jobs/detect_track", json=body, headers=headers) as answer,
    ):
        lines.extend(json.loads(line) for line in answer.iter_lines())


def _next_api(stack: Stack, orphans: int) -> Trial:
    with stack.api() as server:
        before = stack.completed_runs(server)
        swept = _swept(stack)
        again = works_again(stack, server)
        doubled = max(0, stack.completed_runs(server) - before - 1)
        return Trial(int(again), int(not again or not swept), doubled, orphans)


def _swept(stack: Stack) -> bool:
    """A server that has just started has freed what the one before had left."""
    return _holds(lambda: not list(stack.layout.all_manifests.rglob(_STAGING)))


def _holds(condition: Callable[[], Any]) -> bool:
    """Whether it becomes true."""
    try:
        wait_for(condition)
    except AssertionError:
        return False
    return True


def _uploads(stack: Stack) -> list[str]:
    return [path.name for path in stack.layout.uploads.glob(f"*{PART}")]


def _stop_at_any_moment(stack: Stack, runs: list[psutil.Process], within: float = 3.0) -> None:
    time.sleep(stack.rng.uniform(0, within))
    for run in runs:
        with suppress(psutil.NoSuchProcess):
            run.send_signal(signal.SIGSTOP)
    _holds(lambda: all(_is_stopped(run) or not run.is_running() for run in runs))


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _says_what_happened(files: RunFiles) -> bool:
    """The manifest has the reason that the run's own log ends with."""
    manifest = json.loads(files.manifest.read_text())
    log = files.log.read_text().splitlines()
    if manifest["status"] == "running":
        return False
    return not log or str(log[-1]).endswith(str(manifest["exit_reason"]))


FAULTS: dict[str, Callable[[Stack], Trial]] = {
    function.__name__: function
    for function in (
        api_killed_in_imports,
        api_killed_run_stopped,
        client_gone_run_stopped,
        pool_process_killed_run_stopped,
        api_killed_preview,
        api_killed_upload,
        client_gone_failing,
        waits_for_its_turn,
    )
}
