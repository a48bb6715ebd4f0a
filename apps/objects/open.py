"""From the settings to a `Layout` that knows its storage."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from apps.common.errors import InvalidInput, ScreenalyticsError
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.common.storage_url import StorageUrl
from apps.objects.client import package_missing
from apps.objects.credentials import profile_of
from apps.objects.mirror import Mirror
from apps.objects.store import ObjectStore
from apps.runs.spec import StoragePlan, storage_plan


def mirror_of(settings: Settings) -> Mirror | None:
    """The storage that is set; None where none is.

    Raises:
        PackageMissing, InvalidInput: it cannot be opened.
    """
    plan = storage_plan(settings)
    return None if plan is None else open_mirror(plan, settings.data_root, settings.min_free_mb)


def layout_of(settings: Settings, root: Path) -> Layout:
    """Paths below a data root, with the storage that is set; as `mirror_of`."""
    return Layout(root, remote=mirror_of(settings))


def layout_at(data_root: Path | None) -> Layout:
    """For a command: what the settings name, below the data root that is given, if one is."""
    settings = Settings.read(data_root=data_root)
    return layout_of(settings, settings.data_root)


def end_where_not_usable(settings: Settings) -> None:
    """For a server or worker: a storage that can never be opened ends it with one line.

    The library is looked for and not loaded: Celery forks processes, and it has threads.
    """
    if settings.storage is None:
        return
    try:
        url = _checked(settings.storage, settings.data_root)
        if find_spec("obstore") is None:
            raise package_missing()
        if url.folder is None:
            profile_of()
    except ScreenalyticsError as error:
        sys.exit(f"error: {error.message}")


def open_mirror(plan: StoragePlan, root: Path, min_free_mb: float) -> Mirror:
    """A storage; nothing is asked yet.

    Raises:
        PackageMissing: obstore is not installed.
        InvalidInput: it is the data root, or AWS_PROFILE names no profile.
    """
    return Mirror(ObjectStore(_checked(plan.url, root)), plan.cache_mb, min_free_mb)


def _checked(text: str, root: Path) -> StorageUrl:
    """The storage that is set; a folder that is none of the data root's.

    Raises:
        InvalidInput: it is the data root, or one of them lies in the other.
    """
    url = StorageUrl.parse(text)
    if url.folder is not None:
        here, there = root.resolve(), url.folder.resolve()
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise InvalidInput(
                "SCREENALYTICS_STORAGE lies in the data root, or the data root in it.",
                hint="Choose another folder, or unset it.",
            )
    return url
