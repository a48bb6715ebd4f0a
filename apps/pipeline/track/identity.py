"""Identity: whether the face that a track goes on with is still the same person's.

Only where a recognition model is given. A track is compared with itself from time to time and ends
where another face has taken its place; a track that begins is compared with those that ended before
it in the same shot and goes on with the number of the one it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from apps.common.config import RecognitionConfig
from apps.common.contracts.manifest import RecognitionFacts
from apps.pipeline.arrays import FloatArray
from apps.pipeline.recognise.base import FaceView, Recogniser
from apps.pipeline.types import Sighting


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose face a track follows.

    Args:
        embedding: shape (k,), of length 1: the mean of those so far.
        index: number of the frame that was compared last.
    """

    embedding: FloatArray
    index: int

    def likeness(self, other: Identity) -> float:
        """Cosine of the two embeddings, -1..1."""
        return float(self.embedding @ other.embedding)

    def with_newer(self, newer: Identity, share: float) -> Identity:
        """The mean moved towards a newer one by a share of the way."""
        mean = self.embedding + np.float32(share) * (newer.embedding - self.embedding)
        return Identity(mean / np.linalg.norm(mean), newer.index)


@dataclass
class IdentityGate:
    """Decides by likeness where tracks are split and joined.

    Args:
        recogniser: describes faces.
        config: see `config/pipeline.toml`.
    """

    recogniser: Recogniser
    config: RecognitionConfig
    compared: int = field(init=False, default=0)
    splits: int = field(init=False, default=0)
    joins: int = field(init=False, default=0)

    @property
    def facts(self) -> RecognitionFacts:
        """So far."""
        return RecognitionFacts(
            model=self.recogniser.facts,
            compared=self.compared,
            splits=self.splits,
            joins=self.joins,
        )

    def is_due(self, known: Identity | None, index: int) -> bool:
        """Whether a track is to be compared at this frame."""
        return known is None or index - known.index >= self.config.every_frames

    def identity(self, sighting: Sighting, face: int) -> Identity | None:
        """None where the face is too small, too doubtful or has no landmarks."""
        faces = sighting.faces
        patch, landmarks = sighting.face_patches[face], faces.landmarks[face]
        if (
            faces.conf[face] < self.config.min_confidence
            or max(patch.shape) < self.config.min_pixels
            or not np.isfinite(landmarks).all()
        ):
            return None
        self.compared += 1
        return Identity(self.recogniser.embed([FaceView(patch, landmarks)])[0], sighting.index)

    def is_other(self, known: Identity, seen: Identity) -> bool:
        """Another person has taken the place."""
        is_other = known.likeness(seen) < self.recogniser.likeness.other_person
        self.splits += is_other
        return is_other

    def updated(self, known: Identity | None, seen: Identity) -> Identity:
        return seen if known is None else known.with_newer(seen, self.config.newer_share)

    def former(self, seen: Identity, candidates: Sequence[Identity]) -> int | None:
        """Which of the candidates is the same person, if one is."""
        if not candidates:
            return None
        likeness = [candidate.likeness(seen) for candidate in candidates]
        best = int(np.argmax(likeness))
        if likeness[best] < self.recogniser.likeness.same_person:
            return None
        self.joins += 1
        return best
