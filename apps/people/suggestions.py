"""Suggests names for the people of a run, from the other episodes of its show."""

from __future__ import annotations

from collections.abc import Sequence

from apps.common.config import pipeline_config
from apps.common.contracts.manifest import RunManifest
from apps.common.errors import CorrectionsUnreadable
from apps.common.layout import Layout
from apps.common.people_schemas import SeenIn, Suggestion, Suggestions
from apps.people.cast import Member, episodes_of_show, named_in, show_of_episode
from apps.people.corrected import CorrectedRun
from apps.people.known import Known
from apps.people.log import read_log
from apps.people.suggest import Look, Unnamed, suggested
from apps.runs.store import read_completed

_MAX_SEEN_IN = 3


def suggestions(
    layout: Layout, ep_id: str, run_id: str, known: Known | None = None
) -> Suggestions:
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
    for other in [] if show is None else episodes_of_show(layout, show):
        try:
            members += () if other == ep_id else named_in(layout, other, known)
        except CorrectionsUnreadable:
            unreadable.append(other)
    model_id = run.embeddings.model_id
    alike = [one for one in members if one.look is not None and one.model_id == model_id]
    return Suggestions(
        show=show,
        revision=people.revision,
        items=_Matching(run, manifest, alike).items() if alike else [],
        ep_ids=_episodes(members),
        other_model=_episodes([one for one in members if one.model_id not in (None, model_id)]),
        unreadable=unreadable,
    )


def _episodes(members: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(member.ep_id for member in members))


class _Matching:
    """Who of the other episodes suits whom.

    Args:
        run: with its corrections.
        members: with looks of the run's network, at least one.
    """

    def __init__(
        self, run: CorrectedRun, manifest: RunManifest, members: Sequence[Member]
    ) -> None:
        self._run = run
        self._manifest = manifest
        self._members: dict[str, list[Member]] = {}
        for member in members:
            self._members.setdefault(member.name, []).append(member)

    def items(self) -> list[Suggestion]:
        rows = {row.person_id: row for row in self._run.corrected().rows}
        named = {row.person_id: row for row in rows.values() if row.name and not row.hidden}
        unnamed = dict[str, Unnamed]()
        for person in self._run.people.people:
            look = self._run.embeddings.look(person.tracks)
            if person.name or person.hidden or look is None:
                continue
            times = rows[person.person_id].appearances
            unnamed[person.person_id] = Unnamed(person.person_id, look, times, person.declined)
        shown: dict[str, list[list[tuple[float, float]]]] = {}
        owners: dict[str, str] = {}
        for row in named.values():
            if row.name is not None:
                shown.setdefault(row.name, []).append(row.appearances)
                owners.setdefault(row.name, row.person_id)
        found = suggested(
            list(unnamed.values()),
            {name: Look.of_all(_looks(each)) for name, each in self._members.items()},
            shown,
            max_distance=self._max_distance,
            apart_s=self._step_s,
        )
        return [
            Suggestion(
                person_id=person_id,
                name=found[person_id][0],
                likeness=round(1.0 - found[person_id][1], 4),
                into=owners.get(found[person_id][0]),
                seen_in=self._seen_in(found[person_id][0], unnamed[person_id].look),
            )
            for person_id in rows
            if person_id in found
        ]

    def _seen_in(self, name: str, look: Look) -> list[SeenIn]:
        nearest = sorted(
            ((look.distance(each), member) for member in self._members[name]
             if (each := member.look) is not None),
            key=lambda pair: (pair[0], pair[1].ep_id),
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
        facts = self._manifest.people
        return 0.0 if facts is None else facts.max_distance * pipeline_config().people.suggest_factor

    @property
    def _step_s(self) -> float:
        """From sample to sample, seconds."""
        video, stride = self._manifest.video, self._manifest.effective_stride
        return 0.0 if video is None or not stride or video.fps <= 0 else stride / video.fps


def _looks(members: Sequence[Member]) -> list[Look]:
    return [member.look for member in members if member.look is not None]
