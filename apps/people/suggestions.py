"""Suggests names for the people of a run, from the other episodes of its show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apps.common.config import pipeline_config
from apps.common.contracts.rows import PersonRow
from apps.common.errors import CorrectionsUnreadable
from apps.common.layout import Layout
from apps.common.people_schemas import SeenIn, Suggestion, Suggestions
from apps.people.cast import episodes_of_show, named_in, show_of_episode
from apps.people.corrected import CorrectedRun
from apps.people.known import Known
from apps.people.log import read_log
from apps.people.member import Member
from apps.people.suggest import Look, Unnamed, suggested
from apps.runs.store import read_completed

_MAX_SEEN_IN = 3


def suggestions(layout: Layout, ep_id: str, run_id: str, known: Known | None = None) -> Suggestions:
    """Names for those of a completed run who have none.

    Args:
        run_id: or `latest`.
        known: what was read before.

    Raises:
        RunNotFound: there is no such completed run, or it has no people.
        CorrectionsUnreadable: a later version has written the log of this episode.
    """
    known = Known() if known is None else known
    manifest = read_completed(layout, ep_id, run_id)
    run = CorrectedRun(layout, manifest, read_log(layout, ep_id), known)
    show = show_of_episode(layout, ep_id)
    people = run.corrected()
    members, unreadable = list[Member](), list[str]()
    for other in [] if show is None else episodes_of_show(layout, show, known):
        try:
            members += () if other == ep_id else named_in(layout, other, known)
        except CorrectionsUnreadable:
            unreadable.append(other)
    model_id = run.embeddings.model_id
    length = next((len(row) for row in run.embeddings.of.values()), 0)
    alike = [
        (one.look, one)
        for one in members
        if one.look is not None and one.model_id == model_id and len(one.look.mean) == length
    ]
    return Suggestions(
        show=show,
        revision=people.revision,
        items=_Matching(run, people.rows, alike).items() if alike else [],
        ep_ids=_episodes(members),
        other_model=[] if model_id is None else _episodes(_not_of(members, model_id)),
        unreadable=unreadable,
        described=model_id is not None,
    )


def _not_of(members: Sequence[Member], model_id: str) -> list[Member]:
    """Those that another network has described."""
    return [one for one in members if one.model_id not in (None, model_id)]


def _episodes(members: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(member.ep_id for member in members))


class _Matching:
    """Who of the other episodes suits whom.

    Args:
        rows: the people of the run, corrected.
        members: with looks of the run's network, at least one.
    """

    def __init__(
        self, run: CorrectedRun, rows: list[PersonRow], members: list[tuple[Look, Member]]
    ) -> None:
        self._run = run
        self._rows = rows
        self._members: dict[str, list[tuple[Look, Member]]] = {}
        for look, member in members:
            self._members.setdefault(member.name, []).append((look, member))

    def items(self) -> list[Suggestion]:
        unnamed = {one.person_id: one for one in self._unnamed()}
        shown: dict[str, list[PersonRow]] = {}
        for row in self._rows:
            if row.name is not None and not row.hidden:
                shown.setdefault(row.name, []).append(row)
        found = suggested(
            list(unnamed.values()),
            {name: [look for look, _ in of] for name, of in self._members.items()},
            {name: [row.appearances for row in rows] for name, rows in shown.items()},
            max_distance=self._max_distance,
            step_s=self._step_s,
        )
        return [
            Suggestion(
                person_id=person_id,
                name=name,
                likeness=round(1.0 - distance, 4),
                into=shown[name][0].person_id if name in shown else None,
                seen_in=self._seen_in(name, unnamed[person_id].look),
            )
            for person_id in (row.person_id for row in self._rows if row.person_id in found)
            for name, distance in [found[person_id]]
        ]

    def _unnamed(self) -> Iterator[Unnamed]:
        people = {person.person_id: person for person in self._run.people.people}
        for row in self._rows:
            look = self._run.embeddings.look(row.track_ids)
            if row.name is None and not row.hidden and look is not None:
                declined = self._run.people.declined(people[row.person_id])
                yield Unnamed(row.person_id, look, row.appearances, declined)

    def _seen_in(self, name: str, look: Look) -> list[SeenIn]:
        nearest = sorted(
            self._members[name], key=lambda pair: (look.distance(pair[0]), pair[1].ep_id)
        )
        return [
            SeenIn(
                ep_id=member.ep_id,
                run_id=member.run_id,
                person_id=member.person_id,
                track_id=member.face,
            )
            for _, member in nearest[:_MAX_SEEN_IN]
        ]

    @property
    def _max_distance(self) -> float:
        facts, factor = self._run.manifest.people, pipeline_config().people.suggest_factor
        return 0.0 if facts is None else facts.max_distance * factor

    @property
    def _step_s(self) -> float:
        """From sample to sample, seconds."""
        manifest = self._run.manifest
        video, stride = manifest.video, manifest.effective_stride
        return 0.0 if video is None or not stride or video.fps <= 0 else stride / video.fps
