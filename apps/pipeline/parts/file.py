"""The file of one part of a run: how it was made, its analysed frames, and what is left over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from math import inf
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import onnxruntime as ort
from pydantic import Field, ValidationError

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import (
    Agreement,
    ModelFacts,
    PartFacts,
    ProviderProbe,
    VideoFile,
)
from apps.common.files import storage_errors
from apps.common.layout import draft_of
from apps.pipeline.decode.selection import Span
from apps.pipeline.detect import DetectorFacts
from apps.pipeline.frame_analysis import FrameAnalysis
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.cpu_kind import cpu_kind
from apps.pipeline.live_frames import SourceFacts
from apps.pipeline.parts.motions import KnownMotions
from apps.pipeline.parts.records import (
    Again,
    damaged,
    frame_of,
    frame_record,
    glimpses_of,
    glimpses_record,
    read_record,
    write_record,
)
from apps.pipeline.shots.motion import Motion


class PartMaker(Readable):
    """What computed a part, as far as results depend on it; parts of a run have the same one.

    Args:
        options: those of the run that decide what is found in a frame.
        cpu: the kind of CPU, on which the arithmetic of 8 bits and of graphs depends.
        code: names the code that ran.
    """

    video: VideoFile
    stride: int
    options: dict[str, Any]
    model: ModelFacts
    provider: str
    letterbox: tuple[int, int, int, int]
    onnxruntime: str = Field(default_factory=lambda: ort.__version__)
    cpu: str = Field(default_factory=lambda: cpu_kind().digest)
    code: str

    @property
    def digest(self) -> str:
        """Names it: parts with the same one can be put together."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:16]


class PartHead(Readable):
    """The first record of a file.

    Args:
        first, packet, end: see `Span`.
    """

    schema_version: Literal["part_v1"] = "part_v1"
    maker: PartMaker
    first: int
    packet: int
    end: int
    model_id: str
    session_providers: tuple[str, ...]
    intra_op_threads: int
    probe: ProviderProbe | None = None
    nodes_on_cpu: dict[str, int] = Field({})
    checks: dict[str, Agreement] = Field({})

    @classmethod
    def of(cls, maker: PartMaker, span: Span, facts: SourceFacts) -> PartHead:
        detector = facts.detector
        return cls(
            maker=maker,
            first=span.first,
            packet=span.packet,
            end=span.end,
            model_id=facts.model_id,
            session_providers=detector.session_providers,
            intra_op_threads=detector.intra_op_threads,
            probe=detector.probe,
            nodes_on_cpu=dict(detector.nodes_on_cpu),
            checks=facts.checks,
        )

    @property
    def facts(self) -> SourceFacts:
        maker = self.maker
        return SourceFacts(
            detector=DetectorFacts(
                model=maker.model,
                provider=maker.provider,
                session_providers=self.session_providers,
                intra_op_threads=self.intra_op_threads,
                probe=self.probe,
                nodes_on_cpu=self.nodes_on_cpu,
            ),
            letterbox=Letterbox(*maker.letterbox),
            model_id=self.model_id,
            checks=self.checks,
        )


class PartTail(Readable):
    """What is said at the end of a file, when all of the part is done.

    Args:
        done: what it took.
        warnings: what was said while it was made.
    """

    done: PartFacts
    counts: dict[str, int]
    is_truncated: bool
    threads: dict[str, Any]
    warnings: list[str]


class PartWriter:
    """Writes a part's file; a context manager. The file has its name only when it is whole.

    Args:
        path: is replaced.
        head: goes first.
    """

    def __init__(self, path: Path, head: PartHead) -> None:
        self._path = path
        self._draft = draft_of(path, os.getpid())
        self._head = head
        self.frames = 0

    def __enter__(self) -> PartWriter:
        with storage_errors():
            self._stream: IO[bytes] = self._draft.open("wb")
            write_record(self._stream, self._head.model_dump(mode="json"), ())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._draft.unlink(missing_ok=True)

    def add(
        self,
        frame: FrameAnalysis,
        is_whole: Callable[[Glimpse], bool],
        motions: Sequence[tuple[str, Motion]] = (),
    ) -> None:
        """Appends a frame; see `frame_record`."""
        with storage_errors():
            write_record(self._stream, *frame_record(frame, is_whole, motions))
        self.frames += 1

    def finish(self, left_over: list[Glimpse], tail: PartTail) -> None:
        """Nothing comes after it."""
        with storage_errors():
            body, arrays = glimpses_record(left_over)
            write_record(self._stream, {**body, "tail": tail.model_dump(mode="json")}, arrays)
            self._stream.close()
            self._draft.replace(self._path)


class PartFile:
    """Reads a part's file.

    Args:
        path: of a regular file.

    Attributes:
        head: how it was made.
        left_over: glimpses behind its last frame; known when all frames were read.
        tail: as `left_over`.

    Raises:
        PartDamaged: it is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise damaged(f"there is no file {path}")
        if not path.is_file():
            raise damaged(f"{path} is no file")
        with storage_errors(), path.open("rb") as stream:
            found = read_record(stream)
        try:
            self.head = PartHead.model_validate(None if found is None else found[0])
        except ValidationError as error:
            raise damaged("it is no part of a run, or of another version") from error
        self.left_over: tuple[Glimpse, ...] = ()
        self.tail: PartTail | None = None

    def frames(self, again: Again, motions: KnownMotions) -> Iterator[FrameAnalysis]:
        """All of the part, in order.

        Args:
            again: see `frame_of`.
            motions: learns those that were measured.

        Raises:
            PartDamaged: it is cut off, or not what was written.
        """
        count, last_index, last_s = 0, self.head.first - 1, -inf
        with storage_errors(), self._path.open("rb") as stream:
            read_record(stream)
            while (found := read_record(stream)) is not None:
                body, arrays = found
                if "tail" in body:
                    self.left_over = glimpses_of(body, arrays)
                    self.tail = self._tail(body, count)
                    return
                count += 1
                frame = frame_of(body, arrays, again, motions)
                if not (last_index < frame.index and last_s < frame.ts_s < inf):
                    raise damaged("its frames do not follow each other")
                last_index, last_s = frame.index, frame.ts_s
                yield frame
        raise damaged("it is cut off")

    def _tail(self, body: dict[str, Any], count: int) -> PartTail:
        try:
            tail = PartTail.model_validate(body["tail"])
        except ValidationError as error:
            raise damaged("its end is incomplete") from error
        if tail.done.frames != count:
            raise damaged(f"it has {count} frames of {tail.done.frames}")
        return tail
