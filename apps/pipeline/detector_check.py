"""A faster way to detect is believed once it finds the faces that float32 on the CPU finds.

Half-precision arithmetic and drivers have given wrong boxes without a word, and eight bits that do
well on photos may do worse on a dark film. So before a run trusts either, both look at the same
pictures: frames of the run's own video, and for an accelerator photos of people too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from apps.common.config import DetectorCheckConfig
from apps.common.contracts.manifest import Agreement
from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector
from apps.pipeline.detect.agreement import compare
from apps.pipeline.detect.pictures import check_pictures
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.session import CPU


@dataclass(frozen=True)
class DetectorCheck:
    """Compares a detector with its exact form.

    Args:
        video: whose frames both look at.
        config: see `config/pipeline.toml`.
        threshold: least confidence of a face, 0..1.
        between: called between two pictures; it may rest, or raise.
    """

    video: Video
    config: DetectorCheckConfig
    threshold: float
    between: Callable[[], None]

    def agreement(self, detector: Detector, exact: Detector) -> Agreement:
        """How far the detector's faces are those of float32 on the CPU."""
        pictures = self._pictures(detector.letterbox, with_photos=detector.facts.provider != CPU)
        sure = min(1.0, self.threshold + self.config.margin)
        return compare(exact.detect, detector.detect, pictures, sure=sure)

    def _pictures(self, letterbox: Letterbox, *, with_photos: bool) -> Iterator[ByteArray]:
        """Photos are left out for eight bits on the CPU, which were compared on them when made."""
        for picture in self._photos(letterbox) if with_photos else ():
            self.between()
            yield picture
        seconds = min(self.config.video_seconds, self.video.facts.duration_s)
        count = self.config.video_pictures
        for picture in self.video.key_pictures(letterbox, seconds, count):
            self.between()
            yield picture

    def _photos(self, letterbox: Letterbox) -> list[ByteArray]:
        try:
            return check_pictures(letterbox.canvas_width, letterbox.canvas_height)
        except ModelUnavailable:  # the package that brings them is not there
            return []
