"""What is known of a background job (old path): its record, its state, its end.

A job's state is never stored. It is read off the process and the run's manifest, so that there are
no two truths, and a server that was started again knows the jobs of the one before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.common.contracts.events import ErrorEvent
from apps.common.contracts.manifest import Progress, RunManifest, RunResult
from apps.common.errors import JobNotFound, RunCancelled, RunFailed, RunNotFound
from apps.common.files import read_json, tail
from apps.common.layout import Layout
from apps.common.names import EpisodeId, JobId, RunId
from apps.common.open_result import result_tail
from apps.common.processes import is_alive
from apps.legacy.limiter import LimiterName
from apps.runs.store import read_manifest, read_progress

_SAME_START = 2.0  # seconds; psutil's start times differ by up to one between two readers
_MAX_PID = 2**31 - 1
_LOG_LINES = 20
CANCELLED = "The job was cancelled by a request."

LegacyJobState = Literal["running", "success", "failed", "cancelled", "interrupted"]
_STATES: dict[str, LegacyJobState] = {
    "running": "running",
    "completed": "success",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
}


class ProcessId(BaseModel):
    """One process for good: a pid alone is given to another process some day."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int = Field(gt=1, le=_MAX_PID)
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The process that has this id now.

        Raises:
            psutil.NoSuchProcess: there is no such process.
        """
        return cls(pid=pid, create_time=psutil.Process(pid).create_time())

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _SAME_START
        except psutil.NoSuchProcess:
            return False
        return same and is_alive(process)


class LegacyJob(BaseModel):
    """`.jobs/<job_id>.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: JobId
    ep_id: EpisodeId
    run_id: RunId
    profile: str
    process: ProcessId
    limiter: LimiterName
    limiter_process: ProcessId | None = None
    cancelled: bool = False


class LegacyJobStatus(BaseModel):
    """The answer of `GET /jobs/{job_id}`."""

    job_id: str
    state: LegacyJobState
    ep_id: str
    run_id: str
    execution_mode: Literal["sse"] = "sse"
    profile: str
    limiter: LimiterName = Field(description="What caps the run's CPU from outside.")
    progress: Progress | None
    result: RunResult | None = Field(description="Of a success; the same as in local mode.")
    problem: dict[str, Any] | None = Field(description="Why it is no success (RFC 9457).")


def find_job(layout: Layout, job_id: str) -> LegacyJob:
    """The record of a job.

    Raises:
        InvalidInput: `job_id` is not a name.
        JobNotFound: there is no such job, or its record cannot be read.
    """
    record = _readable(layout.job(job_id).record)
    if record is None or record.job_id != job_id:
        raise JobNotFound(
            f"There is no job {job_id!r}.", hint="Start one with POST /jobs/detect_track."
        )
    return record


def list_jobs(layout: Layout) -> Iterator[LegacyJob]:
    """Every job whose record can be read."""
    for path in sorted(layout.jobs.glob("*.json")):
        record = _readable(path)
        if record is not None and record.job_id == path.stem:
            yield record


def job_status(layout: Layout, record: LegacyJob) -> LegacyJobStatus:
    """The job as it is now. It ends with its process, so an ended job holds nothing any more."""
    alive = record.process.is_alive()  # asked first: without it the manifest changes no more
    manifest = _manifest(layout, record)
    state = "running" if alive else _ended_state(record, manifest)
    return LegacyJobStatus(
        job_id=record.job_id,
        state=state,
        ep_id=record.ep_id,
        run_id=record.run_id,
        profile=record.profile,
        limiter=_limiter_now(record, alive),
        progress=read_progress(layout, record.ep_id, record.run_id),
        result=manifest.result if manifest is not None and state == "success" else None,
        problem=_problem(layout, record, state, manifest),
    )


def _readable(path: Path) -> LegacyJob | None:
    body = read_json(path)
    try:
        return None if body is None else LegacyJob.model_validate(body)
    except ValidationError:
        return None


def _manifest(layout: Layout, record: LegacyJob) -> RunManifest | None:
    try:
        return read_manifest(layout, record.ep_id, record.run_id)
    except RunNotFound:
        return None


def _ended_state(record: LegacyJob, manifest: RunManifest | None) -> LegacyJobState:
    state = "failed" if manifest is None else _STATES[manifest.status]
    if record.cancelled and (manifest is None or state == "interrupted"):
        return "cancelled"  # killed before it could say so itself
    return state


def _limiter_now(record: LegacyJob, alive: bool) -> LimiterName:
    """A limiter that ended before its run limits nothing any more."""
    limiter = record.limiter_process
    return "none" if alive and limiter is not None and not limiter.is_alive() else record.limiter


def _problem(
    layout: Layout, record: LegacyJob, state: LegacyJobState, manifest: RunManifest | None
) -> dict[str, Any] | None:
    if state in ("running", "success"):
        return None
    reason = None if manifest is None else manifest.exit_reason
    if state == "cancelled":
        why = CANCELLED if record.cancelled else reason or "The run was cancelled."
        return RunCancelled(why, hint="Start it again.").to_dict()
    error, printed = _last_words(layout.job(record.job_id).output)
    if state == "failed" and error is not None:
        return error.problem
    log = result_tail(layout, layout.run(record.ep_id, record.run_id).log, _LOG_LINES)
    return RunFailed(
        reason or "The run's process ended before it began.",
        hint="Look at the log lines; if the system killed it, it may lack memory.",
        logs=[*log, *printed][-_LOG_LINES:],
    ).to_dict()


def _last_words(output: Path) -> tuple[ErrorEvent | None, list[str]]:
    """The run's error event, and what is no event: a traceback, say."""
    error: ErrorEvent | None = None
    printed: list[str] = []
    for line in tail(output, lines=200):
        if not line.startswith("{"):
            printed.append(line)
        elif '"error"' in line:
            with contextlib.suppress(ValidationError):
                error = ErrorEvent.model_validate_json(line)
    return error, printed
