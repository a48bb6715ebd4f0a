"""The address of Redis, as SCREENALYTICS_REDIS_URL says it and as each library wants it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_PORT = 6379
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS = (*_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_CERT_REQS = ("required", "optional", "none")
_FORMS = (
    "it must be like redis://127.0.0.1:6379/0, rediss://host:6379/0?ssl_ca_certs=FILE or "
    "unix:///path/to/redis.sock?db=0"
)


@dataclass(frozen=True)
class RedisUrl:
    """One server; `redis://` and `rediss://` (TLS) by host and port, `unix://` by a socket.

    Attributes:
        path: where the socket is; empty for the others.
        tls: settings of TLS by redis-py's names; the server's certificate is checked by default.
    """

    scheme: str
    host: str
    port: int
    path: str
    database: int
    username: str
    password: str
    tls: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Reads the address of a Redis.

        Raises:
            ValueError: it is no URL of a Redis server; says why, without a password.
        """
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
            query = dict(parse_qsl(parts.query, strict_parsing=parts.query != ""))
        except ValueError:
            raise ValueError(f"is not a URL; {_FORMS}") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError(f"begins with {parts.scheme or 'nothing'!r}; {_FORMS}")
        unix = parts.scheme == "unix"
        path = unquote(parts.path)
        if unix and (host is not None or path.strip("/") == ""):
            raise ValueError(f"names no socket by its whole path; {_FORMS}")
        return cls(
            scheme=parts.scheme,
            host="" if unix else unquote(host or "127.0.0.1"),
            port=DEFAULT_PORT if port is None else port,
            path=path if unix else "",
            database=_database(query.pop("db", "") if unix else path.strip("/")),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=_tls(parts.scheme, query),
        )

    @property
    def for_client(self) -> str:
        """As redis-py wants it."""
        if self.scheme == "unix":
            return f"unix://{self._user}{quote(self.path)}?db={self.database}"
        return f"{self.scheme}://{self._user}{self._address}/{self.database}{self._query}"

    @property
    def for_broker(self) -> str:
        """As Celery's broker wants it. It would check no certificate unless it is told to."""
        if self.scheme == "unix":
            socket = f"redis+socket://{self._user}{quote(self.path)}"
            return f"{socket}?virtual_host={self.database}"
        return self.for_client

    @property
    def shown(self) -> str:
        """Without user and password."""
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.database}"
        return f"{self.scheme}://{self._address}/{self.database}"

    @property
    def _address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else quote(self.host)
        return f"{host}:{self.port}"

    @property
    def _user(self) -> str:
        if self.username == self.password == "":
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"

    @property
    def _query(self) -> str:
        return f"?{urlencode(self.tls)}" if self.tls else ""


def _database(text: str) -> int:
    if text == "":
        return 0
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"names a database that is no number; {_FORMS}")
    return int(text)


def _tls(scheme: str, query: dict[str, str]) -> tuple[tuple[str, str], ...]:
    unknown = [name for name in query if scheme != "rediss" or name not in _TLS]
    if unknown:
        allowed = {"rediss": ", ".join(_TLS), "unix": "db"}.get(scheme, "nothing")
        raise ValueError(f"has {unknown[0][:40]!r} behind its '?'; allowed there: {allowed}")
    if scheme != "rediss":
        return ()
    wanted = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if wanted not in _CERT_REQS:
        raise ValueError(f"has a wrong ssl_cert_reqs; allowed: {', '.join(_CERT_REQS)}")
    return tuple(sorted({**query, "ssl_cert_reqs": wanted}.items()))
