"""How a process learns that it is to end: by signals, and by its launcher's last word."""

from __future__ import annotations

import json
import os
import signal

from apps.common.errors import ScreenalyticsError, from_dict
from apps.pipeline.stop import StopFlag, stopped


def listen_to_signals(stop: StopFlag) -> dict[str, int]:
    """A first SIGINT, SIGTERM or SIGHUP stops in order, a second one at once.

    Under `nohup` a terminal that goes away stops nothing.

    Returns:
        Where the exit code will stand.
    """
    codes: dict[str, int] = {}
    reasons = {signal.SIGINT: "interrupted (SIGINT)", signal.SIGTERM: "terminated (SIGTERM)"}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        reasons[signal.SIGHUP] = "its terminal was closed (SIGHUP)"

    def on_signal(number: int, _: object) -> None:
        if "signal" in codes:  # asked twice: something hangs, so leave at once
            os._exit(128 + number)
        codes["signal"] = 128 + number
        stop.stop(stopped(reasons[signal.Signals(number)]))

    for number in reasons:
        signal.signal(number, on_signal)
    return codes


def last_word(word: bytes) -> ScreenalyticsError:
    """How a run ends that its launcher has ended.

    Args:
        word: the launcher's, the problem as a JSON line; anything else where it just died.
    """
    try:
        body = json.loads(word)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return from_dict(body)
    return stopped("the program that started it is gone")
