"""Gives a job back to the queue, for a worker that is told to stop, or that lacks the storage."""

from __future__ import annotations

import asyncio
import logging
import time

from apps.common.errors import QueueUnavailable, RunCancelled, StorageUnavailable
from apps.common.settings import Settings
from apps.jobs.queue import Publisher, put_first
from apps.jobs.store import JobRequest, JobStore
from apps.worker.endings import Reported

_log = logging.getLogger("screenalytics.worker")
_POLL_SECONDS = 0.3
_PATIENCE_SECONDS = 5.0  # to reach Redis; else the job is taken up after its lease
STORAGE_SECONDS = 600.0  # so long jobs wait for a storage that no worker reaches


async def hand_back(
    request: JobRequest,
    token: str,
    store: JobStore,
    settings: Settings,
    lacking: StorageUnavailable | Reported | None = None,
) -> None:
    """Another worker may begin at once; nothing here may work on the job any more.

    Args:
        token: of the delivery that ends so.
        lacking: why it cannot go on here; None where the worker stops. For this reason a job is
            given back for some minutes only, and then ends with it.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            _queue_again(request, token, store, settings, lacking)
            return
        except QueueUnavailable as error:
            if time.monotonic() > deadline:
                _log.error("job not handed back, it waits for a lease: %s", error.detail)
                return
            await asyncio.sleep(_POLL_SECONDS)


def _queue_again(
    request: JobRequest,
    token: str,
    store: JobStore,
    settings: Settings,
    lacking: StorageUnavailable | Reported | None,
) -> None:
    answer = store.hand_back(request, token, None if lacking is None else STORAGE_SECONDS)
    if answer == "cancel":
        store.cancel_now(request.job_id, cancelled().to_dict())
    elif answer == "late" and lacking is not None:
        store.fail(request.job_id, lacking.to_dict())
    elif answer == "queued":
        # Should this end here, it is sent all the same (`apps.jobs.reconcile`).
        Publisher(settings).send(request)
        put_first(store, request)
        _log.info("job handed back: %s", "the worker stops" if lacking is None else lacking.detail)


def cancelled() -> RunCancelled:
    return RunCancelled("The job was cancelled.", hint="Submit it again to run it.")
