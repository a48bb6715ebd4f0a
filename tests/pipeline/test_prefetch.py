"""A generator in a thread of its own gives the same items, the same errors, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from apps.pipeline.prefetch import prefetched

NAME = "test-prefetch"


def alive() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert alive() == 0


@pytest.mark.parametrize("depth", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_items_come_in_order(depth: int, count: int) -> None:
    with prefetched(iter(range(count)), depth, NAME) as items:
        assert list(items) == list(range(count))


def test_none_and_false_are_items_like_others() -> None:
    with prefetched([None, False, 0, []], 2, NAME) as items:
        assert list(items) == [None, False, 0, []]


def test_the_work_is_done_in_the_other_thread() -> None:
    names = []

    def produce() -> Iterator[int]:
        names.append(threading.current_thread().name)
        yield 1

    with prefetched(produce(), 1, NAME) as items:
        assert list(items) == [1]
    assert names == [NAME]


def test_an_error_is_raised_where_it_would_be() -> None:
    def produce() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("broken")

    seen = []
    with prefetched(produce(), 5, NAME) as items, pytest.raises(LookupError, match="broken"):  # noqa: PT012
        for item in items:
            seen.append(item)
    assert seen == [1, 2]


class Stop(BaseException):
    """As KeyboardInterrupt or SystemExit."""


def test_an_exception_that_is_no_error_comes_through_too() -> None:
    def produce() -> Iterator[int]:
        yield 1
        raise Stop

    with prefetched(produce(), 1, NAME) as items, pytest.raises(Stop):
        list(items)


def test_it_runs_no_further_ahead_than_its_depth() -> None:
    made = []

    def produce() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with prefetched(produce(), 3, NAME) as items:
        assert next(items) == 0
        time.sleep(0.3)
        # One is consumed, three wait, one is in the producer's hand.
        assert len(made) == 5


def test_leaving_early_ends_the_thread_soon() -> None:
    def produce() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    start = time.monotonic()
    with prefetched(produce(), 2, NAME) as items:
        assert next(items) == 0
    assert time.monotonic() - start < 1
    assert alive() == 0


def test_an_error_of_the_consumer_ends_the_thread_too() -> None:
    def consume() -> None:
        with prefetched(iter(range(1000)), 2, NAME) as items:
            for item in items:
                if item == 3:
                    raise RuntimeError("consumer")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert alive() == 0


def test_decoding_overlaps_with_the_work() -> None:
    def produce() -> Iterator[int]:
        for number in range(10):
            time.sleep(0.03)
            yield number

    start = time.monotonic()
    with prefetched(produce(), 3, NAME) as items:
        for _ in items:
            time.sleep(0.03)
    assert time.monotonic() - start < 0.55  # taking turns would need 0.6 s
