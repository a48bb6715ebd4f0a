"""Applies corrections to the people of a run. Pure.

A correction says which persons it is about by their tracks as they were. In the run that it was
made in these are the same tracks; in another one they are those that are found for them. A person
of a run is meant where more than half of its time is that of the tracks that are meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from apps.common.contracts.corrections import CorrectionRow, PersonTracks, RunKey
from apps.common.names import person_name, person_number
from apps.common.people_schemas import Unmatched

_MEANT = 0.5  # of a person's time


@dataclass
class Person:
    """Tracks of one person, as they are corrected.

    Args:
        tracks: names.
    """

    person_id: str
    tracks: set[str]
    name: str | None = None
    hidden: bool = False


class Finder(Protocol):
    """Finds tracks of another run in this one."""

    def __call__(self, run: RunKey, tracks: Iterable[str]) -> Found: ...


@dataclass(frozen=True)
class Found:
    """What stands for tracks of another run.

    Args:
        tracks: of this run.
        missing: of the other one, for which there is none.
        unlike: there is one at the place, and its face is another one.
    """

    tracks: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    unlike: bool = False


@dataclass
class People:
    """The people of a run, to be corrected.

    Args:
        people: in any order; none of their tracks is in two.
        seconds: of each track of the run on the screen, those of nobody too.
        find: in this run.
        unmatched: what did not fit.
    """

    people: list[Person]
    seconds: Mapping[str, float]
    find: Finder
    unmatched: list[Unmatched] = field(default_factory=list)
    _numbers: int = 0
    _owner: dict[str, Person] = field(default_factory=dict)
    _declined: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owner = {track: person for person in self.people for track in person.tracks}
        numbers = (person_number(person.person_id) for person in self.people)
        self._numbers = max(numbers, default=0)

    def apply(self, corrections: Iterable[CorrectionRow]) -> None:
        """Corrections that count, the oldest first."""
        for row in corrections:
            if row.action == "merge":
                self._merge(row)
            elif row.action == "move":
                self._move(row)
            else:
                self._mark(row)

    def _mark(self, row: CorrectionRow) -> None:
        lost = _Lost()
        for meant in row.people:
            for person in self._meant(row, meant, lost):
                if row.action == "name":
                    person.name = row.name
                elif row.action == "decline":
                    self._decline(person, row.name)
                else:
                    person.hidden = row.action == "hide"
        self._tell(row, lost)

    def _decline(self, person: Person, name: str | None) -> None:
        """Whoever gets these tracks later gets along what was said of them."""
        if name:
            self._declined.setdefault(name, set()).update(person.tracks)

    def declined(self, person: Person) -> frozenset[str]:
        """Names that somebody has said to be another's, of most of this person's time."""
        enough_s = _MEANT * self._time(person.tracks)
        return frozenset(
            name
            for name, tracks in self._declined.items()
            if self._time(person.tracks & tracks) > enough_s
        )

    def _merge(self, row: CorrectionRow) -> None:
        lost = _Lost()
        meant = [person for each in row.people for person in self._meant(row, each, lost)]
        if meant:
            stays, *others = {person.person_id: person for person in meant}.values()
            for other in others:
                stays.tracks |= other.tracks
                self._owner.update(dict.fromkeys(other.tracks, stays))
                if stays.name is None:
                    stays.name = other.name
                self.people.remove(other)
        self._tell(row, lost)

    def _move(self, row: CorrectionRow) -> None:
        if not row.people and row.made is None:
            return  # its person was deleted
        found = self.find(row.run, row.track_ids)
        lost = _Lost(tracks=list(found.missing), unlike=found.unlike)
        target: Person | None = None
        for meant in row.people[:1]:
            target = next(iter(self._meant(row, meant, lost)), None)
        lost.applied = bool(found.tracks) and (target is not None or not row.people)
        if lost.applied:
            self._take(found.tracks, target, row.made)
        self._tell(row, lost)

    def _take(self, tracks: frozenset[str], target: Person | None, made: str | None) -> None:
        owners = self._owners(tracks)
        if target is None:
            if any(person.tracks == tracks for person in owners):
                return  # this run knows already that they are a person's
            target = Person(self._new_id(made), set())
            self.people.append(target)
        for person in owners:
            person.tracks -= tracks
        target.tracks |= tracks
        self._owner.update(dict.fromkeys(tracks, target))
        self.people = [person for person in self.people if person.tracks]

    def _meant(self, row: CorrectionRow, meant: PersonTracks, lost: _Lost) -> Sequence[Person]:
        """Persons of this run that a person of a correction is, the longest one first."""
        found = self.find(row.run, meant.track_ids)
        lost.unlike |= found.unlike
        persons, elsewhere_s = list[Person](), 0.0
        for person in self._owners(found.tracks):
            common_s = self._time(person.tracks & found.tracks)
            if common_s > _MEANT * self._time(person.tracks):
                persons.append(person)
            else:
                elsewhere_s += common_s  # the smaller part of somebody else
        if not persons or elsewhere_s > _MEANT * self._time(found.tracks):
            lost.people.append(meant.person_id)
        lost.applied |= bool(persons)
        return sorted(persons, key=lambda person: (-self._time(person.tracks), person.person_id))

    def _owners(self, tracks: Iterable[str]) -> list[Person]:
        owners = (self._owner.get(track) for track in tracks)
        return list({one.person_id: one for one in owners if one is not None}.values())

    def _time(self, tracks: Iterable[str]) -> float:
        """Seconds; a little for each track, so that none counts for nothing."""
        return sum(self.seconds.get(track, 0.0) + 1e-3 for track in tracks)

    def _new_id(self, made: str | None) -> str:
        if made is not None and all(person.person_id != made for person in self.people):
            number = person_number(made)
            if number > self._numbers:
                self._numbers = number
                return made
        self._numbers += 1
        return person_name(self._numbers)

    def next_id(self) -> str:
        """The id that a person would get that is made now."""
        return person_name(self._numbers + 1)

    def _tell(self, row: CorrectionRow, lost: _Lost) -> None:
        if not lost.people and not lost.tracks:
            return
        self.unmatched.append(
            Unmatched(
                revision=row.revision,
                run_id=row.run_id,
                action=row.action,
                person_ids=lost.people,
                track_ids=lost.tracks,
                name=row.name,
                reason=lost.reason,
            )
        )


@dataclass
class _Lost:
    """Of one correction: what is not found.

    Args:
        applied: whether anything of it was.
    """

    people: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    unlike: bool = False
    applied: bool = False

    @property
    def reason(self) -> Literal["not_found", "partly_found", "not_alike"]:
        if self.applied:
            return "partly_found"
        return "not_alike" if self.unlike else "not_found"
