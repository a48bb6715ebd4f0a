"""One process at a time makes a file that others want as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from apps.common.files import storage_errors
from apps.pipeline.inference.callbacks import LoadCallbacks

_PATIENCE_SECONDS = 0.5  # between two looks at whether the wait is to end


@contextmanager
def alone(path: Path, callbacks: LoadCallbacks) -> Iterator[None]:
    """Holds the lock of a file for the time of the block. The wait for it can be ended.

    Args:
        path: the file that is made; its folder exists.

    Raises:
        StorageFailed: the lock cannot be written.
    """
    lock = FileLock(path.with_suffix(".lock"))
    while not lock.is_locked:
        callbacks.check()
        with storage_errors(), suppress(Timeout):  # the latter is an OSError too
            lock.acquire(timeout=_PATIENCE_SECONDS)
    try:
        yield
    finally:
        lock.release()
