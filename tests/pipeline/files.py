"""How a file is looked at: what the product makes of it, beside a full decode by FFmpeg."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, settings

from apps.pipeline.decode.spans import spans_from, starts
from apps.pipeline.decode.video import Video, open_video
from tests.pipeline.coded import Coded, Coding, coded
from tests.pipeline.grouped import in_turn
from tests.pipeline.videos import read_number


def files(count: int) -> settings:
    """So many of a kind: the same ones everywhere, or others each time with HYPOTHESIS_ANEW=1."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=os.environ.get("HYPOTHESIS_ANEW") != "1",
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass(frozen=True)
class Seen:
    """What the product makes of a file: of each sampled frame its number in display order, the
    number that its picture shows, its time, and a digest of its stored picture."""

    frames: int
    fps: float
    indices: list[int]
    numbers: list[int | None]
    seconds: list[float]
    digests: list[str]
    warnings: list[str]
    damaged: int


def see(path: Path, stride: int = 1, threads: int = 1) -> Seen:
    with open_video(path, threads=threads) as video:
        found = list(video.sampled(stride))
        return Seen(
            video.facts.frames,
            video.facts.fps,
            [item.index for item in found],
            [read_number(item.picture.pixels()) for item in found],
            [item.ts_s for item in found],
            [digest(item.picture.frame) for item in found],
            video.warnings,
            video.damaged_packets,
        )


def seen_by_turns(path: Path, stride: int) -> list[str] | None:
    """What two decoders show that take turns at closed groups; None where there is one group."""
    with open_video(path, threads=1) as video:
        spans = spans_from(video.index, starts(video.index))
        if len(spans) == 1:
            return None
        with video.sampled_by_turns(spans, 2, stride) as sources:
            return [digest(item.picture.frame) for item, _ in in_turn(sources, len(spans))]


def digest(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def shown_by_ffmpeg(path: Path) -> list[str]:
    """Digests of all pictures, in the order in which FFmpeg shows them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        return [digest(frame) for frame in container.decode(stream)]


def check(
    path: Path,
    stride: int,
    threads: int,
    times: dict[int, float] | None = None,
    *,
    tolerance: float = 1.5e-3,
) -> Seen:
    """Compares with a full decode, and with the time of each number, from the first one's on."""
    reference = shown_by_ffmpeg(path)
    seen = see(path, stride, threads)
    assert seen.frames == len(reference)
    assert seen.indices == list(range(0, len(reference), stride))
    assert seen.digests == reference[::stride]
    assert seen_by_turns(path, stride) in (None, seen.digests)
    assert seen.damaged == 0
    assert all(
        before <= after for before, after in zip(seen.seconds, seen.seconds[1:], strict=False)
    )
    if times is not None:
        whole = see(path)
        first, offset = whole.numbers[0], whole.seconds[0]
        assert first is not None
        expected = [times[number] - times[first] for number in seen.numbers if number is not None]
        assert len(expected) == len(seen.seconds)
        assert [s - offset for s in seen.seconds] == pytest.approx(expected, abs=tolerance)
    return seen


@cache
def piece(coding: Coding, first: int, count: int) -> tuple[Coded, ...]:
    return tuple(coded(coding, range(first, first + count)))


def opened(path: Path) -> Video:
    with open_video(path, threads=1) as video:
        return video
