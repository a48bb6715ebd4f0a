"""HTTP connections that do not wait for ever for a slow client: uvicorn's own, with time limits.

Uvicorn limits only how long a connection rests between two requests. Without these limits, clients
that begin a request and never finish it hold the server's files until none is left.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

# For uvicorn's option --http.
CONNECTION = "apps.web.connections:Connection"
_OTHER_FILES = 64  # for runs, Redis and files that are sent


class Connection(H11Protocol):
    """Where files run short, the one that has waited longest for its headers has to go."""

    headers_seconds = 10.0  # from the connection, or the first byte, to the end of the headers
    body_seconds = 60.0  # of silence within a body
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.headers_seconds, self._headers_late)
        if len(self.connections) > _room():
            timers = {c: c._timer for c in self.connections if isinstance(c, Connection)}
            waiting = {c: timer.when() for c, timer in timers.items() if timer is not None}
            min(waiting, key=lambda connection: waiting[connection])._headers_late()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # else uvicorn's own limit counts
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Waits for what the client owes now."""
        if self.transport.get_protocol() is not self:  # a WebSocket now, which may be silent
            self._stop_waiting()
        elif self.conn.their_state is h11.IDLE:
            if self._timer is None:
                self._wait(self.headers_seconds, self._headers_late)
        elif self.conn.their_state is h11.SEND_BODY:
            self._wait(self.body_seconds, self._body_late)
        else:
            self._stop_waiting()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _headers_late(self) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        headers = [(b"connection", b"close"), (b"content-length", b"0")]
        late = h11.Response(status_code=408, headers=headers, reason=STATUS_PHRASES[408])
        for event in (late, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _body_late(self) -> None:
        """The application learns of it as of a client that has gone."""
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:  # the server's own doing
            self._wait(self.body_seconds, self._body_late)
        else:
            self._stop_waiting()
            self.transport.close()


def _room() -> int:
    """How many connections may be open at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, files - _OTHER_FILES) if files != resource.RLIM_INFINITY else 1 << 30
