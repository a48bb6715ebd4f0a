"""Which tracks are one person's: agglomerative clustering, average linkage, cosine distance. Pure.

Tracks that are seen in one frame are two people, whatever they look like: such a pair is infinitely
far apart, and so is an average that has it in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.likeness import least_alike
from apps.pipeline.arrays import FloatArray

_NEVER = np.float32(np.inf)  # distance of two who are seen together


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
        Group(tuple(ordered[place].number for place in places), least_alike(embeddings[places]))
        for places in members.values()
    ]


def _clusters(
    embeddings: FloatArray, together: NDArray[np.int64], max_distance: float
) -> NDArray[np.int64]:
    """A cluster's number for each row: that of its first row.

    Each step joins the two clusters that are nearest to each other, until those are too far apart.
    SciPy does the same, and takes a quarter of a second to be imported: a tenth of a short run. A
    cluster that is joined comes nearer to nobody (its distances are averages), so only those whose
    nearest was one of the two look for another one.

    Args:
        together: shape (m, 2), pairs of rows that are never one.
    """
    count = len(embeddings)
    owners, sizes = np.arange(count), np.ones(count, np.float32)
    apart = np.maximum(1.0 - embeddings @ embeddings.T, 0.0)
    apart[together[:, 0], together[:, 1]] = apart[together[:, 1], together[:, 0]] = _NEVER
    np.fill_diagonal(apart, _NEVER)
    nearest = apart.argmin(axis=1)
    distances = apart[np.arange(count), nearest]
    while distances[row := int(distances.argmin())] <= max_distance:
        one, other = sorted((row, int(nearest[row])))
        both = sizes[one] + sizes[other]
        joined = (sizes[one] * apart[one] + sizes[other] * apart[other]) / both
        joined[[one, other]] = _NEVER
        apart[one], apart[:, one], sizes[one] = joined, joined, both
        apart[other] = apart[:, other] = distances[other] = _NEVER
        owners[owners == other] = one
        stale = np.isin(nearest, (one, other)) & (distances < _NEVER)
        stale[one] = True
        nearest[stale] = apart[stale].argmin(axis=1)
        distances[stale] = apart[stale, nearest[stale]]
    return owners


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
