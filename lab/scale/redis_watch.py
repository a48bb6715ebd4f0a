"""What the whole costs Redis: memory, commands, connections and CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import redis

_MOST_USED = 12


@dataclass(frozen=True)
class RedisFigures:
    """Of one Redis, over a time.

    Args:
        commands_per_second: mean of all seconds; those inside scripts are counted too.
        most_commands_per_second: in any second.
        cpu_percent: of a core, mean.
        most_cpu_percent: in any second.
        most_memory_mb: of its data and buffers.
        by_command: calls of those that are used most.
    """

    seconds: float
    commands_per_second: float
    most_commands_per_second: float
    cpu_percent: float
    most_cpu_percent: float
    most_memory_mb: float
    most_connections: int
    by_command: dict[str, int]


@dataclass(frozen=True)
class _Sample:
    at: float
    commands: int
    cpu_s: float


class RedisWatch:
    """Call `look` about once a second."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._client.config_resetstat()
        self._samples = [self._sample(self._info())]
        self._memory = 0.0
        self._connections = 0

    def look(self) -> None:
        found = self._info()
        self._samples.append(self._sample(found))
        self._memory = max(self._memory, found["used_memory"] / 1e6)
        self._connections = max(self._connections, found["connected_clients"])

    def figures(self) -> RedisFigures:
        self.look()
        first, last = self._samples[0], self._samples[-1]
        pairs = [
            (a, b)
            for a, b in zip(self._samples, self._samples[1:], strict=False)
            if b.at - a.at > 0.2  # a look just after another tells nothing of a second
        ]
        seconds = last.at - first.at
        used = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in used.items()}
        most = sorted(calls.items(), key=lambda one: -one[1])[:_MOST_USED]
        return RedisFigures(
            seconds=round(seconds, 1),
            commands_per_second=round((last.commands - first.commands) / seconds, 1),
            most_commands_per_second=round(
                max(((b.commands - a.commands) / (b.at - a.at) for a, b in pairs), default=0.0), 1
            ),
            cpu_percent=round(100 * (last.cpu_s - first.cpu_s) / seconds, 1),
            most_cpu_percent=round(
                max((100 * (b.cpu_s - a.cpu_s) / (b.at - a.at) for a, b in pairs), default=0.0), 1
            ),
            most_memory_mb=round(self._memory, 1),
            most_connections=self._connections,
            by_command=dict(most),
        )

    def _info(self) -> dict[str, Any]:
        return dict(self._client.info())

    @staticmethod
    def _sample(found: dict[str, Any]) -> _Sample:
        return _Sample(
            time.monotonic(),
            int(found["total_commands_processed"]),
            float(found["used_cpu_sys"]) + float(found["used_cpu_user"]),
        )
