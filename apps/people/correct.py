"""Corrects the people of a run: what is asked for becomes a line of the log, or is refused."""

from __future__ import annotations

from collections.abc import Sequence

from apps.common.contracts.corrections import (
    CORRECTION_VERSIONS,
    CorrectionRow,
    PersonTracks,
    TrackMark,
)
from apps.common.errors import InvalidInput
from apps.common.layout import Layout
from apps.common.names import track_number
from apps.common.people_schemas import CorrectionRequest
from apps.people.corrected import CorrectedPeople, CorrectedRun, corrected_people
from apps.people.known import Known
from apps.people.log import CorrectionLog, append
from apps.runs.record import now
from apps.runs.store import read_completed

_LOOK = "Look at the people of this run again."


def correct(
    layout: Layout, ep_id: str, run_id: str, wanted: CorrectionRequest, known: Known | None = None
) -> CorrectedPeople:
    """Writes a correction down; the people as they are then.

    Args:
        run_id: or `latest`.
        known: what was read before.

    Raises:
        InvalidInput: it makes no sense, or names persons or tracks that are not there.
        RunNotFound: there is no such completed run, or it has no people.
        PeopleChanged: somebody else has corrected them meanwhile.
        CorrectionsUnreadable: a later version has written the log.
        StorageFailed: the disk does not take it.
    """
    manifest = read_completed(layout, ep_id, run_id)
    known = Known() if known is None else known

    def make(log: CorrectionLog) -> CorrectionRow:
        run = CorrectedRun(layout, manifest, log, known)
        return _Maker(run, log, wanted).row()

    append(layout, ep_id, wanted.revision, make)
    return corrected_people(layout, ep_id, manifest.run_id, known)


class _Maker:
    """Makes a line of the log of a request.

    Args:
        run: with the corrections before it.
    """

    def __init__(self, run: CorrectedRun, log: CorrectionLog, wanted: CorrectionRequest) -> None:
        self._run = run
        self._log = log
        self._wanted = wanted

    def row(self) -> CorrectionRow:
        wanted = self._wanted
        self._refuse_what_does_not_belong()
        if wanted.action == "undo":
            return self._made([], [], undoes=self._to_undo())
        people = [self._person(person_id) for person_id in wanted.person_ids]
        if wanted.action in ("name", "decline"):
            return self._made(people, [], name=wanted.name)
        if wanted.action == "move":
            return self._move(people)
        return self._made(people, [])

    def _refuse_what_does_not_belong(self) -> None:
        wanted = self._wanted
        persons, tracks = len(wanted.person_ids), len(wanted.track_ids)
        least, most = {
            "name": (1, 1),
            "decline": (1, 1),
            "merge": (2, None),
            "move": (0, 1),
            "undo": (0, 0),
        }.get(wanted.action, (1, None))
        if persons < least or (most is not None and persons > most):
            numbers = f"{least}" if least == most else f"{least} or more"
            numbers = "one at most" if wanted.action == "move" else numbers
            raise InvalidInput(
                f"`{wanted.action}` is about {numbers} of person_ids, not {persons}.",
                hint="See the contract for what each action needs.",
            )
        if (wanted.action == "move") != (tracks > 0):
            raise InvalidInput(
                "`move`, and nothing else, is about track_ids.", hint="Name at least one for it."
            )
        if wanted.action not in ("name", "decline") and wanted.name is not None:
            raise InvalidInput(
                "Only `name` and `decline` have a name.", hint="Name a person by itself."
            )
        if wanted.action == "decline" and not wanted.name:
            raise InvalidInput("`decline` says which name it is not.", hint="Give it a name.")
        for what, given in (("person_ids", wanted.person_ids), ("track_ids", wanted.track_ids)):
            if len(set(given)) < len(given):
                raise InvalidInput(f"`{what}` has one twice.", hint="Name each once.")

    def _to_undo(self) -> int:
        standing = self._log.standing
        if not standing:
            raise InvalidInput("There is no correction to undo.", hint=_LOOK)
        return standing[-1].revision

    def _person(self, person_id: str) -> PersonTracks:
        for person in self._run.people.people:
            if person.person_id == person_id:
                tracks = sorted(person.tracks, key=track_number)
                return PersonTracks(person_id=person_id, track_ids=tracks)
        raise InvalidInput(f"There is no person {person_id!r} in this run.", hint=_LOOK)

    def _move(self, people: list[PersonTracks]) -> CorrectionRow:
        tracks = self._wanted.track_ids
        known = self._run.seconds.keys() & self._run.tracks.tracks.keys()
        unknown = [track for track in tracks if track not in known]
        if unknown:
            raise InvalidInput(f"There is no track {unknown[0]!r} in this run.", hint=_LOOK)
        for person in self._run.people.people:
            if not people and person.tracks == set(tracks):
                raise InvalidInput(
                    f"These are all tracks of {person.person_id!r}: they are one person already.",
                    hint="Move fewer of them, or to another person.",
                )
        made = None if people else self._run.people.next_id()
        return self._made(people, sorted(tracks, key=track_number), made=made)

    def _made(
        self,
        people: list[PersonTracks],
        tracks: list[str],
        *,
        name: str | None = None,
        made: str | None = None,
        undoes: int | None = None,
    ) -> CorrectionRow:
        manifest = self._run.manifest
        file = manifest.video_file
        concerned = [*(track for person in people for track in person.track_ids), *tracks]
        return CorrectionRow(
            revision=self._log.revision + 1,
            at=now(),
            ep_id=manifest.ep_id,
            run_id=manifest.run_id,
            run_started_at=manifest.started_at,
            fingerprint=None if file is None else file.fingerprint,
            action=self._wanted.action,
            people=people,
            track_ids=tracks,
            name=None if name == "" else name,
            made=made,
            undoes=undoes,
            tracks=self._marks(concerned),
            schema_version=CORRECTION_VERSIONS[self._wanted.action == "decline"],
        )

    def _marks(self, tracks: Sequence[str]) -> list[TrackMark]:
        """What finds these again, of those that the log does not tell of yet."""
        known = self._log.marks(self._run.key)
        new = [track for track in dict.fromkeys(tracks) if track not in known]
        if not new:
            return []
        from apps.people.matching import mark_of

        seen = self._run.tracks.tracks
        embeddings = self._run.embeddings
        return [mark_of(track, seen[track], embeddings) for track in new if track in seen]
