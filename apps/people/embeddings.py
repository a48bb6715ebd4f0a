"""What the tracks of a run look like, as its `embeddings.npz` tells it."""

from __future__ import annotations

import base64
import binascii
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from apps.common.layout import Layout, RunFiles
from apps.common.likeness import least_alike
from apps.common.open_result import open_result
from apps.people.suggest import Look

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Embeddings:
    """Of tracks, by their names.

    Args:
        model_id: the network; those of two networks are never compared.
        of: each of length 1.
    """

    model_id: str | None = None
    of: dict[str, Vector] = field(default_factory=dict)

    def look(self, tracks: Iterable[str]) -> Look | None:
        """What some tracks look like together; None where none of them has an embedding."""
        known = [self.of[track] for track in sorted(tracks) if track in self.of]
        return Look.of(np.stack(known)) if known else None

    def confidence(self, tracks: Iterable[str]) -> float | None:
        """How much the least alike of some tracks is like all of them; None where it is not known.

        Tracks without an embedding are left out.
        """
        known = [self.of[track] for track in sorted(tracks) if track in self.of]
        return least_alike(np.stack(known)) if known else None


def read_embeddings(layout: Layout, files: RunFiles) -> Embeddings:
    """Those of a run; none where there is no file, or it is damaged."""
    try:
        with open_result(layout, files.embeddings) as stream:
            arrays = read_arrays(stream)
    except OSError:
        return Embeddings()
    if arrays is None:
        return Embeddings()
    names = [str(name) for name in arrays["track_ids"]]
    rows = np.asarray(arrays["embeddings"], np.float32)
    return Embeddings(str(arrays["model_id"]), dict(zip(names, rows, strict=True)))


# Also of a method of compression that there is not, a password, and a size that no memory holds.
_DAMAGED = (
    OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, RuntimeError, MemoryError,
)  # fmt: skip


def read_arrays(stream: BinaryIO) -> dict[str, NDArray[Any]] | None:
    """All arrays of such a file; None where it is damaged."""
    try:
        with np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        names, rows, model = arrays["track_ids"], arrays["embeddings"], arrays["model_id"]
    except _DAMAGED:
        return None
    numbers = rows.ndim == 2 and rows.shape[1] > 0 and rows.dtype.kind == "f"
    if not numbers or not np.isfinite(rows).all():
        return None
    texts = names.ndim == 1 and names.dtype.kind == model.dtype.kind == "U" and model.ndim == 0
    per_track = all(array.ndim == 0 or len(array) == len(names) for array in arrays.values())
    return arrays if texts and per_track else None


def packed(vector: Vector) -> str:
    """An embedding as text: float16, little-endian, base64."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> Vector | None:
    """What `packed` has made text; None where it is damaged."""
    try:
        found = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    except (ValueError, binascii.Error):
        return None
    return found if len(found) > 0 and np.isfinite(found).all() else None
