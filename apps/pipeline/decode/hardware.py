"""Hardware decoding: which devices there are, and what must be true of one before it is believed.

FFmpeg decodes in hardware within its own decoders, so packets are numbered and left out as in
software. But a device may be built in and absent, may take a stream and then refuse it, may give
what software takes over without a word, and may give up midway; and it gives pictures of its own
layout.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.reformatter import VideoReformatter

from apps.pipeline.arrays import ByteArray

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.video.frame import VideoFrame

# Those that FFmpeg's own decoders use, which PyAV opens a file with; Quick Sync has its own.
_DEVICES = {"darwin": ("videotoolbox",), "win32": ("d3d11va", "cuda")}
_OTHER_DEVICES = ("cuda", "vaapi")
_BLOCK = 16  # pixels
# How devices lay out what others have as three planes: the same numbers in another order.
_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
}


class HardwareLost(Exception):
    """The hardware does not, or no longer, do what software does; a clause that says why."""


def devices() -> tuple[str, ...]:
    """Kinds of device that may be there, by FFmpeg's names, the likeliest first.

    FFmpeg takes a kind that it was built without for "any", and runs software.
    """
    built = set(hwdevices_available())
    return tuple(name for name in _DEVICES.get(sys.platform, _OTHER_DEVICES) if name in built)


def accelerator(device: str) -> HWAccel:
    """What opens a file for a device; frames come to memory by themselves."""
    return HWAccel(device, allow_software_fallback=False)


def is_in_hardware(context: CodecContext) -> bool:
    """Whether a decoder has taken the device that it was opened for."""
    return context.is_hwaccel


def largest_block_difference(one: ByteArray, other: ByteArray) -> float:
    """How far two pictures are apart where they are farthest: a face is a small part of either.

    Args:
        one, other: shape (height, width, 3), sides multiples of 16.

    Returns:
        The mean absolute difference of the worst block of 16 x 16 pixels, 0..255.
    """
    height, width = one.shape[0] // _BLOCK, one.shape[1] // _BLOCK
    means = cv2.resize(cv2.absdiff(one, other), (width, height), interpolation=cv2.INTER_AREA)
    return float(means.mean(axis=2).max())


@dataclass
class HardwareFrames:
    """Looks at frames of one hardware decoder, in order.

    Attributes:
        format: of the frames as they came; None before the first.
    """

    format: str | None = field(init=False, default=None)
    _size: tuple[int, int] = field(init=False, default=(0, 0))
    _reformatter: VideoReformatter = field(init=False, default_factory=VideoReformatter)

    def planar(self, frame: VideoFrame, context: CodecContext) -> VideoFrame:
        """The frame in the layout that software gives.

        Raises:
            HardwareLost: software has made it, or it is of another kind than those before.
        """
        if not is_in_hardware(context):
            raise HardwareLost("it has no decoder for this video")
        size, name = (frame.width, frame.height), frame.format.name
        if self.format is None:
            self.format, self._size = name, size
        if (name, size) != (self.format, self._size):
            raise HardwareLost(
                f"its frames changed from {self.format} {self._size[0]}x{self._size[1]} to "
                f"{name} {size[0]}x{size[1]}"
            )
        planar = _PLANAR.get(name)
        if planar is None:
            return frame
        return self._reformatter.reformat(frame, format=planar, threads=1)
