"""The one task, as thin as it can be."""

from __future__ import annotations

import asyncio
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Reject

from apps.common.errors import JobNotFound, QueueUnavailable
from apps.common.logs import bind, clear
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.jobs.queue import TASK
from apps.jobs.store import JobStore
from apps.worker.execution import JobExecution


class JobFailed(Exception):
    """Makes Celery's own state say FAILURE; the job's record holds the whole problem."""


def add_tasks(app: Celery, settings: Settings) -> None:
    fingerprint = source_fingerprint()  # of the code that this worker loaded

    @app.task(bind=True, name=TASK, throws=(JobFailed,))  # type: ignore[untyped-decorator]
    def detect_track(self: Task, job_id: str) -> dict[str, Any]:
        store = JobStore(settings.redis_url, settings.lease_s)
        clear()
        bind(job_id=job_id)
        try:
            execution = JobExecution(
                job_id,
                store,
                settings,
                worker=str(self.request.hostname),
                delivery_tag=_delivery_tag(self),
                fingerprint=fingerprint,
            )
            job = asyncio.run(execution.run())
        except JobNotFound:
            raise Ignore from None
        except QueueUnavailable:
            raise Reject(requeue=True) from None
        finally:
            store.close()
        if job.state == "cancelled":
            self.update_state(state="REVOKED")
            raise Ignore
        if job.result is None:
            raise JobFailed((job.problem or {}).get("detail", "The job failed."))
        return job.result.model_dump(mode="json")


def _delivery_tag(task: Task) -> str | None:
    tag = (task.request.properties or {}).get("delivery_tag")
    return None if tag is None else str(tag)
