"""A storage that goes away with a request or at once, and what dies with a request to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lab.faults.scenarios import Stack
from lab.faults.storage_hosts import Host, Hosts
from lab.processes.bucket import Answer, Handler, answer_is_lost, is_unreachable, refuses

SHORT_SECONDS, LONG_SECONDS = (8.0, 12.0), 30.0  # that a storage is away
QUICK_SECONDS = (2.0, 3.0)  # where a trial is to be quick
LONG_EVERY = 5  # seed
_BUSY = refuses(503, "SlowDown")
_FILES = 6  # of a run, and its crops


class Away:
    """Once it begins the storage is away for some seconds, and then back by itself.

    Args:
        names: of the hosts for which it is; all where there are none.
    """

    def __init__(self, hosts: Hosts, stack: Stack, *names: str) -> None:
        self.seconds = stack.rng.uniform(*(QUICK_SECONDS if stack.quick else SHORT_SECONDS))
        if stack.seed % LONG_EVERY == 0 and not stack.quick:
            self.seconds = LONG_SECONDS
        self.how = stack.rng.choice((is_unreachable, self._hangs, answer_is_lost, _BUSY))
        self._hosts, self._names = hosts, names
        self._begun, self._over = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            if self._begun.is_set():
                return
            self._begun.set()
        self._hosts.away(self.how, *self._names)
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        time.sleep(self.seconds)
        self._hosts.away_is_over(*self._names)
        self._over.set()

    def _hangs(self, _: Handler) -> bool:
        """Says nothing until it is over; then it does what it was asked."""
        self._over.wait(LONG_SECONDS + 5)
        return False

    def at(self, request: int = 1) -> Answer:
        """Begins with the first request that is answered so, or the second, and so on."""
        left = [request]

        def do(handler: Handler) -> bool:
            left[0] -= 1
            if left[0] > 0 or self._over.is_set():
                return False
            self.begin()
            return self.how(handler)

        return do

    def wait(self, patience: float) -> bool:
        """Until it is over; False where it never began."""
        return self._begun.wait(patience) and self._over.wait(LONG_SECONDS + 10)


def killed_at(stack: Stack, host: Host, kill: Callable[[], None]) -> threading.Event:
    """Kills it with one of its requests that store a run, before or after that has been done."""
    done = threading.Event()
    is_first = stack.rng.random() < 0.5
    left = [any_file(stack)]

    def do(handler: Handler) -> bool:
        left[0] -= 1
        if left[0] == 0:
            if not is_first:
                handler.asked()
            kill()
            done.set()
            handler.close_connection = True
        return left[0] <= 0

    at_record = stack.rng.random() < 0.3
    if at_record:
        left[0] = 1
    where = f"/published/{stack.episode}/runs/" if at_record else f"/runs/{stack.episode}/"
    host.faults.add("PUT", where, _until(done, do))
    return done


def _until(done: threading.Event, do: Answer) -> Answer:
    """An answer for requests up to the one with which it is done."""
    return lambda handler: not done.is_set() and do(handler)


def any_file(stack: Stack) -> int:
    return stack.rng.randint(1, _FILES)


def holds(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it becomes true within these seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.3)
    return bool(condition())
