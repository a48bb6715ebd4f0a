"""How a process learns that it is to end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from apps.cli.ending import last_word, listen_to_signals
from apps.common.errors import RunCancelled, RunTimedOut
from apps.pipeline.stop import StopFlag


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """What listens to signals is taken away again."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_a_first_signal_stops_in_order(number: signal.Signals, word: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop = StopFlag()
    codes = listen_to_signals(stop)
    assert not stop.is_set
    signal.raise_signal(number)
    assert codes == {"signal": 128 + number}
    with pytest.raises(RunCancelled, match=word):
        stop.check()


def test_a_terminal_that_goes_away_stops_nothing_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = StopFlag()
    codes = listen_to_signals(stop)
    signal.raise_signal(signal.SIGHUP)
    assert (codes, stop.is_set) == ({}, False)


def test_what_a_launcher_says_last_is_how_the_run_ends() -> None:
    why = RunTimedOut("It took too long.", hint="Be quicker.")
    ending = last_word(json.dumps(why.to_dict()).encode() + b"\n")
    assert (type(ending), ending.detail, ending.hint) == (RunTimedOut, why.detail, why.hint)


@pytest.mark.parametrize("word", [b"", b"\n", b"[]\n", b"{half"])
def test_a_launcher_that_says_nothing_is_gone(word: bytes) -> None:
    ending = last_word(word)
    assert isinstance(ending, RunCancelled)
    assert "is gone" in ending.detail
