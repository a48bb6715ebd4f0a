"""Gives a job back to the queue, for a worker that is told to stop."""

from __future__ import annotations

import asyncio
import logging
import time

from apps.common.errors import QueueUnavailable, RunCancelled
from apps.common.settings import Settings
from apps.jobs.queue import Publisher, put_first
from apps.jobs.store import JobRequest, JobStore

_log = logging.getLogger("screenalytics.worker")
_POLL_SECONDS = 0.3
_PATIENCE_SECONDS = 5.0  # to reach Redis; else the job is taken up after its lease


async def hand_back(request: JobRequest, token: str, store: JobStore, settings: Settings) -> None:
    """Another worker may begin at once; nothing here may work on the job any more.

    Args:
        token: of the delivery that ends so.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            _queue_again(request, token, store, settings)
            return
        except QueueUnavailable as error:
            if time.monotonic() > deadline:
                _log.error("job not handed back, it waits for a lease: %s", error.detail)
                return
            await asyncio.sleep(_POLL_SECONDS)


def _queue_again(request: JobRequest, token: str, store: JobStore, settings: Settings) -> None:
    answer = store.hand_back(request, token)
    if answer == "cancel":
        store.cancel_now(request.job_id, cancelled().to_dict())
    elif answer == "queued":
        # Should this end here, it is sent all the same (`apps.jobs.reconcile`).
        Publisher(settings).send(request)
        put_first(store, request)
        _log.info("job handed back: the worker stops")


def cancelled() -> RunCancelled:
    return RunCancelled("The job was cancelled.", hint="Submit it again to run it.")
