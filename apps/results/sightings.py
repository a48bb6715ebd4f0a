"""Where in `detections.jsonl` which time and which track stands, so that a part of it can be read.

The file is read once; what is kept of it is small, and the rows of a stretch of time are read again
where they are asked for.
"""

from __future__ import annotations

import os
import statistics
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from apps.common.contracts.rows import DetectionRow
from apps.results.charts import is_upright
from apps.results.frame_times import FrameTimes

_BLOCK_ROWS = 128  # read together: about a millisecond
_KEPT_BYTES = 64_000_000  # of all indexes; a 40-minute run has about 0.5 MB
_OBJECT_BYTES = 200  # about what Python needs for a small one

FileState = tuple[str, int, int, int]
"""Path, inode, time and size: another one is another content."""


def state_of(path: Path, stream: BinaryIO) -> FileState:
    """Which content an open file has."""
    facts = os.fstat(stream.fileno())
    return (str(path), facts.st_ino, facts.st_mtime_ns, facts.st_size)


@dataclass(slots=True)
class _Block:
    """Rows that stand one after the other.

    Args:
        start, end: bytes of the file.
        rows: how many pass, >= 1; it begins with one of these.
        first_frame, first_s, last_s: of them.
    """

    start: int
    end: int
    rows: int
    first_frame: int
    first_s: float
    last_s: float


@dataclass
class TrackSightings:
    """What the rows tell of a track.

    Args:
        confidence: sum of all.
        height: median, 0..1 of the picture's.
        first_s, last_s: of its rows.
        blocks: numbers of the blocks in which it is, ascending.
    """

    first_s: float
    last_s: float
    count: int = 0
    confidence: float = 0.0
    height: float = 0.0
    blocks: list[int] = field(default_factory=list)

    def mean(self) -> float:
        """Mean confidence, 0..1."""
        return round(self.confidence / self.count, 4)


@dataclass(frozen=True)
class Sightings:
    """An index of one run's faces, in the order of time.

    Lines that are damaged are left out, as are frames of no video, and what goes back in time.

    Args:
        tracks: by name.
        times: of the frames that have faces.
        tracked_s: times of those of which a face belongs to a track, seconds, ascending.
        frames: how many the video has.
    """

    tracks: dict[str, TrackSightings]
    times: FrameTimes
    tracked_s: MutableSequence[float]
    frames: int
    _blocks: list[_Block]

    @staticmethod
    def read(stream: BinaryIO, frames: int, fps: float) -> Sightings:
        """Reads the whole file, line by line.

        Args:
            stream: `detections.jsonl`, at its start.
            frames, fps: of the video.
        """
        return _Reader(frames, fps).read(stream)

    @property
    def size_bytes(self) -> int:
        """About what it holds in memory."""
        objects = len(self._blocks) + 3 * len(self.tracks)
        places = sum(len(track.blocks) for track in self.tracks.values())
        times = self.times.size_bytes + 8 * len(self.tracked_s)
        return times + _OBJECT_BYTES * objects + 8 * places

    def most_rows(self, start_s: float, end_s: float) -> int:
        """No fewer rows than a stretch of time has, and few more."""
        return sum(self._blocks[number].rows for number in self._touched(start_s, end_s))

    def between(self, stream: BinaryIO, start_s: float, end_s: float) -> list[DetectionRow]:
        """The faces of a stretch of time, ordered by time.

        Of each track that is there with them are its last sighting before and its first one after.

        Args:
            stream: the file that was read.
            start_s, end_s: seconds; both belong to the stretch.
        """
        touched = self._touched(start_s, end_s)
        blocks = {number: self._rows(stream, number) for number in touched}

        def rows_of(track: str, numbers: Iterable[int]) -> Iterator[DetectionRow]:
            for number in numbers:
                if number not in blocks:
                    blocks[number] = self._rows(stream, number)
                yield from (row for row in blocks[number] if row.track_id == track)

        inside = [row for rows in blocks.values() for row in rows if start_s <= row.ts_s <= end_s]
        before, after = list[DetectionRow](), list[DetectionRow]()
        for name, track in self.tracks.items():
            if track.first_s > end_s or track.last_s < start_s:
                continue
            if track.first_s < start_s:
                until = bisect_left(track.blocks, touched.stop)
                for number in reversed(track.blocks[:until]):
                    earlier = [row for row in rows_of(name, [number]) if row.ts_s < start_s]
                    if earlier:
                        before.append(earlier[-1])
                        break
            if track.last_s > end_s:
                since = bisect_left(track.blocks, touched.start)
                later = rows_of(name, track.blocks[since:])
                after.append(next(row for row in later if row.ts_s > end_s))
        before.sort(key=attrgetter("ts_s"))
        after.sort(key=attrgetter("ts_s"))
        return [*before, *inside, *after]

    def _touched(self, start_s: float, end_s: float) -> range:
        """Numbers of the blocks that may have rows of a stretch of time."""
        first = bisect_left(self._blocks, start_s, key=lambda block: block.last_s)
        last = bisect_right(self._blocks, end_s, key=lambda block: block.first_s)
        return range(first, max(first, last))

    def _rows(self, stream: BinaryIO, number: int) -> list[DetectionRow]:
        block = self._blocks[number]
        stream.seek(block.start)
        lines = stream.read(block.end - block.start).splitlines(keepends=True)
        order = _Order(self.frames, block.first_frame, block.first_s)
        return [row for line in lines if (row := order.row_of(line)) is not None]


class _Order:
    """Lets those rows pass that can be shown, and that go forward.

    Args:
        frames: how many the video has.
        frame, ts_s: of the newest row.
    """

    def __init__(self, frames: int, frame: int = 0, ts_s: float = -1e9) -> None:
        self._frames = frames
        self._frame = frame
        self._ts_s = ts_s

    def row_of(self, line: bytes) -> DetectionRow | None:
        try:
            row = DetectionRow.model_validate_json(line)
        except ValidationError:
            return None
        if not self._frame <= row.frame_idx < self._frames or row.ts_s < self._ts_s:
            return None
        if not is_upright(row):
            return None
        self._frame, self._ts_s = row.frame_idx, row.ts_s
        return row


class _Reader:
    """Reads a file once, and notes where what is."""

    def __init__(self, frames: int, fps: float) -> None:
        self._order = _Order(frames)
        self._frames = frames
        self._times = FrameTimes(fps)
        self._tracks: dict[str, TrackSightings] = {}
        self._heights: dict[str, array[float]] = {}
        self._tracked_s = array("d")
        self._blocks: list[_Block] = []

    def read(self, stream: BinaryIO) -> Sightings:
        block: _Block | None = None
        at = 0
        for line in stream:
            row = self._order.row_of(line)
            if row is not None:
                if block is None:
                    block = _Block(at, at, 0, row.frame_idx, row.ts_s, row.ts_s)
                block.end, block.last_s = at + len(line), row.ts_s
                block.rows += 1
                self._note(row)
                if block.rows == _BLOCK_ROWS:
                    self._blocks.append(block)
                    block = None
            at += len(line)
        if block is not None:
            self._blocks.append(block)
        for name, track in self._tracks.items():
            track.height = statistics.median(self._heights[name])
        return Sightings(self._tracks, self._times, self._tracked_s, self._frames, self._blocks)

    def _note(self, row: DetectionRow) -> None:
        """A row of the block that comes next."""
        self._times.add(row.frame_idx, row.ts_s)
        name = row.track_id
        if name is None:
            return
        if not self._tracked_s or row.ts_s > self._tracked_s[-1]:
            self._tracked_s.append(row.ts_s)
        if name not in self._tracks:
            self._tracks[name] = TrackSightings(row.ts_s, row.ts_s)
            self._heights[name] = array("f")
        track = self._tracks[name]
        track.count += 1
        track.confidence += row.conf
        track.last_s = row.ts_s
        if not track.blocks or track.blocks[-1] != len(self._blocks):
            track.blocks.append(len(self._blocks))
        self._heights[name].append(row.bbox[3] - row.bbox[1])


class SightingsCache:
    """Indexes of the files that were read lately. Any number of threads may ask at once."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._known: OrderedDict[tuple[FileState, int, float], Sightings] = OrderedDict()
        self._reading: dict[tuple[FileState, int, float], threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, path: Path, stream: BinaryIO, frames: int, fps: float) -> Sightings:
        """The index of a file, read by the first who asks.

        Args:
            path: names the file.
            stream: it, open.
            frames, fps: of the video.
        """
        key = (state_of(path, stream), frames, fps)
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                found = self._known.get(key)
                if found is not None:
                    self._known.move_to_end(key)
            if found is None:
                stream.seek(0)
                found = Sightings.read(stream, frames, fps)
            with self._lock:
                self._known[key] = found
                self._reading.pop(key, None)
                self._forget()
        return found

    def _forget(self) -> None:
        size = sum(known.size_bytes for known in self._known.values())
        while size > self._kept_bytes and len(self._known) > 1:
            size -= self._known.popitem(last=False)[1].size_bytes
