"""Celery as this product uses it: jobs and calls for help, delivered at least once, over Redis."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, cast

import redis
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from apps.common.batch_schemas import Priority
from apps.common.errors import QueueUnavailable
from apps.common.redis_url import RedisUrl
from apps.common.settings import Settings
from apps.jobs.limits import longest_delivery_s
from apps.jobs.redis_errors import queue_unavailable
from apps.jobs.store import JobRequest, JobStore

TASK = "screenalytics.detect_track"
HELP_TASK = "screenalytics.help"
QUEUE = "detect_track"
_PRIORITIES: dict[Priority, int] = {"normal": 0, "low": 6}  # Celery's over Redis: 0 goes first
_SEPARATOR = "\x06\x16"  # kombu's own: no name of a queue has it
QUEUES = tuple(f"{QUEUE}{_SEPARATOR}{step}" if step else QUEUE for step in _PRIORITIES.values())
"""Redis's lists of messages, by priority."""
_BY_PRIORITY = {
    "queue_order_strategy": "priority",
    "priority_steps": list(_PRIORITIES.values()),
    "sep": _SEPARATOR,
}
_TRANSPORT = "apps.jobs.transport:Transport"
_UNACKED, _UNACKED_INDEX = "unacked", "unacked_index"  # kombu's: message, and delivery time, by tag


class _Celery(Celery):  # type: ignore[misc]
    """Celery whose broker is the product's, and which keeps no results: the job's record does.

    Celery itself prefers CELERY_BROKER_URL, CELERY_RESULT_BACKEND and the like in the environment
    to what it is configured with, so that API and worker could use different servers.
    """

    backend_cls = "disabled"

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._broker = RedisUrl.parse(settings.redis_url).for_broker
        super().__init__("screenalytics", broker=self._broker, **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Connection:
        del url
        connection = super().connection_for_read(self._broker, **options)
        connection.transport_cls = _TRANSPORT
        return connection

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        del url
        return super().connection_for_write(self._broker, **options)

    def connection(self, hostname: str | None = None, **options: Any) -> Connection:
        del hostname
        return self.connection_for_write(**options)


def make_celery(settings: Settings) -> Celery:
    """The worker's application.

    A message that is not acknowledged for one and a half leases is delivered again. A worker
    renews that time while it works (`apps.worker.heartbeat`), so the lease is short and runs may be
    long; and by then a worker that says nothing is taken to be dead.
    """
    app = _Celery(settings)
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_track_started=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A Redis that refuses for a while (out of memory, a replica) ends no worker.
        broker_channel_error_retry=True,
        # A job outlives a broken connection: its run goes on, and a second delivery finds it.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            **_BY_PRIORITY,
            "visibility_timeout": 1.5 * settings.lease_s,
            "unacked_restore_interval": max(1, round(settings.lease_s / 3)),
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "health_check_interval": 5,
        },
    )
    return app


class Publisher:
    """Sends jobs, and says at once when it cannot."""

    def __init__(self, settings: Settings) -> None:
        self._app = _Celery(settings, set_as_current=False)
        options = {**_BY_PRIORITY, "socket_connect_timeout": 1, "socket_timeout": 1}
        self._app.conf.update(
            task_serializer="json",
            task_default_queue=QUEUE,
            task_ignore_result=True,
            broker_transport_options=options,
        )

    def send(self, request: JobRequest) -> None:
        """Sends the job's id to the workers.

        Raises:
            QueueUnavailable: the broker does not take it.
        """
        self._send(TASK, request.job_id, request)

    def call_for_help(self, request: JobRequest) -> None:
        """Asks one worker to make parts of a job's run, as long as there are any.

        Raises:
            QueueUnavailable: the broker does not take it.
        """
        self._send(HELP_TASK, f"help-{secrets.token_hex(8)}", request)

    def _send(self, task: str, task_id: str, request: JobRequest) -> None:
        try:
            self._send_once(task, task_id, request)
        except _ConnectionBroke:
            self._send_once(task, task_id, request)

    def _send_once(self, task: str, task_id: str, request: JobRequest) -> None:
        try:
            self._app.send_task(
                task,
                args=[request.job_id],
                task_id=task_id,
                argsrepr="",  # where a job's id stands in a message, that is the job's own
                priority=_PRIORITIES[request.priority],
                time_limit=longest_delivery_s(request.timeout_s),
                # Once more where Redis was started again since the connection was made.
                retry=True,
                retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
            )
        except (OperationalError, redis.RedisError, OSError, RuntimeError) as error:
            raise queue_unavailable(_root(error)) from error
        except AttributeError as error:
            # Where a connection breaks while the queue is declared on it, kombu makes another one,
            # and goes on with the channel of the old one, which has none.
            if (error.name, error.obj) != ("client", None):
                raise
            broke = _ConnectionBroke("Redis has ended the connection.", hint="Try again.")
            raise broke from error


class _ConnectionBroke(QueueUnavailable):
    """Nothing was sent; the next connection may hold."""


# KEYS: a list of messages, whose last one is taken next. ARGV: job id, how many newest ones to see.
_PUT_FIRST = """
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  if string.find(text, ARGV[1], 1, true) then
    redis.call('LREM', KEYS[1], 1, text)
    redis.call('RPUSH', KEYS[1], text)
    return 1
  end
end
return 0
"""
_NEWEST = 1000
_NEXT = 20  # more than workers leave there of jobs that were cancelled


def put_first(store: JobStore, request: JobRequest) -> None:
    """Of the messages that wait, a job's that was just sent is the next of its priority."""
    queue = QUEUES[list(_PRIORITIES).index(request.priority)]
    with store.answering():
        store.redis.eval(_PUT_FIRST, 1, queue, request.job_id, str(_NEWEST))


def next_jobs(store: JobStore) -> dict[Priority, list[str]]:
    """By priority, the jobs of the messages that are taken next, the first one first."""
    with store.answering():
        pipe = store.redis.pipeline(transaction=False)
        for queue in QUEUES:
            pipe.lrange(queue, -_NEXT, -1)
        found = cast("list[list[str]]", pipe.execute())
    return {
        priority: [job_id for text in reversed(texts) if (job_id := _job_of(text)) is not None]
        for priority, texts in zip(_PRIORITIES, found, strict=True)
    }


def renew_delivery(store: JobStore, tag: str) -> None:
    """A message that is being worked on counts as delivered just now."""
    with store.answering():
        # XX: one that was delivered again, or acknowledged, stays away.
        store.redis.zadd(_UNACKED_INDEX, {tag: time.time()}, xx=True)


def sent_jobs(store: JobStore, newest_s: float) -> set[str]:
    """Ids of the jobs whose message waits in the queue, or has been delivered of late.

    Args:
        newest_s: how long ago a delivery may be, seconds.
    """
    with store.answering():
        waiting = [
            text for queue in QUEUES for text in cast("list[str]", store.redis.lrange(queue, 0, -1))
        ]
        tags = store.redis.zrangebyscore(_UNACKED_INDEX, time.time() - newest_s, "+inf")
        delivered = store.redis.hmget(_UNACKED, cast("list[str]", tags)) if tags else []
    texts = [*waiting, *(text for text in cast("list[str | None]", delivered) if text)]
    return {job_id for job_id in map(_job_of, texts) if job_id is not None}


def is_work_waiting(store: JobStore) -> bool:
    """Whether a message waits for a worker."""
    with store.answering():
        return any(store.redis.llen(queue) for queue in QUEUES)


def _job_of(text: str) -> str | None:
    """The job that a message is about; a delivered one is the first of a list."""
    try:
        message = json.loads(text)
        message = message[0] if isinstance(message, list) else message
        return str(message["headers"]["id"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None


def _root(error: BaseException) -> BaseException:
    """What Redis itself answered, below what Celery and kombu make of it."""
    while not isinstance(error, redis.RedisError) and error.__cause__ is not None:
        error = error.__cause__
    return error
