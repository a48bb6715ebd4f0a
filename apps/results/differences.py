"""What two runs of one video have found differently: options, totals, tracks, seconds."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.common.contracts.differences import (
    FactDifference,
    MatchedTracks,
    OptionDifference,
    RunDifferences,
    RunTotals,
    UnmatchedTrack,
)
from apps.common.contracts.manifest import ModelFacts, RunManifest
from apps.common.contracts.rows import DetectionRow, TrackRow, read_rows
from apps.common.errors import VideoReplaced
from apps.common.layout import Layout
from apps.common.options import sampled_count
from apps.results.charts import is_upright
from apps.results.figures import RUN_AGAIN, grid_of
from apps.results.files import result_file
from apps.results.track_matching import Matching, Moment, match, moments_of
from apps.runs.store import read_completed

_KEPT = 8  # answers; one of twice 5,000 tracks has some megabytes
_SAME_SECONDS = 0.01  # a sum of rounded seconds
_DIGITS = 4  # of seconds: as rows have them


class Differences:
    """Differences of runs; those that were asked for lately are remembered.

    They are counted one after the other: two of a long episode need as much memory as one.

    Args:
        layout: paths under the data root.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: OrderedDict[object, RunDifferences] = OrderedDict()
        self._counting = threading.Lock()

    def of(self, ep_id: str, run_a: str, run_b: str) -> RunDifferences:
        """How the second run differs from the first.

        Args:
            run_a, run_b: names, or `latest`.

        Raises:
            InvalidInput: a name is not legal.
            RunNotFound: there is no such completed run, or it lacks what is compared.
            VideoReplaced: the runs have not read the same pictures.
        """
        a, b = (_Run.of(self._layout, ep_id, run_id) for run_id in (run_a, run_b))
        same_video = _same_video(a.manifest, b.manifest)
        key = (a.state, b.state)
        with self._counting:
            found = self._known.get(key)
            if found is None:
                found = _counted(a, b, same_video)
            self._known[key] = found
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found


@dataclass
class _Track:
    """A track whose name and times are known."""

    first_s: float
    last_s: float
    row: TrackRow


@dataclass(frozen=True)
class _Run:
    """A completed run, and which content its files have."""

    manifest: RunManifest
    detections: Path
    tracks: Path
    state: tuple[object, ...]

    @staticmethod
    def of(layout: Layout, ep_id: str, run_id: str) -> _Run:
        manifest = read_completed(layout, ep_id, run_id)
        grid_of(manifest)
        files = layout.run(ep_id, manifest.run_id)
        found = [
            result_file(layout, path, hint=RUN_AGAIN) for path in (files.detections, files.tracks)
        ]
        states = [path.stat() for path in found]
        contents = tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)
        return _Run(manifest, found[0], found[1], (manifest.model_dump_json(), *contents))


class _Faces:
    """Counts the faces of a run while they are read.

    Args:
        frames: how many the video has.
    """

    def __init__(self, path: Path, frames: int) -> None:
        self._path = path
        self._frames = frames
        self.faces = self.with_faces = self.unreadable = 0

    def moments(self) -> Iterator[Moment]:
        """Frames that have faces of tracks, ascending."""
        for moment in moments_of(self._rows()):
            self.with_faces += 1
            yield moment

    def _rows(self) -> Iterator[DetectionRow]:
        newest = 0
        for row in read_rows(self._path, DetectionRow):
            if row is None or not newest <= row.frame_idx < self._frames or not is_upright(row):
                self.unreadable += 1
                continue
            newest = row.frame_idx
            self.faces += 1
            yield row


def _same_video(a: RunManifest, b: RunManifest) -> bool | None:
    """Whether two runs have read the same pictures; None where that is not known.

    Raises:
        VideoReplaced: they have not, for sure.
    """
    same = None
    if a.video_file is not None and b.video_file is not None:
        same = a.video_file.fingerprint == b.video_file.fingerprint
    pictures = [None if run.video is None else (run.video.frames, run.video.fps) for run in (a, b)]
    streams = [None if run.video is None else run.video.stream for run in (a, b)]
    if same is False or pictures[0] != pictures[1]:
        raise VideoReplaced(
            f"Runs {a.run_id!r} and {b.run_id!r} have read different videos.",
            hint="Compare runs of one video: run the episode again.",
        )
    if None not in streams and streams[0] != streams[1]:
        raise VideoReplaced(
            f"Runs {a.run_id!r} and {b.run_id!r} have read different streams of the video.",
            hint="Compare runs with the same video_stream.",
        )
    return same


def _counted(a: _Run, b: _Run, same_video: bool | None) -> RunDifferences:
    grids = [grid_of(run.manifest) for run in (a, b)]
    video = grids[0][0]
    strides = (grids[0][1], grids[1][1])
    faces = [_Faces(run.detections, video.frames) for run in (a, b)]
    matching = match(faces[0].moments(), faces[1].moments(), strides, video.frames, video.fps)
    tracks, damaged = zip(*(_tracks(run.tracks) for run in (a, b)), strict=True)
    totals = [
        _totals(run, stride, found, one, lost)
        for run, stride, found, one, lost in zip(
            (a, b), strides, tracks, faces, damaged, strict=True
        )
    ]
    matched, both = _matched(matching, tracks)
    return RunDifferences(
        ep_id=a.manifest.ep_id,
        a=totals[0],
        b=totals[1],
        same_video=same_video,
        compared_stride=matching.every,
        difference_s=_minus(totals[1].screen_s, totals[0].screen_s),
        error_s=_joined([total.screen_error_s for total in totals]),
        options=_options(a.manifest, b.manifest),
        facts=_facts(a.manifest, b.manifest),
        matched=matched,
        only_a=_unmatched(tracks[0], both[0], matching.compared[0]),
        only_b=_unmatched(tracks[1], both[1], matching.compared[1]),
        faces_only_a=matching.alone[0],
        faces_only_b=matching.alone[1],
    )


def _tracks(path: Path) -> tuple[dict[str, _Track], int]:
    """Tracks by name, of two of one name the first; and how many lines could not be read."""
    found: dict[str, _Track] = {}
    damaged = 0
    for row in read_rows(path, TrackRow):
        track = None if row is None else _track(row)
        if row is None or row.track_id is None or track is None or row.track_id in found:
            damaged += 1
        else:
            found[row.track_id] = track
    return found, damaged


def _track(row: TrackRow) -> _Track | None:
    if row.start_s is None or row.end_s is None or row.start_s > row.end_s:
        return None
    return _Track(row.start_s, row.end_s, row)


def _totals(
    run: _Run, stride: int, tracks: dict[str, _Track], faces: _Faces, damaged: int
) -> RunTotals:
    video, _ = grid_of(run.manifest)
    seconds, error = _screen(tracks.values())
    result = run.manifest.result
    told = None if result is None else result.screen_s
    if result is not None and told is not None and seconds is not None:
        # The run knows which tracks end with one cut: their errors add up or cancel.
        error = result.screen_error_s if abs(told - seconds) < _SAME_SECONDS else error
    share = faces.with_faces / sampled_count(video.frames, stride)
    return RunTotals(
        run_id=run.manifest.run_id,
        stride=stride,
        faces=faces.faces,
        tracks=len(tracks),
        screen_s=seconds,
        screen_error_s=error,
        with_faces_s=round(min(1.0, share) * video.duration_s, _DIGITS),
        unreadable_rows=faces.unreadable + damaged,
    )


def _matched(
    matching: Matching, tracks: tuple[dict[str, _Track], ...]
) -> tuple[list[MatchedTracks], tuple[set[str], set[str]]]:
    """The groups by time, and which tracks are in one."""
    matched = []
    both: tuple[set[str], set[str]] = (set(), set())
    for names in matching.groups():
        known = [
            {name: tracks[side][name] for name in names[side] if name in tracks[side]}
            for side in (0, 1)
        ]
        if not known[0] or not known[1]:
            continue  # of a track whose own line is damaged
        for side in (0, 1):
            both[side].update(known[side])
        matched.append(_group(matching, known[0], known[1]))
    matched.sort(key=lambda group: (group.start_s, group.a, group.b))
    return matched, both


def _group(matching: Matching, a: dict[str, _Track], b: dict[str, _Track]) -> MatchedTracks:
    shared = [
        matching.together[one, other]
        for one in a
        for other in b
        if (one, other) in matching.together
    ]
    moments = sum(count for count, _ in shared)
    (a_s, a_error), (b_s, b_error) = _screen(a.values()), _screen(b.values())
    everybody = [*a.values(), *b.values()]
    return MatchedTracks(
        a=sorted(a, key=lambda name: (a[name].first_s, name)),
        b=sorted(b, key=lambda name: (b[name].first_s, name)),
        start_s=min(track.first_s for track in everybody),
        end_s=max(track.last_s for track in everybody),
        moments=moments,
        overlap=round(sum(total for _, total in shared) / max(1, moments), _DIGITS),
        a_s=a_s,
        b_s=b_s,
        difference_s=_minus(b_s, a_s),
        error_s=_joined([a_error, b_error]),
    )


def _unmatched(
    tracks: dict[str, _Track], both: set[str], compared: dict[str, int]
) -> list[UnmatchedTrack]:
    alone = [name for name in tracks if name not in both]
    alone.sort(key=lambda name: (tracks[name].first_s, name))
    found = []
    for name in alone:
        track = tracks[name]
        seconds, error = _screen([track])
        found.append(
            UnmatchedTrack(
                track_id=name,
                first_s=track.first_s,
                last_s=track.last_s,
                screen_s=seconds,
                screen_error_s=error,
                moments=compared.get(name, 0),
            )
        )
    return found


def _screen(tracks: Iterable[_Track]) -> tuple[float | None, float | None]:
    """Seconds on the screen of all together, and the standard error; None where one lacks it."""
    seconds, errors = 0.0, list[float | None]()
    for track in tracks:
        screen = track.row.screen
        if screen is None:
            return None, None
        seconds += screen.seconds
        errors.append(screen.error_s)
    return round(seconds, _DIGITS), _joined(errors)


def _joined(errors: list[float | None]) -> float | None:
    """The standard error of a sum or a difference of what errs independently."""
    known = [error for error in errors if error is not None]
    return None if len(known) < len(errors) else round(math.hypot(*known), _DIGITS)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one - other, _DIGITS)


def _options(a: RunManifest, b: RunManifest) -> list[OptionDifference]:
    ours, theirs = (run.options.model_dump(mode="json") for run in (a, b))
    return [
        OptionDifference(
            name=name,
            a=ours[name],
            b=theirs[name],
            source_a=a.sources.get(name),
            source_b=b.sources.get(name),
        )
        for name in ours
        if ours[name] != theirs[name]
    ]


def _facts(a: RunManifest, b: RunManifest) -> list[FactDifference]:
    ours, theirs = _facts_of(a), _facts_of(b)
    return [
        FactDifference(name=name, a=ours[name], b=theirs[name])
        for name in ours
        if ours[name] != theirs[name]
    ]


def _facts_of(run: RunManifest) -> dict[str, str | None]:
    """What may make results differ, options aside."""
    full, recognition = run.full_model, run.recognition
    return {
        "provider": run.provider,
        "device": run.device,
        "model": _model(run.model),
        "full_model": _model(full),
        "recognition": None if recognition is None else _model(recognition.model),
        "effective_stride": str(run.effective_stride),
        "detection_picture": " × ".join(str(side) for side in run.detection_picture) or None,
        "decoding": None if run.decoding is None else run.decoding.device,
        "product": run.versions.get("product"),
        "source_fingerprint": run.versions.get("source_fingerprint"),
        "onnxruntime": run.versions.get("onnxruntime"),
    }


def _model(facts: ModelFacts | None) -> str | None:
    return None if facts is None else f"{facts.id}, {facts.precision}, {facts.sha256[:12]}"
