"""The log of an episode's corrections: read as a whole, and only ever appended to.

A line that a crash has cut off stands for a correction that nobody was told of; it is passed over,
and counted. A line of a later version is not guessed at: the log is refused as a whole, and stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock
from pydantic import ValidationError

from apps.common.contracts.corrections import CORRECTION_VERSIONS, CorrectionRow, RunKey, TrackMark
from apps.common.errors import CorrectionsUnreadable, PeopleChanged, StorageFailed
from apps.common.files import append_line, storage_errors
from apps.common.layout import Layout
from apps.common.open_result import open_result
from apps.common.people_schemas import Correction


@dataclass(frozen=True)
class CorrectionLog:
    """What was corrected.

    Args:
        rows: in the order in which they were made.
        damaged_lines: that were passed over.
    """

    rows: tuple[CorrectionRow, ...] = ()
    damaged_lines: int = 0

    @property
    def revision(self) -> int:
        """Of the newest correction; 0 where there is none."""
        return max((row.revision for row in self.rows), default=0)

    @property
    def standing(self) -> list[CorrectionRow]:
        """Those that count: none that was undone, and no undoing."""
        undone = self._undone()
        return [row for row in self.rows if row.action != "undo" and row.revision not in undone]

    def marks(self, run: RunKey) -> dict[str, TrackMark]:
        """What is known of a run's tracks, by their names."""
        return {mark.track_id: mark for row in self.rows if row.run == run for mark in row.tracks}

    def told(self, after: int = 0) -> list[Correction]:
        """As answers tell it, without what finds tracks again.

        Args:
            after: only those behind this revision.
        """
        undone = self._undone()
        return [
            Correction(
                revision=row.revision,
                at=row.at,
                run_id=row.run_id,
                action=row.action,
                person_ids=[person.person_id for person in row.people],
                track_ids=row.track_ids,
                name=row.name,
                made=row.made,
                undoes=row.undoes,
                undone=row.revision in undone,
            )
            for row in self.rows
            if row.revision > after
        ]

    def _undone(self) -> set[int | None]:
        return {row.undoes for row in self.rows if row.action == "undo"}


def read_log(layout: Layout, ep_id: str) -> CorrectionLog:
    """The log of an episode; an empty one where there is none.

    Raises:
        CorrectionsUnreadable: a later version has written to it.
    """
    try:
        with open_result(layout, layout.corrections(ep_id)) as stream:
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return CorrectionLog()
    except OSError:
        raise _unreadable("The log of corrections cannot be opened.", "Look at its file.") from None
    rows, damaged = list[CorrectionRow](), 0
    for line in lines:
        if not line or line.isspace():
            continue
        try:
            rows.append(CorrectionRow.model_validate_json(line))
        except ValidationError:
            _refuse_later(line)
            damaged += 1
    return CorrectionLog(tuple(rows), damaged)


def append(
    layout: Layout, ep_id: str, seen: int, make: Callable[[CorrectionLog], CorrectionRow]
) -> CorrectionRow:
    """Appends a correction, where nobody else has appended one meanwhile; it is then on the disk.

    Args:
        seen: revision that whoever corrects has seen.
        make: the correction, from the log as it is.

    Raises:
        PeopleChanged: there is a newer one; it tells which (`changed`).
        CorrectionsUnreadable: a later version has written to it.
        StorageFailed: the disk does not take it; the log is as it was.
    """
    with corrections_lock(layout, ep_id):
        log = read_log(layout, ep_id)
        if log.revision != seen:
            changed = [each.model_dump() for each in log.told(after=seen)]
            raise PeopleChanged(
                f"The people were corrected meanwhile: revision {log.revision}, not {seen}.",
                hint="Look at them again, then correct them.",
                revision=log.revision,
                changed=changed,
            )
        row = make(log)
        path = layout.corrections(ep_id)
        if layout.inside(path) is None:
            raise StorageFailed(
                "The log of corrections lies outside of the data root.", hint="Remove that link."
            )
        with storage_errors():
            append_line(path, row.line())
    return row


@contextmanager
def corrections_lock(layout: Layout, ep_id: str) -> Iterator[None]:
    """Held while an episode's corrections are changed, by whichever process."""
    with storage_errors():
        layout.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.corrections_lock(ep_id)):
        yield


def _refuse_later(line: bytes) -> None:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return
    version = body.get("schema_version") if isinstance(body, dict) else None
    if isinstance(version, str) and version not in CORRECTION_VERSIONS:
        raise _unreadable(
            f"The log of corrections has a line of another version ({version[:40]!r}).",
            "Use the version of the program that wrote it; nothing was changed.",
        )


def _unreadable(detail: str, hint: str) -> CorrectionsUnreadable:
    return CorrectionsUnreadable(detail, hint=hint)
