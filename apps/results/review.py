"""What a player with a timeline shows of a run: its tracks as columns, and boxes of a stretch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from apps.common.config import pipeline_config
from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.contracts.rows import TrackRow
from apps.common.errors import InvalidInput, RunNotFound
from apps.common.layout import Layout, RunFiles
from apps.common.open_result import open_result, result_cuts, result_rows
from apps.common.schemas import ReviewBoxes, ReviewData, ReviewTracks
from apps.results.figures import RUN_AGAIN, grid_of
from apps.results.files import NO_ROWS
from apps.results.lanes import Samples, lanes
from apps.results.presence import seconds_with_faces
from apps.results.sightings import Sightings, SightingsCache, state_of
from apps.runs.store import read_completed

MAX_SECONDS = 600.0  # of one request for boxes
MAX_ROWS = 50_000  # of one answer: some megabytes
_KEPT = 16  # reviews; one of 5,000 tracks has about a megabyte
_DIGITS = 4  # of seconds: as rows have them
_TOUCH_SECONDS = 0.0005  # rounding; what overlaps by less only touches


@dataclass(frozen=True)
class _Review:
    """A run's review, and the place of each of its tracks in it."""

    data: ReviewData
    places: dict[str, int]


class Reviews:
    """Reviews of runs; those that were asked for lately are remembered.

    Args:
        layout: paths under the data root.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sightings = SightingsCache()
        self._known: OrderedDict[object, _Review] = OrderedDict()
        self._lock = threading.Lock()

    def review(self, ep_id: str, run_id: str) -> ReviewData:
        """The tracks of a run, and what they are drawn on.

        Args:
            run_id: or `latest`.

        Raises:
            InvalidInput: a name is not legal.
            RunNotFound: there is no such completed run, or it lacks what is shown.
        """
        manifest = read_completed(self._layout, ep_id, run_id)
        with self._opened(manifest) as (_, _, review):
            return review.data

    def boxes(self, ep_id: str, run_id: str, start_s: float, end_s: float) -> ReviewBoxes:
        """Faces whose time lies in a stretch, both ends included, and those next to it.

        Args:
            run_id: or `latest`.
            start_s, end_s: seconds.

        Raises:
            InvalidInput: a name is not legal, or the stretch is too long or has too many faces.
            RunNotFound: there is no such completed run, or it lacks what is shown.
        """
        if not 0 <= end_s - start_s <= MAX_SECONDS:
            raise InvalidInput(
                f"end_s must be start_s or up to {MAX_SECONDS:g} s more.",
                hint="Ask for a shorter stretch.",
            )
        manifest = read_completed(self._layout, ep_id, run_id)
        with self._opened(manifest) as (stream, sightings, review):
            if sightings.most_rows(start_s, end_s) > MAX_ROWS:
                raise InvalidInput(
                    f"There are more than {MAX_ROWS} faces in this stretch.",
                    hint="Ask for a shorter stretch.",
                )
            rows = sightings.between(stream, start_s, end_s)
        return ReviewBoxes(
            start_s=start_s,
            end_s=end_s,
            time_s=[row.ts_s for row in rows],
            track=[review.places.get(row.track_id or "", -1) for row in rows],
            box=[side for row in rows for side in row.bbox],
            confidence=[row.conf for row in rows],
        )

    @contextmanager
    def _opened(self, manifest: RunManifest) -> Iterator[tuple[BinaryIO, Sightings, _Review]]:
        video, stride = grid_of(manifest)
        files = self._layout.run(manifest.ep_id, manifest.run_id)
        with _result(self._layout, files.detections) as stream:
            sightings = self._sightings.of(files.detections, stream, video.frames, video.fps)
            states = [state_of(files.detections, stream)]
            with _result(self._layout, files.tracks) as tracks:
                states.append(state_of(files.tracks, tracks))
            key = (manifest.ep_id, manifest.run_id, video.model_dump_json(), stride, *states)
            with self._lock:
                review = self._known.get(key)
            if review is None:
                review = _reviewed(self._layout, files, manifest, video, stride, sightings)
            with self._lock:
                self._known[key] = review
                self._known.move_to_end(key)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            yield stream, sightings, review


@contextmanager
def _result(layout: Layout, path: Path) -> Iterator[BinaryIO]:
    try:
        stream = open_result(layout, path)
    except OSError:
        raise RunNotFound(NO_ROWS, hint=RUN_AGAIN) from None
    with stream:
        yield stream


@dataclass
class _Bar:
    """A track whose name and times are known."""

    track_id: str
    first_s: float
    last_s: float
    start_s: float
    end_s: float
    row: TrackRow
    lane: int = 0


def _reviewed(
    layout: Layout,
    files: RunFiles,
    manifest: RunManifest,
    video: VideoFacts,
    stride: int,
    sightings: Sightings,
) -> _Review:
    first_s = sightings.times.of(0)  # videos may begin late
    end_s = max([first_s + video.duration_s, *sightings.tracked_s[-1:]])
    samples = Samples.of(stride, video.fps, first_s, end_s)
    cuts = [cut for cut in result_cuts(layout, files.metrics) if 0 < cut.frame < video.frames]
    cuts_s = sorted({_rounded(samples.cut(sightings.times.of(c.frame), c.at_s)) for c in cuts})
    bars = _bars(result_rows(layout, files.tracks, TrackRow), samples, cuts_s)
    count = _laid_out(bars)
    missed_s = pipeline_config().metrics.missed_seconds
    seen_s = seconds_with_faces(sightings.tracked_s, samples, missed_s)
    data = ReviewData(
        ep_id=manifest.ep_id,
        run_id=manifest.run_id,
        duration_s=_rounded(end_s),
        fps=video.fps,
        width=video.width,
        height=video.height,
        stride=stride,
        before_s=round(samples.before_s, 6),
        after_s=round(samples.after_s, 6),
        length_s=_rounded(end_s - first_s),
        with_faces_s=_rounded(seen_s),
        cuts_s=cuts_s,
        lanes=count,
        tracks=_columns(bars, sightings),
    )
    return _Review(data, {bar.track_id: place for place, bar in enumerate(bars)})


def _bars(rows: Iterable[TrackRow | None], samples: Samples, cuts_s: list[float]) -> list[_Bar]:
    """The tracks that can be shown, by start; of two of one name the first."""
    bars: dict[str, _Bar] = {}
    for row in rows:
        if row is None or row.track_id is None or row.start_s is None or row.end_s is None:
            continue
        if row.track_id not in bars and row.start_s <= row.end_s:
            start_s, end_s = samples.stretch(row.start_s, row.end_s, cuts_s)
            bars[row.track_id] = _Bar(
                row.track_id, row.start_s, row.end_s, _rounded(start_s), _rounded(end_s), row
            )
    return sorted(bars.values(), key=attrgetter("start_s", "first_s", "track_id"))


def _laid_out(bars: list[_Bar]) -> int:
    """Gives each its lane; how many lanes there are.

    Neighbours that touch share one, also where rounding makes them overlap by a hair: that is cut.
    """
    spans = [(bar.start_s, max(bar.start_s, bar.end_s - _TOUCH_SECONDS)) for bar in bars]
    newest: dict[int, _Bar] = {}
    for bar, lane in zip(bars, lanes(spans), strict=True):
        bar.lane = lane
        before = newest.get(lane)
        if before is not None:
            before.end_s = min(before.end_s, bar.start_s)
        newest[lane] = bar
    return len(newest)


def _columns(bars: list[_Bar], sightings: Sightings) -> ReviewTracks:
    """What a track's own line does not tell comes from its sightings."""
    seen = [sightings.tracks.get(bar.track_id) for bar in bars]
    screen = [bar.row.screen for bar in bars]
    stats = [bar.row.stats for bar in bars]
    return ReviewTracks(
        id=[bar.track_id for bar in bars],
        first_s=[bar.first_s for bar in bars],
        last_s=[bar.last_s for bar in bars],
        start_s=[bar.start_s for bar in bars],
        end_s=[bar.end_s for bar in bars],
        lane=[bar.lane for bar in bars],
        confidence=[
            one.avg_conf if one.avg_conf is not None else None if own is None else own.mean()
            for one, own in zip(stats, seen, strict=True)
        ],
        sightings=[
            one.detections if one.detections is not None else 0 if own is None else own.count
            for one, own in zip(stats, seen, strict=True)
        ],
        face_height=[None if own is None else round(own.height, 5) for own in seen],
        screen_s=[None if time is None else time.seconds for time in screen],
        screen_error_s=[None if time is None else time.error_s for time in screen],
        ended=[bar.row.ended for bar in bars],
    )


def _rounded(seconds: float) -> float:
    return round(seconds, _DIGITS)
