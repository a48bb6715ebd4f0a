"""What lies in the trash: an entry tells what it was, and where its parts belong."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from apps.common.contracts.base import Readable
from apps.common.errors import TrashNotFound
from apps.common.files import entries_of, size_of
from apps.common.layout import Layout
from apps.common.library_schemas import TrashKind
from apps.common.names import EpisodeId, RunId, is_name, new_run_id
from apps.common.open_result import result_json
from apps.runs.record import now, time_of

MOVING = ".moving-"  # begins the name of what is on its way
NOTE = "entry.json"
VIDEO_PART, RUNS_PART, RUN_PART = "video", "manifests", "run"  # of an entry


class Deleted(Readable):
    """`entry.json` of something in the trash."""

    trash_id: str
    kind: TrashKind
    ep_id: EpisodeId
    run_id: RunId | None = None
    title: str | None = None
    deleted_at: str
    size_bytes: int


def find_entry(layout: Layout, trash_id: str) -> Deleted:
    """What has this id in the trash.

    Raises:
        TrashNotFound: nothing has.
    """
    return read_entry(layout, layout.trash / trash_id)


def in_trash(layout: Layout) -> list[Deleted]:
    """What can be restored, newest first; what cannot be read is passed over."""
    found = []
    for folder in entries_of(layout.trash):
        if not folder.name.startswith("."):
            with suppress(TrashNotFound):
                found.append(read_entry(layout, folder))
    return sorted(found, key=lambda entry: (entry.deleted_at, entry.trash_id), reverse=True)


def undo_until(entry: Deleted, hours: float) -> datetime:
    """Until when something stays in the trash at least."""
    return time_of(entry.deleted_at) + timedelta(hours=hours)


def new_entry(
    layout: Layout, kind: TrashKind, ep_id: str, run_id: str | None, title: str | None
) -> Deleted:
    trash_id = new_run_id()
    entry = Deleted(
        trash_id=trash_id,
        kind=kind,
        ep_id=ep_id,
        run_id=run_id,
        title=title,
        deleted_at=now(),
        size_bytes=0,
    )
    sizes = [size_of(path) for path in places_of(layout, entry).values() if not path.is_symlink()]
    return entry.model_copy(update={"size_bytes": sum(sizes)})


def places_of(layout: Layout, entry: Deleted) -> dict[str, Path]:
    """Where the parts of an entry belong, by their names in the trash."""
    if entry.run_id is not None:
        return {RUN_PART: layout.run(entry.ep_id, entry.run_id).folder}
    return {VIDEO_PART: layout.episode(entry.ep_id), RUNS_PART: layout.manifests(entry.ep_id)}


def read_entry(layout: Layout, folder: Path) -> Deleted:
    """What lies in a folder of the trash.

    Raises:
        TrashNotFound: nothing that was deleted, or it says of itself that it is another thing.
    """
    trash_id = folder.name.removeprefix(MOVING)
    body = result_json(layout, folder / NOTE) if is_name(trash_id) else None
    try:
        entry = None if body is None else Deleted.model_validate(body)
        if entry is not None:
            time_of(entry.deleted_at)
    except (ValidationError, ValueError):
        entry = None
    if entry is None or entry.trash_id != trash_id or (entry.kind == "run") != bool(entry.run_id):
        raise unknown_entry(trash_id)
    return entry


def unknown_entry(trash_id: str) -> TrashNotFound:
    return TrashNotFound(
        f"There is nothing {trash_id[:40]!r} in the trash.",
        hint="It was restored, or removed for good; see GET /trash.",
    )
