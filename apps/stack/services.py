"""Processes that run together: their lines with a prefix, their deaths, their orderly end.

One thread does it all, so a child can be tied to this process between fork and exec without risk.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from apps.common.parent_death import parent_death_signal
from apps.common.python_module import same_code

LAST_LINES = 15
_LOOK_SECONDS = 0.1
_ORPHAN_SECONDS = 3.0  # a run ends its own group about a second after its launcher


class UpFailed(Exception):
    """Says what went wrong and what to do, in a sentence or two."""


@dataclass(frozen=True)
class Step:
    """One signal of a shutdown, and how long its effect is waited for, in seconds."""

    signal: signal.Signals
    patience: float


@dataclass(frozen=True)
class Plan:
    """How one service is started and stopped.

    `ready_word` is in the line with which it says that it is ready. `without_parent` is what the
    kernel sends it when this program dies, even of SIGKILL.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    steps: tuple[Step, ...]
    ready_word: str = ""
    without_parent: signal.Signals = signal.SIGTERM
    standard_input: bytes = b""


@dataclass
class Service:
    plan: Plan
    process: subprocess.Popen[bytes]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    said_ready: bool = False
    _unfinished: bytes = b""

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def take(self, data: bytes) -> list[str]:
        """The lines that are complete with this data; the last ones are remembered."""
        *complete, self._unfinished = (self._unfinished + data).split(b"\n")
        texts = [line.decode("utf-8", "replace").rstrip() for line in complete]
        lines = [text for text in texts if text]
        self.lines.extend(lines)
        if self.plan.ready_word:
            self.said_ready |= any(self.plan.ready_word in line for line in lines)
        return lines

    def ending(self) -> str:
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended ({code})"


class Stack:
    """All services, in the order in which they were started.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._services: list[Service] = []
        self.stop_requests = 0

    def listen_to_signals(self) -> None:
        """Ctrl-C, a terminal that closes and SIGTERM ask for a stop; twice, for a quick one."""

        def ask(_: int, __: object) -> None:
            self.stop_requests += 1

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, ask)

    def start(self, plan: Plan) -> Service:
        """Starts a service in a session of its own, so that Ctrl-C reaches this program only."""
        process = subprocess.Popen(
            plan.command,
            env=same_code(plan.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=parent_death_signal(plan.without_parent),
        )
        service = Service(plan, process)
        self._services.append(service)
        if process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(plan.standard_input)
                process.stdin.close()
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, service)
        return service

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float) -> bool:
        """Passes lines on until `ready`; False where a stop was asked for before.

        Raises:
            UpFailed: a service died, or `timeout` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        while not self.stop_requests:
            self.pass_lines_on()
            self.check_alive()
            if ready():
                return True
            if time.monotonic() > deadline:
                raise UpFailed(f"{what} was not ready within {timeout:g} s; see its lines above.")
        return False

    def watch(self) -> None:
        """Passes lines on until a stop is asked for.

        Raises:
            UpFailed: a service died.
        """
        while not self.stop_requests:
            self.pass_lines_on()
            self.check_alive()

    def check_alive(self) -> None:
        for service in self._services:
            if not service.alive:
                self.pass_lines_on()
                self.pass_lines_on()  # the first one read its lines, this one their end
                last = "\n".join(f"    {line}" for line in service.lines) or "    (it said nothing)"
                raise UpFailed(f"{service.name} {service.ending()}. Its last lines:\n{last}")

    def pass_lines_on(self, seconds: float = _LOOK_SECONDS) -> None:
        """Prints what the services write, for as long as there is something or `seconds`."""
        for key, _ in self._selector.select(seconds):
            service: Service = key.data
            try:
                data = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if data == b"":
                self._selector.unregister(key.fileobj)
            for line in service.take(data or b"\n"):
                self._say(f"{service.name} | {line}")

    def stop(self, *names: str) -> None:
        """Ends the named services at the same time, and whatever they started."""
        services = [service for service in self._services if service.name in names]
        family = [process for service in services for process in _descendants(service)]
        endings = [_Ending(service) for service in services]
        while [ending for ending in endings if ending.go_on(hurry=self.stop_requests > 1)]:
            self.pass_lines_on()
        for service in services:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(service.process.pid, signal.SIGKILL)  # what outlived its leader
            self._close(service)
        _, left = psutil.wait_procs(family, timeout=_ORPHAN_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _close(self, service: Service) -> None:
        self.pass_lines_on(0)
        if service.process.stdout is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(service.process.stdout)
            service.process.stdout.close()
        self._services.remove(service)


class _Ending:
    """The shutdown of one service: its steps, one after another, until it is gone."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._steps = list(service.plan.steps)
        self._next_at = 0.0

    def go_on(self, *, hurry: bool) -> bool:
        """Sends the next signal when it is due; True while the service is alive."""
        if not self._service.alive:
            return False
        if time.monotonic() >= self._next_at or (hurry and self._steps):
            step = self._steps.pop(0) if self._steps else Step(signal.SIGKILL, 1)
            self._service.process.send_signal(step.signal)
            self._next_at = time.monotonic() + step.patience
        return True


def _descendants(service: Service) -> list[psutil.Process]:
    try:
        return list(psutil.Process(service.process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []
