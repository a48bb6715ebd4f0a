"""Jobs in Redis: what was asked, how far it is, how it ended, and whether somebody wants it ended.

Celery carries a job's id to a worker at least once; this store makes that harmless. Every change of
state that two programs could race for is one script inside Redis, so a job begins in one place,
ends once, and an episode has one unfinished job.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from pydantic import BaseModel, ConfigDict

from apps.common.contracts import Progress, RunResult, RunSpec
from apps.common.errors import JobNotFound, QueueUnavailable

JobState = Literal["queued", "in_progress", "success", "failed", "cancelled", "retrying"]
PREFIX = "screenalytics"
KEPT_SECONDS = 30 * 24 * 3600
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 2.0

# KEYS: episode's current job, job, active jobs, episode's jobs.
# ARGV: job id, prefix of job keys, time, static fields as JSON, seconds to keep.
_REGISTER = """
local current = redis.call('GET', KEYS[1])
if current then
  local state = redis.call('HGET', ARGV[2] .. current, 'state')
  if state == 'queued' or state == 'in_progress' then return current end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[5])
redis.call('HSET', KEYS[2], 'state', 'queued', 'static', ARGV[4], 'beat', ARGV[3], 'attempts', 0)
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[4], ARGV[5])
return false
"""
# KEYS: job. ARGV: worker, time. Returns the state after it.
_BEGIN = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'in_progress' then return state end
if redis.call('HGET', KEYS[1], 'cancel') then return 'cancel' end
redis.call('HSET', KEYS[1], 'state', 'in_progress', 'worker', ARGV[1], 'beat', ARGV[2])
redis.call('HSETNX', KEYS[1], 'started', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
return 'begun'
"""
# KEYS: job, active jobs, counts. ARGV: state, outcome, time, job id. 1 for the first ending.
_FINISH = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'in_progress' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'outcome', ARGV[2], 'finished', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
"""
# KEYS: job. ARGV: time, oldest beat of a living worker. Returns 'ended', 'end' (nobody runs it) or
# 'asked' (its worker will end it).
_CANCEL = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'in_progress' then return 'ended' end
redis.call('HSET', KEYS[1], 'cancel', ARGV[1])
if state == 'queued' then return 'end' end
if tonumber(redis.call('HGET', KEYS[1], 'beat')) < tonumber(ARGV[2]) then return 'end' end
return 'asked'
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class JobRequest(_Frozen):
    """What does not change: the run to do and for how long."""

    job_id: str
    spec: RunSpec
    timeout_s: float
    submitted_at: str


class Job(_Frozen):
    """A job as it stands now."""

    request: JobRequest
    state: JobState
    attempts: int
    worker: str | None
    progress: Progress | None
    result: RunResult | None
    problem: dict[str, Any] | None

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


@dataclass(frozen=True)
class _Keys:
    prefix: str = PREFIX

    def job(self, job_id: str) -> str:
        return f"{self.prefix}:job:{job_id}"

    def current(self, ep_id: str) -> str:
        return f"{self.prefix}:episode:{ep_id}:job"

    def history(self, ep_id: str) -> str:
        return f"{self.prefix}:episode:{ep_id}:jobs"

    def worker(self, name: str) -> str:
        return f"{self.prefix}:worker:{name}"

    @property
    def active(self) -> str:
        return f"{self.prefix}:active"

    @property
    def counts(self) -> str:
        return f"{self.prefix}:counts"


class JobStore:
    """One connection pool to Redis; safe to use from several threads.

    Args:
        url: of Redis.
        lease_seconds: a worker that has said nothing for so long is taken to be dead.

    Every method raises `QueueUnavailable` where Redis does not answer.
    """

    def __init__(self, url: str, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            decode_responses=True,
        )
        self._keys = _Keys()

    def close(self) -> None:
        self.redis.close()

    def ping(self) -> None:
        with queue_errors():
            self.redis.ping()

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
            time.time(),
            request.model_dump_json(),
            KEPT_SECONDS,
        ]
        rival = self._run(_REGISTER, keys, arguments)
        return None if rival is None else str(rival)

    def begin(self, job_id: str, worker: str) -> str:
        """A worker takes the job: "begun", "cancel", or the state that it has ended in.

        Raises:
            JobNotFound: it is not known (any more).
        """
        answer = self._run(_BEGIN, [self._keys.job(job_id)], [worker, time.time()])
        if answer is None:
            raise _unknown(job_id)
        return str(answer)

    def beat(self, job_id: str, progress: Progress | None) -> bool:
        """The worker lives. Returns True when the job is to be cancelled."""
        fields: dict[Any, Any] = {"beat": time.time()}
        if progress is not None:
            fields["progress"] = progress.model_dump_json()
        with queue_errors():
            pipe = self.redis.pipeline(transaction=False)
            pipe.hset(self._keys.job(job_id), mapping=fields)
            pipe.hexists(self._keys.job(job_id), "cancel")
            return bool(pipe.execute()[1])

    def succeed(self, job_id: str, result: RunResult) -> bool:
        """True for the first ending; later ones change nothing."""
        return self._finish(job_id, "success", {"result": result.model_dump(mode="json")})

    def fail(self, job_id: str, problem: dict[str, Any]) -> bool:
        return self._finish(job_id, "failed", {"problem": problem})

    def cancel_now(self, job_id: str, problem: dict[str, Any]) -> bool:
        return self._finish(job_id, "cancelled", {"problem": problem})

    def ask_cancel(self, job_id: str) -> str:
        """ "ended" already, "end" (nobody runs it: the caller ends it) or "asked" (its worker)."""
        now = time.time()
        keys = [self._keys.job(job_id)]
        return str(self._run(_CANCEL, keys, [now, now - self.lease_seconds]))

    def forget(self, job_id: str) -> None:
        """Removes a job that could not be sent to the queue."""
        with queue_errors():
            self.redis.delete(self._keys.job(job_id))
            self.redis.zrem(self._keys.active, job_id)

    def read(self, job_id: str) -> Job:
        """Raises:
        JobNotFound: there is no such job, or it ended longer ago than jobs are kept.
        """
        with queue_errors():
            fields = cast("dict[str, str]", self.redis.hgetall(self._keys.job(job_id)))
        if "static" not in fields:
            raise _unknown(job_id)
        return self._job(fields)

    def active(self) -> list[Job]:
        """Unfinished jobs, oldest first."""
        with queue_errors():
            names = cast("list[str]", self.redis.zrange(self._keys.active, 0, -1))
        return self._known(names)

    def of_episode(self, ep_id: str, most: int = 20) -> list[Job]:
        """The episode's newest jobs, newest first, ended ones included."""
        with queue_errors():
            key = self._keys.history(ep_id)
            names = cast("list[str]", self.redis.zrevrange(key, 0, most - 1))
        return self._known(names)

    def counts(self) -> dict[str, int]:
        """Jobs that ended, by the state in which they did."""
        with queue_errors():
            found = cast("dict[str, str]", self.redis.hgetall(self._keys.counts))
        return {state: int(count) for state, count in found.items()}

    def announce(self, worker: WorkerFacts, seconds: float) -> None:
        with queue_errors():
            key = self._keys.worker(worker.name)
            self.redis.set(key, worker.model_dump_json(), px=round(seconds * 1000))

    def sign_off(self, name: str) -> None:
        with queue_errors():
            self.redis.delete(self._keys.worker(name))

    def workers(self) -> list[WorkerFacts]:
        """Workers that said so a few seconds ago. Nothing is broadcast, so this takes no wait."""
        with queue_errors():
            names = sorted(self.redis.scan_iter(self._keys.worker("*"), count=1000))
            texts = self.redis.mget(names) if names else []
        return [WorkerFacts.model_validate_json(text) for text in texts if text]

    def _finish(self, job_id: str, state: JobState, outcome: dict[str, Any]) -> bool:
        keys = [self._keys.job(job_id), self._keys.active, self._keys.counts]
        arguments = [state, json.dumps(outcome), time.time(), job_id]
        return bool(self._run(_FINISH, keys, arguments))

    def _known(self, names: list[str]) -> list[Job]:
        with queue_errors():
            pipe = self.redis.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(self._keys.job(name))
            return [self._job(fields) for fields in pipe.execute() if "static" in fields]

    def _job(self, fields: dict[str, str]) -> Job:
        outcome = json.loads(fields.get("outcome", "{}"))
        state = cast("JobState", fields["state"])
        if state == "in_progress" and float(fields["beat"]) < time.time() - self.lease_seconds:
            state = "retrying"  # its worker is gone; the queue delivers it again
        progress = fields.get("progress")
        result = outcome.get("result")
        return Job(
            request=JobRequest.model_validate_json(fields["static"]),
            state=state,
            attempts=int(fields["attempts"]),
            worker=fields.get("worker"),
            progress=None if progress is None else Progress.model_validate_json(progress),
            result=None if result is None else RunResult.model_validate(result),
            problem=outcome.get("problem"),
        )

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        with queue_errors():
            return self.redis.eval(script, len(keys), *keys, *arguments)


@contextmanager
def queue_errors() -> Iterator[None]:
    """Translates Redis's errors into the product's."""
    try:
        yield
    except redis.RedisError as error:
        raise QueueUnavailable(
            "Redis does not answer.",
            hint="Start it (make up does), or check SCREENALYTICS_REDIS_URL; execution_mode "
            "'local' needs none.",
        ) from error


def _unknown(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"There is no job {job_id[:60]!r}.", hint="See GET /celery_jobs for the active ones."
    )
