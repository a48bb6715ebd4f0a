"""A command that starts servers and workers, and leaves none behind when it is told to end."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

_MARK = "LAB_COMMAND"  # in the environment of all that a command starts, whoever their parent is
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def all_ended() -> Iterator[Path]:
    """A folder for the time of the block; what was started in it ends with it, and by signals.

    Whatever has a session of its own, or lost its parent, is found by a variable that all programs
    have which are started within the block. A signal ends this process as if it had no handler.
    """
    others = set(psutil.Process().children())
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    mark = secrets.token_hex(8)
    environment = dict(os.environ)
    os.environ |= {_MARK: mark, "TMPDIR": str(folder)}  # those that are killed leave theirs

    def end() -> None:
        while found := _started(mark, others):
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(found, timeout=1)
        shutil.rmtree(folder, ignore_errors=True)

    def told(number: int, _: FrameType | None) -> None:
        end()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.signal(number, told) for number in _SIGNALS}
    try:
        yield folder
    finally:
        end()
        for name in (_MARK, "TMPDIR"):
            os.environ.pop(name)
            if name in environment:
                os.environ[name] = environment[name]
        for number, handler in before.items():
            signal.signal(number, handler)


def deaf() -> None:
    """For a process of a pool: whoever started it ends it, and all that it started.

    Handlers, unlike what is ignored, do not pass on to the programs that it starts.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)


def _started(mark: str, others: set[psutil.Process]) -> list[psutil.Process]:
    """Children but those `others`, what is below them, and all that have the mark.

    Not all show it: what was forked has the environment of its parent's start, and Redis writes its
    title over it. Children are stopped first, so that they start no more.
    """
    own = psutil.Process()
    found = set(own.children()) - others
    for child in list(found):
        with suppress(psutil.Error):
            child.suspend()
            found.update(child.children(recursive=True))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process != own and process.environ().get(_MARK) == mark:
                found.add(process)
    return [process for process in found if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
