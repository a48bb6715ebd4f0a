"""Standard streams that no work depends on: what cannot be printed is dropped.

A process may be started without them (`2>&-`), with a full disk behind them, or with a terminal
that goes away. Python then raises from whatever prints, or ends with code 120.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys

STDOUT, STDERR = 1, 2


def secure_standard_streams() -> None:
    """Makes standard output and error streams that never fail. Call it before anything is opened.

    A descriptor that is closed is opened on the null device: otherwise the next file that is opened
    gets its number, and whatever a library prints would be written into that file.
    """
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null == descriptor:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, descriptor)
                os.close(null)
    sys.stdout, sys.stderr = _stream(STDOUT), _stream(STDERR)


def write_line(descriptor: int, line: bytes) -> None:
    """Writes all of a line at once, past Python's buffers; waits for a reader that is slow.

    Raises:
        OSError: it cannot be written, or not as a whole.
    """
    rest = memoryview(line)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # whoever shares the stream does not want to wait in it
            select.select([], [descriptor], [])


def _stream(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_NeverFails(descriptor, "wb", closefd=False)),
        encoding="utf-8" if (old := _old(descriptor)) is None else old.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


def _old(descriptor: int) -> io.TextIOBase | None:
    return sys.__stdout__ if descriptor == STDOUT else sys.__stderr__


class _NeverFails(io.FileIO):
    """A raw stream that takes everything for written."""

    def write(self, data: object) -> int:
        line = bytes(data)  # type: ignore[call-overload]
        with contextlib.suppress(OSError):
            write_line(self.fileno(), line)
        return len(line)
