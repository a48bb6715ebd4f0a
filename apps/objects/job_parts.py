"""Files of divided runs in the storage, for hosts that share nothing else, until that is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apps.common.errors import StorageUnavailable
from apps.common.files import storage_errors
from apps.common.layout import Check, draft_of
from apps.objects.publish import file_parts
from apps.objects.records import PARTS, job_of_part, parts_of
from apps.objects.store import NoObject, ObjectChanged, ObjectStore

_PAUSE_SECONDS = 1.0
_UNKNOWN_FOR = timedelta(days=1)  # then a job that this queue does not know is nobody's


class JobParts:
    """Files of one divided run; each is put and had as a whole.

    Args:
        store: asked.
        job_id: of the run's job.
        token: tells this division of it from others.
    """

    def __init__(self, store: ObjectStore, job_id: str, token: str) -> None:
        self._store = store
        self._where = parts_of(job_id, token)

    def put(self, path: Path, check: Check, patience_s: float) -> None:
        """Stores a file under its name.

        Args:
            check: called between two tries; what it raises ends them.
            patience_s: so long it is tried, seconds.

        Raises:
            StorageUnavailable: the storage is away for longer.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._store.put(self._where + path.name, _checked(path, check))
                return
            except StorageUnavailable:
                if time.monotonic() > deadline:
                    raise
                check()
                time.sleep(_PAUSE_SECONDS)
                self._store.try_again()

    def bring(self, path: Path) -> bool:
        """Brings the file of that name here; False where there is none.

        Raises:
            StorageUnavailable: the storage is away.
            StorageFailed: the disk does not take it.
        """
        draft = draft_of(path, os.getpid())
        try:
            found = self._store.find(self._where + path.name)
            with storage_errors(), draft.open("wb") as stream:
                for part in self._store.parts(found):
                    stream.write(part)
            with storage_errors():
                draft.replace(path)
        except (NoObject, ObjectChanged):  # changed: a maker that was believed dead stored it too
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def forget(self) -> None:
        """Removes them all.

        Raises:
            StorageUnavailable: the storage is away.
        """
        self._store.delete([found.key for found in self._store.below(self._where)])


def remove_left(store: ObjectStore, has_ended: Callable[[list[str]], dict[str, bool]]) -> int:
    """Removes files of runs that nobody puts together any more; how many.

    Args:
        has_ended: of some jobs those that are known, and whether each has ended.

    Raises:
        StorageUnavailable: the storage is away.
    """
    there = [(job_of_part(found.key), found) for found in store.below(PARTS)]
    known = has_ended(sorted({job for job, _ in there if job is not None}))
    oldest = datetime.now(UTC) - _UNKNOWN_FOR
    left = [
        found.key
        for job, found in there
        if job is not None and known.get(job, found.modified < oldest)
    ]
    store.delete(left)
    return len(left)


def _checked(path: Path, check: Check) -> Iterator[bytes]:
    for piece in file_parts(path):
        check()
        yield piece
