"""A recogniser that remembers: the same face is described once, whatever is tried with it."""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apps.common.config import RecogniserConfig
from apps.common.contracts.manifest import ModelFacts
from apps.common.files import storage_errors, write_atomic
from apps.pipeline.arrays import FloatArray
from apps.pipeline.recognise import Recogniser, base
from apps.pipeline.recognise.base import FaceView

_DIGEST_BYTES = 16


@dataclass
class RememberingRecogniser:
    """A `Recogniser` around another one.

    Args:
        inner: asked for faces that are new.
        folder: of files of embeddings; the one of this recogniser is read now, written by `save`.
        name: begins the file's name.
    """

    inner: Recogniser
    folder: Path
    name: str
    _known: dict[bytes, FloatArray] = field(init=False, default_factory=dict)
    _path: Path = field(init=False)
    _grown: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._path = self.folder / f"{self.name}-{_digest_of(self.inner)}.npz"
        if self._path.is_file():
            with np.load(self._path) as data:
                keys = [key.tobytes() for key in data["keys"]]
                self._known = dict(zip(keys, data["embeddings"], strict=True))

    @property
    def facts(self) -> ModelFacts:
        return self.inner.facts

    @property
    def likeness(self) -> RecogniserConfig:
        return self.inner.likeness

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        keys = [_key(face) for face in faces]
        for key, face in zip(keys, faces, strict=True):
            if key not in self._known:
                self._known[key] = self.inner.embed([face])[0]
                self._grown = True
        return np.stack([self._known[key] for key in keys])

    def save(self) -> None:
        """Writes what is new to the cache.

        Raises:
            StorageFailed: the folder is not writable.
        """
        if not self._grown:
            return
        stream = io.BytesIO()
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, _DIGEST_BYTES)
        np.savez(stream, keys=keys, embeddings=np.stack(list(self._known.values())))
        with storage_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, stream.getvalue())
        self._grown = False


def _digest_of(recogniser: Recogniser) -> str:
    """A name for all that decides how a face is described."""
    digest = hashlib.sha256(recogniser.facts.sha256.encode())
    for part in (inspect.getsourcefile(type(recogniser)), base.__file__):
        digest.update(Path(str(part)).read_bytes())
    return digest.hexdigest()[:16]


def _key(face: FaceView) -> bytes:
    patch, landmarks, is_mirrored = face
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for plane in patch.planes:
        digest.update(repr(plane.shape).encode())
        digest.update(np.ascontiguousarray(plane).tobytes())
    matrix = None if patch.matrix is None else patch.matrix.tobytes()
    about = (matrix, patch.orientation, patch.shape, patch.place, patch.tone, is_mirrored)
    digest.update(repr(about).encode())
    digest.update(landmarks.tobytes())
    return digest.digest()
