"""People: describes each track by a few of its faces, and groups the tracks at the end of the run.

A face costs as much as a seventh of a frame, so they are rationed: every processed frame earns a
part of one, and the more the more pictures had to be decoded for it. A track that has ended waits
with its best faces. The first one of each track goes before the second one of any, and the more of
them a track has, the more must be left for tracks that are still to come. A face is followed by its
mirror image, which says more of who it is than the next one of the track. What is done depends on
the frames alone, not on time, so a run's people are always the same.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from apps.common.config import PeopleConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.people.best_faces import BestFace, BestFaces, best_face
from apps.pipeline.people.grouping import Group, TrackFace, grouped
from apps.pipeline.people.track_mean import track_mean
from apps.pipeline.recognise.base import Recogniser
from apps.pipeline.types import TrackedSighting

_MIN_SCORE = 0.05  # a face counts so much in the mean, however poor it is
_AT_ONCE = 8  # faces that are described together: each costs a fifth less than one alone


@dataclass(frozen=True)
class TrackDescription:
    """A track's embedding.

    Args:
        number: the track's.
        embedding: shape (k,), of length 1: see `track_mean`.
        spread: how far they are from each other, 0 for one face: 1 less the length of their mean.
        best: the faces, the best one first.
        described: how many were described, mirror images included.
    """

    number: int
    embedding: FloatArray
    spread: float
    best: tuple[ShownFace, ...]
    described: int


@dataclass(frozen=True)
class ShownFace:
    """Where a described face is.

    Args:
        score: as in `BestFace`.
        index, ts_s: its frame, and when that is shown.
        is_mirrored: its mirror image was described.
    """

    score: float
    index: int
    ts_s: float
    is_mirrored: bool


class _Turn(NamedTuple):
    """When a track's next face is described: that of the one with the fewest faces goes first.

    Args:
        faces: that the track has.
        minus_frames: how often it was seen, negative: the longest goes first.
    """

    faces: int
    minus_frames: int
    number: int


@dataclass
class _Seen:
    """A track so far.

    Args:
        best: faces that may be described, while it goes on.
        waiting: those that are left when it has ended, the best one last; the track is in the heap
            as long as there are some.
        faces: those that are described.
        embeddings: of the same, as far as that is done.
    """

    best: BestFaces
    frames: list[int] = field(default_factory=list)
    last_s: float = 0.0
    waiting: list[BestFace] = field(default_factory=list)
    faces: list[ShownFace] = field(default_factory=list)
    embeddings: list[FloatArray] = field(default_factory=list)

    @property
    def spare(self) -> int:
        """Faces that wait, but for the best one where none is described yet."""
        return len(self.waiting) - (bool(self.waiting) and not self.faces)


class PeopleStage:
    """Collects the faces of a run's tracks.

    Args:
        recogniser: describes faces.
        config: see `[people]` in `config/pipeline.toml`.
        ended_s: a track that was not seen for so long is over.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        config: PeopleConfig,
        ended_s: float,
    ) -> None:
        self.recogniser = recogniser
        self._config = config
        self._ended_s = ended_s
        self._seen: dict[int, _Seen] = {}
        self._open: set[int] = set()  # tracks that go on, with faces that may be described
        self._waiting: list[_Turn] = []  # a heap: tracks that have ended, with faces that may be
        self._spare = 0  # faces that wait, but for the best ones of tracks that have none yet
        self._earned = config.first_faces
        self._due: list[tuple[_Seen, BestFace]] = []  # to be described, with others
        self.faces = 0  # that were described

    def add(self, item: TrackedSighting) -> None:
        """Takes the faces of one frame; describes some of tracks that have ended."""
        sighting = item.sighting
        config = self._config
        self._earned += config.faces_per_frame + config.faces_per_decoded * sighting.decoded
        for face, number in enumerate(item.tracks):
            if number == 0:
                continue
            seen = self._seen.get(number)
            if seen is None:
                seen = self._seen[number] = _Seen(BestFaces(self._config))
            seen.frames.append(sighting.index)
            candidate = best_face(sighting, face, self._config)
            if candidate is not None:
                seen.best.add(candidate)
                self._open.add(number)
            seen.last_s = sighting.ts_s
        for number in sorted(self._open):
            if self._seen[number].last_s < sighting.ts_s - self._ended_s:
                self._end(number)
        self._spend(self._config.kept_per_face)
        self._forget()

    def finish(self) -> list[Group]:
        """Spends the rest and groups all tracks."""
        for number in sorted(self._open):
            self._end(number)
        self._spend(0.0)
        return grouped(self.track_faces(), self.recogniser.likeness.group_distance)

    def track_faces(self) -> list[TrackFace]:
        """What there is to be grouped."""
        return [
            TrackFace(each.number, each.embedding, np.array(self._seen[each.number].frames))
            for each in self.descriptions()
        ]

    def descriptions(self) -> list[TrackDescription]:
        """Of the tracks that have one, by their numbers."""
        self._describe_due()
        found = []
        for number, seen in sorted(self._seen.items()):
            if not seen.faces:
                continue
            embedding, spread = track_mean(
                np.stack(seen.embeddings),
                np.array([max(face.score, _MIN_SCORE) for face in seen.faces])
                ** self._config.score_weight,
                self.recogniser.likeness.other_person,
            )
            shown = (face for face in seen.faces if not face.is_mirrored)
            best = tuple(sorted(shown, key=lambda face: (-face.score, face.index)))
            found.append(TrackDescription(number, embedding, spread, best, len(seen.faces)))
        return found

    def _end(self, number: int) -> None:
        """The track may have ended before: a claim gives its number to a face that came back."""
        seen = self._seen[number]
        is_waiting, spare = bool(seen.waiting), seen.spare
        found = [view for face in seen.best.taken() for view in (face, face.mirrored)]
        faces = sorted([*seen.waiting, *found], key=lambda face: face.rank)
        seen.waiting = faces[: self._config.max_faces - len(seen.faces)][::-1]
        self._open.discard(number)
        self._spare += seen.spare - spare
        if seen.waiting and not is_waiting:
            turn = _Turn(len(seen.faces), -len(seen.frames), number)
            heapq.heappush(self._waiting, turn)

    def _spend(self, kept_per_face: float) -> None:
        """Describes faces of tracks that have ended, as long as enough is left.

        Args:
            kept_per_face: so much is left for each face that the track has already.
        """
        while self._waiting:
            turn = self._waiting[0]
            if self._earned < 1 + kept_per_face * turn.faces:
                return
            heapq.heappop(self._waiting)
            seen = self._seen[turn.number]
            self._describe(seen, seen.waiting.pop())
            self._spare -= turn.faces > 0
            if seen.waiting:
                heapq.heappush(self._waiting, turn._replace(faces=turn.faces + 1))

    def _describe(self, seen: _Seen, face: BestFace) -> None:
        self._due.append((seen, face))
        seen.faces.append(ShownFace(face.score, face.index, face.ts_s, face.view.is_mirrored))
        self.faces += 1
        self._earned -= 1
        if len(self._due) == _AT_ONCE:
            self._describe_due()

    def _describe_due(self) -> None:
        if self._due:
            faces = [face.view for _, face in self._due]
            for (seen, _), embedding in zip(self._due, self.recogniser.embed(faces), strict=True):
                seen.embeddings.append(embedding)
            self._due.clear()

    def _forget(self) -> None:
        """Where too many faces wait, only the best ones of tracks that have none are kept."""
        if self._spare <= self._config.max_waiting:
            return
        for turn in self._waiting:
            waiting = self._seen[turn.number].waiting
            del waiting[: -1 if turn.faces == 0 else None]
        self._waiting = [turn for turn in self._waiting if turn.faces == 0]
        heapq.heapify(self._waiting)
        self._spare = 0
