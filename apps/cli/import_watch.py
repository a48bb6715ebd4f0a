"""Tells on a terminal how far the server is with a folder that it imports."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from apps.common.batch_schemas import ImportProgress, ImportsStatus
from apps.common.repeater import Repeater
from apps.common.terminal import printable

if TYPE_CHECKING:
    import httpx

_POLL_SECONDS = 1.0
_CLEARED = "\r\x1b[K"  # the line that the terminal is on
_STEPS = 10  # of all bytes: a line each where lines stay


class ImportWatch(Repeater):
    """Asks every second until its block ends.

    Args:
        client: of the service.
        path: that tells how far it is.
    """

    def __init__(self, client: httpx.Client, path: str) -> None:
        self._client = client
        self._path = path
        self._said: tuple[str | None, int] | None = None
        super().__init__("import progress", _POLL_SECONDS, self._look)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._said is not None and sys.stderr.isatty():
            sys.stderr.write(_CLEARED)

    def _look(self) -> None:
        import httpx

        with suppress(httpx.HTTPError, ValidationError):  # the answer to the request says it
            answer = self._client.get(self._path, timeout=5)
            running = ImportsStatus.model_validate_json(answer.content).running
            if running is not None and running.file is not None:
                self._tell(running)

    def _tell(self, running: ImportProgress) -> None:
        step = _STEPS * running.bytes_done // max(running.bytes_total, 1)
        is_terminal = sys.stderr.isatty()
        if is_terminal or self._said != (running.file, step):
            self._said = running.file, step
            begin, end = (_CLEARED, "") if is_terminal else ("", "\n")
            sys.stderr.write(f"{begin}{line(running)}{end}")
            sys.stderr.flush()


def line(running: ImportProgress) -> str:
    """How far an import is, for people to read."""
    share = running.bytes_done / max(running.bytes_total, 1)
    file = printable(running.file or "")
    text = (
        f"Importing {running.files_done + 1} of {running.files_total}: {file} "
        f"({share:.0%} of {running.bytes_total / 1e6:,.0f} MB"
    )
    if running.eta_sec is None:
        return f"{text})"
    minutes, seconds = divmod(round(running.eta_sec), 60)
    return f"{text}, {minutes}:{seconds:02d} left)"
