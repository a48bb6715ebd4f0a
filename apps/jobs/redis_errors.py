"""What Redis answers when it does not do what it is asked, as an error that says what to do."""

from __future__ import annotations

import re

import redis
from redis.exceptions import InvalidResponse

from apps.common.errors import QueueUnavailable

_URL = "SCREENALYTICS_REDIS_URL"
_LOCAL = "execution_mode 'local' needs none."
# Redis's own words for why it refuses, as they begin its answer or stand in a script's.
_REFUSALS: dict[str, tuple[str, str]] = {
    "OOM": (
        "Redis is out of memory and takes nothing new.",
        f"Raise its maxmemory, or remove what else it holds; {_LOCAL}",
    ),
    "MISCONF": (
        "Redis takes nothing new, because it could not save to its disk.",
        f"Look at its log; give its folder space and rights; {_LOCAL}",
    ),
    "READONLY": (
        "Redis is a read-only replica.",
        f"Name its primary in {_URL}.",
    ),
    "NOAUTH": (
        "Redis wants a password.",
        f"Put it into {_URL}: redis://:PASSWORD@host:port/0.",
    ),
    "WRONGPASS": (
        "Redis refuses the user name or password.",
        f"Correct them in {_URL}.",
    ),
    "NOPERM": (
        "Redis does not let this user do what the queue needs.",
        f"Give the user of {_URL} all keys, channels and commands of its database, scripts "
        "included.",
    ),
    "LOADING": ("Redis is loading its data.", f"Try again when it is done; {_LOCAL}"),
    "BUSY": ("Redis is busy with a script that does not end.", f"Look at its log; {_LOCAL}"),
    "MASTERDOWN": (
        "Redis is a replica that has lost its primary.",
        f"Name the primary in {_URL}.",
    ),
    "NOREPLICAS": (
        "Redis takes nothing new, because it has too few replicas.",
        f"Start them, or lower its min-replicas-to-write; {_LOCAL}",
    ),
    "max number of clients": (
        "Redis takes no more connections.",
        f"Raise its maxclients, or stop what else uses it; {_LOCAL}",
    ),
    "DB index is out of range": (
        "Redis has no database of that number.",
        f"Correct the number at the end of {_URL}.",
    ),
    **dict.fromkeys(
        ("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN"),
        (
            "Redis is part of a cluster, where the queue cannot work.",
            f"Name a single server in {_URL}.",
        ),
    ),
}
_KNOWN = re.compile(r"(?:^|[\s-])(" + "|".join(map(re.escape, _REFUSALS)) + r")\b")


def queue_unavailable(error: BaseException) -> QueueUnavailable:
    """The problem that tells why Redis refuses, or does not answer.

    Args:
        error: as redis-py or the operating system raised it.
    """
    detail, hint = _explained(error)
    return QueueUnavailable(detail, hint=hint)


def _explained(error: BaseException) -> tuple[str, str]:
    text = f"{getattr(error, 'status_code', None) or ''} {error}"
    known = _KNOWN.search(text)
    if known is not None:
        return _REFUSALS[known[1]]
    if isinstance(error, redis.AuthenticationError):
        return _REFUSALS["WRONGPASS"]
    if "certificate" in text.lower() or "ssl" in text.lower():
        return "The TLS connection to Redis fails.", f"Check the certificates that {_URL} names."
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return "Redis does not answer in time.", f"See whether it hangs; {_LOCAL}"
    if isinstance(error, redis.ConnectionError | OSError):
        return (
            "Redis does not answer.",
            f"Start it (make up does), or check {_URL}; {_LOCAL}",
        )
    if isinstance(error, InvalidResponse):
        return f"What answers at {_URL} is no Redis.", f"Correct it; {_LOCAL}"
    return f"Redis refuses: {str(error)[:200]}", f"Look at its log; {_LOCAL}"
