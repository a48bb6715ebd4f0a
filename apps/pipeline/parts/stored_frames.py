"""Stored frames: those of a run's parts, one part after the other, as one run would have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from apps.common.contracts.manifest import PartFacts
from apps.common.errors import PartDamaged
from apps.pipeline.decode.decoder import MAX_PASSED
from apps.pipeline.decode.video import Video
from apps.pipeline.frame_analysis import FrameAnalysis, RepeatedFrame
from apps.pipeline.frame_features import FrameFeatures, Glimpse
from apps.pipeline.live_frames import SourceFacts
from apps.pipeline.parts.file import PartFile, PartTail
from apps.pipeline.parts.motions import KnownMotions
from apps.pipeline.parts.part_run import made_by
from apps.pipeline.run_context import RunContext
from apps.pipeline.track.tracker import FaceTracker
from apps.pipeline.types import Scene

_HINT = "Have the parts that differ done again, or run the episode as a whole."


@dataclass
class StoredFrames:
    """Frames that were analysed part by part.

    Args:
        context: of the run that is put together.
        paths: files of all parts, in their order.

    Attributes:
        files: the same, once they are loaded.
        measure_motion: knows what the parts have measured.
    """

    context: RunContext
    paths: Sequence[Path]
    files: list[PartFile] = field(init=False, default_factory=list)
    measure_motion: KnownMotions = field(init=False, default_factory=KnownMotions)
    _video: Video = field(init=False)

    def load(self, video: Video, stride: int, _wanted: int) -> SourceFacts:
        """Looks whether the parts are of one kind, of this run, and all that there are.

        Raises:
            PartDamaged: one of them is not.
        """
        self._video = video
        self.files = [PartFile(path) for path in self.paths]
        heads = [part.head for part in self.files]
        for one, other in pairwise(heads):
            if one.maker != other.maker:
                raise _unfit(f"they were not made alike ({_difference(one.maker, other.maker)})")
            if one.end != other.packet or one.first >= other.first:
                raise _unfit("they do not follow each other")
        if not heads or heads[0].packet != 0 or heads[-1].end != video.index.packets:
            raise _unfit("they are not the whole video")
        self._refuse_others(stride)
        return self.facts

    @property
    def facts(self) -> SourceFacts:
        return self.files[0].head.facts

    def _frames(self) -> Iterator[FrameAnalysis]:
        """All of them, with what was decoded before each."""
        before: tuple[Glimpse, ...] = ()
        for part in self.files:
            for frame in part.frames(self._again, self.measure_motion):
                yield _following(before, frame)
                before = ()
            before = joined(before, part.left_over)
        for warning in dict.fromkeys(text for tail in self._tails() for text in tail.warnings):
            self.context.warn(warning)

    @contextmanager
    def analysed(
        self, _stride: int, _tracker: FaceTracker
    ) -> Iterator[Iterator[FrameAnalysis | RepeatedFrame]]:
        """All frames in their order, at the pace that the budget wants."""
        yield self.context.pacer.paced(self.context.clock.over("read_parts", self._frames()))

    def settled(
        self, _item: FrameAnalysis | RepeatedFrame, frame: FrameAnalysis, _scene: Scene
    ) -> FrameAnalysis:
        """As it is: it was settled when it was analysed."""
        return frame

    def counts(self, _done: int) -> dict[str, int]:
        """Those of all parts together."""
        total: Counter[str] = Counter()
        for tail in self._tails():
            total.update(tail.counts)
        return dict(total)

    @property
    def is_truncated(self) -> bool:
        return any(tail.is_truncated for tail in self._tails())

    @property
    def parts(self) -> list[PartFacts]:
        """What each of them took."""
        return [tail.done for tail in self._tails()]

    def thread_facts(self) -> dict[str, Any]:
        return self._tails()[0].threads

    def _again(self, ts_s: float) -> FrameFeatures:
        """Of a picture that the part did not keep whole."""
        index = self._video.index
        number = int(np.searchsorted(index.timeline.seconds, ts_s))
        with self.context.clock.measure("decode_again"), self._video.again() as video:
            found = next(video.software.sampled(1, number - 1), None)
        glimpse = None if found is None or found.ts_s != ts_s else found.glimpse()
        if glimpse is None:
            raise _unfit(f"the picture at {ts_s:.3f} s cannot be decoded again")
        return glimpse.view

    def _tails(self) -> list[PartTail]:
        return [part.tail for part in self.files if part.tail is not None]

    def _refuse_others(self, stride: int) -> None:
        maker, wanted = self.files[0].head.maker, made_by(self.context, stride, self.facts)
        # Who puts them together computes nothing of a frame, so its CPU need not be theirs.
        wanted = wanted.model_copy(update={"cpu": maker.cpu, "onnxruntime": maker.onnxruntime})
        if maker != wanted:
            raise _unfit(f"they are of another run ({_difference(maker, wanted)})")


def _following(before: tuple[Glimpse, ...], frame: FrameAnalysis) -> FrameAnalysis:
    if not before:
        return frame
    *passed, own = frame.glimpses
    return replace(frame, glimpses=(*joined(before, tuple(passed)), own))


def joined(before: tuple[Glimpse, ...], after: tuple[Glimpse, ...]) -> tuple[Glimpse, ...]:
    """Frames that were passed behind the last sample of a part, and before the next sample.

    Raises:
        PartDamaged: so many samples are missing that the decoder thins out what it passes, which
            depends on where it began.
    """
    if len(before) + len(after) >= MAX_PASSED // 2:
        raise _unfit("too many frames are missing where two of them meet")
    return (*before, *after)


def _unfit(why: str) -> PartDamaged:
    return PartDamaged(f"The parts of the run do not fit: {why}.", hint=_HINT)


def _difference(one: Any, other: Any) -> str:
    return ", ".join(
        name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)
    )
