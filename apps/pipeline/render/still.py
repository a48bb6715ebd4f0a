"""Still: one picture of a video as a file, as people see it."""

from __future__ import annotations

from pathlib import Path

import cv2

from apps.common.errors import InvalidInput, VideoUnreadable
from apps.pipeline.decode.video import open_video
from apps.pipeline.render.stretch import picture_at

_FORMS = {"png": (".png", []), "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95])}


def still(path: Path, seconds: float, form: str) -> bytes:
    """The picture that is shown at a time: upright, with square pixels, bright ones mapped.

    Args:
        seconds: on the player's clock.
        form: `png` or `jpeg`.

    Raises:
        InvalidInput: the video has ended then, or there is no such form.
        VideoUnreadable: it is no video, or that picture cannot be decoded.
    """
    if form not in _FORMS:
        raise InvalidInput("A still is a PNG or a JPEG.", hint="Ask for png or jpeg.")
    with open_video(path, threads=1) as video:
        wanted = picture_at(video.index, seconds)
        found = next(video.software.sampled(1, wanted - 1), None)
        if found is None or found.index != wanted:
            raise VideoUnreadable(
                "The picture of this time is damaged.", hint="Ask for another time."
            )
        ending, options = _FORMS[form]
        return bytes(cv2.imencode(ending, found.picture.pixels(), options)[1])
