"""An accelerator is believed once it finds the faces that the CPU finds.

Half-precision arithmetic and drivers have given wrong boxes without a word. So before a run trusts
an accelerator, both look at the same pictures: photos of people, and frames of the run's own video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from apps.common.config import ProviderCheckConfig
from apps.common.contracts.manifest import Agreement
from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector
from apps.pipeline.detect.agreement import compare
from apps.pipeline.detect.pictures import check_pictures
from apps.pipeline.geometry import Letterbox


@dataclass(frozen=True)
class ProviderCheck:
    """Compares detectors that are the same but for their provider.

    Args:
        video: whose frames both look at.
        config: see `config/pipeline.toml`.
        between: called between two pictures; it may rest, or raise.
    """

    video: Video
    config: ProviderCheckConfig
    between: Callable[[], None]

    def agreement(self, accelerated: Detector, on_cpu: Detector) -> Agreement:
        """How far the accelerator's faces are the CPU's."""
        return compare(on_cpu.detect, accelerated.detect, self._pictures(accelerated.letterbox))

    def _pictures(self, letterbox: Letterbox) -> Iterator[ByteArray]:
        for picture in self._photos(letterbox):
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
