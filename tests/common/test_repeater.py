"""An action beside the main work: when it comes first, and that it stops coming."""

from __future__ import annotations

import threading

import pytest

from apps.common.repeater import Repeater

FOR_EVER = 3600.0


def test_it_is_done_again_and_again_until_the_block_ends() -> None:
    calls: list[str] = []
    thrice = threading.Event()

    def action() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            thrice.set()

    with Repeater("beside", 0.001, action):
        assert thrice.wait(30)
    assert set(calls) == {"beside"}
    assert not any(thread.name == "beside" for thread in threading.enumerate())


@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_call_comes_at_the_start_or_after_an_interval(at_once: bool) -> None:
    called = threading.Event()
    with Repeater("beside", FOR_EVER, called.set, at_once=at_once):
        if at_once:
            assert called.wait(30)
    assert called.is_set() is at_once


def test_its_end_does_not_wait_for_a_call_that_hangs() -> None:
    """A handler of signals must not."""
    hangs, goes_on = threading.Event(), threading.Event()

    def action() -> None:
        hangs.set()
        goes_on.wait(30)

    repeater = Repeater("beside", FOR_EVER, action, at_once=True)
    repeater.start()
    assert hangs.wait(30)
    repeater.end()
    assert not goes_on.is_set()
    goes_on.set()
