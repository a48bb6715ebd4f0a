"""Names from other episodes: who is suggested where the others of a set are named rightly. Pure.

A person of a run is whoever its tracks lie on for longest. Those of all other episodes of the set
have their names; each of this episode is then to get its name, or none where the set has not got
it. People of other sets and of clips are strangers: each suggestion for one is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from apps.common.contracts.rows import PersonRow
from apps.common.names import track_number
from apps.people.suggest import Look, Unnamed, suggested
from apps.pipeline.people.grouping import TrackFace
from lab.evaluation.people_scores import IGNORED, NOBODY, Seconds


@dataclass(frozen=True)
class SeenPerson:
    """A person of a run.

    Args:
        person_id: in the run.
        person: who that is; `NOBODY` where it is no face.
        look: None where no track was described.
    """

    person_id: str
    person: str
    look: Look | None
    appearances: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class RunPeople:
    """The people of a run.

    Args:
        max_distance: at which they were grouped.
        step_s: from sample to sample.
    """

    people: tuple[SeenPerson, ...]
    max_distance: float
    step_s: float


@dataclass(frozen=True)
class NamesScore:
    """Of people of runs.

    Args:
        right, wrong, missed: whose name is known: got it, got another, got none.
        strangers, disturbed: whose name is not known, and of these who got one.
    """

    right: int = 0
    wrong: int = 0
    missed: int = 0
    strangers: int = 0
    disturbed: int = 0

    def __add__(self, other: NamesScore) -> NamesScore:
        return NamesScore(
            self.right + other.right,
            self.wrong + other.wrong,
            self.missed + other.missed,
            self.strangers + other.strangers,
            self.disturbed + other.disturbed,
        )


def seen_people(
    rows: Iterable[PersonRow], faces: Iterable[TrackFace], on: Seconds
) -> tuple[SeenPerson, ...]:
    """Who the people of a run are.

    Args:
        faces: of its tracks.
        on: on whom each track lies for how long.
    """
    embeddings = {face.number: face.embedding for face in faces}
    found = []
    for row in rows:
        tracks = [track_number(track) for track in row.track_ids]
        seconds: dict[str, float] = defaultdict(float)
        for track in tracks:
            for name, value in on.get(track, {}).items():
                seconds[name] += value
        known = [embeddings[track] for track in tracks if track in embeddings]
        found.append(
            SeenPerson(
                row.person_id,
                max(sorted(seconds), key=lambda name: seconds[name], default=NOBODY),
                Look.of(np.stack(known)) if known else None,
                tuple(row.appearances),
            )
        )
    return tuple(found)


def score_names(named: Sequence[RunPeople], asked: RunPeople, factor: float = 1.0) -> NamesScore:
    """What is suggested for the people of a run.

    Args:
        named: other runs, whose people have their names.
        asked: this one.
        factor: `suggest_factor`.
    """
    cast: dict[str, list[Look]] = defaultdict(list)
    for run in named:
        for person in run.people:
            if person.look is not None and person.person not in (NOBODY, IGNORED):
                cast[person.person].append(person.look)
    there = [
        (person, Unnamed(person.person_id, person.look, person.appearances))
        for person in asked.people
        if person.look is not None and person.person != IGNORED
    ]
    found = suggested(
        [unnamed for _, unnamed in there],
        cast,
        {},
        max_distance=factor * asked.max_distance,
        step_s=asked.step_s,
    )
    score = NamesScore()
    for person, _ in there:
        name = found.get(person.person_id, (None, 0.0))[0]
        if person.person not in cast:
            score += NamesScore(strangers=1, disturbed=int(name is not None))
        elif name is None:
            score += NamesScore(missed=1)
        else:
            score += NamesScore(right=int(name == person.person), wrong=int(name != person.person))
    return score
