"""Maps a function over a source of items with several threads, in order, a few items ahead.

Whoever is free takes the next item from the source, one at a time, and works on it beside the
others. The consumer's thread is one of them: it works while what it waits for is not ready, so the
threads at work are never more than was asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Done(Generic[R]):
    """The result of one item, or what went wrong with it."""

    result: R | None
    error: BaseException | None = None


@contextmanager
def ordered_parallel_map(
    source: Iterator[T], work: Callable[[T], R], *, threads: int, depth: int, name: str
) -> Iterator[Iterator[R]]:
    """Results in the order of the source; an exception is raised where its result would be.

    Args:
        source: asked by one thread at a time, never by two.
        work: called by several threads at once.
        threads: how many take and work, the consumer's included, >= 1.
        depth: at most so many items are taken and not consumed, so memory stays bounded; >= 1.
        name: begins the names of the threads, as in `name-1`.
    """
    work_shared = _ParallelMap(source, work, depth)
    helpers = [
        threading.Thread(target=work_shared.help_out, name=f"{name}-{number}", daemon=True)
        for number in range(1, threads)
    ]
    for helper in helpers:
        helper.start()
    try:
        yield work_shared.results()
    finally:
        work_shared.abandon()
        for helper in helpers:
            helper.join()


class _ParallelMap(Generic[T, R]):
    def __init__(self, source: Iterator[T], work: Callable[[T], R], depth: int) -> None:
        self._source = source
        self._work = work
        self._depth = depth
        self._changed = threading.Condition()
        self._done: dict[int, _Done[R]] = {}  # by the item's place, until it is consumed
        self._taken = 0
        self._consumed = 0
        self._is_taking = False
        self._is_over = False  # the source is, or nobody wants more

    def results(self) -> Iterator[R]:
        """For the consumer's thread."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._consumed in self._done or self._may_take() or self._is_at_end()
                )
                done = self._done.pop(self._consumed, None)
                if done is None and self._is_at_end():
                    return
                if done is not None:
                    self._consumed += 1
                    self._changed.notify_all()
            if done is None:
                self._do_one()
            elif done.error is not None:
                raise done.error
            else:
                yield done.result  # type: ignore[misc]  # there is one, if only None

    def help_out(self) -> None:
        """For the other threads: until the source is at its end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._may_take() or self._is_over)
                if self._is_over:
                    return
            self._do_one()

    def abandon(self) -> None:
        """Nobody wants more; what is being worked on is finished."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _may_take(self) -> bool:
        is_full = self._taken - self._consumed >= self._depth
        return not (self._is_taking or self._is_over or is_full)

    def _is_at_end(self) -> bool:
        return self._is_over and not self._is_taking and self._consumed == self._taken

    def _do_one(self) -> None:
        """Takes an item and works on it, unless another thread was quicker."""
        with self._changed:
            if not self._may_take():
                return
            self._is_taking = True
        try:
            item, done = next(self._source), None
        except StopIteration:
            with self._changed:
                self._is_taking, self._is_over = False, True
                self._changed.notify_all()
            return
        except BaseException as error:
            done = _Done[R](None, error)
        with self._changed:
            place = self._taken
            self._taken += 1
            self._is_taking = False
            self._is_over = self._is_over or done is not None
            self._changed.notify_all()
        if done is None:
            done = self._worked(item)
        with self._changed:
            self._done[place] = done
            self._changed.notify_all()

    def _worked(self, item: T) -> _Done[R]:
        try:
            return _Done(self._work(item))
        except BaseException as error:
            return _Done(None, error)
