"""People: describes each track by a few of its faces, and groups the tracks at the end of the run.

A face costs as much as a seventh of a frame, so they are rationed: every processed frame earns a
part of one, and a track that ends spends what there is. What is done depends on the frames alone,
not on time, so a run's people are always the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apps.common.config import PeopleConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.people.best_faces import BestFaces, best_face
from apps.pipeline.people.grouping import Group, TrackFace, grouped
from apps.pipeline.recognise.base import Recogniser
from apps.pipeline.types import TrackedSighting


@dataclass(frozen=True)
class TrackDescription:
    """A track's embedding.

    Args:
        number: the track's.
        embedding: shape (k,), of length 1: the mean of its faces.
        spread: how far they are from each other, 0 for one face: 1 less the length of their mean.
        best: the faces, the best one first.
    """

    number: int
    embedding: FloatArray
    spread: float
    best: tuple[ShownFace, ...]


@dataclass(frozen=True)
class ShownFace:
    """Where a described face is.

    Args:
        score: as in `BestFace`.
        index, ts_s: its frame, and when that is shown.
    """

    score: float
    index: int
    ts_s: float


@dataclass
class _Described:
    total: FloatArray
    faces: list[ShownFace] = field(default_factory=list)


@dataclass
class _Seen:
    best: BestFaces
    frames: list[int] = field(default_factory=list)
    last_s: float = 0.0


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
        self._open: set[int] = set()  # tracks with faces that were not described
        self._described: dict[int, _Described] = {}
        self._earned = config.first_faces
        self.faces = 0  # that were described

    def add(self, item: TrackedSighting) -> None:
        """Takes the faces of one frame; describes those of tracks that have ended."""
        sighting = item.sighting
        self._earned += self._config.faces_per_frame
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
                self._describe(number)

    def finish(self) -> list[Group]:
        """Describes the rest and groups all."""
        for number in sorted(self._open):
            self._describe(number)
        tracks = [
            TrackFace(each.number, each.embedding, np.array(self._seen[each.number].frames))
            for each in self.descriptions()
        ]
        return grouped(tracks, self.recogniser.likeness.group_distance)

    def descriptions(self) -> list[TrackDescription]:
        """Of the tracks that have one, by their numbers."""
        found = []
        for number, described in sorted(self._described.items()):
            mean = described.total / len(described.faces)
            length = float(np.linalg.norm(mean))
            best = tuple(sorted(described.faces, key=lambda face: (-face.score, face.index)))
            found.append(
                TrackDescription(
                    number, (mean / length).astype(np.float32), max(0.0, 1.0 - length), best
                )
            )
        return found

    def _describe(self, number: int) -> None:
        """Of a track that has ended; where nothing is left to spend, its best face waits."""
        best = self._seen[number].best
        if self._earned < 1:
            best.keep_one()
            return
        self._open.discard(number)
        for face in best.taken(int(self._earned)):
            embedding = self.recogniser.embed(face.patch, face.landmarks)
            described = self._described.get(number)
            if described is None:
                described = self._described[number] = _Described(np.zeros_like(embedding))
            described.total = described.total + embedding
            described.faces.append(ShownFace(face.score, face.index, face.ts_s))
            self.faces += 1
            self._earned -= 1
