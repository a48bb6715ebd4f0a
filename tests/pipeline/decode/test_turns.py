"""Decoders that take turns show what one shows, whichever spans each of them has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from apps.pipeline.decode import spans as decode_spans
from apps.pipeline.decode.selection import Span
from apps.pipeline.decode.spans import MAX_STRIDE, short_spans, spans_from, starts
from apps.pipeline.decode.video import open_video
from tests.pipeline.damage import copied, damaged
from tests.pipeline.grouped import PICTURES, RECIPES, Seen, grouped_video, in_turn, sample


@pytest.fixture(scope="module", params=list(RECIPES))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grouped_video(tmp_path_factory.mktemp("turns"), request.param)


def by_turns(
    path: Path, spans: Sequence[Span], decoders: int, stride: int
) -> Iterator[tuple[int, Seen, list[Seen]]]:
    with (
        open_video(path, threads=1) as video,
        video.sampled_by_turns(spans, decoders, stride) as sources,
    ):
        for item, passed in in_turn(sources, len(spans)):
            yield sample(item, passed)
        assert [next(source, None) for source in sources] == [None] * decoders


def every_group(path: Path) -> list[Span]:
    with open_video(path, threads=1) as video:
        found = spans_from(video.index, starts(video.index))
    if len(found) < 3:
        pytest.skip("this encoder makes one closed group of it")
    return found


def test_spans_are_of_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short ones have decoders wait for each other, and of long ones too much waits."""
    with open_video(grouped_video(tmp_path, "h264"), threads=1) as video:
        index = video.index
    firsts = [[span.first for span in short_spans(index, stride)] for stride in (1, 2, 3, 5)]
    assert firsts == [[0, 12, 24, 36, 48, 60, 72], [0, 24, 48, 72], [0, 36, 72], [0, 60]]
    assert short_spans(index, MAX_STRIDE) == spans_from(index, [(0, 0)])
    assert short_spans(index, MAX_STRIDE + 1) == []
    monkeypatch.setattr(decode_spans, "MAX_PACKETS", 24)
    assert [span.first for span in short_spans(index, 5)] == [0, 12, 24, 36, 48, 60, 72]
    monkeypatch.setattr(decode_spans, "MAX_PACKETS", 11)
    assert short_spans(index, 1) == []


@pytest.mark.parametrize("stride", [1, 2, 5, 12, 31])
def test_they_show_what_one_shows(path: Path, stride: int) -> None:
    """Also where a span has no sample, and where there are more decoders than spans."""
    spans = every_group(path)
    with open_video(path, threads=1) as video:
        whole = [sample(decoded, decoded.passed) for decoded in video.sampled(stride)]
    assert len(whole) == len(range(0, PICTURES, stride))
    for decoders in (1, 2, 3, len(spans) + 1):
        assert list(by_turns(path, spans, decoders, stride)) == whole
    assert list(by_turns(path, spans[:1], 1, stride)) == whole[: -(-spans[1].first // stride)]


@pytest.mark.parametrize("seed", range(6))
def test_of_a_damaged_video_too(path: Path, tmp_path: Path, seed: int) -> None:
    """At the very picture where a span begins, and anywhere; some of several spans."""
    broken = copied(path, tmp_path / f"{path.stem}.mp4")
    spans = every_group(broken)
    chance = random.Random(seed)
    begin = chance.choice(spans[1:]).packet
    anywhere = [chance.randrange(1, spans[-1].end) for _ in range(chance.choice([1, 3]))]
    damaged(broken, [begin, *anywhere], chance)
    stride = chance.choice([1, 2, 5])
    with open_video(broken, threads=1) as video:
        whole = [sample(decoded, decoded.passed) for decoded in video.sampled(stride)]
        places = video.damaged_groups
    for decoders in (2, 3):
        assert list(by_turns(broken, spans, decoders, stride)) == whole
    with (
        open_video(broken, threads=1) as video,
        video.sampled_by_turns(spans, 2, stride) as sources,
    ):
        for source in sources:
            assert all(source)
        assert video.damaged_groups == places
