"""Maps a function over items with several threads, in order, a few items ahead.

Whoever is free takes the next item, and works on it beside the others. The consumer's thread is one
of them: it works while what it waits for is not ready, so the threads at work are never more than
was asked for.

Items come from one source, or from several that take turns: then the first one gives a stretch of
items, the second one the stretch behind that, and so on, all round and round. Each source is asked
by one thread at a time, so that as many stretches are in the making as there are sources.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Done(Generic[R]):
    """The result of one item, or what went wrong with it."""

    result: R | None
    ends_stretch: bool = False
    error: BaseException | None = None


@dataclass
class _Source(Generic[T]):
    """Where items come from.

    Attributes:
        stretch, place: of its next item: number of the stretch, and of the item in that.
        is_asked: a thread takes an item.
        is_over: it has no more.
    """

    items: Iterator[T]
    stretch: int
    place: int = field(default=0, init=False)
    is_asked: bool = field(default=False, init=False)
    is_over: bool = field(default=False, init=False)


def _never(_: object) -> bool:
    return False


@contextmanager
def ordered_parallel_map(
    sources: Sequence[Iterator[T]],
    work: Callable[[T], R],
    *,
    threads: int,
    depth: int,
    name: str,
    ends_stretch: Callable[[T], bool] = _never,
) -> Iterator[Iterator[R]]:
    """Results in the order of the items; an exception is raised where its result would be.

    Args:
        sources: at least one; each is asked by one thread at a time, never by two. Where there are
            several, each of them ends with the end of a stretch.
        work: called by several threads at once.
        threads: how many take and work, the consumer's included, >= 1.
        depth: at most so many items of one source are taken and not consumed, so memory stays
            bounded; >= 1. Of several sources it is a stretch of each.
        name: begins the names of the threads, as in `name-1`.
        ends_stretch: whether an item is the last one of a stretch.
    """
    work_shared = _ParallelMap(sources, work, depth, ends_stretch)
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
    def __init__(
        self,
        sources: Sequence[Iterator[T]],
        work: Callable[[T], R],
        depth: int,
        ends_stretch: Callable[[T], bool],
    ) -> None:
        self._sources = [_Source(items, number) for number, items in enumerate(sources)]
        self._work = work
        self._depth = depth
        self._ends_stretch = ends_stretch
        self._changed = threading.Condition()
        self._done: dict[tuple[int, int], _Done[R]] = {}  # by stretch and place, until consumed
        self._next = (0, 0)  # stretch and place of what is consumed next
        self._is_over = False  # nobody wants more

    def results(self) -> Iterator[R]:
        """For the consumer's thread."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._next in self._done or self._may_take() or self._is_at_end()
                )
                done = self._done.pop(self._next, None)
                if done is None and self._is_at_end():
                    return
                if done is not None:
                    stretch, place = self._next
                    self._next = (stretch + 1, 0) if done.ends_stretch else (stretch, place + 1)
                    self._changed.notify_all()
            if done is None:
                self._do_one()
            elif done.error is not None:
                raise done.error
            else:
                yield done.result  # type: ignore[misc]  # there is one, if only None

    def help_out(self) -> None:
        """For the other threads: until all sources are at their end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._may_take() or self._is_all_taken())
                if self._is_all_taken():
                    return
            self._do_one()

    def abandon(self) -> None:
        """Nobody wants more; what is being worked on is finished."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _may_take(self) -> bool:
        return self._free_source() is not None

    def _free_source(self) -> _Source[T] | None:
        """The source whose next item is consumed first, of those that may be asked."""
        if self._is_over:
            return None
        free = [source for source in self._sources if self._may_ask(source)]
        return min(free, key=lambda source: source.stretch, default=None)

    def _may_ask(self, source: _Source[T]) -> bool:
        if source.is_asked or source.is_over:
            return False
        stretch, place = self._next
        if len(self._sources) == 1:
            return source.place - place < self._depth
        return source.stretch < stretch + len(self._sources)

    def _is_all_taken(self) -> bool:
        return self._is_over or all(source.is_over for source in self._sources)

    def _is_at_end(self) -> bool:
        stretch, place = self._next
        source = self._sources[stretch % len(self._sources)]
        is_last = (source.stretch, source.place) == (stretch, place) and not source.is_asked
        return is_last and (source.is_over or self._is_over)

    def _do_one(self) -> None:
        """Takes an item and works on it, unless other threads were quicker."""
        with self._changed:
            source = self._free_source()
            if source is None:
                return
            source.is_asked = True
        try:
            item, done = next(source.items), None
        except StopIteration:
            with self._changed:
                source.is_asked, source.is_over = False, True
                self._changed.notify_all()
            return
        except BaseException as error:
            done = _Done[R](None, error=error)
        with self._changed:
            at = (source.stretch, source.place)
            ends = done is None and self._ends_stretch(item)
            if ends:
                source.stretch, source.place = source.stretch + len(self._sources), 0
            else:
                source.place += 1
            source.is_asked, source.is_over = False, done is not None
            self._changed.notify_all()
        if done is None:
            done = self._worked(item, ends)
        with self._changed:
            self._done[at] = done
            self._changed.notify_all()

    def _worked(self, item: T, ends_stretch: bool) -> _Done[R]:
        try:
            return _Done(self._work(item), ends_stretch)
        except BaseException as error:
            return _Done(None, ends_stretch, error)
