"""A worker as a thread: it takes messages with the product's transport, and executes their jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu import Connection

from apps.common.errors import JobNotFound, QueueUnavailable
from apps.common.settings import Settings
from apps.jobs.store import WorkerFacts
from lab.scale.ledger import Ledger
from lab.scale.mortal import Died, Mortal, MortalStore
from lab.scale.work import SimulatedExecution

_LOOK_SECONDS = 1.0  # at whether it is to end, while no message comes


class SimulatedWorker(threading.Thread):
    """One that executes one job at a time.

    Args:
        app: as `make_celery` makes it; shared by all.
        seconds: how long the run of each episode takes.
        begin: set where they are to take messages.
        ended: set where all workers are to end.
    """

    def __init__(
        self,
        name: str,
        app: Celery,
        settings: Settings,
        ledger: Ledger,
        seconds: Mapping[str, float],
        begin: threading.Event,
        ended: threading.Event,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.mortal = Mortal(ledger)
        self.listens = threading.Event()
        self._app = app
        self._settings = settings
        self._ledger = ledger
        self._seconds = seconds
        self._begin = begin
        self._ended = ended

    def run(self) -> None:
        connection: Connection = self._app.connection_for_read()
        channel = connection.channel()
        # Who dies gives nothing back.
        channel.do_restore = False
        taken: list[Any] = []
        consumer = self._app.amqp.TaskConsumer(channel, on_message=taken.append)
        consumer.qos(prefetch_count=1)
        self.listens.set()
        self._begin.wait()
        consumer.consume()
        try:
            while not self._ended.is_set() and not self.mortal.is_dead:
                try:
                    connection.drain_events(timeout=_LOOK_SECONDS)
                except TimeoutError:
                    continue
                while taken:
                    self._take(channel, taken.pop())
        except Died:
            pass
        finally:
            connection.close()

    def _take(self, channel: Any, message: Any) -> None:
        try:
            self.mortal.reach("before it noted its message")
        except Died:
            _lose(channel, message.delivery_tag)
            raise
        job_id, tag = str(message.headers["id"]), str(message.delivery_tag)
        store = MortalStore(
            self._settings.redis_url, self._settings.lease_s, self.mortal, self._ledger
        )
        execution = SimulatedExecution(
            job_id,
            store,
            self._settings,
            tag,
            self.name,
            mortal=self.mortal,
            ledger=self._ledger,
            seconds=self._seconds,
        )
        try:
            asyncio.run(execution.run())
        except (JobNotFound, QueueUnavailable):
            pass  # as the task does (`apps.worker.tasks`): it is sent again
        finally:
            store.close()
        self.mortal.check()
        message.ack()


def facts_of(name: str) -> WorkerFacts:
    """What a worker says of itself."""
    return WorkerFacts(
        name=name, host="here", pid=1, version="0", git_sha="", fingerprint="", concurrency=1
    )


def _lose(channel: Any, tag: str) -> None:
    """As where a process ends between the queue's answer and its own note of it."""
    channel.qos.ack(tag)
