"""Whether the data root can take a run: space, files, and folders that can be written and read."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from apps.common.errors import StorageFailed
from apps.common.files import storage_errors
from apps.common.layout import Layout

_MIN_FILES = 32  # a run without crops makes about twenty


def check_space(root: Path, min_free_mb: float) -> float:
    """Megabytes that are free on the disk of a folder.

    Raises:
        StorageFailed: too few, or no more files fit on it.
    """
    with storage_errors():
        disk = os.statvfs(root)
    free_mb = disk.f_bavail * disk.f_frsize / 1e6
    if free_mb < min_free_mb:
        raise StorageFailed(
            f"Only {free_mb:.0f} MB are free in the data folder.",
            hint=f"Free space (at least {min_free_mb:g} MB), then run again.",
        )
    if disk.f_files > 0 and disk.f_favail < _MIN_FILES:  # some file systems do not count them
        raise StorageFailed(
            f"Only {disk.f_favail} more files fit on the disk of the data folder (inodes).",
            hint="Delete files there, then run again.",
        )
    return free_mb


def check_storage(layout: Layout, min_free_mb: float) -> float:
    """As `check_space`, and tries each folder that a run writes to. Makes no folder.

    Raises:
        StorageFailed: a folder cannot be written or read as well.
    """
    paths = (layout.root, *layout.root.parents)
    existing = next(path for path in paths if os.access(path, os.F_OK))
    free_mb = check_space(existing, min_free_mb)
    if existing != layout.root:
        if not os.access(existing, os.W_OK | os.X_OK):
            raise StorageFailed("The data root cannot be made.", hint="Choose another data root.")
        return free_mb
    for folder in (layout.root, layout.all_manifests, layout.locks, layout.cache):
        if os.path.lexists(folder):
            _try(folder)
    return free_mb


def _try(folder: Path) -> None:
    try:
        with NamedTemporaryFile(dir=folder, prefix=".ready-") as probe:
            probe.write(b"ready")
            probe.flush()
            next(folder.iterdir(), None)
            if Path(probe.name).read_bytes() != b"ready":
                raise OSError("what was written is not what is read")
    except OSError as error:
        raise StorageFailed(
            f"The folder {folder.name} of the data root cannot be used: {error.strerror or error}.",
            hint="Give this user the right to read and write it.",
        ) from error
