"""Videos of several closed groups of pictures, in each codec, and what is seen of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from apps.pipeline.decode.decoder import Decoded, EndOfSpan, Passed
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.yuv_crop import FacePatch
from lab.processes.priority import ordinary_priority
from tests.pipeline.videos import AV1, H264, Recipe, moving, write_video

HEVC = Recipe(
    "libx265",
    options={"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0:keyint=12:bframes=3"},
)
VP9 = Recipe("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "12"})
MPEG2 = Recipe(
    "mpeg2video",
    options={"flags": "+cgop", "bf": "2", "g": "12", "b": "2M", "sc_threshold": "1000000000"},
)
AV1_GROUPS = replace(AV1, options={"preset": "10", "svtav1-params": "lp=1:keyint=12"})
RECIPES = {"h264": H264, "hevc": HEVC, "vp9": VP9, "mpeg2": MPEG2, "av1": AV1_GROUPS}
PICTURES = 75
Seen = tuple[float, list[bytes]]  # when a picture is shown, and its pixels


def grouped_video(folder: Path, codec: str) -> Path:
    """Writes one of `PICTURES` pictures, if the encoder does it in groups of twelve."""
    ending = "webm" if codec == "vp9" else "mpg" if codec == "mpeg2" else "mp4"
    with ordinary_priority():
        return write_video(folder / f"{codec}.{ending}", moving(PICTURES), RECIPES[codec])


def seen(glimpse: Glimpse) -> Seen:
    assert isinstance(glimpse.source, FacePatch)
    return glimpse.ts_s, [plane.tobytes() for plane in glimpse.source.planes]


def in_turn(
    sources: Sequence[Iterator[Decoded | EndOfSpan]], spans: int
) -> Iterator[tuple[Decoded, tuple[Glimpse, ...]]]:
    """What decoders give that take turns, in its order, with what was passed before each."""
    passed = Passed()
    for _, source in zip(range(spans), itertools.cycle(sources), strict=False):
        for item in source:
            if isinstance(item, EndOfSpan):
                passed.extend(item.passed.glimpses)
                break
            passed.extend(item.passed)
            yield item, passed.taken()


def sample(decoded: Decoded, passed: Sequence[Glimpse]) -> tuple[int, Seen, list[Seen]]:
    """A sample, and what was passed before it."""
    glimpse = decoded.glimpse()
    assert glimpse is not None
    return decoded.index, seen(glimpse), [seen(each) for each in passed]
