"""Removes the parts of runs whose job has ended while no worker led it."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

from apps.common.errors import QueueUnavailable
from apps.common.files import entries_of
from apps.common.layout import Layout
from apps.common.names import is_name
from apps.jobs.parts import PartStore
from apps.jobs.store import JobStore, QueueJob
from apps.runs.staging import remove_tree

_log = logging.getLogger("screenalytics.worker")


def remove_left_parts_in_background(layout: Layout, store: JobStore) -> None:
    """The same beside what a worker has to do; where Redis is away, the next worker does it."""

    def remove() -> None:
        with suppress(QueueUnavailable):
            freed = remove_left_parts(layout, store)
            if freed:
                _log.info("parts removed", extra={"megabytes": round(freed / 1e6, 1)})

    threading.Thread(target=remove, name="left parts", daemon=True).start()


def remove_left_parts(layout: Layout, store: JobStore) -> int:
    """Removes the parts of jobs that have ended, or that Redis does not know any more.

    Returns:
        Bytes that were freed.

    Raises:
        QueueUnavailable: nobody knows which jobs have ended.
    """
    folders = (layout.all_parts, layout.all_sent_parts)
    paths = [path for folder in folders for path in entries_of(folder) if is_name(path.name)]
    names = sorted({path.name for path in paths})
    jobs = store.read_all(names)
    freed = 0
    for name, job in jobs.items():
        if isinstance(job, QueueJob) and not job.is_finished:
            continue
        PartStore(store).forget(name)
        freed += sum(remove_tree(path) for path in paths if path.name == name)
    return freed
