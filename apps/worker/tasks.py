"""The one task, as thin as it can be."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore

from apps.common.errors import (
    JobNotFound,
    JobUnreadable,
    QueueUnavailable,
    RunFailed,
    ScreenalyticsError,
)
from apps.common.logs import bind, clear
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.jobs.queue import HELP_TASK, TASK
from apps.jobs.store import JobStore, QueueJob
from apps.worker.drain import Drain
from apps.worker.execution import JobExecution
from apps.worker.help import PartHelp
from apps.worker.here import WorkerHere

_log = logging.getLogger("screenalytics.worker")


class JobFailed(Exception):
    """Makes Celery's own state say FAILURE; the job's record holds the whole problem."""


def add_tasks(app: Celery, settings: Settings, drain: Drain) -> None:
    fingerprint = source_fingerprint()  # of the code that this worker loaded

    def here(task: Task) -> WorkerHere:
        return WorkerHere(str(task.request.hostname), settings, fingerprint)

    @app.task(bind=True, name=TASK, throws=(JobFailed,))  # type: ignore[untyped-decorator]
    def detect_track(self: Task, job_id: str) -> dict[str, Any]:
        store = JobStore(settings.redis_url, settings.lease_s)
        clear()
        bind(job_id=job_id)
        try:
            execution = JobExecution(
                job_id,
                store,
                here(self),
                delivery_tag=_delivery_tag(self),
                drain=drain,
            )
            job = _execute(execution, job_id, store)
        except (JobNotFound, JobUnreadable):
            raise Ignore from None
        except QueueUnavailable as error:
            # Given back to a Redis that refuses, it would come again at once, and again. If it is
            # not ended, it is sent again once Redis does its part (`apps.jobs.reconcile`).
            _log.error("delivery dropped: %s", error.detail)
            raise Ignore from None
        finally:
            store.close()
        if not job.is_finished or job.state == "cancelled":
            raise Ignore  # it is executed elsewhere, or nobody wants it
        if job.result is None:
            raise JobFailed((job.problem or {}).get("detail", "The job failed."))
        return job.result.model_dump(mode="json")

    @app.task(bind=True, name=HELP_TASK)  # type: ignore[untyped-decorator]
    def make_parts(self: Task, job_id: str) -> int:
        store = JobStore(settings.redis_url, settings.lease_s)
        clear()
        bind(job_id=job_id)
        try:
            helping = PartHelp(here(self), store, delivery_tag=_delivery_tag(self), drain=drain)
            return asyncio.run(helping.run(job_id))
        except (JobNotFound, JobUnreadable):
            raise Ignore from None
        except QueueUnavailable as error:
            _log.warning("no help: %s", error.detail)  # whoever leads does it all
            raise Ignore from None
        finally:
            store.close()


def _execute(execution: JobExecution, job_id: str, store: JobStore) -> QueueJob:
    """Whatever happens in it, the job ends; where Redis is away then, it is sent again."""
    try:
        return asyncio.run(execution.run())
    except (JobNotFound, QueueUnavailable):
        raise
    except Exception as error:
        _log.exception("job ended by an error")
        store.fail(job_id, _as_known_error(error).to_dict())
        return store.read(job_id)


def _as_known_error(error: Exception) -> ScreenalyticsError:
    if isinstance(error, ScreenalyticsError):
        return error
    return RunFailed(
        f"The worker met an error that it does not know: {type(error).__name__}.",
        hint="The worker's log has the details; please report them.",
    )


def _delivery_tag(task: Task) -> str | None:
    tag = (task.request.properties or {}).get("delivery_tag")
    return None if tag is None else str(tag)
