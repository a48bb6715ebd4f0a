"""How well tracks were grouped into people: B-cubed, people found, seconds on the screen. Pure.

**B-cubed** (Bagga and Baldwin 1998) is of tracks, each weighted by the seconds in which it lies on
a face. A track is the person's on whose face it lies for longest. Its precision is the share of
its group's seconds that are its person's, its recall the share of its person's seconds that are in
its group; both are averaged over all tracks by weight, and F1 is of these two means. A track that
was left out is a group of its own, so leaving out costs recall. Tracks on faces that need not be
found, and on nobody's, have no person and are no items; a group of nothing but tracks on nobody
counts as a person who was found.

A track that goes over to another person, by a cut that was missed or a takeover, is that of one of
them, and whichever group it is in, it is wrong for the rest. So B-cubed is told once more without
such tracks (`of_pure`), and the seconds of the others are told apart (`mixed_s`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from lab.evaluation.rows import NO_ROWS, Found, Frames, Truth, covered
from lab.evaluation.scores import pairs
from lab.evaluation.screen_time import FrameTimes

NOBODY, IGNORED = "", "(ignored)"  # where a track lies on no face, on one that need not be found
CLEAR_PIXELS = 48  # a face as high as that is clear
MIN_CLEAR_S = 2.0  # whoever shows a clear face for so long is to be found as exactly one
LONG_S = 10.0  # whoever is on the screen for so long has a bound on the error of the seconds
_PURE = 0.9  # share of its seconds on faces in which a track lies on one person
_INSIDE = 0.5  # share of a box that must lie in an ignored face to be that face


@dataclass(frozen=True)
class Item:
    """A track for B-cubed: its group, whose it is, and how much it counts (>= 0)."""

    cluster: Hashable
    person: str
    weight: float


@dataclass(frozen=True)
class BCubed:
    """Shares, 0..1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


def b_cubed(items: Sequence[Item]) -> BCubed:
    """B-cubed of weighted items; perfect where there are none."""
    clusters, people = defaultdict[Hashable, float](float), defaultdict[str, float](float)
    shared = defaultdict[tuple[Hashable, str], float](float)
    for item in items:
        clusters[item.cluster] += item.weight
        people[item.person] += item.weight
        shared[item.cluster, item.person] += item.weight
    total = sum(people.values())
    if total == 0:
        return BCubed(1.0, 1.0)
    # Items of one cluster and person have the same precision and recall: they are taken together.
    precision = sum(both**2 / clusters[c] for (c, _), both in shared.items() if both > 0)
    recall = sum(both**2 / people[p] for (_, p), both in shared.items() if both > 0)
    return BCubed(float(precision / total), float(recall / total))


@dataclass(frozen=True)
class KnownPeople:
    """What is true of who is on the screen.

    Args:
        truth: identities, each a person's visit.
        names: the person of each identity.
        times: when each picture is shown.
    """

    truth: Truth
    names: Mapping[int, str]
    times: FrameTimes


@dataclass(frozen=True)
class PersonScore:
    """One true person.

    Args:
        true_s: for how long a face of theirs is to be found, seconds.
        clear_s: of that, for how long it is clear.
        groups: those that have a track of theirs; tracks that were left out are in none.
        is_one: found as exactly one: in one group, which is nobody else's.
        found_s: seconds of the group that stands for them; 0 where none does.
    """

    person: str
    true_s: float
    clear_s: float
    groups: tuple[int, ...]
    is_one: bool
    found_s: float

    @property
    def error_s(self) -> float:
        return self.found_s - self.true_s


@dataclass(frozen=True)
class PeopleScore:
    """One video at one stride.

    Args:
        of_pure: the same of tracks that lie on one person.
        tracks, unassigned: with a person, and of those the ones that were left out.
        found: groups, but for those on faces that need not be found.
        mixed_s: seconds of tracks on others than the one they are counted for.
        video_s: length of the video.
    """

    b_cubed: BCubed
    of_pure: BCubed
    tracks: int
    unassigned: int
    found: int
    mixed_s: float
    people: tuple[PersonScore, ...]
    video_s: float

    @property
    def clear(self) -> list[PersonScore]:
        """Those who are to be found as exactly one."""
        return [person for person in self.people if person.clear_s >= MIN_CLEAR_S]

    @property
    def long(self) -> list[PersonScore]:
        return [person for person in self.people if person.true_s >= LONG_S]

    @property
    def mean_error_s(self) -> float:
        """Of seconds on the screen, without its sign."""
        return float(np.mean([abs(person.error_s) for person in self.people] or [0.0]))

    @property
    def mean_share_error(self) -> float:
        """The same as a share of the video, 0..1."""
        return self.mean_error_s / self.video_s if self.video_s > 0 else 0.0

    @property
    def worst_long_error(self) -> float | None:
        """The largest error of those who are on the screen for long, as a share of their time."""
        return max((abs(person.error_s) / person.true_s for person in self.long), default=None)


Seconds = dict[int, dict[str, float]]
"""By a track's number: seconds on whom."""


def score_people(
    known: KnownPeople,
    found: Found,
    groups: Sequence[Sequence[int]],
    seconds: Sequence[float],
    iou: float,
) -> PeopleScore:
    """Compares groups of tracks with true people.

    Args:
        found: tracks.
        groups: numbers of the tracks of each.
        seconds: of each group on the screen.
        iou: least overlap of a face and its box.
    """
    on = seconds_on(known, found, iou)
    whose = {track: max(sorted(parts), key=lambda name: parts[name]) for track, parts in on.items()}
    group_of = {track: place for place, tracks in enumerate(groups) for track in tracks}
    items = {
        track: Item(group_of.get(track, f"track {track}"), whose[track], sum(parts.values()))
        for track, parts in sorted(on.items())
        if whose[track] not in (NOBODY, IGNORED)
    }
    counted = [tracks for tracks in groups if any(whose.get(t, NOBODY) != IGNORED for t in tracks)]
    of_people = [t for t in whose if whose[t] not in (NOBODY, IGNORED)]
    return PeopleScore(
        b_cubed=b_cubed(list(items.values())),
        of_pure=b_cubed([item for track, item in items.items() if _is_pure(on[track])]),
        tracks=len(of_people),
        unassigned=sum(track not in group_of for track in of_people),
        found=len(counted),
        mixed_s=sum(value for t in of_people for name, value in on[t].items() if name != whose[t]),
        people=_people(known, on, whose, group_of, seconds),
        video_s=known.times.end_s,
    )


def seconds_on(known: KnownPeople, found: Found, iou: float) -> Seconds:
    """On whom each track lies for how long; a scored frame stands for the time until the next."""
    scored = known.truth.scored(found.sampled)
    stands = _standing(scored, known.times)
    on: Seconds = defaultdict(lambda: defaultdict(float))
    for frame in scored:
        tracked = found.rows.get(frame, NO_ROWS).tracked
        faces = known.truth.rows.get(frame, NO_ROWS)
        ignored = known.truth.ignored.get(frame, NO_ROWS)
        face_of = {box: face for face, box in pairs(faces, tracked, iou)}
        inside = covered(tracked, ignored).max(axis=1, initial=0.0) >= _INSIDE
        for box, track in enumerate(tracked.ids.tolist()):
            if box in face_of:
                name = known.names[int(faces.ids[face_of[box]])]
            else:
                name = IGNORED if inside[box] else NOBODY
            on[track][name] += stands[frame]
    return {track: dict(parts) for track, parts in on.items()}


def _people(
    known: KnownPeople,
    on: Seconds,
    whose: Mapping[int, str],
    group_of: Mapping[int, int],
    seconds: Sequence[float],
) -> tuple[PersonScore, ...]:
    true_s, clear_s = true_seconds(known)
    names = sorted(true_s)
    owners: dict[int, set[str]] = defaultdict(set)
    shared = np.zeros((len(names), len(seconds)))
    for track, group in group_of.items():
        owners[group].add(whose.get(track, NOBODY))
        for name, value in on.get(track, {}).items():
            if name in true_s:
                shared[names.index(name), group] += value
    stands_for = {
        int(row): int(column)
        for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True)
        if shared[row, column] > 0
    }
    scores = []
    for row, name in enumerate(names):
        groups = tuple(sorted(group for group, whom in owners.items() if name in whom))
        scores.append(
            PersonScore(
                person=name,
                true_s=true_s[name],
                clear_s=clear_s.get(name, 0.0),
                groups=groups,
                is_one=len(groups) == 1 and owners[groups[0]] <= {name, NOBODY, IGNORED},
                found_s=seconds[stands_for[row]] if row in stands_for else 0.0,
            )
        )
    return tuple(scores)


def true_seconds(known: KnownPeople) -> tuple[dict[str, float], dict[str, float]]:
    """For how long each person is on the screen, and for how long with a clear face.

    A marked frame stands for the time until the next one.
    """
    truth = known.truth
    marked = [frame for frame in range(truth.frames) if frame in truth.marked]
    stands = _standing(marked, known.times)
    return (
        _seconds_by_name(truth.rows, known.names, stands, 0.0),
        _seconds_by_name(truth.rows, known.names, stands, CLEAR_PIXELS),
    )


def _seconds_by_name(
    rows: Frames, names: Mapping[int, str], stands: Mapping[int, float], min_height: float
) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for frame, faces in rows.items():
        high = faces.boxes[:, 3] - faces.boxes[:, 1] >= min_height
        for name in {names[identity] for identity in faces.where(high).ids.tolist()}:
            seconds[name] += stands.get(frame, 0.0)
    return dict(seconds)


def _standing(frames: Sequence[int], times: FrameTimes) -> dict[int, float]:
    """For each frame the seconds until the next of them, for the last one until the end."""
    begins = times.frame_s[np.asarray(frames, np.int64)]
    return dict(zip(frames, np.diff(begins, append=times.end_s).tolist(), strict=True))


def _is_pure(parts: Mapping[str, float]) -> bool:
    of_people = [value for name, value in parts.items() if name not in (NOBODY, IGNORED)]
    return max(of_people) >= _PURE * sum(of_people)


def mean_of(scores: Iterable[BCubed]) -> BCubed:
    """The mean of precision and of recall over videos."""
    of_all = list(scores)
    return BCubed(
        float(np.mean([one.precision for one in of_all])),
        float(np.mean([one.recall for one in of_all])),
    )
