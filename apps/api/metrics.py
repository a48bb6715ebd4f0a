"""Figures for Prometheus. Local runs are counted here, queued ones in Redis by who ends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.api.webhooks import Webhooks
from apps.common.contracts.events import ErrorEvent, Event, ResultEvent
from apps.common.contracts.manifest import ExecutionMode
from apps.common.errors import QueueUnavailable, RunCancelled, RunTimedOut, from_dict
from apps.jobs.outbox import Count
from apps.jobs.parts import PartStore
from apps.jobs.retention import kept_count, pruned_counts, used_bytes
from apps.jobs.store import JobStore

# Seconds: from a short clip to a long episode.
_DURATIONS = (1, 3, 10, 30, 60, 180, 600, 1800, 3600)


class LocalMetrics:
    """Counts of the runs that this process answered for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "screenalytics_runs",
            "Runs that this server answered for, by how they ended",
            ["mode", "outcome"],
            registry=registry,
        )
        self._frames = Counter(
            "screenalytics_processed_frames",
            "Frames that detectors saw",
            ["mode"],
            registry=registry,
        )
        self._cpu = Counter(
            "screenalytics_run_cpu_seconds", "CPU time of runs", ["mode"], registry=registry
        )
        self._seconds = Histogram(
            "screenalytics_run_seconds",
            "Wall clock of completed runs",
            ["mode"],
            buckets=_DURATIONS,
            registry=registry,
        )

    def ended(self, mode: ExecutionMode, last: Event | None) -> None:
        """Counts a run that has ended.

        Args:
            last: the run's last event; None where its client went away first.
        """
        self._runs.labels(mode, outcome(last)).inc()
        if isinstance(last, ResultEvent):
            self._frames.labels(mode).inc(last.frames_done)
            self._cpu.labels(mode).inc(last.cpu.seconds)
            self._seconds.labels(mode).observe(last.elapsed_seconds)


class QueueCollector(Collector):
    """Asks Redis when it is asked; tells what it cannot learn by leaving it out."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("screenalytics_redis_up", "Whether Redis answers and takes jobs")
        try:
            self._jobs.check()
            figures, ended = self._jobs.queue_figures(), self._jobs.counts()
            workers, parts = self._jobs.workers(), PartStore(self._jobs).count_made()
            kept, pruned = kept_count(self._jobs), pruned_counts(self._jobs)
            used = used_bytes(self._jobs)
        except QueueUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _gauge("screenalytics_queue_depth", "Jobs that wait for a worker", figures.waiting)
        yield _gauge(
            "screenalytics_queue_oldest_seconds",
            "How long the job waits that waits longest; 0 where none does",
            figures.oldest_s,
        )
        yield _gauge("screenalytics_jobs_running", "Jobs that workers execute", figures.running)
        yield _gauge("screenalytics_workers", "Workers that listen", len(workers))
        slots = GaugeMetricFamily(
            "screenalytics_worker_slots",
            "Jobs that the workers can execute at once",
            labels=["state"],
        )
        of_all = sum(worker.concurrency for worker in workers)
        slots.add_metric(["busy"], min(figures.running, of_all))
        slots.add_metric(["idle"], max(0, of_all - figures.running))
        yield slots
        jobs = CounterMetricFamily("screenalytics_jobs", "Ended jobs", labels=["state"])
        for state, count in sorted(ended.items()):
            jobs.add_metric([state], count)
        yield jobs
        yield _gauge("screenalytics_jobs_kept", "Ended jobs that the queue remembers", kept)
        records = CounterMetricFamily(
            "screenalytics_queue_pruned",
            "Records of the queue that went since they were old",
            labels=["kind"],
        )
        for kind in ("jobs", "batches", "workers"):
            records.add_metric([kind], pruned.get(kind, 0))
        yield records
        if used is not None:
            yield _gauge("screenalytics_redis_used_bytes", "Memory of Redis, of all in it", used)
        yield CounterMetricFamily(
            "screenalytics_parts_made",
            "Parts of divided runs that were made",
            value=parts,
        )


class WebhookCollector(Collector):
    """Figures of webhooks, where there are any."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            figures = self._webhooks.figures()
        except QueueUnavailable:
            return
        if figures is None:
            return
        yield _gauge(
            "screenalytics_webhooks_waiting", "Webhooks that are still to be sent", figures.waiting
        )
        attempts = CounterMetricFamily(
            "screenalytics_webhooks",
            "Attempts to send a webhook, by how they went; retried: it was sent again later",
            labels=["outcome"],
        )
        for how in get_args(Count):
            attempts.add_metric([how], figures.counts.get(how, 0))
        yield attempts


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def outcome(last: Event | None) -> str:
    """How a run ended, as a word for figures and logs; None: its client went away first."""
    if isinstance(last, ResultEvent):
        return "completed"
    if isinstance(last, ErrorEvent):
        error = from_dict(last.problem)
        if isinstance(error, RunTimedOut):
            return "timed_out"
        return "cancelled" if isinstance(error, RunCancelled) else "failed"
    return "cancelled"
