"""A detector that remembers: the same picture is looked at once, whatever the stride or tracker.

Pictures are told apart by their content, so nothing depends on which frames a run asks for. The
selective decoder gives a sampled frame identical to the bit, so stride 1 answers for all others.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.common.config import model_registry
from apps.common.files import storage_errors, write_atomic
from apps.common.options import Options
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect import Detector, DetectorFacts
from apps.pipeline.geometry import Letterbox
from apps.pipeline.types import Faces

_DIGEST_BYTES = 16


@dataclass
class RememberingDetector:
    """A `Detector` around another one.

    Args:
        inner: asked for pictures that are new.
        path: file in which faces are kept; read now, written by `save`.
    """

    inner: Detector
    path: Path
    _known: dict[bytes, tuple[Faces, float]] = field(init=False, default_factory=dict)
    _grown: bool = field(init=False, default=False)
    _asked: list[bytes] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.path.is_file():
            self._known = _unpacked(self.path)

    @property
    def facts(self) -> DetectorFacts:
        return self.inner.facts

    @property
    def letterbox(self) -> Letterbox:
        return self.inner.letterbox

    def detect(self, image: ByteArray) -> Faces:
        key = hashlib.blake2b(image.tobytes(), digest_size=_DIGEST_BYTES).digest()
        if key not in self._known:
            # CPU time of this thread: a busy machine does not make the detector costlier.
            start = time.thread_time()
            faces = self.inner.detect(image)
            self._known[key] = faces, time.thread_time() - start
            self._grown = True
        self._asked.append(key)
        return self._known[key][0]

    def seconds(self) -> float:
        """CPU seconds that the pictures since the last call cost when they were new."""
        spent = sum(self._known[key][1] for key in self._asked)
        self._asked.clear()
        return spent

    def save(self) -> None:
        """Writes what is new to the cache.

        Raises:
            StorageFailed: the folder is not writable.
        """
        if self._grown:
            with storage_errors():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self.path, _packed(self._known))
            self._grown = False


def cache_name(detector: Detector, options: Options, reported_from: float) -> str:
    """A name for all that decides which faces this detector finds in a picture.

    Args:
        reported_from: the least confidence that it reports.
    """
    source = inspect.getsourcefile(type(detector))
    parts = (
        detector.facts.model.sha256,
        reported_from,
        options.precision,
        model_registry().detectors[options.detector].nms_iou,
        "" if source is None else Path(source).read_text(encoding="utf-8"),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _packed(known: dict[bytes, tuple[Faces, float]]) -> bytes:
    faces = [item[0] for item in known.values()]
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        keys=np.frombuffer(b"".join(known), np.uint8).reshape(-1, _DIGEST_BYTES),
        counts=np.array([len(item) for item in faces]),
        seconds=np.array([item[1] for item in known.values()]),
        boxes=np.concatenate([item.boxes for item in faces]),
        landmarks=np.concatenate([item.landmarks for item in faces]),
        conf=np.concatenate([item.conf for item in faces]),
    )
    return stream.getvalue()


def _unpacked(path: Path) -> dict[bytes, tuple[Faces, float]]:
    with np.load(path) as data:
        ends = np.cumsum(data["counts"])[:-1]
        columns: list[list[NDArray[np.float32]]] = [
            np.split(data[name], ends) for name in ("boxes", "landmarks", "conf")
        ]
        faces = [Faces(*parts) for parts in zip(*columns, strict=True)]
        keys = [key.tobytes() for key in data["keys"]]
        return dict(zip(keys, zip(faces, data["seconds"].tolist(), strict=True), strict=True))
