"""One POST to a host that the operator has allowed: no redirect, no proxy, no other address.

The name is looked up here and the connection made to the address that was checked, so a name that
leads elsewhere a moment later (DNS rebinding) reaches nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

from apps.common.certificates import certificates
from apps.common.webhooks import AllowedHosts

_CONNECT_SECONDS = 5.0
_QUIET_SECONDS = 10.0
_WHOLE_SECONDS = 30.0


class PostFailed(Exception):
    """Nobody has answered; says why without the URL."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    allowed: AllowedHosts,
    whole_seconds: float = _WHOLE_SECONDS,
) -> int:
    """Sends the body; the answer's own body is not read.

    Returns:
        The status of the answer.

    Raises:
        PostFailed: there is none.
    """
    backend = _Checked(allowed, time.monotonic() + whole_seconds)
    timeouts = {"connect": _CONNECT_SECONDS, "read": _QUIET_SECONDS, "write": _QUIET_SECONDS}
    try:
        with (
            httpcore.ConnectionPool(certificates(), network_backend=backend) as pool,
            pool.stream(
                "POST",
                url,
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": timeouts},
            ) as answer,
        ):
            return int(answer.status)
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        OSError,
        ValueError,
    ) as error:
        said = str(error) if isinstance(error, httpcore.ConnectError) else ""
        raise PostFailed(said or type(error).__name__) from None


class _Checked(httpcore.NetworkBackend):
    """Connects to addresses that are allowed, until a deadline."""

    def __init__(self, allowed: AllowedHosts, deadline: float) -> None:
        self._allowed = allowed
        self._deadline = deadline
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        address = self._address_of(host, port)
        stream = self._real.connect_tcp(address, port, timeout, local_address, socket_options)
        return _UntilDeadline(stream, self._deadline)

    def _address_of(self, host: str, port: int) -> str:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("its name leads nowhere") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not self._allowed.may_reach(host.lower(), address):
                raise httpcore.ConnectError(
                    f"its name leads to {address}, which SCREENALYTICS_WEBHOOK_HOSTS does not allow"
                )
        return str(addresses[0])


class _UntilDeadline(httpcore.NetworkStream):
    """A stream whose reader or writer, however slow, keeps nobody for longer."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _UntilDeadline(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(left, timeout)
