"""Celery as this product uses it: one task, delivered at least once, over Redis."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from apps.common.errors import QueueUnavailable
from apps.common.settings import Settings
from apps.jobs.store import JobRequest

TASK = "screenalytics.detect_track"
QUEUE = "detect_track"
_GRACE_SECONDS = 60  # for the run's own time limit to work before Celery's
_RESULTS_KEPT_SECONDS = 7 * 24 * 3600


def make_celery(settings: Settings) -> Celery:
    """The worker's application.

    A message that is not acknowledged for `lease_s` is delivered again; a worker renews that time
    while it works (`apps.worker.keeper`), so the lease is short and runs may be long.
    """
    app = Celery("screenalytics", broker=settings.redis_url, backend=settings.redis_url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_track_started=True,
        result_expires=_RESULTS_KEPT_SECONDS,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A job outlives a broken connection: its run goes on, and a second delivery finds it.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "visibility_timeout": settings.lease_s,
            "unacked_restore_interval": max(1, round(settings.lease_s / 3)),
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "health_check_interval": 5,
        },
    )
    return app


class Publisher:
    """Sends jobs, and says at once when it cannot.

    It has no result backend: Celery would wait for that one too, for twenty seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("screenalytics", broker=settings.redis_url)
        options: dict[str, Any] = {
            "visibility_timeout": settings.lease_s,
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
        }
        self._app.conf.update(
            task_serializer="json",
            task_default_queue=QUEUE,
            task_ignore_result=True,
            broker_transport_options=options,
        )

    def send(self, request: JobRequest) -> None:
        """Raises:
        QueueUnavailable: the broker does not take it.
        """
        try:
            self._app.send_task(
                TASK,
                args=[request.job_id],
                task_id=request.job_id,
                time_limit=request.timeout_s + 2 * _GRACE_SECONDS,
                soft_time_limit=request.timeout_s + _GRACE_SECONDS,
                retry=False,
            )
        except (OperationalError, OSError, RuntimeError) as error:
            raise QueueUnavailable(
                "The job could not be sent to Redis.", hint="Check Redis, then send it again."
            ) from error
