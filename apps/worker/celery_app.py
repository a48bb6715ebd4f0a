"""The worker: `celery -A apps.worker.celery_app worker --concurrency 1`."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any

from celery.signals import heartbeat_sent, setup_logging, worker_ready, worker_shutting_down

from apps import __version__
from apps.common.errors import QueueUnavailable
from apps.common.layout import Layout
from apps.common.logs import configure_logging
from apps.common.repeater import Repeater
from apps.common.settings import Settings
from apps.common.version import git_sha, source_fingerprint
from apps.jobs.queue import Publisher, make_celery
from apps.jobs.reconcile import reconcile, turn_seconds
from apps.jobs.store import JobStore, WorkerFacts
from apps.runs.sweep import sweep_in_background
from apps.worker.drain import Drain
from apps.worker.left_parts import remove_left_parts_in_background
from apps.worker.tasks import add_tasks

_log = logging.getLogger("screenalytics.worker")
_SAY_EVERY_SECONDS = 2.0
_FORGOTTEN_AFTER_SECONDS = 8.0

settings = Settings.of_environment()
app = celery_app = make_celery(settings)
drain = Drain()  # before Celery forks its processes
add_tasks(app, settings, drain)


class Announcer(Repeater):
    """Says every few seconds, in Redis, that this worker listens, and which code it runs."""

    def __init__(self, facts: WorkerFacts, store: JobStore) -> None:
        self._facts = facts
        self._store = store
        self._problem = ""  # why it could not be said, which is tried again soon
        super().__init__("announcer", _SAY_EVERY_SECONDS, self._say, at_once=True)

    def end(self) -> None:
        super().end()
        with contextlib.suppress(QueueUnavailable):  # Redis forgets it by itself
            self._store.sign_off(self._facts.name)

    def _say(self) -> None:
        previous, self._problem = self._problem, ""
        try:
            self._store.announce(self._facts, _FORGOTTEN_AFTER_SECONDS)
        except QueueUnavailable as error:
            self._problem = error.detail
            if self._problem != previous:
                _log.warning("nobody hears of this worker: %s", self._problem)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log_as_json(loglevel: int, **_: Any) -> None:
    configure_logging(logging.getLevelName(loglevel))


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _touch(**_: Any) -> None:
    """Sent by the loop that takes jobs, so a file that stays new says that it turns."""
    if settings.heartbeat_file is not None:
        with contextlib.suppress(OSError):
            settings.heartbeat_file.touch()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(how: str, **_: Any) -> None:
    """Sent by the handlers of signals. Celery's cold way ends the processes itself."""
    if how == "Warm":
        drain.begin_by_signal(settings.drain_seconds)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _announce(sender: Any, **_: Any) -> None:
    facts = WorkerFacts(
        name=sender.hostname,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        git_sha=git_sha(),
        fingerprint=source_fingerprint(),
        concurrency=sender.pool.num_processes,
    )
    sweep_in_background(Layout(settings.data_root.resolve()))
    store, publisher = JobStore(settings.redis_url, settings.lease_s), Publisher(settings)
    remove_left_parts_in_background(Layout(settings.data_root.resolve()), store)
    announcer = Announcer(facts, store)
    announcer.start()
    worker_shutting_down.connect(lambda **_: announcer.end(), weak=False)
    reconciler = Repeater("reconciler", turn_seconds(store), lambda: reconcile(store, publisher))
    reconciler.start()  # until the process ends: a signal's handler must not wait for a thread
