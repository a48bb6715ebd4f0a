"""How different faces look, and which of some belong to which of others."""

from __future__ import annotations

import lap
import numpy as np

from apps.pipeline.arrays import FloatArray

_IMPOSSIBLE = 1e6


def appearance_distance(some: FloatArray, others: FloatArray) -> FloatArray:
    """Mean difference of each appearance and each other one.

    Args:
        some, others: shape (m, k) and (n, k), of `FrameFeatures.appearance`.

    Returns:
        Shape (m, n).
    """
    distances: FloatArray = np.abs(some[:, None] - others[None]).mean(axis=2)
    return distances


def assignment(costs: FloatArray, max_cost: float = np.inf) -> list[tuple[int, int]]:
    """The pairs (row, column) with the least sum, by column.

    Args:
        costs: shape (m, n); infinite where a pair cannot be.
        max_cost: what is left without a pair costs half of it.
    """
    possible = np.isfinite(costs)
    limited = np.where(possible, costs, _IMPOSSIBLE).astype(np.float64)
    _, columns, _ = lap.lapjv(limited, extend_cost=True, cost_limit=max_cost)
    found = [(row, int(column)) for row, column in enumerate(columns) if column >= 0]
    return sorted((pair for pair in found if possible[pair]), key=lambda pair: pair[1])
