"""One process that works for this program: leader of its own group, told what to do on its input.

Its standard input stays open for as long as it is wanted. When that ends, because it is to stop or
because this program died, even of SIGKILL, it ends its own group (`apps.common.lifeline`). It tells
what it does on its standard output.

Its group is of this program's session: when this program dies, the system sends SIGHUP and SIGCONT
to such a group if it was stopped (POSIX, "orphaned process group"), and it was not asked before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from apps.common.python_module import python_module, same_code

_GRACE_SECONDS = 1.2  # for an orderly stop, before SIGKILL; the contract gives two in all
_LINE_LIMIT = 1_000_000  # bytes of one line
_STDERR_LINES = 50
E = TypeVar("E")


class Child:
    """Use `start`, and await `kill` in a `finally`: it does nothing to a group that ended.

    Attributes:
        stderr: the last lines that it printed there; none where it shares this program's.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._process = process
        self._drain = asyncio.create_task(self._drain_stderr())

    @classmethod
    async def start(
        cls,
        module: str,
        arguments: list[str],
        line: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        shares_stderr: bool = False,
    ) -> Child:
        """Starts a module as a process of its own.

        Args:
            module: that is executed by this Python, found where this program's own modules are.
            arguments: what the module gets.
            line: what the process reads first.
            environment: its own; this program's by default.
            shares_stderr: it writes its errors where this program does.
        """
        process = await asyncio.create_subprocess_exec(
            *_tied(),
            *python_module(module),
            *arguments,
            env=same_code(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if shares_stderr else asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            process_group=0,
        )
        child = cls(process)
        if process.stdin is not None and line is not None:
            process.stdin.write(line.encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def lines(self) -> AsyncIterator[bytes]:
        """Its standard output, until it closes that."""
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("the process was started without a pipe")
        async for line in stdout:
            yield line

    async def kill(self, word: str = "") -> bool:
        """Ends the group, first politely, and also what outlived its leader.

        False where the process had ended by itself.

        Args:
            word: why, a line; it can be read as the last one of the process's input.
        """
        killed = self._process.returncode is None
        if killed:
            self._end_input(word)
            self._signal(signal.SIGCONT)  # a stopped group would never see that
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self._process.wait()
        self._signal(signal.SIGKILL)
        await self.ended()
        return killed

    async def ended(self) -> int:
        """Waits for its end; its exit code, or the negative number of a signal."""
        code = await self._process.wait()
        await self._drain
        return code

    def _end_input(self, word: str) -> None:
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            if word:
                stdin.write(word.encode() + b"\n")
            stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _drain_stderr(self) -> None:
        """Always reads: a pipe that nobody empties stops the process that fills it."""
        stream = self._process.stderr
        if stream is None:
            return
        while line := await stream.readline():
            self.stderr.append(line.decode("utf-8", "replace").rstrip())


def event_of(kind: TypeAdapter[E], line: bytes) -> E | None:
    """The event that a line is; None for what a library printed."""
    try:
        return kind.validate_json(line)
    except ValidationError:
        return None


@cache
def _tied() -> list[str]:
    """Goes before a command that is to die with the thread that starts it, from its very beginning.

    Python asks the kernel for that as soon as it can (`apps.common.lifeline`), but it may be
    stopped while it is being loaded itself. Empty where there is no such program.
    """
    program = shutil.which("setpriv")  # of util-linux
    if program is None:
        return []
    tied = [program, "--pdeathsig", "KILL", "--"]
    tried = subprocess.run([*tied, sys.executable, "--version"], capture_output=True, check=False)
    return tied if tried.returncode == 0 else []


def how_it_ended(code: int) -> str:
    """The rest of a sentence that begins with the process."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
