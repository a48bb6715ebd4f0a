"""Parts of a job's run in Redis: how it is divided, who makes which part, and which are made.

As with jobs, every change that two programs could race for is one script inside Redis, and all
times are Redis's own. A part whose maker says nothing for a lease is anybody's again; what a maker
says after it lost its part changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.contracts.manifest import PartProgress, PartState, Progress
from apps.common.contracts.parts import PartPlan
from apps.jobs.store import KEPT_SECONDS, NOW, PREFIX, JobStore, job_key

PART_COUNT = f"{PREFIX}:counts:parts"
"""How many parts were made."""
PartBeat = Literal["ok", "taken", "over"]
Claim = int | Literal["wait", "made", "crowded", "over"]

_PLAN = "plan"
# A job that is waiting again has been handed back, and whoever goes on with it goes on with these.
_IS_WANTED = """
local job = redis.call('HMGET', KEYS[2], 'state', 'cancel')
local wanted = (job[1] == 'queued' or job[1] == 'in_progress') and not job[2]
if not wanted or redis.call('HEXISTS', KEYS[1], 'plan') == 0 then return 'over' end
"""
# KEYS: parts, job. ARGV: plan, how many parts, seconds to keep, maker's token, worker, host.
# The first part is the caller's. 0 where there are parts already.
_REGISTER = (
    NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'plan', ARGV[1], 'count', ARGV[2])
redis.call('HSET', KEYS[1], '1:token', ARGV[4], '1:beat', now, '1:attempts', 1)
redis.call('HSET', KEYS[1], '1:worker', ARGV[5], '1:host', ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
)
# KEYS: parts, job. ARGV: maker's token, worker, host, seconds of a lease, how many makers a host
# may have (0: any number). Returns a number, or why there is none.
_CLAIM = (
    NOW
    + _IS_WANTED
    + """
local found, open, here = nil, 0, 0
for n = 1, tonumber(redis.call('HGET', KEYS[1], 'count')) do
  local part = redis.call('HMGET', KEYS[1], n .. ':made', n .. ':token', n .. ':beat', n .. ':host')
  if not part[1] then
    open = open + 1
    if not part[2] or now - tonumber(part[3]) >= tonumber(ARGV[4]) then
      found = found or n
    elseif part[4] == ARGV[3] then
      here = here + 1
    end
  end
end
if open == 0 then return 'made' end
if not found then return 'wait' end
local most = tonumber(ARGV[5])
if most > 0 and here >= most then return 'crowded' end
redis.call('HSET', KEYS[1], found .. ':token', ARGV[1], found .. ':beat', now)
redis.call('HSET', KEYS[1], found .. ':worker', ARGV[2], found .. ':host', ARGV[3])
redis.call('HDEL', KEYS[1], found .. ':progress')
redis.call('HINCRBY', KEYS[1], found .. ':attempts', 1)
return found
"""
)
# KEYS: parts, job. ARGV: number, maker's token, progress as JSON or ''.
_BEAT = (
    NOW
    + _IS_WANTED
    + """
if redis.call('HGET', KEYS[1], ARGV[1] .. ':token') ~= ARGV[2] then return 'taken' end
redis.call('HSET', KEYS[1], ARGV[1] .. ':beat', now)
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], ARGV[1] .. ':progress', ARGV[3]) end
return 'ok'
"""
)
# KEYS: parts, job, how many were made. ARGV: number, maker's token.
_MADE = (
    _IS_WANTED
    + """
if redis.call('HGET', KEYS[1], ARGV[1] .. ':token') ~= ARGV[2] then return 'taken' end
redis.call('HSET', KEYS[1], ARGV[1] .. ':made', 1)
redis.call('INCR', KEYS[3])
return 'ok'
"""
)
# KEYS: parts. ARGV: number, maker's token.
_RELEASE = """
if redis.call('HGET', KEYS[1], ARGV[1] .. ':token') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1] .. ':token', ARGV[1] .. ':progress')
return 1
"""


class DividedRun(BaseModel):
    """How a job's run is divided, and by whom that may be computed.

    Args:
        plan: as the first part's process drew it.
        since: when that began, seconds since 1970.
        code: names the code that makes the parts.
        makers_a_host: how many may make parts on one host at once; 0 for any number.
        token: names the folder of its files in the storage; None where none is set.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    plan: PartPlan
    since: float
    code: str
    makers_a_host: int
    token: str | None = None


class Maker(BaseModel):
    """Who makes a part.

    Args:
        token: tells it from all others.
        worker, host: their names.
    """

    model_config = ConfigDict(frozen=True)

    token: str
    worker: str
    host: str


class PartStore:
    """Parts beside the jobs of a store; as safe to use from several threads.

    Every method raises `QueueUnavailable` where Redis does not do its part.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def register(self, job_id: str, divided: DividedRun, maker: Maker) -> bool:
        """Makes the parts known; the first one is this maker's.

        Returns:
            False where the job has parts already, or is gone.
        """
        arguments = [
            divided.model_dump_json(),
            len(divided.plan.samples),
            KEPT_SECONDS,
            maker.token,
            maker.worker,
            maker.host,
        ]
        return bool(self._jobs.run_script(_REGISTER, _keys(job_id), arguments))

    def divided(self, job_id: str) -> DividedRun | None:
        """How the job's run is divided; None where it is not."""
        with self._jobs.answering():
            text = self._jobs.redis.hget(_key(job_id), _PLAN)
        try:
            return None if text is None else DividedRun.model_validate_json(cast("str", text))
        except ValidationError:
            return None

    def claim(self, job_id: str, maker: Maker, makers_a_host: int = 0) -> Claim:
        """Gives the maker a part that nobody makes.

        Returns:
            Its number; or "wait": others are at all that are left; "made": all are; "crowded": its
            host makes enough of them; "over": nobody wants them any more.
        """
        arguments = [maker.token, maker.worker, maker.host, self._jobs.lease_seconds, makers_a_host]
        answer = self._jobs.run_script(_CLAIM, _keys(job_id), arguments)
        return answer if isinstance(answer, int) else cast("Claim", str(answer))

    def beat(self, job_id: str, number: int, maker: Maker, progress: Progress | None) -> PartBeat:
        """The maker of a part lives.

        Returns:
            "ok"; "taken": the part is another's; "over": nobody wants it any more.
        """
        text = "" if progress is None else progress.model_dump_json()
        arguments = [number, maker.token, text]
        return cast("PartBeat", self._jobs.run_script(_BEAT, _keys(job_id), arguments))

    def made(self, job_id: str, number: int, maker: Maker) -> PartBeat:
        """The part's file is there."""
        keys = [*_keys(job_id), PART_COUNT]
        return cast("PartBeat", self._jobs.run_script(_MADE, keys, [number, maker.token]))

    def release(self, job_id: str, number: int, maker: Maker) -> None:
        """The maker gives up its part, which is anybody's then."""
        self._jobs.run_script(_RELEASE, [_key(job_id)], [number, maker.token])

    def reopen(self, job_id: str, number: int) -> None:
        """A part that was made is gone: it is to be made again."""
        with self._jobs.answering():
            self._jobs.redis.hdel(_key(job_id), f"{number}:made", f"{number}:token")

    def forget(self, job_id: str) -> None:
        with self._jobs.answering():
            self._jobs.redis.delete(_key(job_id))

    def read(self, job_id: str) -> list[PartProgress]:
        """All parts, in their order; none where the run is not divided."""
        with self._jobs.answering():
            pipe = self._jobs.redis.pipeline(transaction=False)
            pipe.time()
            pipe.hgetall(_key(job_id))
            (seconds, _), fields = pipe.execute()
        try:
            samples = DividedRun.model_validate_json(fields.get(_PLAN, "")).plan.samples
            return [
                self._progress(number, count, fields, float(seconds))
                for number, count in enumerate(samples, 1)
            ]
        except ValidationError:
            return []

    def count_made(self) -> int:
        """How many parts were made, of all jobs."""
        with self._jobs.answering():
            return int(cast("str | None", self._jobs.redis.get(PART_COUNT)) or 0)

    def _progress(
        self, number: int, samples: int, fields: dict[str, str], now: float
    ) -> PartProgress:
        def field(name: str) -> Any:
            return fields.get(f"{number}:{name}")

        state: PartState = "queued"
        if field("made") is not None:
            state = "made"
        elif field("token") is not None:
            is_lost = now - float(field("beat") or 0) >= self._jobs.lease_seconds
            state = "retrying" if is_lost else "in_progress"
        told = (
            None if field("progress") is None else Progress.model_validate_json(field("progress"))
        )
        done = samples if state == "made" else 0 if told is None else told.frames_done
        return PartProgress(
            number=number,
            state=state,
            worker=None if state == "queued" else field("worker"),
            host=None if state == "queued" else field("host"),
            attempts=int(field("attempts") or 0),
            frames_done=done,
            frames_total=samples,
            elapsed_sec=None if told is None else told.elapsed_sec,
            cpu_percent=told.cpu_percent if told is not None and state == "in_progress" else None,
        )


def _keys(job_id: str) -> list[str]:
    return [_key(job_id), job_key(job_id)]


def _key(job_id: str) -> str:
    return f"{PREFIX}:parts:{job_id}"
