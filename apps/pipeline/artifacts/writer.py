"""Artifacts: detections, tracks, metrics and crops of one run, written as they come.

Everything goes into the run's staging folder; `publish` moves it into place at the end, so that
a run that was killed leaves nothing that looks like a result.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

from apps.common.config import CropsConfig, MetricsConfig
from apps.common.contracts.manifest import TrackEnd, TrackMetrics
from apps.common.contracts.rows import DetectionRow, TrackRow, TrackStats
from apps.common.errors import StorageFailed
from apps.common.files import files_in, storage_errors, sync, sync_tree, write_json
from apps.common.layout import ALWAYS_WRITTEN, RESULT_NAMES, RunFiles
from apps.common.names import crop_name, track_name
from apps.common.screen_time import Presence, SampleEdges, ScreenTotal
from apps.common.stretches import OnScreen, merged
from apps.pipeline.types import Sighting, TrackedSighting

_LONGEST = 5  # tracks named in the metrics


@dataclass
class TrackSummary:
    """What is kept of a track while its detections go to disk.

    Args:
        start_s, end_s, first, last: times and frames of the first and the last sighting.
        presence: for how long it is on the screen.
    """

    start_s: float
    end_s: float
    first: int
    last: int
    shot: int
    presence: Presence
    detections: int = 0
    conf_sum: float = 0.0
    thumbs: list[tuple[float, str]] = field(default_factory=list)  # (quality, path)


@dataclass
class ShotSummary:
    """What is kept of a shot.

    Args:
        first, last: frames of its first and last sample.
    """

    first: int
    last: int


@dataclass(frozen=True)
class RunTotals:
    """Facts of the whole run that the metrics need."""

    total_frames: int
    frames_done: int
    fps: float
    elapsed_sec: float
    analyzed_fps: float
    device: str
    detector: str
    tracker: str
    scene_cuts: list[int]


class ArtifactWriter:
    """Writes the results of one run; a context manager.

    Args:
        files: where; `files.folder` exists.
        ep_id: goes into every row of the results.
        model_id: names the detector's weights; goes into every row of a detection.
        edges: from when to when each sample counts, for times on the screen.
        crops: margins and numbers of crops.
        metrics: see `config/pipeline.toml`.
    """

    def __init__(
        self,
        files: RunFiles,
        ep_id: str,
        model_id: str,
        edges: SampleEdges,
        crops: CropsConfig,
        metrics: MetricsConfig,
    ) -> None:
        self._staged = files.staged
        self._ep_id = ep_id
        self._model_id = model_id
        self._edges = edges
        self._crops = crops
        self._metrics = metrics
        self._tracks: dict[int, TrackSummary] = {}
        self._shots: dict[int, ShotSummary] = {}
        self._tracked = 0
        self._crops_written = 0
        self.detections = 0
        self._last: TrackedSighting | None = None  # the sighting before
        shutil.rmtree(files.staging, ignore_errors=True)
        files.staging.mkdir()
        self._detections_file: IO[str] = self._staged.detections.open("w", encoding="utf-8")

    def __enter__(self) -> ArtifactWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._detections_file.close()

    @property
    def tracks(self) -> int:
        return len(self._tracks)

    def add(self, item: TrackedSighting) -> None:
        """Writes the detections and crops of one frame."""
        sighting, faces = item.sighting, item.sighting.faces
        self._extend_shot(sighting)
        self._note_cut(sighting)
        for face, number in enumerate(item.tracks):
            self._write_detection(item, face, number)
            if number > 0:
                self._extend(item, face, number)
                if sighting.crops:
                    self._write_crop(item, face, number)
        self.detections += len(faces)
        self._last = item

    def finish(self, totals: RunTotals, endings: Mapping[int, TrackEnd]) -> TrackMetrics:
        """Writes tracks and metrics; no detections come after it.

        Args:
            endings: why each track ended, by its number.
        """
        self._detections_file.close()
        with self._staged.tracks.open("w", encoding="utf-8") as stream:
            for number in sorted(self._tracks):
                stream.write(self._track_row(number, endings[number]).line())
        metrics = self._summary(totals, endings)
        write_json(self._staged.metrics, metrics.model_dump())
        return metrics

    def on_screen(self, tracks: Iterable[int]) -> OnScreen:
        """When the faces of some tracks are on the screen, each moment once.

        Args:
            tracks: numbers; none of them are seen at the same moment.
        """
        chosen = [self._tracks[number] for number in tracks]
        total = self._screen_total(chosen)
        stretches = merged([part for track in chosen for part in track.presence.stretches])
        seconds = sum(end - begin for begin, end in stretches)
        return OnScreen(stretches, seconds, total.error_s)

    @property
    def written(self) -> dict[str, int]:
        """The results that there are once it has finished, and of how many files each consists."""
        return {**ALWAYS_WRITTEN, self._staged.crops.name: self._crops_written}

    def _write_detection(self, item: TrackedSighting, face: int, number: int) -> None:
        sighting, faces = item.sighting, item.sighting.faces
        left, top, right, bottom = (round(float(v), 5) for v in faces.boxes[face])
        points = ((_coordinate(x), _coordinate(y)) for x, y in faces.landmarks[face])
        row = DetectionRow.model_construct(  # checks nothing: tens of thousands are written
            ep_id=self._ep_id,
            frame_idx=sighting.index,
            ts_s=round(sighting.ts_s, 4),
            bbox=(left, top, right, bottom),
            landmarks=tuple(points),
            conf=round(float(faces.conf[face]), 4),
            track_id=track_name(number) if number > 0 else None,
            model_id=self._model_id,
        )
        self._detections_file.write(row.line())

    def _extend_shot(self, sighting: Sighting) -> None:
        shot = self._shots.get(sighting.scene.shot)
        if shot is None:
            shot = ShotSummary(sighting.index, sighting.index)
            self._shots[sighting.scene.shot] = shot
        shot.last = sighting.index

    def _note_cut(self, sighting: Sighting) -> None:
        """Those who were there before a cut were there until then."""
        if sighting.scene.cut is None:
            return
        edge, last = self._edges.cut(sighting.index, sighting.scene.cut), self._last
        if last is not None and self._edges.after(last.sighting.index) is edge:
            for number in filter(None, last.tracks):
                self._tracks[number].presence.end_at(edge)

    def _extend(self, item: TrackedSighting, face: int, number: int) -> None:
        sighting = item.sighting
        track = self._tracks.get(number)
        if track is None:
            track = TrackSummary(
                sighting.ts_s,
                sighting.ts_s,
                sighting.index,
                sighting.index,
                sighting.scene.shot,
                Presence(self._metrics.missed_seconds),
            )
            self._tracks[number] = track
        track.end_s, track.last = sighting.ts_s, sighting.index
        track.presence.see(self._edges.before(sighting.index), self._edges.after(sighting.index))
        track.detections += 1
        track.conf_sum += float(sighting.faces.conf[face])
        self._tracked += 1

    def _write_crop(self, item: TrackedSighting, face: int, number: int) -> None:
        sighting = item.sighting
        path = f"{self._staged.crops.name}/{crop_name(number, sighting.index)}"
        target = self._staged.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(sighting.crops[face])
        self._crops_written += 1
        box = sighting.faces.boxes[face]
        quality = float(sighting.faces.conf[face] * (box[2] - box[0]) * (box[3] - box[1]))
        thumbs = self._tracks[number].thumbs
        thumbs.append((quality, path))
        thumbs.sort(key=lambda thumb: (-thumb[0], thumb[1]))
        del thumbs[self._crops.thumbs_per_track :]

    def _track_row(self, number: int, ended: TrackEnd) -> TrackRow:
        track = self._tracks[number]
        return TrackRow.model_construct(
            track_id=track_name(number),
            ep_id=self._ep_id,
            start_s=round(track.start_s, 4),
            end_s=round(track.end_s, 4),
            screen_s=round(track.presence.seconds, 4),
            screen_error_s=round(track.presence.error_s, 4),
            ended=ended,
            frame_span=(track.first, track.last),
            sample_thumbs=[path for _, path in track.thumbs],
            stats=TrackStats.model_construct(
                detections=track.detections,
                avg_conf=round(track.conf_sum / track.detections, 4),
            ),
        )

    def _summary(self, totals: RunTotals, endings: Mapping[int, TrackEnd]) -> TrackMetrics:
        tracks = self._tracks
        lengths = {number: track.presence.seconds for number, track in tracks.items()}
        longest = sorted(lengths, key=lambda number: (-lengths[number], number))[:_LONGEST]
        short = sum(length < self._metrics.short_track_seconds for length in lengths.values())
        minutes = totals.total_frames / totals.fps / 60
        screen = self._screen_total(tracks.values())
        edges = [self._edges.before(cut) for cut in totals.scene_cuts]
        return TrackMetrics(
            ep_id=self._ep_id,
            tracks_born=len(tracks),
            tracks_lost=list(endings.values()).count("lost"),
            longest_tracks=[
                {
                    "track_id": track_name(number),
                    "duration_s": round(lengths[number], 3),
                    "detections": tracks[number].detections,
                }
                for number in longest
            ],
            avg_tracks_per_frame=_ratio(self._tracked, totals.frames_done),
            tracks_per_minute=_ratio(len(tracks), minutes),
            short_track_fraction=_ratio(short, len(tracks)),
            total_frames=totals.total_frames,
            frames_done=totals.frames_done,
            analyzed_fps=totals.analyzed_fps,
            elapsed_sec=totals.elapsed_sec,
            device=totals.device,
            detector=totals.detector,
            tracker=totals.tracker,
            scene_cuts=totals.scene_cuts,
            scene_cuts_s=[round(edge.at_s, 4) for edge in edges],
            scene_cuts_error_s=[round(math.sqrt(edge.variance), 4) for edge in edges],
            detections_total=self.detections,
            track_to_detection_ratio=_ratio(len(tracks), self.detections),
            screen_s=round(screen.seconds, 3),
            screen_error_s=round(screen.error_s, 3),
        )

    def _screen_total(self, tracks: Iterable[TrackSummary]) -> ScreenTotal:
        total = ScreenTotal()
        for track in tracks:
            shot = self._shots[track.shot]
            total.add(
                track.presence,
                first=self._edges.before(track.first) if track.first == shot.first else None,
                last=self._edges.after(track.last) if track.last == shot.last else None,
            )
        return total


def publish(files: RunFiles, written: Mapping[str, int] = ALWAYS_WRITTEN) -> None:
    """Moves finished results into the run's folder, where they survive a power cut.

    Args:
        written: results that must be there, and of how many files each consists.

    Raises:
        StorageFailed: not all of them are there any more, or the disk does not take them.
    """
    with storage_errors():
        lost = [n for n, count in written.items() if len(files_in(files.staging / n)) < count]
        if lost:
            raise StorageFailed(
                f"The run's results are gone before they were complete: {', '.join(lost)}.",
                hint="See that nothing else removes files from the data folder, then run again.",
            )
        sync_tree(files.staging)
        for name in RESULT_NAMES:
            staged = files.staging / name
            if staged.exists():
                staged.replace(files.folder / name)
        files.staging.rmdir()
        sync(files.folder)


def discard(files: RunFiles) -> None:
    """Removes what a run that did not finish has staged."""
    shutil.rmtree(files.staging, ignore_errors=True)


def _coordinate(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole > 0 else 0.0
