"""Which detection continues which track, in one frame.

Between samples a quarter or half a second apart a face moves by more than its own width, so
overlap tells little. A pair is judged by the distance between the predicted centre and the face, in
sizes of the face, by the change of its size, and by the distance of their appearances; pairs are
chosen together
so that the sum is least (Jonker and Volgenant, 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.common.config import TrackConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.matching import appearance_distance, assignment


@dataclass(frozen=True)
class BoxStates:
    """Tracks as predicted, or faces as detected.

    Args:
        centres: shape (n, 2), x and y in 0..1.
        sizes: shape (n, 2), width and height in 0..1, > 0.
        appearance: shape (n, k).
    """

    centres: FloatArray
    sizes: FloatArray
    appearance: FloatArray

    def __len__(self) -> int:
        return len(self.centres)

    def __getitem__(self, which: list[int]) -> BoxStates:
        return BoxStates(self.centres[which], self.sizes[which], self.appearance[which])


@dataclass(frozen=True)
class PairLimits:
    """What a pair may differ by, for each of m tracks.

    Args:
        gate_distance: shape (m,), how far from its place a face may be, in sizes of the face.
        surprise: shape (m,), how much place, size and appearance together may differ.
        appearance_distance: shape (m,), difference of appearances beyond which two faces are two
            people; None where appearances say nothing.
        scale_change: times that a face may be larger or smaller.
    """

    gate_distance: FloatArray
    surprise: FloatArray
    appearance_distance: FloatArray | None
    scale_change: float


def pairs(
    tracks: BoxStates, faces: BoxStates, limits: PairLimits, config: TrackConfig
) -> list[tuple[int, int]]:
    """The best pairs of m tracks and n faces, none of them used twice.

    Returns:
        Indices (track, face), by face.
    """
    if len(tracks) == 0 or len(faces) == 0:
        return []
    apart = _Differences.of(tracks, faces, limits)
    costs = apart.distances + config.scale_change_weight * apart.scale_change
    if apart.appearance_distance is not None:
        costs += config.appearance_weight * apart.appearance_distance
    possible = np.isfinite(apart.surprises(limits, config))
    return assignment(np.where(possible, costs, np.inf), config.max_cost)


def surprises(
    tracks: BoxStates, faces: BoxStates, limits: PairLimits, config: TrackConfig
) -> FloatArray:
    """How much m tracks and n faces differ in place, size and appearance together, in face sizes.

    Returns:
        Shape (m, n); infinite where a pair is beyond a limit.
    """
    return _Differences.of(tracks, faces, limits).surprises(limits, config)


@dataclass(frozen=True)
class _Differences:
    """Of m tracks and n faces, each of shape (m, n); None where appearances say nothing."""

    distances: FloatArray
    scale_change: FloatArray
    appearance_distance: FloatArray | None

    @classmethod
    def of(cls, tracks: BoxStates, faces: BoxStates, limits: PairLimits) -> _Differences:
        apart = (
            None
            if limits.appearance_distance is None
            else appearance_distance(tracks.appearance, faces.appearance)
        )
        return cls(_distances(tracks, faces), _scale_change(tracks, faces), apart)

    def surprises(self, limits: PairLimits, config: TrackConfig) -> FloatArray:
        possible = self.distances <= limits.gate_distance[:, None]
        possible &= self.scale_change <= np.log(limits.scale_change)
        surprise = self.distances + self.scale_change / config.surprising_scale_change
        if self.appearance_distance is not None and limits.appearance_distance is not None:
            possible &= self.appearance_distance <= limits.appearance_distance[:, None]
            surprise += self.appearance_distance / config.surprising_appearance
        possible &= surprise <= limits.surprise[:, None]
        return np.where(possible, surprise, np.inf)


def far_pairs(tracks: BoxStates, faces: BoxStates, config: TrackConfig) -> list[tuple[int, int]]:
    """Pairs of what is left, farther apart than a face usually moves, that can only be one face.

    Each is the only one that the other could be, by size and appearance.

    Returns:
        Indices (track, face).
    """
    if len(tracks) == 0 or len(faces) == 0:
        return []
    alike = _scale_change(tracks, faces) <= config.far_scale_change
    alike &= (
        appearance_distance(tracks.appearance, faces.appearance) <= config.far_appearance_distance
    )
    near = _distances(tracks, faces) <= config.far_gate_distance
    alone = (alike.sum(axis=0)[None] == 1) & (alike.sum(axis=1)[:, None] == 1)
    return [(int(track), int(face)) for track, face in np.argwhere(alike & near & alone)]


def _distances(tracks: BoxStates, faces: BoxStates) -> FloatArray:
    """Between all centres, in sizes of the face, shape (m, n)."""
    scales = np.sqrt(tracks.sizes[:, None] * faces.sizes[None])  # shape (m, n, 2)
    between: FloatArray = np.linalg.norm(
        (tracks.centres[:, None] - faces.centres[None]) / scales, axis=2
    )
    return between


def _scale_change(tracks: BoxStates, faces: BoxStates) -> FloatArray:
    """Of the size, as the absolute value of its logarithm, shape (m, n)."""
    scale_change: FloatArray = np.abs(_log_size(faces)[None] - _log_size(tracks)[:, None])
    return scale_change


def _log_size(states: BoxStates) -> FloatArray:
    logarithms: FloatArray = np.log(states.sizes.prod(axis=1)) / 2
    return logarithms
