"""Times of stages that pull items from each other, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from apps.pipeline.stage_clock import StageClock


class Hand:
    """Seconds since the test began."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def work(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    clock = SimpleNamespace(perf_counter=lambda: hand.seconds)
    monkeypatch.setattr("apps.pipeline.stage_clock.time", clock)
    return hand


def source(hand: Hand, count: int) -> Iterator[int]:
    for number in range(count):
        hand.work(10)
        yield number
    hand.work(5)  # to see that there are no more


def test_a_stage_is_timed_without_those_before_and_after_it(hand: Hand) -> None:
    def doubled(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            hand.work(2)
            yield item
            yield item
        hand.work(1)  # what is left at the end

    clock, made = StageClock(), []
    for item in clock.through("own", doubled, clock.over("before", source(hand, 3))):
        hand.work(100)  # whoever takes the items
        made.append(item)
    assert made == [0, 0, 1, 1, 2, 2]
    assert clock.seconds == {"own": 3 * 2 + 1, "before": 3 * 10 + 5}


def test_a_stage_that_takes_several_before_it_gives_one(hand: Hand) -> None:
    def pairs(items: Iterator[int]) -> Iterator[tuple[int, int]]:
        for item in items:
            hand.work(3)
            yield item, next(items)

    clock = StageClock()
    assert list(clock.through("own", pairs, source(hand, 4))) == [(0, 1), (2, 3)]
    assert clock.seconds == {"own": 2 * 3}


def test_time_counts_where_an_error_ends_the_stage_before(hand: Hand) -> None:
    def broken() -> Iterator[int]:
        hand.work(7)
        raise ValueError
        yield 0

    def same(items: Iterator[int]) -> Iterator[int]:
        hand.work(1)
        yield from items

    clock = StageClock()
    with pytest.raises(ValueError):
        list(clock.through("own", same, broken()))
    assert clock.seconds == {"own": 1}
