"""Finds tracks of another run of the same video again: by time, place and face.

At one moment there is one face in one place. So a track of this run is the one of the other run
whose box it overlaps at the same moments; where detectors frame faces so differently that it hardly
does, its face must be alike as well. Only embeddings of one network are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.boxes import Box, intersection_over_union
from apps.common.contracts.corrections import TrackMark
from apps.people.embeddings import Embeddings, Vector, packed, unpacked
from apps.people.run_tracks import RunTracks, Sightings, box_between

_SAME_PLACE = 0.3  # intersection over union; between samples a box is a guess
_NEAR = 0.1  # of a face that detectors frame differently, if it is alike
_OTHER = 3.5  # times the distance at which a run's people are cut: beyond it faces are two people's
_MOMENTS = 6  # that are kept of a track
_HALF = 0.5


@dataclass(frozen=True)
class Likeness:
    """What faces must have in common.

    Args:
        one_person: cosine distance up to which tracks of this run are one person's.
        same_video: False where both runs tell that they read another one; place says little then.
    """

    one_person: float
    same_video: bool = True


@dataclass(frozen=True)
class Matches:
    """What stands in this run for tracks of another one.

    Args:
        tracks: names of this run, by names of the other one.
        unlike: of the other one: there is one at the place, with another face.
    """

    tracks: dict[str, frozenset[str]]
    unlike: frozenset[str] = frozenset()


def mark_of(name: str, seen: Sightings, embeddings: Embeddings) -> TrackMark:
    """What finds a track again."""
    places = np.unique(np.linspace(0, len(seen.frames) - 1, _MOMENTS).round().astype(int))
    embedding = embeddings.of.get(name)
    return TrackMark(
        track_id=name,
        start_s=seen.seconds[0],
        end_s=seen.seconds[-1],
        places=[
            (seen.seconds[place], *seen.box(place))
            for place in places.tolist()
        ],
        embedding=None if embedding is None else packed(embedding),
        model_id=None if embedding is None else embeddings.model_id,
    )  # fmt: skip


def match(
    marks: Iterable[TrackMark],
    run: RunTracks,
    embeddings: Embeddings,
    likeness: Likeness,
) -> Matches:
    """Tracks of this run for those of another run. Each of this run stands for one at most.

    Args:
        marks: of the other run.
        run, embeddings: this one.
        likeness: of the network of this run.
    """
    names = list(run.tracks)
    around = _around([run.tracks[name].boxes for name in names])
    starts = np.array([run.tracks[name].seconds[0] for name in names])
    ends = np.array([run.tracks[name].seconds[-1] for name in names])
    best: dict[str, tuple[float, str]] = {}
    unlike = set[str]()
    for mark in sorted(marks, key=lambda mark: mark.track_id):
        if not mark.places:
            continue
        slack = run.step_s * _HALF
        at_once = np.nonzero((starts <= mark.end_s + slack) & (ends >= mark.start_s - slack))[0]
        [box] = _around([np.array([place[1:] for place in mark.places])])
        near = at_once[_touch(around[at_once], box)]
        face = _face_of(mark, embeddings) if len(near) > 0 else None
        for place in near.tolist():
            name = names[place]
            overlap = _overlap(mark, run.tracks[name], run)
            if overlap < _NEAR:
                continue
            distance = _distance(face, embeddings.of.get(name))
            if not _is_same(overlap, distance, likeness):
                if overlap >= _SAME_PLACE and distance is not None:
                    unlike.add(mark.track_id)
                continue
            if name not in best or overlap > best[name][0]:
                best[name] = (overlap, mark.track_id)
    tracks: dict[str, set[str]] = {}
    for name, (_, other) in best.items():
        tracks.setdefault(other, set()).add(name)
    found = {other: frozenset(names) for other, names in tracks.items()}
    return Matches(found, frozenset(unlike - found.keys()))


def _around(tracks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Shape (n, 4): what is around all boxes of each track."""
    found = [(*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)) for boxes in tracks]
    return np.array(found, np.float64).reshape(-1, 4)


def _touch(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Shape (n,): which boxes have a part in common with one."""
    apart = np.concatenate((boxes[:, :2] >= box[2:], boxes[:, 2:] <= box[:2]), axis=1)
    return ~np.asarray(apart.any(axis=1), bool)


def _is_same(overlap: float, distance: float | None, likeness: Likeness) -> bool:
    is_alike = distance is not None and distance <= likeness.one_person
    if overlap < _SAME_PLACE or not likeness.same_video:
        return overlap >= _NEAR and is_alike
    return distance is None or distance <= _OTHER * likeness.one_person


def _overlap(mark: TrackMark, seen: Sightings, run: RunTracks) -> float:
    """Mean intersection over union while both are there; 0 where they never are."""
    overlaps = [
        intersection_over_union(box, seen.box_at(second))
        for second, box in _moments(mark, seen, run)
    ]
    return sum(overlaps) / len(overlaps) if overlaps else 0.0


def _moments(mark: TrackMark, seen: Sightings, run: RunTracks) -> Iterator[tuple[float, Box]]:
    """Moments at which a track of this run is there, and where the other run's is then."""
    slack = run.step_s * _HALF
    # A face at the same place beyond a cut is another one.
    since = seen.seconds[0] - (0.0 if run.begins_shot(seen.frames[0]) else slack)
    until = seen.seconds[-1] + (0.0 if run.ends_shot(seen.frames[-1]) else slack)
    inside = [place for place in mark.places if since <= place[0] <= until]
    if inside:
        yield from ((place[0], place[1:]) for place in inside)
        return
    seconds = [place[0] for place in mark.places]
    boxes = np.array([place[1:] for place in mark.places])
    for second in {seen.seconds[0], seen.seconds[len(seen.seconds) // 2], seen.seconds[-1]}:
        if seconds[0] <= second <= seconds[-1]:
            yield second, box_between(seconds, boxes, second)


def _face_of(mark: TrackMark, embeddings: Embeddings) -> Vector | None:
    """The embedding of a mark, if it can be compared with these."""
    if mark.embedding is None or mark.model_id is None or mark.model_id != embeddings.model_id:
        return None
    return unpacked(mark.embedding)


def _distance(one: Vector | None, other: Vector | None) -> float | None:
    if one is None or other is None or one.shape != other.shape:
        return None
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1.0 - float(one @ other) / length if length > 0 else None
