"""The people of a run as they were corrected, in whichever run of the episode that was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from apps.common.contracts.corrections import CorrectionRow, RunKey
from apps.common.contracts.manifest import RunManifest
from apps.common.contracts.rows import PersonRow, TrackRow
from apps.common.errors import RunNotFound
from apps.common.layout import Layout
from apps.common.open_result import result_rows
from apps.common.people_schemas import Unmatched
from apps.people.known import Known, states_of
from apps.people.log import CorrectionLog, read_log
from apps.people.replay import Finder, Found, People, Person
from apps.runs.store import read_completed

if TYPE_CHECKING:  # with NumPy, that few requests need
    from apps.people.embeddings import Embeddings
    from apps.people.matching import Matches
    from apps.people.run_tracks import RunTracks

NO_PEOPLE = "The run's tracks were not grouped into people."
ASK_FOR_PEOPLE = "Run with the option people."


@dataclass(frozen=True)
class CorrectedPeople:
    """The people of a run.

    Args:
        rows: who is on the screen longest first; hidden ones too.
        revision: of the newest correction; 0 where there is none.
        unmatched: corrections that do not fit this run, or not as a whole.
        damaged_lines: of the log; they are passed over.
    """

    rows: list[PersonRow]
    revision: int
    unmatched: list[Unmatched]
    damaged_lines: int = 0


def corrected_people(
    layout: Layout, ep_id: str, run_id: str, known: Known | None = None
) -> CorrectedPeople:
    """The people of a completed run with all corrections of the episode.

    Args:
        run_id: or `latest`.
        known: what was read before.

    Raises:
        InvalidInput: a name is not legal.
        RunNotFound: there is no such completed run, or it has no people.
        CorrectionsUnreadable: a later version has written the log.
    """
    manifest = read_completed(layout, ep_id, run_id)
    return CorrectedRun(layout, manifest, read_log(layout, ep_id), known).corrected()


class CorrectedRun:
    """A run and the corrections of its episode; what is not needed is not read.

    Args:
        layout: paths under the data root.
        manifest: of a completed run.
        log: of its episode.
        known: what was read before.

    Raises:
        RunNotFound: the run has no people.
    """

    def __init__(
        self,
        layout: Layout,
        manifest: RunManifest,
        log: CorrectionLog,
        known: Known | None = None,
    ) -> None:
        self._layout = layout
        self._known = Known() if known is None else known
        self._log = log
        self.manifest = manifest
        self.key: RunKey = (manifest.run_id, manifest.started_at)
        self.files = layout.run(manifest.ep_id, manifest.run_id)
        found = layout.inside(self.files.people)
        if found is None or not found.is_file():
            raise RunNotFound(NO_PEOPLE, hint=ASK_FOR_PEOPLE)
        self.rows = _distinct(result_rows(layout, self.files.people, PersonRow))

    @cached_property
    def tracks(self) -> RunTracks:
        from apps.people.run_tracks import read_run_tracks

        own = self.files
        files = (own.detections, own.tracks, own.people, own.manifest)
        return self._known.tracks.of(
            states_of(self._layout, *files),
            lambda: read_run_tracks(self._layout, self.manifest, self.rows),
        )

    @cached_property
    def embeddings(self) -> Embeddings:
        from apps.people.embeddings import read_embeddings

        return read_embeddings(self._layout, self.files)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """For how long each track of the run is on the screen."""
        rows = result_rows(self._layout, self.files.tracks, TrackRow)
        return {
            row.track_id: 0.0 if row.screen is None else max(0.0, row.screen.seconds)
            for row in rows
            if row is not None and row.track_id is not None
        }

    @cached_property
    def people(self) -> People:
        """As they are corrected."""
        people = People(
            [Person(row.person_id, set(row.track_ids), row.name, row.hidden) for row in self.rows],
            self.seconds,
            self._finder(),
        )
        people.apply(self._log.standing)
        return people

    def corrected(self) -> CorrectedPeople:
        """Its rows, with the figures of those whose tracks are others now."""
        rows = [self._row(person) for person in self.people.people] if self._log.rows else self.rows
        rows = sorted(rows, key=lambda row: (-row.screen_seconds, row.person_id))
        unmatched = self.people.unmatched if self._log.rows else []
        return CorrectedPeople(rows, self._log.revision, unmatched, self._log.damaged_lines)

    def _row(self, person: Person) -> PersonRow:
        owners = list({row.person_id: row for row in self._owners(person.tracks)}.values())
        if len(owners) == 1 and person.tracks == set(owners[0].track_ids):
            change = {"person_id": person.person_id, "name": person.name, "hidden": person.hidden}
            return owners[0].model_copy(update=change)
        from apps.people.figures import counted

        video = self.manifest.video
        video_s = 0.0 if video is None else video.duration_s
        owners.sort(key=lambda row: (row.person_id != person.person_id, row.person_id))
        ep_id = self.manifest.ep_id
        return counted(person, owners, ep_id, self.tracks, self.embeddings, video_s)

    def _owners(self, tracks: set[str]) -> Iterable[PersonRow]:
        """Rows of who has had these tracks, as the run wrote them."""
        return (self._owner[track] for track in tracks if track in self._owner)

    @cached_property
    def _owner(self) -> dict[str, PersonRow]:
        return {track: row for row in self.rows for track in row.track_ids}

    def _finder(self) -> Finder:
        """Finds tracks of this run, and those of the other runs of the log."""

        @cache
        def of_run(run: RunKey) -> Matches:
            return self._matches(run)

        def find(run: RunKey, tracks: Iterable[str]) -> Found:
            tracks = list(tracks)
            if run == self.key:
                own = frozenset(name for name in tracks if name in self.seconds)
                return Found(own, tuple(name for name in tracks if name not in own))
            matches = of_run(run)
            found = frozenset[str]().union(*(matches.tracks.get(name, ()) for name in tracks))
            missing = tuple(name for name in tracks if name not in matches.tracks)
            return Found(found, missing, any(name in matches.unlike for name in missing))

        return find

    def _matches(self, run: RunKey) -> Matches:
        """Tracks of this run that stand for those of another one."""
        from apps.people.matching import Likeness, match

        facts = self.manifest.people
        own = self.manifest.video_file
        other = next((row.fingerprint for row in self._rows_of(run) if row.fingerprint), None)
        likeness = Likeness(
            one_person=0.0 if facts is None else facts.max_distance,
            same_video=own is None or other in (None, own.fingerprint),
        )
        marks = self._log.marks(run)
        files = (self.files.detections, self.files.embeddings, self.files.manifest)
        key = (states_of(self._layout, *files), run, likeness, tuple(marks))
        return self._known.matches.of(
            key, lambda: match(marks.values(), self.tracks, self.embeddings, likeness)
        )

    def _rows_of(self, run: RunKey) -> Iterable[CorrectionRow]:
        return (row for row in self._log.rows if row.run == run)


def _distinct(rows: Iterable[PersonRow | None]) -> list[PersonRow]:
    """Those that can be read, without persons and tracks that a damaged file has twice."""
    found, people, tracks = list[PersonRow](), set[str](), set[str]()
    for row in rows:
        if row is None or row.person_id in people or not tracks.isdisjoint(row.track_ids):
            continue
        people.add(row.person_id)
        tracks |= set(row.track_ids)
        found.append(row)
    return found
