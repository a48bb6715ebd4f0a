from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.pipeline.ordered_parallel_map import ordered_parallel_map

NAME = "test-map"


def alive() -> int:
    return sum(thread.name.startswith(NAME) for thread in threading.enumerate())


def doubled(number: int) -> int:
    return 2 * number


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(1, 5), st.integers(1, 6))
def test_all_results_in_order(count: int, threads: int, depth: int) -> None:
    with ordered_parallel_map(
        [iter(range(count))], doubled, threads=threads, depth=depth, name=NAME
    ) as results:
        assert list(results) == [2 * number for number in range(count)]
    assert alive() == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.005]), max_size=12), st.integers(2, 4))
def test_in_order_however_long_each_takes(pauses: list[float], threads: int) -> None:
    def work(numbered: tuple[int, float]) -> int:
        time.sleep(numbered[1])
        return numbered[0]

    source = enumerate(pauses)
    with ordered_parallel_map(
        [source], work, threads=threads, depth=threads + 2, name=NAME
    ) as results:
        assert list(results) == list(range(len(pauses)))


def test_results_may_be_false_or_none() -> None:
    items = [None, False, 0, []]
    with ordered_parallel_map(
        [iter(items)], lambda item: item, threads=2, depth=2, name=NAME
    ) as results:
        assert list(results) == items


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_source_is_asked_by_one_at_a_time_and_never_too_far_ahead(threads: int) -> None:
    depth, consumed, asking = threads + 1, 0, threading.Lock()
    ahead = []

    def produce() -> Iterator[int]:
        for number in range(40):
            assert asking.acquire(blocking=False)  # a generator would say so too, but later
            time.sleep(0.001)
            ahead.append(number - consumed)
            asking.release()
            yield number

    def work(number: int) -> int:
        time.sleep(0.002)
        return number

    with ordered_parallel_map(
        [produce()], work, threads=threads, depth=depth, name=NAME
    ) as results:
        for number in results:
            assert number == consumed
            consumed += 1
    assert consumed == 40
    assert max(ahead) <= depth


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_so_many_work_at_once_and_never_more(threads: int) -> None:
    """The consumer is one of them: what it does between two results counts as well."""
    lock, at_work, peak = threading.Lock(), 0, 0

    def spend() -> None:
        nonlocal at_work, peak
        with lock:
            at_work += 1
            peak = max(peak, at_work)
        time.sleep(0.005)
        with lock:
            at_work -= 1

    def produce() -> Iterator[int]:
        for number in range(30):
            spend()
            yield number

    with ordered_parallel_map(
        [produce()], lambda _: spend(), threads=threads, depth=9, name=NAME
    ) as results:
        for _ in results:
            spend()
    assert peak == threads


def test_the_source_and_the_work_go_on_beside_each_other() -> None:
    """The work on each item ends only once the next one is being made."""
    asked = [threading.Event() for _ in range(10)]

    def produce() -> Iterator[int]:
        for number, event in enumerate(asked):
            event.set()
            yield number

    def work(number: int) -> bool:
        return number == 9 or asked[number + 1].wait(10)

    with ordered_parallel_map([produce()], work, threads=2, depth=4, name=NAME) as results:
        assert list(results) == [True] * 10


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_source_comes_after_the_results_before_it(threads: int) -> None:
    def produce() -> Iterator[int]:
        yield from range(3)
        raise LookupError("broken")

    seen: list[int] = []
    with (
        ordered_parallel_map([produce()], doubled, threads=threads, depth=5, name=NAME) as results,
        pytest.raises(LookupError, match="broken"),
    ):
        seen.extend(results)
    assert seen == [0, 2, 4]
    assert alive() == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_work_is_raised_where_its_result_would_be(threads: int) -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ArithmeticError("three")
        return number

    seen: list[int] = []
    with (
        ordered_parallel_map(
            [iter(range(50))], work, threads=threads, depth=5, name=NAME
        ) as results,
        pytest.raises(ArithmeticError, match="three"),
    ):
        seen.extend(results)
    assert seen == [0, 1, 2]
    assert alive() == 0


def test_what_is_no_exception_comes_through_as_well() -> None:
    class Stop(BaseException):
        pass

    def work(_: int) -> None:
        raise Stop

    with (
        ordered_parallel_map([iter(range(3))], work, threads=2, depth=3, name=NAME) as results,
        pytest.raises(Stop),
    ):
        list(results)
    assert alive() == 0


def test_an_endless_source_is_left_at_once() -> None:
    source = itertools.count()
    with ordered_parallel_map([source], doubled, threads=3, depth=4, name=NAME) as results:
        assert next(results) == 0
    assert alive() == 0
    assert next(source) <= 1 + 3 + 4  # what was asked for, and what may be under way


def test_an_error_of_the_consumer_ends_the_threads_too() -> None:
    def consume() -> None:
        with ordered_parallel_map(
            [iter(range(1000))], doubled, threads=3, depth=4, name=NAME
        ) as results:
            for result in results:
                if result == 6:
                    raise RuntimeError("consumer")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert alive() == 0


def test_items_are_let_go_once_they_are_worked_on() -> None:
    """Decoded frames are large: only those at work are kept, not those whose results wait."""

    class Large:
        pass

    kept = weakref.WeakSet[Large]()
    peak = 0

    def produce() -> Iterator[Large]:
        nonlocal peak
        for _ in range(60):
            large = Large()
            kept.add(large)
            peak = max(peak, len(kept))
            yield large
            del large

    with ordered_parallel_map(
        [produce()], lambda _: None, threads=2, depth=20, name=NAME
    ) as results:
        for _ in results:
            time.sleep(0.001)
    assert peak <= 4


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 5), max_size=9), st.integers(1, 4), st.integers(1, 4))
def test_sources_take_turns_stretch_by_stretch(
    lengths: list[int], sources: int, threads: int
) -> None:
    """Each gives every so many-th stretch; the last item of one says so."""
    stretches = [[(number, place) for place in range(n)] for number, n in enumerate(lengths)]
    ends = {stretch[-1] for stretch in stretches}
    with ordered_parallel_map(
        [itertools.chain(*stretches[first::sources]) for first in range(sources)],
        lambda item: item,
        threads=threads,
        depth=2,
        name=NAME,
        ends_stretch=ends.__contains__,
    ) as results:
        assert list(results) == [item for stretch in stretches for item in stretch]
    assert alive() == 0


def test_two_sources_are_asked_at_once_and_never_a_stretch_too_far() -> None:
    both, newest, consumed = threading.Barrier(2, timeout=10), [0, 0], 0

    def produce(first: int) -> Iterator[int]:
        both.wait()
        for number in range(first, 40, 8):
            newest[first // 4] = number
            yield from range(number, number + 4)

    with ordered_parallel_map(
        [produce(0), produce(4)],
        lambda number: number,
        threads=2,
        depth=1,
        name=NAME,
        ends_stretch=lambda number: number % 4 == 3,
    ) as results:
        for number in results:
            assert number == consumed
            at = number + 1  # what is consumed next
            assert max(newest) <= at - at % 4 + 4  # the stretch of the other source
            consumed += 1
    assert consumed == 40


def test_an_error_of_one_source_comes_after_what_others_give_before_it() -> None:
    failed = threading.Event()

    def slow() -> Iterator[int]:
        assert failed.wait(10)
        yield from range(4)

    def broken() -> Iterator[int]:
        yield 4
        failed.set()
        raise LookupError("broken")

    seen: list[int] = []
    with (
        ordered_parallel_map(
            [slow(), broken()],
            doubled,
            threads=2,
            depth=1,
            name=NAME,
            ends_stretch=lambda number: number == 3,
        ) as results,
        pytest.raises(LookupError, match="broken"),
    ):
        seen.extend(results)
    assert seen == [0, 2, 4, 6, 8]
    assert alive() == 0
