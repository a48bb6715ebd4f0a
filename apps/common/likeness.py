"""How much faces are like each other, by their embeddings. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def least_alike(embeddings: NDArray[np.float32]) -> float:
    """Cosine of the least alike one with the mean of all; 1 of one, 0 where they have no mean.

    Args:
        embeddings: shape (n, k), n >= 1, each of length 1.
    """
    if len(embeddings) == 1:
        return 1.0
    mean = embeddings.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return float((embeddings @ (mean / length)).min()) if length > 0 else 0.0
