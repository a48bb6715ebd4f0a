"""Which glimpses of a part will be asked for their view, when cuts are looked for in the whole.

A glimpse as it was stored is as large as all else that is kept of a frame, and only the few around
a change of the picture are looked at closely. So the part looks for cuts itself. It knows nothing
of the frames before it, so near its beginning all are kept; and where the whole asks for another
one all the same, that is decoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from apps.common.config import ShotsConfig
from apps.pipeline.frame_analysis import FrameAnalysis
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.parts.motions import RecordedMotions
from apps.pipeline.shots.splitter import ShotSplitter


class AskedGlimpses:
    """Holds frames back until it is known what is asked of them.

    Args:
        config: as the whole run has it.

    Attributes:
        motions: that were measured on the way.
    """

    def __init__(self, config: ShotsConfig) -> None:
        self.motions = RecordedMotions()
        self._splitter = ShotSplitter(config, self.motions)
        self._memory_s = config.gradual_seconds
        self._held: deque[FrameAnalysis] = deque()
        self._begin_s: float | None = None

    def passed(self, frames: Iterator[FrameAnalysis]) -> Iterator[FrameAnalysis]:
        """The same frames, seconds later."""
        for frame in frames:
            if self._begin_s is None:
                self._begin_s = frame.glimpses[0].ts_s
            self._splitter.scene_of(frame.index, frame.view, frame.appearance, frame.glimpses)
            self._held.append(frame)
            while self._held[0].ts_s < frame.ts_s - self._memory_s:
                yield self._held.popleft()
        yield from self._held

    def is_whole(self, glimpse: Glimpse) -> bool:
        """Whether more than a few pixels of it are kept."""
        is_near = self._begin_s is None or glimpse.ts_s <= self._begin_s + self._memory_s
        return is_near or "view" in vars(glimpse)  # it was asked for, and is kept there
