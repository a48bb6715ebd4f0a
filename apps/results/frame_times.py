"""Times of frames, as a run's rows tell them: videos may begin late and change their rate."""

from __future__ import annotations

from array import array
from bisect import bisect_left


class FrameTimes:
    """Known times of some frames, and what lies between them.

    Args:
        fps: mean frame rate of the video, > 0.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._frames = array("q")
        self._seconds = array("d")

    def add(self, frame: int, ts_s: float) -> bool:
        """A row's time; only what goes forward is believed.

        Returns:
            Whether it was.
        """
        if self._frames and (frame <= self._frames[-1] or ts_s <= self._seconds[-1]):
            return False
        self._frames.append(frame)
        self._seconds.append(ts_s)
        return True

    def of(self, frame: int) -> float:
        """Presentation time of a frame in seconds; at the video's mean rate where no rows are."""
        after = bisect_left(self._frames, frame)
        if not self._frames:
            seconds = frame / self._fps
        elif after == 0:
            seconds = self._seconds[0] - (self._frames[0] - frame) / self._fps
        elif after == len(self._frames):
            seconds = self._seconds[-1] + (frame - self._frames[-1]) / self._fps
        else:
            left, right = self._frames[after - 1], self._frames[after]
            share = (frame - left) / (right - left)
            start, end = self._seconds[after - 1], self._seconds[after]
            seconds = start + share * (end - start)
        return round(seconds, 4)

    @property
    def size_bytes(self) -> int:
        """About what it holds in memory."""
        return 16 * len(self._frames)
