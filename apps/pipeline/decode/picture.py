"""Picture: a decoded frame as it is displayed, converted to pixels only where that is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.frame_features import glimpse_side
from apps.pipeline.geometry import Letterbox, Orientation, displayed_size, grow, quarter_turns
from apps.pipeline.tone import Tone
from apps.pipeline.yuv_crop import FacePatch, has_planes, yuv_crop

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_LARGEST_RATIO = 8.0  # of a pixel's sides, and one over it; what films have is 2.5 at most
_DISPLAY_MATRIX = "DISPLAYMATRIX"
_WHOLE = np.array([0, 0, 1, 1], np.float32)


class Scalers(threading.local):
    """One for each thread; none of them may be used by two."""

    def __init__(self) -> None:
        self.own = VideoReformatter()


@dataclass(frozen=True, slots=True)
class FullPicture:
    """A decoded frame at its stored size; see `apps.pipeline.types.Picture`.

    Args:
        sample_aspect_ratio: width of a pixel over its height, > 0.
        tone: how its colours are to be mapped for people; None for an ordinary picture.
    """

    frame: VideoFrame
    orientation: Orientation
    sample_aspect_ratio: float
    tone: Tone | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed, square pixels."""
        return displayed_size(
            self.frame.width, self.frame.height, self.sample_aspect_ratio, self.orientation
        )

    @property
    def is_intra(self) -> bool:
        """Whether it was encoded without other pictures, as encoders do where a shot begins."""
        return int(self.frame.pict_type) == PictureType.I

    @property
    def kind(self) -> tuple[int, int, Orientation, bool]:
        """What pictures of one video share: stored size, orientation, whether they are planes."""
        return (self.frame.width, self.frame.height, self.orientation, has_planes(self.frame))

    def pixels(self) -> ByteArray:
        """Shape (height, width, 3), BGR, as displayed: turned, with square pixels."""
        return self.scaled(*self.size, VideoReformatter())

    def scaled(self, width: int, height: int, scaler: VideoReformatter) -> ByteArray:
        """The same at another size.

        Args:
            scaler: used by one thread at a time; quicker where it has done the same before.
        """
        form = "bgr24" if self.tone is None else "bgr48le"
        stored = scaler.reformat(
            self.frame, *self.orientation.stored_size(width, height), form, threads=1
        ).to_ndarray()
        image = stored if self.tone is None else self.tone.mapped(stored)
        return self.orientation.shown(image)

    def in_letterbox(self, letterbox: Letterbox, scaler: VideoReformatter) -> ByteArray:
        """The detector's picture. Colours are left as stored.

        Args:
            letterbox: into which the frame fits.
            scaler: as in `scaled`.
        """
        small = scaler.reformat(
            self.frame,
            *self.orientation.stored_size(letterbox.inner_width, letterbox.inner_height),
            "bgr24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        canvas = np.zeros((letterbox.canvas_height, letterbox.canvas_width, 3), np.uint8)
        inside = canvas[: letterbox.inner_height, : letterbox.inner_width]
        inside[:] = self.orientation.shown(small.to_ndarray())
        return canvas

    def crops(self, boxes: FloatArray, margin: float) -> list[ByteArray]:
        if len(boxes) == 0:
            return []
        image = self.pixels()
        places = [grow(box, margin, image.shape[1], image.shape[0]) for box in boxes]
        return [np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in places]

    def face_patch(self, box: FloatArray, margin: float, long_side: int) -> FacePatch | None:
        return yuv_crop(
            self.frame,
            box,
            margin,
            orientation=self.orientation,
            sample_aspect_ratio=self.sample_aspect_ratio,
            long_side=long_side,
            tone=self.tone,
        )

    def glimpse(self) -> FacePatch | None:
        """The whole frame with no more of its pixels than they need."""
        return self.face_patch(_WHOLE, 0.0, glimpse_side(*self.size))


class Display:
    """How one stream's frames are displayed: as they say themselves, else as the container says.

    Args:
        stream: nothing of it is decoded yet.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._context = stream.codec_context
        # Width of a pixel over its height, as the container and the coded data say together; where
        # the coded data say another one later, that holds.
        self._ratio = float(stream.sample_aspect_ratio or 1) or 1.0
        self._coded_ratio = self._ratio_now()
        self._transfer = int(self._context.color_trc)
        self._orientations: dict[int, Orientation] = {}

    def picture(
        self,
        frame: VideoFrame,
        coded_ratio: float | None = None,
        turned: Orientation | None = None,
    ) -> FullPicture:
        """Of a frame of the stream.

        Args:
            coded_ratio: of a pixel's width to its height, as the coded data said when the frame was
                decoded, 0 where they did not; None where it has just been.
            turned: how it is displayed, where that is known from the coded data.
        """
        coded = self._ratio_now() if coded_ratio is None else coded_ratio
        ratio = self._ratio if coded == self._coded_ratio else coded or 1.0
        if not 1 / _LARGEST_RATIO <= ratio <= _LARGEST_RATIO:
            ratio = 1.0  # nonsense
        orientation = self._orientation(frame) if turned is None else turned
        return FullPicture(frame, orientation, ratio, Tone.of(frame, self._transfer))

    def _ratio_now(self) -> float:
        return float(self._context.sample_aspect_ratio or 0)

    def _orientation(self, frame: VideoFrame) -> Orientation:
        """By the matrix that the frame carries.

        It is looked at once for each angle: PyAV's frames whose side data were asked for refer to
        themselves, so that their pictures stay in memory until Python looks for such circles.
        """
        angle = frame.rotation
        if angle not in self._orientations:
            self._orientations[angle] = _orientation_of(frame)
        return self._orientations[angle]


def _orientation_of(frame: VideoFrame) -> Orientation:
    try:
        matrix = frame.side_data.get(_DISPLAY_MATRIX)
    except ValueError:  # it carries data of a kind that this PyAV does not know
        return Orientation(quarter_turns(frame.rotation))
    if not isinstance(matrix, SideData):
        return Orientation()
    return Orientation.of_matrix(np.frombuffer(bytes(matrix), np.int32).tolist())
