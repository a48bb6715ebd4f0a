"""Where a run's time goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


@dataclass
class StageClock:
    """Seconds by stage, summed over threads: of several at once they may exceed the run's own."""

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, time.perf_counter() - start)

    def over(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Times how long each item takes to come."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def through(
        self, stage: str, stream: Callable[[Iterator[S]], Iterable[T]], items: Iterable[S]
    ) -> Iterator[T]:
        """Times what a generator does with the items of another, without how long those take.

        Args:
            stream: makes the generator of the items.
        """
        resumed = 0.0

        def stop() -> None:
            self._add(stage, time.perf_counter() - resumed)

        def given() -> Iterator[S]:
            nonlocal resumed
            iterator = iter(items)
            while True:
                stop()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    resumed = time.perf_counter()
                yield item

        made = iter(stream(given()))
        while True:
            resumed = time.perf_counter()
            try:
                item = next(made)
            except StopIteration:
                return
            finally:
                stop()
            yield item

    def _add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
