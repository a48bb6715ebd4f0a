"""An operator's command that is told when a run or a batch has ended: no shell, a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from apps.common.options import ENV_PREFIX
from apps.runs.child import how_it_ended


def run_command(words: Sequence[str], body: bytes, seconds: float) -> str | None:
    """Runs it with the event on its standard input; what it prints is not kept.

    It does not get the product's own settings, some of which are secret.

    Args:
        words: the program and its arguments.
        seconds: after which it is killed with what it has started.

    Returns:
        Why it was not told; None where it ended with code 0.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
    try:
        process = subprocess.Popen(
            list(words),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"the command cannot be started: {error.strerror}"
    try:
        process.communicate(body, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"the command took longer than {seconds:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    return None if process.returncode == 0 else f"the command {how_it_ended(process.returncode)}"
