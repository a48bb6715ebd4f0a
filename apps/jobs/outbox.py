"""What is still to be told by webhooks, in Redis: it outlives workers, servers and Redis itself.

That a job has ended is noted by the script that ends it (`apps.jobs.store`), so no death comes
between. An event is then made, once, with a delivery for each destination; a delivery is taken for
a while, and stays until its destination has answered or it is given up. So each event is told at
least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from apps.jobs.store import ENDINGS, ENDINGS_WANTED, PREFIX, JobStore

Count = Literal["sent", "retried", "given_up"]

_PREFIX = f"{PREFIX}:webhook"
OPEN_BATCHES = f"{_PREFIX}:batches"
"""Rounds of batches whose end is to be told."""
DUE = f"{_PREFIX}:due"
"""Names of the keys that say what each destination has still to be told."""
_COUNTS = f"{_PREFIX}:counts"
_WANTED_SECONDS = 3 * 24 * 3600  # for so long endings are noted while no server is there to tell
_SAY_AGAIN_SECONDS = 60  # a look reads; it writes so seldom
_KEPT_SECONDS = 7 * 24 * 3600  # an event that nobody could tell

# KEYS: endings wanted, batches to tell of. ARGV: batch and round.
_OPEN_BATCH = """
local clock = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('ZADD', KEYS[2], clock[1], ARGV[1]) end
"""
# KEYS: batches to tell of, endings. ARGV: prefix of batches, how many to see, seconds to keep.
_PRUNE = """
for _, round in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  if redis.call('EXISTS', ARGV[1] .. string.match(round, '^[^/]*')) == 0 then
    redis.call('ZREM', KEYS[1], round)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', redis.call('TIME')[1] - ARGV[3])
"""
# KEYS: what the event is made of (or ''), the event, what is due of each destination. ARGV: member
# of the first, event id, body, seconds to keep, all that are due. Makes an event once.
_POST = """
if KEYS[1] ~= '' and redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
local clock = redis.call('TIME')
for place = 3, #KEYS do
  redis.call('ZADD', KEYS[place], 'NX', clock[1], ARGV[2])
  redis.call('EXPIRE', KEYS[place], ARGV[4])
  redis.call('SADD', ARGV[5], KEYS[place])
end
redis.call('EXPIRE', ARGV[5], ARGV[4])
return 1
"""
# KEYS: what is due, tries. ARGV: seconds for which it is taken, prefix of events, seconds to keep.
_TAKE = """
local clock = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', clock[1], 'LIMIT', 0, 1)[1]
if not due then return false end
redis.call('ZADD', KEYS[1], clock[1] + ARGV[1], due)
local tries = redis.call('HINCRBY', KEYS[2], due, 1)
redis.call('EXPIRE', KEYS[2], ARGV[3])
return {due, tries, redis.call('GET', ARGV[2] .. due)}
"""
# KEYS: what is due, tries, counts. ARGV: event id, what is counted.
_DONE = """
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then redis.call('HINCRBY', KEYS[3], ARGV[2], 1) end
"""
# KEYS: what is due, counts. ARGV: event id, seconds.
_AGAIN = """
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', clock[1] + ARGV[2], ARGV[1])
redis.call('HINCRBY', KEYS[2], 'retried', 1)
"""


@dataclass(frozen=True)
class Delivery:
    """An event that a destination is to be told now.

    Args:
        body: None where Redis has lost it.
        tries: how often it was taken, this time included.
    """

    event_id: str
    body: str | None
    tries: int


class Outbox:
    """Beside the jobs of a store; as safe to use from several threads.

    Every method raises `QueueUnavailable` where Redis does not do its part.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def want_endings(self) -> None:
        """From now on it is noted which jobs end; said again and again."""
        with self._jobs.answering():
            left_s = self._jobs.redis.ttl(ENDINGS_WANTED)  # below 0 where it is not said
            if left_s < _WANTED_SECONDS - _SAY_AGAIN_SECONDS:
                self._jobs.redis.set(ENDINGS_WANTED, "1", ex=_WANTED_SECONDS)

    def ended_jobs(self, limit: int = 100) -> list[tuple[str, float]]:
        """Ids of jobs that have ended, and when, of which no event is made yet; oldest first."""
        with self._jobs.answering():
            found = self._jobs.redis.zrange(ENDINGS, 0, limit - 1, withscores=True)
        return cast("list[tuple[str, float]]", found)

    def forget_job(self, job_id: str) -> None:
        """Nobody is to be told of it."""
        with self._jobs.answering():
            self._jobs.redis.zrem(ENDINGS, job_id)

    def open_batch(self, batch_id: str, number: int) -> None:
        """The end of a round of it is to be told, where anything is."""
        self._run(_OPEN_BATCH, [ENDINGS_WANTED, OPEN_BATCHES], [_round(batch_id, number)])

    def open_batches(self) -> list[tuple[str, int]]:
        """Batches whose end is to be told, and of which round."""
        with self._jobs.answering():
            found = cast("list[str]", self._jobs.redis.zrange(OPEN_BATCHES, 0, -1))
        pairs = (text.rsplit("/", 1) for text in found)
        return [(batch_id, int(number)) for batch_id, number in pairs]

    def forget_batch(self, batch_id: str, number: int) -> None:
        """Nobody is to be told of it."""
        with self._jobs.answering():
            self._jobs.redis.zrem(OPEN_BATCHES, _round(batch_id, number))

    def prune(self, batch_prefix: str, seen: int, kept_seconds: int) -> None:
        """Nobody is to be told of batches that are forgotten, nor of jobs that are.

        Args:
            batch_prefix: how keys of batches begin.
            seen: how many batches to look at, the oldest ones.
            kept_seconds: for how long jobs are kept.
        """
        self._run(_PRUNE, [OPEN_BATCHES, ENDINGS], [batch_prefix, seen, kept_seconds])

    def post_job(self, job_id: str, event_id: str, body: str, to: Sequence[str]) -> None:
        """Makes the event of a job that has ended; nothing where another server has made it."""
        self._post(ENDINGS, job_id, event_id, body, to)

    def post_batch(
        self, batch_id: str, number: int, event_id: str, body: str, to: Sequence[str]
    ) -> None:
        """The same for a round of a batch."""
        self._post(OPEN_BATCHES, _round(batch_id, number), event_id, body, to)

    def post(self, event_id: str, body: str, to: Sequence[str]) -> None:
        """The same for a run that is no job."""
        self._post("", "", event_id, body, to)

    def take(self, to: str, seconds: float) -> Delivery | None:
        """What is due for a destination; nobody else takes it meanwhile.

        Args:
            seconds: after which it is due again, should nobody say how it went.
        """
        keys = [_due(to), _tries(to)]
        answer = self._run(_TAKE, keys, [seconds, _event(""), _KEPT_SECONDS])
        return None if answer is None else Delivery(str(answer[0]), answer[2], int(answer[1]))

    def again(self, to: str, event_id: str, seconds: float) -> None:
        """It could not be told: it is due again in so many seconds."""
        self._run(_AGAIN, [_due(to), _COUNTS], [event_id, seconds])

    def done(self, to: str, event_id: str, how: Count) -> None:
        """It was told, or is given up."""
        self._run(_DONE, [_due(to), _tries(to), _COUNTS], [event_id, how])

    def waiting(self, to: Sequence[str]) -> int:
        """Deliveries that these destinations have still to get."""
        with self._jobs.answering():
            return sum(int(self._jobs.redis.zcard(_due(name))) for name in to)

    def counts(self) -> dict[str, int]:
        """Attempts by how they went."""
        with self._jobs.answering():
            found = cast("dict[str, str]", self._jobs.redis.hgetall(_COUNTS))
        return {how: int(count) for how, count in found.items()}

    def note_local(self, server: str, run: str, facts: str) -> None:
        """A local run has begun: should the server die, the next one tells of its end."""
        with self._jobs.answering():
            self._jobs.redis.hset(_local(server), run, facts)

    def forget_local(self, server: str, run: str) -> None:
        """Its end is told."""
        with self._jobs.answering():
            self._jobs.redis.hdel(_local(server), run)

    def noted_local(self, server: str) -> dict[str, str]:
        """Local runs whose end nobody has told."""
        with self._jobs.answering():
            return cast("dict[str, str]", self._jobs.redis.hgetall(_local(server)))

    def _post(self, source: str, member: str, event_id: str, body: str, to: Sequence[str]) -> None:
        keys = [source, _event(event_id), *map(_due, to)]
        self._run(_POST, keys, [member, event_id, body, _KEPT_SECONDS, DUE])

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        with self._jobs.answering():
            return self._jobs.redis.eval(script, len(keys), *keys, *arguments)


def _round(batch_id: str, number: int) -> str:
    return f"{batch_id}/{number}"


def _event(event_id: str) -> str:
    return f"{_PREFIX}:event:{event_id}"


def _due(to: str) -> str:
    return f"{_PREFIX}:due:{to}"


def _tries(to: str) -> str:
    return f"{_PREFIX}:tries:{to}"


def _local(server: str) -> str:
    return f"{_PREFIX}:local:{server}"
