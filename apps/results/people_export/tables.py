"""Screen time by person, and who is seen with whom, as CSV and JSON. Pure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any

from apps.common.contracts.rows import PersonRow
from apps.common.stretches import merged
from apps.results.people_export.words import cell, name_of

_DIGITS = 4  # of seconds: as rows have them
_COLUMNS = (
    *("person_id", "name", "screen_seconds", "screen_error_seconds", "share"),
    *("first_s", "last_s", "appearances", "hidden"),
)
Stretches = list[tuple[float, float]]


class _Line:
    """What `csv.writer` writes to: it gives each line back."""

    def write(self, text: str) -> str:
        return text


def stretches_of(person: PersonRow) -> Stretches:
    """When a person is on the screen: seconds, ascending, apart from each other."""
    return list(merged([(begin, end) for begin, end in person.appearances if end > begin]))


def seconds_csv(people: Sequence[PersonRow]) -> Iterator[str]:
    """A header, then a line for each person."""
    line = csv.writer(_Line()).writerow
    yield str(line(_COLUMNS))
    for person in people:
        facts = _facts(person)
        facts["name"] = cell(name_of(person) or "")
        facts["appearances"] = len(facts["appearances"])
        facts["hidden"] = "true" if person.hidden else "false"
        yield str(line([facts[column] for column in _COLUMNS]))


def seconds_json(people: Sequence[PersonRow], ep_id: str, run_id: str) -> Iterator[str]:
    """One object: `ep_id`, `run_id`, `people`. Names are as people wrote them."""
    yield f'{{"ep_id": {json.dumps(ep_id)}, "run_id": {json.dumps(run_id)}, "people": ['
    separator = "\n"
    for person in people:
        yield separator + json.dumps({**_facts(person), "track_ids": person.track_ids})
        separator = ",\n"
    yield "]}\n"


def _facts(person: PersonRow) -> dict[str, Any]:
    stretches = stretches_of(person)
    return {
        "person_id": person.person_id,
        "name": person.name,
        "screen_seconds": person.screen_seconds,
        "screen_error_seconds": person.screen_error_seconds,
        "share": person.share,
        "first_s": stretches[0][0] if stretches else None,
        "last_s": stretches[-1][1] if stretches else None,
        "appearances": stretches,
        "hidden": person.hidden,
    }


class Together:
    """For how long each two people are on the screen at the same time.

    Work and memory grow with the appearances that overlap, not with the square of the people.

    Args:
        people: the order of rows and columns.
    """

    def __init__(self, people: Sequence[PersonRow]) -> None:
        self.people = people
        own = [stretches_of(person) for person in people]
        self._rows: list[dict[int, float]] = [
            {place: sum(end - begin for begin, end in stretches)} if stretches else {}
            for place, stretches in enumerate(own)
        ]
        shown = sorted((begin, end, place) for place, each in enumerate(own) for begin, end in each)
        open_: list[tuple[float, int]] = []  # until when, and whose
        for begin, end, place in shown:
            open_ = [(until, other) for until, other in open_ if until > begin]
            for until, other in open_:
                self._add(place, other, min(end, until) - begin)
            open_.append((end, place))

    def _add(self, one: int, other: int, seconds: float) -> None:
        for row, column in ((one, other), (other, one)):
            self._rows[row][column] = self._rows[row].get(column, 0.0) + seconds

    def row(self, place: int) -> list[float]:
        """Seconds with each other one, and of the person as such in the person's own place."""
        found = self._rows[place]
        return [round(found.get(column, 0.0), _DIGITS) for column in range(len(self.people))]

    def pairs(self) -> list[tuple[int, int, float]]:
        """Places of those who are seen together, and seconds; those who are longest come first."""
        found = [
            (one, other, round(seconds, _DIGITS))
            for one, row in enumerate(self._rows)
            for other, seconds in row.items()
            if one < other
        ]
        return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def together_csv(people: Sequence[PersonRow]) -> Iterator[str]:
    """A line and a column for each person, in one order; the columns are called by ids."""
    together = Together(people)
    line = csv.writer(_Line()).writerow
    yield str(line(["person_id", "name", *(person.person_id for person in people)]))
    for place, person in enumerate(people):
        yield str(line([person.person_id, cell(name_of(person) or ""), *together.row(place)]))


def together_json(people: Sequence[PersonRow], ep_id: str, run_id: str) -> Iterator[str]:
    """One object: `people`, `pairs` (who are seen together), `seconds` (the matrix)."""
    together = Together(people)
    names = [{"person_id": person.person_id, "name": person.name} for person in people]
    pairs = [
        {"a": people[a].person_id, "b": people[b].person_id, "seconds": seconds}
        for a, b, seconds in together.pairs()
    ]
    yield f'{{"ep_id": {json.dumps(ep_id)}, "run_id": {json.dumps(run_id)},\n'
    yield f'"people": {json.dumps(names)},\n"pairs": {json.dumps(pairs)},\n"seconds": ['
    for place in range(len(people)):
        yield ("\n" if place == 0 else ",\n") + json.dumps(together.row(place))
    yield "]}\n"
