"""The paths to one and the same run: the bare command line, and three over HTTP.

Each `run` blocks until the run has ended, as a client of that path would see it, and ends what it
started when it is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from apps.common.certificates import certificates
from apps.common.contracts.manifest import RunManifest
from apps.common.errors import ScreenalyticsError
from apps.common.layout import Layout
from apps.common.option_flags import as_arguments
from apps.common.python_module import python_module, same_code
from apps.common.settings import Settings
from apps.runs.launch import RUN_MODULE
from apps.runs.store import read_manifest

POLL_SECONDS = 0.1  # how often a queued job is asked for; the wall clock is that exact
RUN_SECONDS = 24 * 3600.0  # no episode takes longer
QUEUE_SECONDS = 60.0  # longest wait of a job for a worker that ought to be free
_NOT_THERE = {404, 405, 501}  # a route that this server does not have

Fields = dict[str, Any]


class ComparisonFailed(Exception):
    """Says what went wrong and what to do, in a sentence or two."""


class ModeUnavailable(ComparisonFailed):
    """The server does not offer this path now; the others may work."""


@dataclass(frozen=True)
class Task:
    """What is run by each path.

    Args:
        options: fields of a request; absent ones are decided by profile and environment.
        nice: niceness of the command line; the service has its own setting.
        headers: sent with every request, the API key's among them.
    """

    ep_id: str
    data_root: Path
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    nice: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class Runner(ABC):
    mode: str

    def __init__(self, task: Task) -> None:
        self.task = task

    def check(self) -> None:
        """Asks whether the path can be used, before anything is run.

        Raises:
            ModeUnavailable: it cannot.
        """
        return

    @abstractmethod
    def run(self, run_id: str) -> None:
        """Runs the episode by this path, and waits for the end.

        Raises:
            ModeUnavailable: this path cannot be used now.
            ComparisonFailed: the run failed.
        """

    @abstractmethod
    def manifest(self, run_id: str) -> RunManifest | None:
        """The run's manifest; None as long as there is none. Called from another thread too."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of connections."""


class CliRunner(Runner):
    """`screenalytics run`, with nothing around it: the baseline."""

    mode = "cli"

    def run(self, run_id: str) -> None:
        process = subprocess.Popen(
            self._command(run_id),
            env=same_code(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _, errors = process.communicate()
        except BaseException:
            with _undisturbed():
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=5)
                process.kill()
                process.communicate()
            raise
        if process.returncode != 0:
            said = errors.strip().splitlines() or [f"It ended with code {process.returncode}."]
            raise ComparisonFailed(f"The command line failed: {said[-1].removeprefix('error: ')}")

    def manifest(self, run_id: str) -> RunManifest | None:
        layout = Layout(self.task.data_root)
        if not layout.run(self.task.ep_id, run_id).manifest.exists():
            return None
        with contextlib.suppress(ScreenalyticsError):
            return read_manifest(layout, self.task.ep_id, run_id)
        return None

    def close(self) -> None:
        """It holds nothing."""

    def _command(self, run_id: str) -> list[str]:
        task = self.task
        command = [*python_module(RUN_MODULE), "--ep-id", task.ep_id, "--run-id", run_id]
        command += ["--data-root", str(task.data_root), "--nice", str(task.nice)]
        return command + as_arguments(task.options)


class HttpRunner(Runner):
    """What the three paths over HTTP share."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        timeout = httpx.Timeout(10, read=RUN_SECONDS)
        self._client = client_of(task, timeout)
        self._watching = client_of(task, httpx.Timeout(5))

    def close(self) -> None:
        self._client.close()
        self._watching.close()

    def manifest(self, run_id: str) -> RunManifest | None:
        try:
            answer = self._watching.get(f"/episodes/{self.task.ep_id}/runs/{run_id}")
            return None if answer.status_code != 200 else RunManifest.model_validate(answer.json())
        except (httpx.TransportError, ValidationError, ValueError):
            return None

    def _body(self, run_id: str, **more: Any) -> Fields:
        return {"ep_id": self.task.ep_id, "run_id": run_id, **self.task.options, **more}

    def _refuse(self, answer: httpx.Response) -> None:
        """Raises what an error status means."""
        if answer.status_code < 400:
            return
        answer.read()
        body = _object(answer.text)
        said = problem_text(body) or f"The server answered {answer.status_code}."
        if answer.status_code == 503:
            raise ModeUnavailable(said)
        if answer.status_code in _NOT_THERE and body.get("type") == "about:blank":
            raise ModeUnavailable("This server does not have it.")
        raise ComparisonFailed(f"The {self.mode} run failed: {said}")

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ComparisonFailed(
                f"The connection to {self.task.url} broke during the {self.mode} run "
                f"({type(error).__name__}). Look at the server's log, then start again."
            ) from None


class LocalRunner(HttpRunner):
    """Local Worker (direct): one request that blocks."""

    mode = "local"

    def run(self, run_id: str) -> None:
        body = self._body(run_id, execution_mode="local")
        with self._talking():
            self._refuse(self._client.post("/celery_jobs/detect_track", json=body))


class SseRunner(HttpRunner):
    """The old path: one request, and its server-sent events."""

    mode = "sse"

    def run(self, run_id: str) -> None:
        with (
            self._talking(),
            self._client.stream(
                "POST", "/jobs/detect_track/stream", json=self._body(run_id)
            ) as answer,
        ):
            self._refuse(answer)
            for name, data in server_sent_events(answer.iter_lines()):
                if name == "done":
                    return
                if name == "error":
                    said = problem_text(data) or "no reason was given"
                    raise ComparisonFailed(f"The sse run failed: {said}")
        raise ComparisonFailed("The sse run's events ended without a result; see the server's log.")


class RedisRunner(HttpRunner):
    """Redis/Celery (queued): a job, asked for until it has ended."""

    mode = "redis"

    def check(self) -> None:
        with self._talking():
            answer = self._client.get("/health/ready", timeout=30)
        for name in ("redis", "workers"):
            state = _object(answer.text).get("dependencies", {}).get(name, {})
            if state.get("ok") is False:
                raise ModeUnavailable(f"{state.get('detail')} Start it with `make up`.")

    def run(self, run_id: str) -> None:
        body = self._body(run_id, execution_mode="redis")
        with self._talking():
            answer = self._client.post("/celery_jobs/detect_track", json=body)
            self._refuse(answer)
            job_id = str(answer.json()["job_id"])
            try:
                self._wait(f"/celery_jobs/{job_id}")
            except BaseException:
                with _undisturbed():
                    self._cancel(job_id)
                raise

    def _cancel(self, job_id: str) -> None:
        """By the server, or past it where it is gone."""
        try:
            self._client.post(f"/celery_jobs/{job_id}/cancel", timeout=5)
        except httpx.TransportError:
            from apps.jobs.store import JobStore  # Redis takes long to load, and is seldom needed

            with contextlib.suppress(ScreenalyticsError):
                settings = Settings.read()
                JobStore(settings.redis_url, settings.lease_s).ask_cancel(job_id)

    def _wait(self, job: str) -> None:
        latest_start = time.monotonic() + QUEUE_SECONDS
        while True:
            answer = self._client.get(job, timeout=10)
            self._refuse(answer)
            body = answer.json()
            state = body["state"]
            if state == "success":
                return
            if state in ("failed", "cancelled"):
                said = problem_text(body.get("error")) or f"its state is {state}."
                raise ComparisonFailed(f"The redis run failed: {said}")
            if state == "queued" and time.monotonic() > latest_start:
                raise ComparisonFailed(
                    f"The job waited {QUEUE_SECONDS:g} s for a worker. Wait until the other jobs "
                    "have ended, or start a worker with `make up`."
                )
            time.sleep(POLL_SECONDS)


RUNNERS: dict[str, type[Runner]] = {
    runner.mode: runner for runner in (CliRunner, SseRunner, LocalRunner, RedisRunner)
}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No signal breaks off what puts things in order, in the main thread.

    A server that is killed tells twice: its connection breaks, and the lifeline interrupts.
    """
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def client_of(task: Task, timeout: httpx.Timeout) -> httpx.Client:
    """Of the server that is compared."""
    return httpx.Client(
        base_url=task.url,
        headers=dict(task.headers),
        timeout=timeout,
        trust_env=False,
        verify=certificates(),
    )


def server_sent_events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Name and data of each event. Source: the HTML standard, "Server-sent events"."""
    name, data = "message", ""
    for line in lines:
        key, _, value = line.partition(":")
        if line == "":
            if data:
                yield name, _object(data)
            name, data = "message", ""
        elif key == "event":
            name = value.removeprefix(" ")
        elif key == "data":
            data += value.removeprefix(" ")


def problem_text(body: Any) -> str:
    """What an error answer says, and what to do about it; empty where it says nothing."""
    if isinstance(body, str):
        return body
    if not isinstance(body, dict):
        return ""
    inner = body.get("problem")
    if isinstance(inner, dict):
        body = inner
    parts = (body.get("detail") or body.get("message"), body.get("hint"))
    return " ".join(str(part) for part in parts if part)


def _object(text: str) -> Fields:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"detail": value}
