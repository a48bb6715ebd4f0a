"""Jobs in Redis: what was asked, how far it is, how it ended, and whether somebody wants it ended.

Celery carries a job's id to a worker at least once; this store makes that harmless. Every change of
state that two programs could race for is one script inside Redis, so a job begins in one place,
ends once, and an episode has one unfinished job. All times are Redis's own.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError
from redis.backoff import NoBackoff
from redis.exceptions import LockError
from redis.retry import Retry

from apps.common.batch_schemas import Priority
from apps.common.contracts.manifest import Progress, RunResult
from apps.common.errors import JobNotFound, JobUnreadable
from apps.common.names import JobId
from apps.common.redis_url import RedisUrl
from apps.common.schemas import Segments
from apps.jobs.redis_errors import queue_unavailable
from apps.runs.spec import RunSpec

QueueJobState = Literal["queued", "in_progress", "success", "failed", "cancelled", "retrying"]
Beat = Literal["ok", "cancel", "ended", "taken", "lost"]
PREFIX = "screenalytics"
ENDINGS = f"{PREFIX}:endings"
"""Jobs that have ended and that somebody is still to be told of, by when they did."""
ENDINGS_WANTED = f"{ENDINGS}:wanted"
ENDED = f"{PREFIX}:ended"
"""Jobs that have ended and are still known, by when they did."""
KEPT_SECONDS = 30 * 24 * 3600
"""For so long what nobody was told of is kept, and parts are."""
_WORKERS_KEPT_SECONDS = 3600  # for so long keys of workers stay of which nobody hears
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 2.0
_REST_SECONDS = 1.0  # after a call that waited in vain, for which the next ones do not wait

NOW = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
"""
# Unfinished jobs are in the order of their turn: those that run, normal ones, low ones.
_LATER = 1e10  # seconds; more than any clock tells
# KEYS: episode's current job, job, active jobs, episode's jobs.
# ARGV: job id, prefix of job keys, static fields as JSON, seconds after which a job without a
# record is forgotten, how much later its turn, its episode, its batch or ''.
# A record that is no hash, or has another state, keeps no episode. What is not ended never expires;
# what has ended goes by the policy (`apps.jobs.retention`).
_REGISTER = (
    NOW
    + """
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then
  local state = redis.pcall('HGET', ARGV[2] .. current, 'state')
  if state == 'queued' or state == 'in_progress' then return current end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'state', 'queued', 'static', ARGV[3], 'beat', now, 'attempts', 0)
redis.call('HSET', KEYS[2], 'ep', ARGV[6], 'batch', ARGV[7])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[1])
local before = now - ARGV[4]
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', before, 'LIMIT', 0, 100)) do
  if redis.call('EXISTS', ARGV[2] .. old) == 0 then redis.call('ZREM', KEYS[4], old) end
end
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('PERSIST', KEYS[4])
return false
"""
)
# KEYS: job, active jobs. ARGV: worker, the delivery's own token, seconds of a lease, how much later
# the turn of those that wait is, job id. Returns the state in which
# the job has ended, or 'elsewhere' (another delivery's worker lives), 'cancel' or 'begun'.
_BEGIN = (
    NOW
    + """
local job = redis.call('HMGET', KEYS[1], 'state', 'token', 'beat', 'cancel')
local state, token, beat, cancel = job[1], job[2], tonumber(job[3]) or 0, job[4]
if state ~= 'queued' and state ~= 'in_progress' then return state end
if state == 'in_progress' and token ~= ARGV[2] and now - beat < tonumber(ARGV[3]) then
  return 'elsewhere'
end
if cancel then return 'cancel' end
redis.call('HSET', KEYS[1], 'state', 'in_progress', 'beat', now)
redis.call('HSET', KEYS[1], 'worker', ARGV[1], 'token', ARGV[2])
if token ~= ARGV[2] then redis.call('HINCRBY', KEYS[1], 'attempts', 1) end
redis.call('ZADD', KEYS[2], 'XX', now - tonumber(ARGV[4]), ARGV[5])
return 'begun'
"""
)
# KEYS: job. ARGV: the delivery's token, progress as JSON or ''. It makes no record where there is
# none.
_BEAT = (
    NOW
    + """
local job = redis.call('HMGET', KEYS[1], 'state', 'token', 'cancel')
if not job[1] then return 'lost' end
if job[1] ~= 'in_progress' then return 'ended' end
if job[2] ~= ARGV[1] then return 'taken' end
redis.call('HSET', KEYS[1], 'beat', now)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'progress', ARGV[2]) end
return job[3] and 'cancel' or 'ok'
"""
)
# KEYS: job, active jobs, counts, endings, whether they are wanted, ended jobs.
# ARGV: state, outcome, job id. 1 for the first ending.
_FINISH = (
    NOW
    + """
redis.call('ZREM', KEYS[2], ARGV[3])
local state = redis.pcall('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'in_progress' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'outcome', ARGV[2])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
if redis.call('EXISTS', KEYS[5]) == 1 then redis.call('ZADD', KEYS[4], now, ARGV[3]) end
redis.call('ZADD', KEYS[6], now, ARGV[3])
return 1
"""
)
# KEYS: job. ARGV: seconds of a lease. Returns 'ended', 'end' (nobody runs it) or 'asked' (its
# worker will end it).
_CANCEL = (
    NOW
    + """
local job = redis.call('HMGET', KEYS[1], 'state', 'beat')
local state, beat = job[1], tonumber(job[2]) or 0
if state ~= 'queued' and state ~= 'in_progress' then return 'ended' end
redis.call('HSET', KEYS[1], 'cancel', now)
if state == 'queued' or now - beat >= tonumber(ARGV[1]) then return 'end' end
return 'asked'
"""
)
# KEYS: job, active jobs, episode's jobs. ARGV: the delivery's token, job id, how much later its
# turn is. Returns 'cancel' where somebody wants it ended, 'queued', or false where it is not this
# delivery's. That a worker stops is no failed attempt.
_HAND_BACK = (
    NOW
    + """
local job = redis.call('HMGET', KEYS[1], 'state', 'token', 'cancel')
if job[1] ~= 'in_progress' or job[2] ~= ARGV[1] then return false end
if job[3] then return 'cancel' end
if ARGV[4] ~= '' then
  redis.call('HSETNX', KEYS[1], 'back_since', now)
  local since = tonumber(redis.call('HGET', KEYS[1], 'back_since'))
  if now - since > tonumber(ARGV[4]) then return 'late' end
end
redis.call('HSET', KEYS[1], 'state', 'queued', 'beat', now)
redis.call('HDEL', KEYS[1], 'worker', 'token', 'progress')
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
local since = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]) or now)
redis.call('ZADD', KEYS[2], 'XX', since + tonumber(ARGV[3]), ARGV[2])
return 'queued'
"""
)
# KEYS: workers by when they are forgotten, what they say. ARGV: name, what it says, seconds until
# then, seconds for which the keys are kept. Those that are forgotten go from both.
_ANNOUNCE = (
    NOW
    + """
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""
)
# KEYS: workers, what they say. Returns what those say that are not forgotten, by name.
_WORKERS = (
    NOW
    + """
local said = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  local text = redis.call('HGET', KEYS[2], name)
  if text then said[#said + 1] = text end
end
return said
"""
)
# KEYS: workers. Returns how many are not forgotten.
_WORKER_COUNT = (
    NOW
    + """
return redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
"""
)
# KEYS: job. It was sent to the queue (again).
_SENT = (
    NOW
    + """
if redis.pcall('HGET', KEYS[1], 'state') == 'queued' then
  redis.call('HSET', KEYS[1], 'beat', now)
end
"""
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class JobRequest(_Frozen):
    """What does not change: the run to do and for how long."""

    job_id: JobId
    spec: RunSpec
    timeout_s: float
    submitted_at: str
    priority: Priority = "normal"
    batch_id: str | None = None
    segments: Segments = "off"


class _Outcome(_Frozen):
    """How a job ended."""

    result: RunResult | None = None
    problem: dict[str, Any] | None = None


class QueueJob(_Frozen):
    """A job as Redis has it, read at a time.

    Attributes:
        request: under `static` in Redis.
        beat: when its worker said something, or it was sent to the queue; Redis's clock.
        read_at: now, on the same clock.
    """

    request: Json[JobRequest] = Field(validation_alias="static")
    state: QueueJobState
    beat: float
    read_at: float
    attempts: int
    worker: str | None = None
    progress: Json[Progress] | None = None
    outcome: Json[_Outcome] = _Outcome()

    @property
    def silent_s(self) -> float:
        return self.read_at - self.beat

    @property
    def result(self) -> RunResult | None:
        return self.outcome.result

    @property
    def problem(self) -> dict[str, Any] | None:
        return self.outcome.problem

    @property
    def is_finished(self) -> bool:
        return self.state in ("success", "failed", "cancelled")


class WorkerFacts(_Frozen):
    """What a worker says of itself every few seconds."""

    name: str
    host: str
    pid: int
    version: str
    git_sha: str
    fingerprint: str
    concurrency: int


def job_key(job_id: str) -> str:
    """Redis's name of a job's record."""
    return f"{PREFIX}:job:{job_id}"


@dataclass(frozen=True)
class QueueFigures:
    """Unfinished jobs: how many wait and run, and seconds for which the oldest has waited."""

    waiting: int
    running: int
    oldest_s: float


@dataclass(frozen=True)
class _Keys:
    prefix: str = PREFIX

    def job(self, job_id: str) -> str:
        return job_key(job_id)

    def current(self, ep_id: str) -> str:
        return f"{self.prefix}:episode:{ep_id}:job"

    def history(self, ep_id: str) -> str:
        return f"{self.prefix}:episode:{ep_id}:jobs"

    @property
    def workers(self) -> list[str]:
        return [f"{self.prefix}:workers", f"{self.prefix}:workers:facts"]

    @property
    def active(self) -> str:
        return f"{self.prefix}:active"

    @property
    def counts(self) -> str:
        return f"{self.prefix}:counts"


class JobStore:
    """One connection pool to Redis; safe to use from several threads.

    Args:
        url: address of Redis, as in SCREENALYTICS_REDIS_URL.
        lease_seconds: a worker that has said nothing for so long is taken to be dead.

    Every method raises `QueueUnavailable` where Redis does not do its part.
    """

    def __init__(self, url: str, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.redis = redis.Redis.from_url(
            RedisUrl.parse(url).for_client,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            # Once more where Redis was started again since the connection was made.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            decode_responses=True,
            encoding_errors="replace",
        )
        self._keys = _Keys()
        self._rests_until = 0.0

    def close(self) -> None:
        self.redis.close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """For calls of `redis`: raises the product's error where Redis does not do its part.

        After a call that waited in vain the next ones are refused at once for a moment, so that
        a Redis that hangs holds few threads.
        """
        if time.monotonic() < self._rests_until:
            raise queue_unavailable(redis.TimeoutError())
        try:
            yield
        except LockError:
            raise  # an answer, of a lock
        except redis.RedisError as error:
            if isinstance(error, redis.TimeoutError):
                self._rests_until = time.monotonic() + _REST_SECONDS
            raise queue_unavailable(error) from error

    def check(self) -> None:
        """Redis answers, and takes what is written."""
        with self.answering():
            self.redis.set(f"{PREFIX}:check", "1", px=1000)

    def register(self, request: JobRequest) -> str | None:
        """Makes the job known as queued. Returns the id of another unfinished job instead."""
        ep_id = request.spec.ep_id
        keys = [
            self._keys.current(ep_id),
            self._keys.job(request.job_id),
            self._keys.active,
            self._keys.history(ep_id),
        ]
        arguments = [
            request.job_id,
            self._keys.job(""),
            request.model_dump_json(),
            KEPT_SECONDS,
            _later(request),
            ep_id,
            request.batch_id or "",
        ]
        rival = self.run_script(_REGISTER, keys, arguments)
        return None if rival is None else str(rival)

    def begin(self, job_id: str, worker: str, token: str) -> str:
        """A worker takes the job.

        Args:
            token: tells this delivery from any other.

        Returns:
            "begun", "cancel", "elsewhere" (where another delivery's worker lives), or the state
            that it has ended in.

        Raises:
            JobNotFound: it is not known (any more).
        """
        keys = [self._keys.job(job_id), self._keys.active]
        answer = self.run_script(_BEGIN, keys, [worker, token, self.lease_seconds, _LATER, job_id])
        if answer is None:
            raise _unknown(job_id)
        return str(answer)

    def beat(self, job_id: str, token: str, progress: Progress | None) -> Beat:
        """The worker of this delivery lives.

        Returns:
            "ok"; "cancel": it is to end the job; "ended": it has been ended; "taken": another
            delivery has taken it; "lost": Redis knows it no longer.
        """
        text = "" if progress is None else progress.model_dump_json()
        return cast("Beat", self.run_script(_BEAT, [self._keys.job(job_id)], [token, text]))

    def hand_back(
        self, request: JobRequest, token: str, within_s: float | None = None
    ) -> str | None:
        """This delivery's worker cannot go on: the job waits again, in its old turn.

        Args:
            within_s: only for so long after it was first given back for such a reason, seconds.

        Returns:
            "queued": the caller sends it; "cancel" or "late": the caller ends it; None: it is not
            this delivery's any more.
        """
        keys = [
            self._keys.job(request.job_id),
            self._keys.active,
            self._keys.history(request.spec.ep_id),
        ]
        given = [token, request.job_id, _later(request), "" if within_s is None else within_s]
        answer = self.run_script(_HAND_BACK, keys, given)
        return None if answer is None else str(answer)

    def succeed(self, job_id: str, result: RunResult) -> bool:
        """True for the first ending; later ones change nothing."""
        return self._finish(job_id, "success", {"result": result.model_dump(mode="json")})

    def fail(self, job_id: str, problem: dict[str, Any]) -> bool:
        return self._finish(job_id, "failed", {"problem": problem})

    def cancel_now(self, job_id: str, problem: dict[str, Any]) -> bool:
        return self._finish(job_id, "cancelled", {"problem": problem})

    def ask_cancel(self, job_id: str) -> str:
        """Asks for the end of a job.

        Returns:
            "ended" (it had already), "end" (nobody runs it: the caller ends it), or "asked" (its
            worker will).
        """
        return str(self.run_script(_CANCEL, [self._keys.job(job_id)], [self.lease_seconds]))

    def sent(self, job_id: str) -> None:
        """It was sent to the queue again: it is not silent any more."""
        self.run_script(_SENT, [self._keys.job(job_id)], [])

    def forget(self, job_id: str) -> None:
        """Removes a job that could not be sent to the queue."""
        with self.answering():
            self.redis.delete(self._keys.job(job_id))
            self.redis.zrem(self._keys.active, job_id)

    def read(self, job_id: str) -> QueueJob:
        """The job as Redis knows it.

        Raises:
            JobNotFound: there is no such job, or it ended longer ago than jobs are kept.
            JobUnreadable: what Redis has of it is no job.
        """
        job = self._read([job_id])[job_id]
        if job is None:
            raise _unknown(job_id)
        if isinstance(job, JobUnreadable):
            raise job
        return job

    def read_all(self, job_ids: Sequence[str]) -> dict[str, QueueJob | JobUnreadable | None]:
        """The same of many, by id; None where one is not known (any more)."""
        return self._read(list(job_ids))

    def active(self) -> list[QueueJob]:
        """Unfinished jobs, in the order of their turn."""
        return _readable(self.unfinished())

    def unfinished(self) -> dict[str, QueueJob | JobUnreadable | None]:
        """The same by id, with those that cannot be read, or are lost (None)."""
        with self.answering():
            names = cast("list[str]", self.redis.zrange(self._keys.active, 0, -1))
        return self._read(names)

    def turns(self) -> dict[str, bool]:
        """Ids of the unfinished jobs in the order of their turn, and whether each waits.

        No record is read: of those that wait nothing changes but their place.
        """
        with self.answering():
            found = self.redis.zrange(self._keys.active, 0, -1, withscores=True)
        return {job_id: turn >= 0 for job_id, turn in cast("list[tuple[str, float]]", found)}

    def running(self) -> list[QueueJob]:
        """Jobs that a worker has taken, in the order in which they were."""
        with self.answering():
            names = cast("list[str]", self.redis.zrangebyscore(self._keys.active, "-inf", "(0"))
        return _readable(self._read(names))

    def queue_figures(self) -> QueueFigures:
        """How many unfinished jobs there are, and how old the oldest that waits is."""
        active, low = self._keys.active, f"{_LATER:.0f}"
        with self.answering():
            pipe = self.redis.pipeline(transaction=True)
            pipe.time()
            pipe.zcard(active)
            pipe.zcount(active, 0, "+inf")
            pipe.zrangebyscore(active, 0, f"({low}", start=0, num=1, withscores=True)
            pipe.zrangebyscore(active, low, "+inf", start=0, num=1, withscores=True)
            (seconds, microseconds), count, waiting, *oldest = pipe.execute()
        since = [turn % _LATER for found in oldest for _, turn in found]
        age_s = max((seconds + microseconds / 1e6 - at for at in since), default=0.0)
        return QueueFigures(waiting, count - waiting, max(0.0, age_s))

    def whose_turn_it_is(
        self, next_ones: Mapping[Priority, Sequence[str]]
    ) -> dict[str, QueueJob | JobUnreadable | None]:
        """Unfinished jobs, without those that wait behind a message that is still to be taken.

        What waits in the queue is not read, however much it is: messages are taken in their order,
        so a job whose own was lost is found when its turn has come.

        Args:
            next_ones: by priority, ids of jobs whose messages are taken next.
        """
        asked = [(priority, job_id) for priority, ids in next_ones.items() for job_id in ids]
        with self.answering():
            pipe = self.redis.pipeline(transaction=False)
            for _, job_id in asked:
                pipe.zscore(self._keys.active, job_id)
            turns = cast("list[float | None]", pipe.execute()) if asked else []
            bounds = {"normal": _LATER, "low": math.inf}
            for (priority, _), turn in reversed(list(zip(asked, turns, strict=True))):
                if turn is not None and turn >= 0 and (turn >= _LATER) == (priority == "low"):
                    bounds[priority] = turn
            pipe.zrangebyscore(self._keys.active, "-inf", f"({bounds['normal']!r}")
            pipe.zrangebyscore(self._keys.active, _LATER, f"({bounds['low']!r}")
            names = [name for found in pipe.execute() for name in found]
        return self._read(names)

    def ahead(self, job_ids: Sequence[str]) -> dict[str, int]:
        """How many unfinished jobs are before each of these; without those that are over."""
        with self.answering():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.zrank(self._keys.active, job_id)
            ranks = cast("list[int | None]", pipe.execute())
        pairs = zip(job_ids, ranks, strict=True)
        return {job_id: rank for job_id, rank in pairs if rank is not None}

    def of_episode(self, ep_id: str, limit: int = 20) -> list[QueueJob]:
        """The episode's newest jobs, newest first, ended ones included."""
        with self.answering():
            key = self._keys.history(ep_id)
            names = cast("list[str]", self.redis.zrevrange(key, 0, limit - 1))
        return _readable(self._read(names))

    def counts(self) -> dict[str, int]:
        """Jobs that ended, by the state in which they did."""
        with self.answering():
            found = cast("dict[str, str]", self.redis.hgetall(self._keys.counts))
        return {state: int(count) for state, count in found.items() if count.isdigit()}

    def announce(self, worker: WorkerFacts, seconds: float) -> None:
        """A worker listens; it is forgotten after so many seconds."""
        kept = max(_WORKERS_KEPT_SECONDS, round(seconds))
        self.run_script(
            _ANNOUNCE, self._keys.workers, [worker.name, worker.model_dump_json(), seconds, kept]
        )

    def sign_off(self, name: str) -> None:
        workers, facts = self._keys.workers
        with self.answering():
            pipe = self.redis.pipeline(transaction=True)
            pipe.zrem(workers, name)
            pipe.hdel(facts, name)
            pipe.execute()

    def workers(self) -> list[WorkerFacts]:
        """Workers that said so a few seconds ago. Nothing is broadcast, so this takes no wait."""
        texts = cast("list[str]", self.run_script(_WORKERS, self._keys.workers, []))
        found = [facts for facts in map(_worker, texts) if facts is not None]
        return sorted(found, key=lambda facts: facts.name)

    def worker_count(self) -> int:
        """How many of them there are, where nobody asks who they are."""
        return int(self.run_script(_WORKER_COUNT, self._keys.workers[:1], []))

    def take_turn(self, name: str, seconds: float) -> bool:
        """True for one program of all that ask within these seconds."""
        with self.answering():
            key = f"{PREFIX}:turn:{name}"
            return bool(self.redis.set(key, "1", nx=True, px=round(seconds * 1000)))

    def drop(self, job_id: str) -> None:
        """Takes a job out of the unfinished ones, of which Redis has lost the rest."""
        with self.answering():
            self.redis.zrem(self._keys.active, job_id)

    def _finish(self, job_id: str, state: QueueJobState, outcome: dict[str, Any]) -> bool:
        job, active, counts = self._keys.job(job_id), self._keys.active, self._keys.counts
        keys = [job, active, counts, ENDINGS, ENDINGS_WANTED, ENDED]
        return bool(self.run_script(_FINISH, keys, [state, json.dumps(outcome), job_id]))

    def _read(self, names: list[str]) -> dict[str, QueueJob | JobUnreadable | None]:
        with self.answering():
            pipe = self.redis.pipeline(transaction=False)
            pipe.time()
            for name in names:
                pipe.hgetall(self._keys.job(name))
            answers = pipe.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, redis.RedisError) and not _is_other_type(answer):
                    raise answer
        (seconds, microseconds), *found = answers
        now = seconds + microseconds / 1e6
        return {
            name: self._job(name, fields, now) for name, fields in zip(names, found, strict=True)
        }

    def _job(self, name: str, fields: Any, now: float) -> QueueJob | JobUnreadable | None:
        if fields == {}:
            return None
        try:
            job = QueueJob.model_validate(dict(fields, read_at=now))
        except (TypeError, ValidationError):
            return JobUnreadable(
                f"What Redis has of job {name[:60]!r} is no job.",
                hint="Something else wrote there. Its run's results, if there are any, are among "
                "the episode's; send it again otherwise.",
            )
        if job.state == "in_progress" and job.silent_s >= self.lease_seconds:
            # Its worker is gone; it is delivered again soon.
            return job.model_copy(update={"state": "retrying"})
        return job

    def run_script(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Runs a script inside Redis: nothing else happens there meanwhile."""
        with self.answering():
            return self.redis.eval(script, len(keys), *keys, *arguments)


def _later(request: JobRequest) -> float:
    return _LATER if request.priority == "low" else 0


def _is_other_type(error: redis.RedisError) -> bool:
    """Something else than a job has the key."""
    return str(error).startswith("WRONGTYPE")


def _readable(jobs: dict[str, QueueJob | JobUnreadable | None]) -> list[QueueJob]:
    return [job for job in jobs.values() if isinstance(job, QueueJob)]


def _worker(text: str) -> WorkerFacts | None:
    try:
        return WorkerFacts.model_validate_json(text)
    except ValidationError:
        return None


def _unknown(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"There is no job {job_id[:60]!r}.", hint="See GET /celery_jobs for the active ones."
    )
