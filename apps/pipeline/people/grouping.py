"""Which tracks are one person's: agglomerative clustering, average linkage, cosine distance. Pure.

Tracks that are seen in one frame are two people, whatever they look like: such a pair counts as far
beyond any threshold, and an average that has it in it stays beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.arrays import FloatArray

_NEVER = (
    1e9  # distance of two who are seen together: over 10^8 pairs it is still above any threshold
)


@dataclass(frozen=True)
class TrackFace:
    """What a track looks like, and when it was seen.

    Args:
        number: the track's.
        embedding: shape (k,), of length 1: the mean of its faces.
        frames: shape (n,), ascending: the frames that show it.
    """

    number: int
    embedding: FloatArray
    frames: NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Tracks of one person.

    Args:
        tracks: numbers, ascending.
        confidence: cosine of its tracks with their common mean, the least alike one's; 1 of one.
    """

    tracks: tuple[int, ...]
    confidence: float


def grouped(tracks: Sequence[TrackFace], max_distance: float) -> list[Group]:
    """People among tracks, the one with the first track first.

    Args:
        max_distance: clusters whose mean cosine distance is above it stay apart.
    """
    if not tracks:
        return []
    ordered = sorted(tracks, key=lambda track: track.number)
    embeddings = np.stack([track.embedding for track in ordered]).astype(np.float32)
    labels = _clusters(embeddings, _seen_together(ordered), max_distance)
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(int(label), []).append(place)
    return [
        Group(tuple(ordered[place].number for place in places), _confidence(embeddings[places]))
        for places in members.values()
    ]


def _clusters(
    embeddings: FloatArray, together: NDArray[np.int64], max_distance: float
) -> Sequence[int]:
    """A cluster's number for each row.

    Args:
        together: shape (m, 2), pairs of rows that are never one.
    """
    count = len(embeddings)
    if count == 1:
        return [0]
    from scipy.cluster.hierarchy import fcluster, linkage  # a fifth of a second, once a run

    distances = _condensed(embeddings)
    low, high = together[:, 0], together[:, 1]
    distances[count * low - low * (low + 1) // 2 + high - low - 1] = _NEVER
    labels: Sequence[int] = fcluster(linkage(distances, "average"), max_distance, "distance")
    return labels


def _condensed(embeddings: FloatArray) -> NDArray[np.float64]:
    """Cosine distances as SciPy wants them: of each row to those behind it. A row at a time."""
    count = len(embeddings)
    distances = np.empty(count * (count - 1) // 2, np.float64)
    begin = 0
    for row in range(count - 1):
        end = begin + count - 1 - row
        distances[begin:end] = 1.0 - embeddings[row + 1 :] @ embeddings[row]
        begin = end
    return np.maximum(distances, 0.0, out=distances)


def _seen_together(tracks: Sequence[TrackFace]) -> NDArray[np.int64]:
    """Shape (m, 2): pairs of places, the smaller first, of tracks that share a frame."""
    frames = np.concatenate([track.frames for track in tracks])
    owners = np.concatenate(
        [np.full(len(track.frames), place) for place, track in enumerate(tracks)]
    )
    order = np.argsort(frames, kind="stable")
    frames, owners = frames[order], owners[order]
    pairs, step = set[tuple[int, int]](), 1
    while True:  # the neighbour, the one after it, ...: as many as a frame has faces
        same = frames[step:] == frames[:-step]
        if not same.any():
            break
        first, second = owners[:-step][same], owners[step:][same]
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs.update(zip(low.tolist(), high.tolist(), strict=True))
        step += 1
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _confidence(embeddings: FloatArray) -> float:
    if len(embeddings) == 1:
        return 1.0
    mean = embeddings.mean(axis=0)
    return float((embeddings @ (mean / np.linalg.norm(mean))).min())
