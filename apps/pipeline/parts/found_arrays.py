"""Arrays of a record that was read: each is what it is taken for, or the record is refused.

Files of parts come from whoever can write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.arrays import ByteArray, FloatArray


class FoundArrays:
    """Those of one record.

    Args:
        found: in their order.
    """

    def __init__(self, found: Sequence[NDArray[Any]]) -> None:
        self._found = found

    def floats(self, place: int, *shape: int | None) -> FloatArray:
        """One of floating point.

        Args:
            place: in their order.
            shape: None for any length from 1 on.

        Raises:
            IndexError: there is none.
            ValueError: it is something else.
        """
        return self._of(place, (np.float32, np.float64), shape)

    def bytes(self, place: int, *shape: int | None) -> ByteArray:
        """One of bytes; see `floats`."""
        return self._of(place, (np.uint8,), shape)

    def _of(self, place: int, kinds: Sequence[type], shape: Sequence[int | None]) -> NDArray[Any]:
        array = self._found[place]
        is_so = array.ndim == len(shape) and all(
            length == wanted or (wanted is None and length > 0)
            for length, wanted in zip(array.shape, shape, strict=True)
        )
        if not is_so or array.dtype not in kinds:
            raise ValueError(f"{array.dtype} of {array.shape} in place of {kinds} of {shape}")
        return array
