"""Tells of runs and batches that have ended: notes what is to be told, and sends it.

What is to be told is in Redis (`apps.jobs.outbox`): only there it is noted in the same step as a
job's end, and it serves queued and local runs alike, on however many hosts. The API alone sends, in
threads of its own, one for each destination: no run waits for it, and no worker needs the secret.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from apps.api.webhook_events import LocalRun, batch_ended, job_ended, local_ended, recovered
from apps.api.webhook_ways import NotTold, ways_of
from apps.common.contracts.events import Event
from apps.common.errors import BatchNotFound, QueueUnavailable
from apps.common.layout import Layout
from apps.common.names import is_comparison_run
from apps.common.repeater import Repeater
from apps.common.webhooks import WebhookEvent, WebhookSettings
from apps.jobs.batches import BatchStore
from apps.jobs.outbox import Delivery, Outbox
from apps.jobs.store import JobStore, QueueJob
from apps.runs.spec import RunSpec

_log = logging.getLogger("screenalytics.webhooks")
_LOOK_SECONDS = 1.0
_LOOK_AT_BATCHES_SECONDS = 15.0  # at all of them; at those of a job that has ended at once
_TAKEN_SECONDS = 90.0  # longer than a sending takes
_MOST_LOCAL = 10_000  # ends of local runs that are kept in memory while Redis is away


@dataclass(frozen=True)
class Retries:
    """How often, and when, something is sent again: for about a day."""

    first_s: float = 2
    factor: float = 3
    longest_s: float = 6 * 3600
    tries: int = 12

    def pause_s(self, tries: int) -> float | None:
        """Seconds until the next try; None where there were enough."""
        if tries >= self.tries:
            return None
        usual = min(self.longest_s, self.first_s * self.factor ** (tries - 1))
        return usual * random.uniform(0.8, 1.2)


@dataclass(frozen=True)
class Figures:
    """How many are still to be sent, and how attempts went."""

    waiting: int
    counts: dict[str, int]


class Webhooks:
    """Begins with `start` where there is a destination, and does nothing where there is none.

    Args:
        settings: whom to tell, and with which secret.
        layout: where manifests are, of runs that a server has left behind.
        jobs: the Redis to note it in.
        retries: when something is sent again.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        layout: Layout,
        jobs: JobStore,
        retries: Retries | None = None,
    ) -> None:
        self._layout = layout
        self._jobs = jobs
        self._retries = Retries() if retries is None else retries
        self._outbox = Outbox(jobs)
        self._ways = ways_of(settings)
        self._server = hashlib.sha256(str(layout.root).encode()).hexdigest()[:12]
        self._todo: deque[Callable[[], None]] = deque(maxlen=_MOST_LOCAL)
        self._noting = threading.Lock()
        self._running: dict[str, LocalRun] = {}
        self._left_behind: dict[str, str] | None = None  # local runs of the server before
        self._all_batches_at = 0.0
        self._repeaters = [
            Repeater("webhooks", _LOOK_SECONDS, self._look, at_once=True),
            *(self._sender(name) for name in self._ways),
        ]

    @property
    def is_on(self) -> bool:
        return bool(self._ways)

    @property
    def names(self) -> list[str]:
        """Of the destinations, as they are stored."""
        return list(self._ways)

    def start(self) -> None:
        if self.is_on:
            for repeater in self._repeaters:
                repeater.start()

    def close(self) -> None:
        """Notes what is left to be told. Whoever serves next sends it."""
        if self.is_on:
            for repeater in self._repeaters:
                repeater.end()
            self._note()

    def figures(self) -> Figures | None:
        """None where there is no destination.

        Raises:
            QueueUnavailable: Redis does not tell.
        """
        if not self.is_on:
            return None
        return Figures(self._outbox.waiting(self.names), self._outbox.counts())

    def begun(self, spec: RunSpec) -> None:
        """A run has begun that lives no longer than this server. Never waits."""
        if self.is_on and not is_comparison_run(spec.run_id):
            run = self._running[spec.run_id] = LocalRun.of(spec)
            self._todo.append(
                lambda: self._outbox.note_local(self._server, run.key, run.model_dump_json())
            )

    def ended(self, spec: RunSpec, last: Event | None) -> None:
        """It has ended. Never waits.

        Args:
            last: its last event; None where its client went away first.
        """
        run = self._running.pop(spec.run_id, None)
        if run is not None:
            event = local_ended(run, last)
            self._todo.append(lambda: self._tell_local(run.key, event))

    def _tell_local(self, key: str, event: WebhookEvent) -> None:
        self._outbox.post(event.id, event.model_dump_json(), self.names)
        self._outbox.forget_local(self._server, key)

    def _look(self) -> None:
        try:
            if self._left_behind is None:
                self._left_behind = self._outbox.noted_local(self._server)
            self._outbox.want_endings()
            self._recover()
            if self._note():
                self._tell_batches(self._tell_jobs())
        except QueueUnavailable:
            return  # said by whoever needs it
        except Exception:
            _log.exception("endings could not be looked at")

    def _note(self) -> bool:
        """Puts ends of local runs into Redis, in their order; False where it is away."""
        with self._noting:
            while self._todo:
                try:
                    self._todo[0]()
                except QueueUnavailable:
                    return False
                self._todo.popleft()
        return True

    def _recover(self) -> None:
        """Runs of a server that was killed: they ended with it, or end within seconds."""
        left = {} if self._left_behind is None else self._left_behind
        for key, text in list(left.items()):
            event = recovered(self._layout, text)
            if event is not None:
                self._tell_local(key, event)
                del left[key]

    def _tell_jobs(self) -> set[str]:
        """Makes the events of jobs that have ended. Returns the batches that have others."""
        batches: set[str] = set()
        ended = self._outbox.ended_jobs()
        jobs = self._jobs.read_all([job_id for job_id, _ in ended]) if ended else {}
        for job_id, at in ended:
            job = jobs[job_id]
            if not isinstance(job, QueueJob) or is_comparison_run(job.request.spec.run_id):
                self._outbox.forget_job(job_id)
                continue
            event = job_ended(job, at)
            self._outbox.post_job(job_id, event.id, event.model_dump_json(), self.names)
            if job.request.batch_id is not None:
                batches.add(job.request.batch_id)
        return batches

    def _tell_batches(self, of_jobs: set[str]) -> None:
        is_time = time.monotonic() >= self._all_batches_at
        if not of_jobs and not is_time:
            return
        batches = BatchStore(self._jobs)
        for batch_id, number in self._outbox.open_batches():
            if is_time or batch_id in of_jobs:
                self._tell_batch(batches, batch_id, number)
        if is_time:
            self._all_batches_at = time.monotonic() + _LOOK_AT_BATCHES_SECONDS

    def _tell_batch(self, batches: BatchStore, batch_id: str, number: int) -> None:
        """Makes the event of its end, where it has ended."""
        try:
            batch = batches.read(batch_id)
        except BatchNotFound:
            batch = None
        if batch is None or batch.round != number:  # tried again, which is told when that ends
            self._outbox.forget_batch(batch_id, number)
            return
        event = None if batches.is_being_queued(batch_id) else batch_ended(batch, self._jobs)
        if event is not None:
            body = event.model_dump_json()
            self._outbox.post_batch(batch_id, number, event.id, body, self.names)

    def _sender(self, name: str) -> Repeater:
        return Repeater(f"webhook-{name}", _LOOK_SECONDS, lambda: self._send_due(name))

    def _send_due(self, name: str) -> None:
        try:
            while (delivery := self._outbox.take(name, _TAKEN_SECONDS)) is not None:
                self._send(name, delivery)
        except QueueUnavailable:
            return  # what was taken is due again after a while
        except Exception:
            _log.exception("a webhook could not be sent")

    def _send(self, name: str, delivery: Delivery) -> None:
        way, event_id = self._ways[name], delivery.event_id
        facts = {"event_id": event_id, "to": way.shown, "try": delivery.tries}
        try:
            if delivery.body is None:
                raise NotTold("its event is kept no longer", for_good=True)
            way.tell(event_id, delivery.body.encode())
        except NotTold as error:
            pause_s = None if error.for_good else self._retries.pause_s(delivery.tries)
            if pause_s is None:
                self._outbox.done(name, event_id, "given_up")
                _log.error("webhook given up: %s", error, extra=facts)
            else:
                self._outbox.again(name, event_id, pause_s)
                _log.warning("webhook not sent: %s", error, extra={**facts, "again_s": pause_s})
        else:
            self._outbox.done(name, event_id, "sent")
            _log.info("webhook sent", extra=facts)
