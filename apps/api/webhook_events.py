"""What is told when a run or a batch has ended, from what is known of it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from pydantic import BaseModel

from apps.api.batch_status import status_of
from apps.common.contracts.events import ErrorEvent, Event, ResultEvent
from apps.common.contracts.manifest import ExecutionMode
from apps.common.errors import (
    RunCancelled,
    RunNotFound,
    ServiceStopping,
    StorageUnavailable,
    from_dict,
)
from apps.common.layout import Layout
from apps.common.webhooks import BatchEnded, EndStatus, RunEnded, WebhookEvent
from apps.jobs.batches import Batch
from apps.jobs.store import JobStore, QueueJob
from apps.runs.record import now
from apps.runs.spec import RunSpec
from apps.runs.store import read_manifest

_STATUS: dict[str, EndStatus] = {
    "success": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


_STOPPED = (RunCancelled, ServiceStopping)


class LocalRun(BaseModel):
    """A run that ends with its server, as it is noted when it begins."""

    ep_id: str
    run_id: str
    execution_mode: ExecutionMode
    event_id: str

    @staticmethod
    def of(spec: RunSpec) -> LocalRun:
        return LocalRun(
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            execution_mode=spec.execution_mode,
            event_id=f"evt-{secrets.token_hex(8)}",  # a run's id may be used again
        )

    @property
    def key(self) -> str:
        return f"{self.ep_id}/{self.run_id}"


def job_ended(job: QueueJob, at: float) -> WebhookEvent:
    """Of a queued run.

    Args:
        job: it has ended.
        at: when, seconds since 1970.
    """
    spec, batch_id = job.request.spec, job.request.batch_id
    job_id = job.request.job_id
    links = {"run": _run_path(spec.ep_id, spec.run_id), "job": f"/celery_jobs/{job_id}"}
    if batch_id is not None:
        links["batch"] = _batch_path(batch_id)
    data = RunEnded(
        ep_id=spec.ep_id,
        run_id=spec.run_id,
        job_id=job_id,
        batch_id=batch_id,
        execution_mode=spec.execution_mode,
        status=_STATUS[job.state],
        elapsed_seconds=None if job.result is None else job.result.elapsed_seconds,
        problem=_short(job.problem),
        links=links,
    )
    return _run_event(f"evt-{job_id}", _text(at), data)


def local_ended(run: LocalRun, last: Event | None) -> WebhookEvent:
    """Of a run that a request has waited for; `last` is None where its client went away."""
    problem = last.problem if isinstance(last, ErrorEvent) else None
    status: EndStatus = "cancelled"
    if isinstance(last, ResultEvent):
        status = "completed"
    elif problem is not None and not isinstance(from_dict(problem), _STOPPED):
        status = "failed"
    elapsed = last.elapsed_seconds if isinstance(last, ResultEvent) else None
    return _local(run, status, elapsed, _short(problem))


def recovered(layout: Layout, text: str) -> WebhookEvent | None:
    """Of a local run whose server was killed: as its manifest says; None while that is open.

    Args:
        text: the run, as it was noted.
    """
    run = LocalRun.model_validate_json(text)
    try:
        manifest = read_manifest(layout, run.ep_id, run.run_id)
    except RunNotFound:
        return _local(run, "cancelled", None, None)
    except StorageUnavailable:  # it may be there
        return None
    if manifest.status == "running":
        return None
    if manifest.result is not None:
        return _local(run, "completed", manifest.result.elapsed_seconds, None)
    return _local(run, "cancelled" if manifest.status == "cancelled" else "failed", None, None)


def batch_ended(batch: Batch, jobs: JobStore) -> WebhookEvent | None:
    """Of a batch all of whose jobs have ended; None while one has not."""
    ids = [entry.job_id for entry in batch.entries.values() if entry.job_id is not None]
    if jobs.ahead(ids):  # one is unfinished, which no record has to be read for
        return None
    status = status_of(batch, jobs.read_all(ids))
    if status.state == "active":
        return None
    since = datetime.fromisoformat(batch.created_at)
    data = BatchEnded(
        batch_id=batch.batch_id,
        status=_STATUS[status.state],
        elapsed_seconds=round((datetime.now(UTC) - since).total_seconds(), 3),
        total=status.total,
        counts={str(state): count for state, count in status.counts.items()},
        links={"batch": _batch_path(batch.batch_id)},
    )
    event_id = f"evt-{batch.batch_id}-{batch.round}"
    return WebhookEvent(type="batch.ended", id=event_id, timestamp=now(), data=data)


def _local(
    run: LocalRun, status: EndStatus, elapsed: float | None, problem: dict[str, str] | None
) -> WebhookEvent:
    data = RunEnded(
        ep_id=run.ep_id,
        run_id=run.run_id,
        execution_mode=run.execution_mode,
        status=status,
        elapsed_seconds=elapsed,
        problem=problem,
        links={"run": _run_path(run.ep_id, run.run_id)},
    )
    return _run_event(run.event_id, now(), data)


def _run_event(event_id: str, timestamp: str, data: RunEnded) -> WebhookEvent:
    return WebhookEvent(type="run.ended", id=event_id, timestamp=timestamp, data=data)


def _short(problem: dict[str, object] | None) -> dict[str, str] | None:
    if problem is None:
        return None
    return {name: str(problem.get(name, "")) for name in ("type", "detail")}


def _run_path(ep_id: str, run_id: str) -> str:
    return f"/episodes/{ep_id}/runs/{run_id}"


def _batch_path(batch_id: str) -> str:
    return f"/celery_jobs/detect_track/batch/{batch_id}"


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
