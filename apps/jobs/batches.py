"""Batches in Redis: what was asked for, and which job each episode has got.

A batch is known before its first job is sent, so whatever ends the server meanwhile, the batch says
which episodes were not queued. How far it is is not kept here: its jobs tell that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.batch_schemas import BatchRequest
from apps.common.errors import BatchNotFound
from apps.jobs.outbox import Outbox
from apps.jobs.store import KEPT_SECONDS, PREFIX, JobStore

_STATIC = "static"
_EPISODE = "episode:"
_CANCELLED = "cancelled"
_ROUND = "round"
_QUEUEING_SECONDS = 120  # after which a server that died over it is not waited for
_LISTED = 50  # the newest ones: each is read with all of its jobs
_PRUNED = 100  # batches that one look sees, the oldest ones: these are forgotten first

# KEYS: batch. A batch that is gone by the policy does not come back as a part of one.
_CANCEL = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'cancelled', '1')
return 1
"""
# KEYS: batch, whether it is being queued. ARGV: for how long at most. Returns its round.
_RESUME = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
redis.call('HDEL', KEYS[1], 'cancelled')
return redis.call('HINCRBY', KEYS[1], 'round', 1)
"""
# KEYS: list of batches. ARGV: prefix of batches, how many to see.
_PRUNE = """
for _, batch in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  if redis.call('EXISTS', ARGV[1] .. batch) == 0 then redis.call('ZREM', KEYS[1], batch) end
end
"""


class BatchEntry(BaseModel):
    """An episode of a batch: its job, or why it has none; neither where it was not its turn yet.

    Both where nobody knows whether there is the job, as it is noted before the job is sent: then it
    has the problem where Redis knows no such job.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str | None = None
    run_id: str | None = None
    problem: dict[str, Any] | None = None


class _Static(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    created_at: str
    request: BatchRequest
    ep_ids: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """A batch as Redis has it.

    Args:
        created_at: when it was asked for.
        request: what was asked for.
        entries: by episode, in their order.
        round: how often it was tried again.
    """

    batch_id: str
    created_at: str
    request: BatchRequest
    entries: dict[str, BatchEntry]
    round: int = 0


class BatchStore:
    """Batches beside the jobs of a store; as safe to use from several threads.

    Every method raises `QueueUnavailable` where Redis does not do its part.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def create(
        self, batch_id: str, created_at: str, request: BatchRequest, ep_ids: Sequence[str]
    ) -> Batch:
        """Makes a batch known, none of whose episodes has a job yet."""
        static = _Static(created_at=created_at, request=request, ep_ids=tuple(ep_ids))
        with self._jobs.answering():
            pipe = self._jobs.redis.pipeline(transaction=True)
            pipe.hset(_key(batch_id), _STATIC, static.model_dump_json(exclude_unset=True))
            pipe.set(_queueing(batch_id), "1", ex=_QUEUEING_SECONDS)
            pipe.time()
            *_, (seconds, microseconds) = pipe.execute()
            now = seconds + microseconds / 1e6
            self._jobs.redis.zadd(_LIST, {batch_id: now})
        Outbox(self._jobs).open_batch(batch_id, 0)
        return Batch(batch_id, created_at, request, dict.fromkeys(ep_ids, BatchEntry()))

    def note(self, batch_id: str, entries: Mapping[str, BatchEntry]) -> None:
        """What became of some episodes."""
        texts = {_EPISODE + ep_id: entry.model_dump_json() for ep_id, entry in entries.items()}
        with self._jobs.answering():
            self._jobs.redis.hset(_key(batch_id), mapping=cast("dict[Any, Any]", texts))
            self._jobs.redis.expire(_queueing(batch_id), _QUEUEING_SECONDS)

    def queued(self, batch_id: str) -> None:
        """All of its episodes have a job, or have said why not."""
        with self._jobs.answering():
            self._jobs.redis.delete(_queueing(batch_id))

    def is_being_queued(self, batch_id: str) -> bool:
        """An episode of it may still get a job without anybody's doing."""
        with self._jobs.answering():
            return bool(self._jobs.redis.exists(_queueing(batch_id)))

    def cancel(self, batch_id: str) -> None:
        """None of its episodes is to be queued any more, until it is tried again.

        Raises:
            BatchNotFound: it is not known any more.
        """
        if not self._jobs.run_script(_CANCEL, [_key(batch_id)], []):
            raise _unknown(batch_id)

    def resume(self, batch_id: str) -> None:
        """Its episodes may be queued again.

        Raises:
            BatchNotFound: it is not known any more.
        """
        keys = [_key(batch_id), _queueing(batch_id)]
        number = self._jobs.run_script(_RESUME, keys, [_QUEUEING_SECONDS])
        if number is None:
            raise _unknown(batch_id)
        Outbox(self._jobs).open_batch(batch_id, int(number))

    def is_cancelled(self, batch_id: str) -> bool:
        with self._jobs.answering():
            return bool(self._jobs.redis.hexists(_key(batch_id), _CANCELLED))

    def read(self, batch_id: str) -> Batch:
        """The batch.

        Raises:
            BatchNotFound: there is no such batch, or it is not known any more.
        """
        with self._jobs.answering():
            fields = cast("dict[str, str]", self._jobs.redis.hgetall(_key(batch_id)))
        try:
            static = _Static.model_validate_json(fields[_STATIC])
            entries = {
                ep_id: BatchEntry.model_validate_json(fields.get(_EPISODE + ep_id, "{}"))
                for ep_id in static.ep_ids
            }
        except (KeyError, ValidationError):
            raise _unknown(batch_id) from None
        tried_again = int(fields.get(_ROUND, "0"))
        return Batch(batch_id, static.created_at, static.request, entries, tried_again)

    def newest(self) -> list[str]:
        """Ids of the newest batches, newest first."""
        with self._jobs.answering():
            return cast("list[str]", self._jobs.redis.zrevrange(_LIST, 0, _LISTED - 1))

    def forget(self, batch_id: str) -> None:
        """Removes a batch of which nothing could be queued."""
        with self._jobs.answering():
            self._jobs.redis.delete(_key(batch_id), _queueing(batch_id))
            self._jobs.redis.zrem(_LIST, batch_id)
        Outbox(self._jobs).forget_batch(batch_id, 0)

    def prune(self) -> None:
        """Takes batches that Redis has forgotten out of its lists; a few at a time."""
        with self._jobs.answering():
            self._jobs.redis.eval(_PRUNE, 1, _LIST, _key(""), str(_PRUNED))
        Outbox(self._jobs).prune(_key(""), _PRUNED, KEPT_SECONDS)


_LIST = f"{PREFIX}:batches"


def _unknown(batch_id: str) -> BatchNotFound:
    return BatchNotFound(
        f"There is no batch {batch_id[:60]!r}.",
        hint="See GET /celery_jobs/detect_track/batch for those that there are.",
    )


def _key(batch_id: str) -> str:
    return f"{PREFIX}:batch:{batch_id}"


def _queueing(batch_id: str) -> str:
    return f"{PREFIX}:batch:{batch_id}:queueing"
