"""What is known of a video opens it again, and says which bytes of it a part needs."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.common.files import fingerprint_of
from apps.pipeline.decode.decoder import PacketAbsent
from apps.pipeline.decode.selection import Need
from apps.pipeline.decode.video import open_video
from apps.pipeline.parts.extract import extract_of
from apps.pipeline.parts.known_video import VideoNote, read_known, write_known
from apps.pipeline.parts.plan import spans
from apps.pipeline.parts.records import read_record, write_record
from tests.support.repeated import repeated

COUNT, STRIDE = 6, 5


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("long")
    source = test_data / "videos" / "short_hamilton_clip.mp4"
    times = 1 + 30_000_000 // source.stat().st_size
    return repeated(source, folder / "episode.mp4", times)


@pytest.fixture(scope="module")
def note(long_video: Path) -> VideoNote:
    path = long_video.with_name("video.index")
    with open_video(long_video, threads=1) as video:
        write_known(path, long_video, video.known)
    found = read_known(path)
    assert found is not None
    return found


def test_what_is_read_is_what_was_known(long_video: Path, note: VideoNote) -> None:
    with (
        open_video(long_video, threads=1) as looked,
        open_video(long_video, threads=1, known=note.known) as told,
    ):
        assert told.facts == looked.facts
        assert told.warnings == looked.warnings
        for field in fields(looked.index):
            one, other = (getattr(each.index, field.name) for each in (looked, told))
            np.testing.assert_equal(
                *(vars(each) if hasattr(each, "__dict__") else each for each in (one, other))
            )


@pytest.mark.parametrize("number", range(COUNT))
def test_an_extract_gives_the_same_pictures(
    long_video: Path, note: VideoNote, tmp_path: Path, number: int
) -> None:
    span = spans(note.known.index, COUNT)[number]
    found = extract_of(note, span, STRIDE, checked_s=0.0)
    assert found is not None
    ranges, known = found
    size = long_video.stat().st_size
    assert sum(end - start for start, end in ranges) < 0.5 * size
    path = tmp_path / "episode.mp4"
    with long_video.open("rb") as whole, path.open("wb") as extract:
        extract.truncate(size)
        for start, end in ranges:
            whole.seek(start)
            extract.seek(start)
            extract.write(whole.read(end - start))
    assert fingerprint_of(path) == note.file.fingerprint
    left: tuple[list[object], list[object]] = [], []
    with (
        open_video(long_video, threads=1) as all_of_it,
        open_video(path, threads=1, known=known) as some,
    ):
        pairs = zip(
            all_of_it.sampled_in(span, STRIDE, left[0]),  # type: ignore[arg-type]
            some.sampled_in(span, STRIDE, left[1]),  # type: ignore[arg-type]
            strict=True,
        )
        count = 0
        for one, other in pairs:
            assert (one.index, one.ts_s) == (other.index, other.ts_s)
            pictures = [each.picture.frame.to_ndarray() for each in (one, other)]
            np.testing.assert_array_equal(*pictures)
            assert len(one.passed) == len(other.passed)
            count += 1
    assert count > 20
    assert len(left[0]) == len(left[1])
    other_span = spans(note.known.index, COUNT)[(number + 2) % COUNT]
    with open_video(path, threads=1, known=known) as some, pytest.raises(PacketAbsent):
        list(some.sampled_in(other_span, STRIDE, []))


def test_pictures_that_a_detector_is_checked_on_are_among_it(
    long_video: Path, note: VideoNote
) -> None:
    span = spans(note.known.index, COUNT)[-1]
    found = extract_of(note, span, STRIDE, checked_s=20.0)
    assert found is not None
    _, known = found
    assert known.present is not None
    assert note.known.index.keys is not None
    assert note.known.index.order is not None
    keys = np.flatnonzero(note.known.index.keys)
    assert known.present[keys[keys < 400]].all()
    needs = note.known.index.order.needs(STRIDE, span.first)
    assert all(known.present[n] for n in range(span.packet, span.end) if needs[n] != Need.NOTHING)


def test_all_is_had_where_that_is_less_trouble(long_video: Path, note: VideoNote) -> None:
    (whole,) = spans(note.known.index, 1)
    assert extract_of(note, whole, STRIDE, checked_s=0.0) is None


@pytest.mark.parametrize("kind", ["gone", "cut off", "changed"])
def test_what_cannot_be_read_is_found_out_again(
    note: VideoNote, long_video: Path, kind: str
) -> None:
    path = long_video.with_name(f"{kind}.index")
    if kind != "gone":
        shutil.copy(long_video.with_name("video.index"), path)
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body if kind == "changed" else body[:-1])
    assert read_known(path) is None


@pytest.mark.parametrize("forged", [{"names": ["seconds"]}, {"names": None}, {"video": []}])
def test_what_is_something_else_is_found_out_again(
    note: VideoNote, long_video: Path, forged: dict[str, Any]
) -> None:
    path = long_video.with_name("forged.index")
    with long_video.with_name("video.index").open("rb") as stream:
        found = read_record(stream)
    assert found is not None
    with path.open("wb") as stream:
        write_record(stream, {**found[0], **forged}, found[1])
    assert read_known(path) is None
