"""The index of a run's faces against reading all of them."""

from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.results.sightings import Sightings, SightingsCache

FPS = 25.0


def line(frame: int, track: int | None, **changes: Any) -> str:
    top = 0.1 + frame % 7 / 100
    row = {
        "ep_id": "talk",
        "frame_idx": frame,
        "ts_s": round(0.5 + frame / FPS, 4),
        "bbox": [0.1, top, 0.3, 0.6],
        "landmarks": [[0.2, 0.2]] * 5,
        "conf": 0.9,
        "track_id": None if track is None else f"track-{track:05d}",
        "model_id": "centerface",
        "schema_version": "det_v1",
    }
    return json.dumps({**row, **changes}) + "\n"


def index_of(text: str, frames: int = 100_000) -> tuple[io.BytesIO, Sightings]:
    stream = io.BytesIO(text.encode())
    return stream, Sightings.read(stream, frames, FPS)


ROWS = st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(1, 9))), max_size=900)


@given(ROWS, st.floats(0, 60), st.floats(0, 60))
def test_a_stretch_has_what_all_rows_have(
    steps: list[tuple[int, int | None]], start_s: float, length: float
) -> None:
    frame, seen = 0, []
    for step, track in steps:
        frame += step
        seen.append((frame, track))
    stream, sightings = index_of("".join(line(*one) for one in seen))
    end_s = start_s + length
    rows = [(round(0.5 + n / FPS, 4), None if t is None else f"track-{t:05d}") for n, t in seen]
    found = [(row.ts_s, row.track_id) for row in sightings.between(stream, start_s, end_s)]
    inside = [row for row in rows if start_s <= row[0] <= end_s]
    assert [row for row in found if start_s <= row[0] <= end_s] == inside
    assert sightings.most_rows(start_s, end_s) >= len(inside)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    around = set()
    for name in {name for _, name in rows if name is not None}:
        times = [time for time, other in rows if other == name]
        if times[0] <= end_s and times[-1] >= start_s:
            before = [time for time in times if time < start_s]
            after = [time for time in times if time > end_s]
            around |= {(time, name) for time in [*before[-1:], *after[:1]]}
    assert sorted(row for row in found if not start_s <= row[0] <= end_s) == sorted(around)


def test_damaged_rows_are_left_out_here_and_there() -> None:
    """Also where a part is read again, which begins in the middle of the file."""
    rows = []
    for frame in range(600):
        rows += [line(frame, 1)]
        if frame % 50 == 0:
            rows += [
                "{half a li\n", "[]\n", "\n", "\xff\n",
                line(frame - 40 if frame > 40 else 0, 2) if frame > 40 else "",  # goes back
                line(200_000, 3),  # of no video
                line(frame, 4, bbox=[0.3, 0.1, 0.1, 0.6]),  # ends before it begins
                line(frame, 5, ts_s=-3.0) if frame else "",
                line(frame, 6, conf=7),
            ]  # fmt: skip
    stream, sightings = index_of("".join(rows))
    assert list(sightings.tracks) == ["track-00001"]
    track = sightings.tracks["track-00001"]
    assert track.count == 600
    heights = [0.6 - (0.1 + frame % 7 / 100) for frame in range(600)]
    assert track.height == pytest.approx(statistics.median(heights), abs=1e-6)
    assert track.mean() == 0.9
    for start_s in (0.0, 3.3, 5.61, 12.5, 24.46):
        found = sightings.between(stream, start_s, start_s + 2.0)
        assert {row.track_id for row in found} == {"track-00001"}
        assert len(found) in range(49, 54) or start_s in (0.0, 24.46)


def test_a_file_without_faces() -> None:
    for text in ("", "\n\n", "nonsense\n"):
        stream, sightings = index_of(text)
        assert sightings.between(stream, 0, 60) == []
        assert sightings.most_rows(0, 60) == 0
        assert sightings.times.of(50) == 2.0


def test_the_index_is_small_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "detections.jsonl"
    path.write_text("".join(line(frame, frame // 100) for frame in range(20_000)))
    cache = SightingsCache()
    with path.open("rb") as stream:
        first = cache.of(path, stream, 100_000, FPS)
        assert cache.of(path, stream, 100_000, FPS) is first
        assert first.size_bytes < path.stat().st_size / 8
    path.write_text(line(1, 1))
    with path.open("rb") as stream:
        again = cache.of(path, stream, 100_000, FPS)
        assert list(again.tracks) == ["track-00001"]
        assert again.tracks["track-00001"].count == 1


def test_old_indexes_are_forgotten(tmp_path: Path) -> None:
    cache = SightingsCache(kept_bytes=60_000)
    found = []
    for number in range(6):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(line(frame, frame // 10) for frame in range(400)))
        with path.open("rb") as stream:
            found.append(cache.of(path, stream, 100_000, FPS))
    assert found[0].size_bytes > 20_000
    with (tmp_path / "5.jsonl").open("rb") as stream:
        assert cache.of(tmp_path / "5.jsonl", stream, 100_000, FPS) is found[5]
    with (tmp_path / "0.jsonl").open("rb") as stream:
        assert cache.of(tmp_path / "0.jsonl", stream, 100_000, FPS) is not found[0]
