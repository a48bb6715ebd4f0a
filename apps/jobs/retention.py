"""Retention of the queue's records: jobs and batches that ended longer ago than they are kept for.

One script decides and removes, so that what is shown is what goes, and nothing begins in between.
What stays in any case: a job that waits or runs, a batch that has not ended with all of its jobs,
and what a webhook is still to tell of; though not for longer than a month after its end, so that
webhooks that were switched off keep nothing for good.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, cast

import redis

from apps.common.errors import QueueUnavailable
from apps.common.retention_schemas import QueueRecords
from apps.jobs.outbox import DUE, OPEN_BATCHES
from apps.jobs.store import ENDED, ENDINGS, KEPT_SECONDS, NOW, PREFIX, JobStore

_log = logging.getLogger("screenalytics.retention")
_PRUNED = f"{PREFIX}:pruned"
_BATCHES = f"{PREFIX}:batches"
_WORKERS = f"{PREFIX}:workers"
_JOBS_AT_ONCE = 200  # that a script looks at: some milliseconds in which Redis does nothing else

# KEYS: ended jobs, endings to tell of, names of what is due, counts, rounds to tell of, batches.
# ARGV: '1' where it is only looked, prefix of keys, seconds to keep, seconds for which what is not
# told stays.
_COMMON = (
    NOW
    + """
local looks, prefix = ARGV[1] == '1', ARGV[2]
local cutoff, untold_cutoff = now - ARGV[3], now - ARGV[4]
local bytes = 0
local function weigh(key)
  local size = redis.pcall('MEMORY', 'USAGE', key)
  if type(size) == 'number' then bytes = bytes + size end
end
local function is_due(event)
  for _, due in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if redis.call('ZSCORE', due, event) then return true end
  end
  return false
end
local function is_unfinished(id)
  local state = redis.pcall('HGET', prefix .. ':job:' .. id, 'state')
  return state == 'queued' or state == 'in_progress'
end
local function is_untold(id)
  return redis.call('ZSCORE', KEYS[2], id) or is_due('evt-' .. id)
end
local function episode_of(key)
  local ep = redis.pcall('HGET', key, 'ep')
  if type(ep) == 'string' then return ep end
  local static = redis.pcall('HGET', key, 'static')
  local readable, job = pcall(cjson.decode, static)
  if readable and type(job) == 'table' and type(job.spec) == 'table' then return job.spec.ep_id end
end
local function remove(id)
  local key, parts = prefix .. ':job:' .. id, prefix .. ':parts:' .. id
  weigh(key)
  weigh(parts)
  if looks then return end
  local ep = episode_of(key)
  redis.call('DEL', key, parts)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  if ep then
    local current = prefix .. ':episode:' .. ep .. ':job'
    if redis.call('GET', current) == id then redis.call('DEL', current) end
    redis.call('ZREM', prefix .. ':episode:' .. ep .. ':jobs', id)
  end
end
local function count(kind, number)
  if number > 0 and not looks then redis.call('HINCRBY', KEYS[4], kind, number) end
end
"""
)
# ARGV as well: ids of jobs. Those of a batch go with it. Returns how many go, and their bytes.
_OF_JOBS = (
    _COMMON
    + """
local gone = 0
for place = 5, #ARGV do
  local id = ARGV[place]
  local ended = tonumber(redis.call('ZSCORE', KEYS[1], id))
  local batch = redis.pcall('HGET', prefix .. ':job:' .. id, 'batch')
  local is_of_batch = type(batch) == 'string' and batch ~= ''
    and redis.call('EXISTS', prefix .. ':batch:' .. batch) == 1
  if ended and ended <= cutoff and not is_of_batch and not is_unfinished(id)
    and (ended <= untold_cutoff or not is_untold(id)) then
    remove(id)
    gone = gone + 1
  end
end
count('jobs', gone)
return {gone, bytes}
"""
)
# ARGV as well: id of a batch. Returns how many of its jobs go with it, and the bytes of all; false
# where it stays.
_OF_BATCH = (
    _COMMON
    + """
local id = ARGV[5]
local key = prefix .. ':batch:' .. id
if redis.call('EXISTS', key .. ':queueing') == 1 then return false end
local last, jobs = tonumber(redis.call('ZSCORE', KEYS[6], id)) or now, {}
local fields = redis.call('HGETALL', key)
for place = 1, #fields, 2 do
  if string.sub(fields[place], 1, 8) == 'episode:' then
    local readable, entry = pcall(cjson.decode, fields[place + 1])
    local job = readable and type(entry) == 'table' and entry.job_id
    if type(job) == 'string' then
      if is_unfinished(job) then return false end
      last = math.max(last, tonumber(redis.call('ZSCORE', KEYS[1], job)) or 0)
      jobs[#jobs + 1] = job
    end
  end
end
if last > cutoff then return false end
local round = redis.call('HGET', key, 'round') or '0'
if last > untold_cutoff then
  if redis.call('ZSCORE', KEYS[5], id .. '/' .. round) then return false end
  if is_due('evt-' .. id .. '-' .. round) then return false end
  for _, job in ipairs(jobs) do
    if is_untold(job) then return false end
  end
end
weigh(key)
local gone = 0
for _, job in ipairs(jobs) do
  gone = gone + redis.call('EXISTS', prefix .. ':job:' .. job)
  remove(job)
end
if not looks then
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[6], id)
  redis.call('ZREM', KEYS[5], id .. '/' .. round)
end
count('jobs', gone)
count('batches', 1)
return {gone, bytes}
"""
)
# KEYS: workers by when they are forgotten, what they say, counts. ARGV: '1' where it is only
# looked. Returns how many say nothing any more.
_OF_WORKERS = (
    NOW
    + """
local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[1] ~= '1' then
  for _, name in ipairs(silent) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
    redis.call('HINCRBY', KEYS[3], 'workers', 1)
  end
end
return #silent
"""
)


def old_records(jobs: JobStore, keep_days: float | None) -> QueueRecords:
    """What would go; where Redis does not tell it, why."""
    return _records(jobs, keep_days, looks=True)


def prune_records(jobs: JobStore, keep_days: float | None) -> QueueRecords:
    """Removes what ended longer ago, and says what went; nothing where `keep_days` is None."""
    gone = _records(jobs, keep_days, looks=False)
    if gone.jobs or gone.batches or gone.workers:
        facts = gone.model_dump(include={"jobs", "batches", "workers", "size_bytes"})
        _log.info("queue records pruned", extra=facts)
    return gone


def pruned_counts(jobs: JobStore) -> dict[str, int]:
    """How many records have gone so, by their kind.

    Raises:
        QueueUnavailable: Redis does not do its part.
    """
    with jobs.answering():
        found = cast("dict[str, str]", jobs.redis.hgetall(_PRUNED))
    return {kind: int(count) for kind, count in found.items() if count.isdigit()}


def kept_count(jobs: JobStore) -> int:
    """How many jobs have ended and are still known.

    Raises:
        QueueUnavailable: Redis does not do its part.
    """
    with jobs.answering():
        return int(jobs.redis.zcard(ENDED))


def used_bytes(jobs: JobStore) -> int | None:
    """Memory of Redis, with all that others keep there; None where it does not say.

    Raises:
        QueueUnavailable: Redis does not do its part.
    """
    with jobs.answering():
        try:
            return int(jobs.redis.info("memory")["used_memory"])
        except (redis.ResponseError, KeyError):  # not everybody may ask
            return None


def _records(jobs: JobStore, keep_days: float | None, *, looks: bool) -> QueueRecords:
    batches = of_jobs = workers = size = 0
    try:
        if keep_days is not None:
            for gone, bytes_ in _batches(jobs, keep_days, looks=looks):
                batches, of_jobs, size = batches + 1, of_jobs + gone, size + bytes_
            for gone, bytes_ in _jobs(jobs, keep_days, looks=looks):
                of_jobs, size = of_jobs + gone, size + bytes_
            keys = [_WORKERS, f"{_WORKERS}:facts", _PRUNED]
            workers = int(jobs.run_script(_OF_WORKERS, keys, ["1" if looks else ""]))
        used, problem = used_bytes(jobs), None
    except QueueUnavailable as error:
        used, problem = None, error.detail
    return QueueRecords(
        jobs=of_jobs,
        batches=batches,
        workers=workers,
        size_bytes=size,
        redis_bytes=used,
        problem=problem,
    )


def _batches(jobs: JobStore, keep_days: float, *, looks: bool) -> Iterator[tuple[int, int]]:
    for batch_id in _older(jobs, _BATCHES, keep_days):
        answer = _ask(jobs, _OF_BATCH, keep_days, [batch_id], looks=looks)
        if answer is not None:
            yield int(answer[0]), int(answer[1])


def _jobs(jobs: JobStore, keep_days: float, *, looks: bool) -> Iterator[tuple[int, int]]:
    ids = _older(jobs, ENDED, keep_days)
    for place in range(0, len(ids), _JOBS_AT_ONCE):
        some = ids[place : place + _JOBS_AT_ONCE]
        gone, bytes_ = _ask(jobs, _OF_JOBS, keep_days, some, looks=looks)
        yield int(gone), int(bytes_)


def _older(jobs: JobStore, key: str, keep_days: float) -> list[str]:
    with jobs.answering():
        seconds, microseconds = jobs.redis.time()
        cutoff = seconds + microseconds / 1e6 - _seconds(keep_days)
        return cast("list[str]", jobs.redis.zrangebyscore(key, "-inf", cutoff))


def _ask(jobs: JobStore, script: str, keep_days: float, ids: list[str], *, looks: bool) -> Any:
    keys = [ENDED, ENDINGS, DUE, _PRUNED, OPEN_BATCHES, _BATCHES]
    facts = ["1" if looks else "", PREFIX, _seconds(keep_days), KEPT_SECONDS]
    return jobs.run_script(script, keys, [*facts, *ids])


def _seconds(days: float) -> float:
    return days * 24 * 3600
