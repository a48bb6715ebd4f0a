"""Where and when the tracks of a run are, read from its `detections.jsonl`."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from apps.common.boxes import Box
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import RunManifest
from apps.common.contracts.rows import DetectionRow, PersonRow, TrackRow
from apps.common.errors import RunNotFound
from apps.common.layout import Layout
from apps.common.open_result import ResultCut, result_cuts, result_rows
from apps.common.screen_time import (
    Edge,
    Presence,
    SampleEdges,
    ScreenTotal,
    SecondsArray,
)
from apps.common.stretches import OnScreen, merged

_ROUNDING_S = 1e-4  # of seconds in rows
_LARGEST = 10**8  # frames; a manifest that says more is damaged


@dataclass
class Sightings:
    """Where a track was seen.

    Args:
        frames, seconds: ascending.
        sides: left, top, right, bottom of each, one after the other.
        confidences: of each.
    """

    frames: MutableSequence[int] = field(default_factory=lambda: array("q"))
    seconds: MutableSequence[float] = field(default_factory=lambda: array("d"))
    sides: MutableSequence[float] = field(default_factory=lambda: array("d"))
    confidences: MutableSequence[float] = field(default_factory=lambda: array("d"))

    def add(self, row: DetectionRow) -> None:
        if self.frames and row.frame_idx <= self.frames[-1]:
            return
        self.frames.append(row.frame_idx)
        self.seconds.append(row.ts_s)
        self.sides.extend(row.bbox)
        self.confidences.append(row.conf)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """Shape (n, 4)."""
        return np.array(self.sides).reshape(-1, 4)

    def box(self, number: int) -> Box:
        """That of a sighting."""
        left, top, right, bottom = self.boxes[number].tolist()
        return (left, top, right, bottom)

    def box_at(self, second: float) -> Box:
        """Between two sightings in between, before and behind them as in the nearest one."""
        return box_between(self.seconds, self.boxes, second)


def box_between(seconds: Sequence[float], boxes: NDArray[np.float64], second: float) -> Box:
    """A box at a moment, between those that are known.

    Args:
        seconds: ascending, n >= 1.
        boxes: shape (n, 4).
    """
    after = bisect_right(seconds, second)
    if after in (0, len(seconds)):
        box = boxes[0 if after == 0 else -1]
    else:
        start, end = seconds[after - 1], seconds[after]
        share = (second - start) / (end - start) if end > start else 0.0
        box = boxes[after - 1] * (1 - share) + boxes[after] * share
    left, top, right, bottom = box.tolist()
    return (left, top, right, bottom)


class RunTracks:
    """The tracks of a run.

    Args:
        tracks: by name.
        frame_s: shape (n,), when each picture of the video is shown.
        end_s: when the last one ends.
        stride: pictures from sample to sample.
        cuts: first sample of each shot but the first, and when the cut is, where that is known.
        edges_s: from when or until when somebody is on the screen, as the run has counted it: it
            knew the times of all pictures.
        errors_s: of each track's seconds on the screen, as the run has counted it.
    """

    def __init__(
        self,
        tracks: dict[str, Sightings],
        frame_s: SecondsArray,
        end_s: float,
        stride: int,
        cuts: Mapping[int, Edge | None],
        edges_s: Iterable[float],
        errors_s: Mapping[str, float],
    ) -> None:
        self.tracks = tracks
        self.stride = stride
        self._frame_s = frame_s
        known = {cut: edge for cut, edge in cuts.items() if edge is not None}
        self._edges = SampleEdges(frame_s, end_s, stride, known)
        self._cuts = frozenset(cuts)
        self._missed_s = pipeline_config().metrics.missed_seconds
        self._after: dict[int, Edge] = {}
        self._errors_s = errors_s
        self._told = self._by_sample(edges_s)

    def on_screen(self, names: Iterable[str]) -> OnScreen:
        """When the faces of some tracks are on the screen, each moment once; as runs count it."""
        total, stretches, variance = ScreenTotal(), list[tuple[float, float]](), 0.0
        for name in sorted(names):
            seen = self.tracks.get(name)
            if seen is None:
                continue
            presence = Presence(self._missed_s)
            for frame in seen.frames:
                presence.see(self._before(frame), self._behind(frame))
            first, last = seen.frames[0], seen.frames[-1]
            total.add(
                presence,
                self._before(first) if self.begins_shot(first) else None,
                self._behind(last) if self.ends_shot(last) else None,
            )
            stretches += presence.stretches
            variance += self._errors_s.get(name, presence.error_s) ** 2 - presence.variance
        together = merged(stretches)
        error_s = math.sqrt(max(0.0, total.error_s**2 + variance))
        return OnScreen(together, sum(end - begin for begin, end in together), error_s)

    def begins_shot(self, frame: int) -> bool:
        """Whether a sample is the first one of its shot."""
        return frame == 0 or frame in self._cuts

    def ends_shot(self, frame: int) -> bool:
        """Whether a sample is the last one of its shot."""
        following = frame + self.stride
        return following in self._cuts or following >= len(self._frame_s)

    @property
    def step_s(self) -> float:
        """About how far samples are from each other, seconds."""
        frames = len(self._frame_s)
        if frames < 2:
            return 0.0
        return self.stride * float(self._frame_s[-1] - self._frame_s[0]) / (frames - 1)

    def _before(self, frame: int) -> Edge:
        return self._edges.before(0) if frame == 0 else self._behind(frame - self.stride)

    def _behind(self, frame: int) -> Edge:
        found = self._after.get(frame)
        if found is None:
            found = self._edges.after(frame)
            found = replace(found, at_s=self._told.get(frame, found.at_s))
            self._after[frame] = found
        return found

    def _by_sample(self, edges_s: Iterable[float]) -> dict[int, float]:
        """Edges by the sample before them; between two samples there is one."""
        told = np.array(sorted(edges_s))
        before = np.searchsorted(self._frame_s[:: self.stride], told - _ROUNDING_S) - 1
        pairs = zip(before.tolist(), told.tolist(), strict=True)
        return {sample * self.stride: edge for sample, edge in pairs if sample >= 0}


def read_run_tracks(
    layout: Layout, manifest: RunManifest, people: Iterable[PersonRow]
) -> RunTracks:
    """Reads the faces of a completed run.

    Args:
        people: as the run wrote them.

    Raises:
        RunNotFound: its manifest does not tell what its video was, or there are no faces of tracks.
    """
    video, stride = manifest.video, manifest.effective_stride
    sound = video is not None and 0 < video.frames <= _LARGEST and 0 < video.fps <= _LARGEST
    if video is None or not sound or stride is None or not 1 <= stride <= _LARGEST:
        raise RunNotFound("The run does not tell its frames.", hint="Run the episode again.")
    files = layout.run(manifest.ep_id, manifest.run_id)
    tracks: dict[str, Sightings] = {}
    known: dict[int, float] = {}
    for row in result_rows(layout, files.detections, DetectionRow):
        if row is None or row.frame_idx >= video.frames or row.frame_idx % stride:
            continue
        known[row.frame_idx] = row.ts_s
        if row.track_id is not None:
            tracks.setdefault(row.track_id, Sightings()).add(row)
    frame_s = _times(known, video.frames, video.fps)
    end_s = max(float(frame_s[-1]), video.duration_s + float(frame_s[0]))
    edges_s = {edge for person in people for times in person.appearances for edge in times}
    cuts = {
        cut.frame: _edge_at(cut, frame_s, stride)
        for cut in result_cuts(layout, files.metrics)
        if stride <= cut.frame < video.frames
    }
    return RunTracks(tracks, frame_s, end_s, stride, cuts, edges_s, _errors(layout, manifest))


def _edge_at(cut: ResultCut, frame_s: SecondsArray, stride: int) -> Edge | None:
    """When a cut is; None where the run does not tell, or tells what cannot be."""
    before_s, behind_s = float(frame_s[cut.frame - stride]), float(frame_s[cut.frame])
    if cut.at_s is None or cut.error_s is None or abs(cut.error_s) > behind_s - before_s:
        return None
    is_between = before_s <= cut.at_s <= behind_s + _ROUNDING_S
    return Edge(cut.at_s, cut.error_s * cut.error_s) if is_between else None


def _times(known: dict[int, float], frames: int, fps: float) -> SecondsArray:
    """When each picture is shown: as rows tell it, and at the mean rate before and behind them."""
    numbers = np.arange(frames, dtype=np.float64)
    if not known:
        return numbers / fps
    at = np.array(sorted(known), np.float64)
    seconds = np.maximum.accumulate(np.array([known[int(frame)] for frame in at]))
    found = np.interp(numbers, at, seconds)
    found = np.where(numbers < at[0], seconds[0] - (at[0] - numbers) / fps, found)
    return np.where(numbers > at[-1], seconds[-1] + (numbers - at[-1]) / fps, found)


def _errors(layout: Layout, manifest: RunManifest) -> dict[str, float]:
    files = layout.run(manifest.ep_id, manifest.run_id)
    return {
        row.track_id: row.screen_error_s
        for row in result_rows(layout, files.tracks, TrackRow)
        if row is not None and row.track_id is not None and row.screen_error_s is not None
    }
