"""The mean of a track's faces, without those that are another person's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.arrays import FloatArray


def track_mean(
    embeddings: FloatArray, weights: NDArray[np.float64], other_person: float
) -> tuple[FloatArray, float]:
    """A track's embedding, of length 1, and its spread: 1 less the length that the mean had.

    Better faces count more. A track may have gone over to another face (a cut that was missed,
    somebody who took a place); then the mean of all would be between two people and near both. So
    it is the mean of one face and those that are like it: of the face for which they are the most,
    since a track's faces are spread over its time.

    Args:
        embeddings: shape (n, k), n >= 1, each of length 1.
        weights: shape (n,), how much each counts, > 0.
        other_person: a cosine below it says that two faces are not one person's.
    """
    like = embeddings @ embeddings.T >= other_person
    np.fill_diagonal(like, True)
    counts, together = like.sum(axis=1), like @ weights
    chosen = like[max(range(len(like)), key=lambda face: (counts[face], together[face]))]
    mean = weights[chosen] @ embeddings[chosen] / weights[chosen].sum()
    length = float(np.linalg.norm(mean))
    return (mean / length).astype(np.float32), max(0.0, 1.0 - length)
