"""What is evaluated: this product, and the library's ByteTrack as it comes."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker
from trackers.utils.iou import GIoU, IoU

from apps.common.config import TrackConfig, pipeline_config
from apps.common.contracts.manifest import Progress, TrackMetrics
from apps.common.contracts.rows import PersonRow, read_rows
from apps.common.options import Options, RunRequest
from apps.common.resolve import HostFacts, Resolution, resolve
from apps.common.run_plan import RunPlan
from apps.common.screen_time import Edge
from apps.pipeline.detect import Detector, DetectorRequest
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.recognise import Recogniser
from apps.pipeline.run import PipelineRun
from apps.pipeline.stop import StopFlag
from apps.pipeline.track.tracker import FaceTracker, thresholds
from apps.pipeline.types import Faces, Scene, Sighting, TrackedSighting
from lab.evaluation.detection_cache import RememberingDetector, cache_name
from lab.evaluation.rows import NO_ROWS, Found, Frames, Rows, read_run
from lab.evaluation.variant import USUAL, Variant

DEFAULTS = "defaults"
# The embedded detector on one thread, so that figures are the same on every machine.
_HOST = HostFacts(("CPUExecutionProvider",), frozenset({"centerface"}), thread_limit=1)
_EVERY_FRAME = 1000.0  # frames a second: no profile's limit, the stride alone decides


@dataclass
class _Quiet:
    """An `Observer` that nobody listens to."""

    def started(self, frames_total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def log(self, level: str, message: str) -> None: ...


@dataclass(frozen=True)
class ProductRun:
    """A run of the product, and what its tracker was given.

    Args:
        found: as it was written.
        sightings: what was seen in each sampled frame, in order, without pictures.
        size: width and height of the video's picture, pixels.
        frames: how many the video has.
        people: as they were written; none where they were not asked for.
    """

    found: Found
    sightings: list[Sighting]
    size: tuple[int, int]
    frames: int
    people: tuple[PersonRow, ...] = ()


def options_for(stride: int, variant: Variant = USUAL, *, people: bool = False) -> Options:
    """The product's defaults, on one thread, at exactly this stride, without a CPU budget.

    A budget would count what this process and its other children do. People change no track.
    """
    request = RunRequest(
        device="cpu",
        detector=variant.detector,
        precision=variant.precision,
        stride=stride,
        fps=_EVERY_FRAME,
        cpu_threads=1,
        small_faces=variant.small_faces,
        reuse_still=variant.reuse_still,
        decode=variant.decode,
        people=people,
    )
    options = resolve(request, {}, _HOST).options
    return options.model_copy(update={"max_cpu_percent": None, "thermal_backoff": False})


def run_product(
    video: Path,
    ep_id: str,
    stride: int,
    cache: Path,
    variant: Variant = USUAL,
    wrap_recogniser: Callable[[Recogniser], Recogniser] | None = None,
) -> ProductRun:
    """Runs the product's pipeline in this process.

    Args:
        cache: folder for models and remembered faces.
        variant: how the product is run.
        wrap_recogniser: tracks are grouped into people, with what this gives in place of a
            recogniser, and faces are kept as they were cut out; None groups none.

    Raises:
        ScreenalyticsError: whatever a run can fail with.
    """
    with (
        tempfile.TemporaryDirectory(prefix="evaluate-") as folder,
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter("run", meter, lambda _: None) as progress,
    ):
        with_people = wrap_recogniser is not None
        options = options_for(stride, variant, people=with_people)
        resolution = Resolution(options=options, sources={})
        plan = RunPlan(
            ep_id=ep_id,
            run_id="run",
            resolution=resolution,
            data_root=folder,
            detector_model=None if variant.weights is None else str(variant.weights),
        )
        plan.files.staging.mkdir(parents=True)
        remembering: list[RememberingDetector] = []
        sightings: list[Sighting] = []

        def remember(inner: Detector, request: DetectorRequest) -> Detector:
            name = cache_name(inner, plan.options, request.det_thresh)
            number = f"-{len(remembering)}" if remembering else ""  # of a pair of detectors
            path = cache / "detections" / f"{ep_id}-{name}{number}.npz"
            remembering.append(RememberingDetector(inner, path))
            return remembering[-1]

        def keep(sighting: Sighting) -> None:
            patches = sighting.face_patches if with_people else ()
            sightings.append(replace(sighting, crops=(), face_patches=patches))

        outcome = PipelineRun(
            plan,
            video,
            meter,
            progress,
            StopFlag(),
            _Quiet(),
            cache=cache,
            wrap_detector=remember,
            on_sighting=keep,
            wrap_recogniser=wrap_recogniser or _unwrapped,
        ).execute()
        for detector in remembering:
            detector.save()
        facts = outcome.video
        found = Found(
            rows=read_run(plan.files.staged.detections, (facts.width, facts.height)),
            sampled=tuple(range(0, facts.frames, stride)),
            cuts=tuple(outcome.metrics.scene_cuts),
            cut_edges=_cut_edges(outcome.metrics),
            detector_seconds=sum(detector.seconds() for detector in remembering),
            video_seconds=facts.duration_s,
        )
        people = tuple(_people(plan.files.staged.people)) if with_people else ()
        size = (facts.width, facts.height)
        again = ProductRun(found, sightings, size, facts.frames, people)
        start = time.perf_counter()
        track_again(again, pipeline_config().track, again.sightings)
        spent = time.perf_counter() - start
        return replace(again, found=replace(found, tracker_seconds=spent))


def _cut_edges(metrics: TrackMetrics) -> dict[int, Edge]:
    known = metrics.scene_cuts_s or (), metrics.scene_cuts_error_s or ()
    return {
        cut: Edge(at_s, error_s**2)
        for cut, at_s, error_s in zip(metrics.scene_cuts, *known, strict=True)
    }


def _unwrapped(recogniser: Recogniser) -> Recogniser:
    return recogniser


def _people(path: Path) -> Iterator[PersonRow]:
    return (row for row in read_rows(path, PersonRow) if row is not None)


def tracked_again(sightings: Iterable[Sighting], config: TrackConfig) -> Iterator[TrackedSighting]:
    """What the product's tracker makes of sightings."""
    return FaceTracker(config, thresholds(config, options_for(1).det_thresh)).track(sightings)


def track_again(run: ProductRun, config: TrackConfig, sightings: Iterable[Sighting]) -> Found:
    """What the product's tracker makes of the same frames with another configuration.

    Args:
        run: the product's run over the frames.
        config: numbers of the tracker, in place of the configured ones.
        sightings: those of `run`, or what is left of them.
    """
    sides = np.array([*run.size, *run.size], np.float64)
    rows: Frames = {}
    for item in tracked_again(sightings, config):
        faces = item.sighting.faces
        if len(faces) > 0:
            ids = np.array(item.tracks, np.int64)
            rows[item.sighting.index] = Rows(ids, faces.boxes * sides, faces.conf.astype(float))
    return Found(rows, run.found.sampled)


def run_product_tracker(
    detections: Frames,
    sampled: Sequence[int],
    fps: float,
    size: tuple[int, int],
    settings: Mapping[str, float] | None = None,
) -> Found:
    """Runs the product's tracker alone, in one shot, on given detections.

    Args:
        detections: boxes by frame, pixels; their ids are not read.
        sampled: the frames to be tracked, in order, from 0.
        fps: frames a second of the video; > 0.
        size: width and height of its picture, pixels.
        settings: fields of `[track]` and their values in place of the configured ones.
    """
    config = pipeline_config().track.model_copy(update=dict(settings or {}))
    limits = thresholds(config, options_for(1).det_thresh)
    tracker = FaceTracker(config, limits)
    sides = np.array([*size, *size])
    sightings = []
    for frame in sampled:
        rows = detections.get(frame, NO_ROWS)
        no_landmarks = np.zeros((len(rows), 5, 2), np.float32)
        boxes = (rows.boxes / sides).astype(np.float32)
        faces = Faces(boxes, no_landmarks, rows.conf.astype(np.float32))
        sightings.append(Sighting(frame, frame / fps, faces, Scene(0)))
    start = time.perf_counter()
    tracked = list(tracker.track(sightings))
    spent = time.perf_counter() - start
    numbered = {
        item.sighting.index: replace(
            detections.get(item.sighting.index, NO_ROWS), ids=np.array(item.tracks, np.int64)
        )
        for item in tracked
    }
    return Found(numbered, tuple(sampled), tracker_seconds=spent)


def run_library(
    detections: Frames,
    sampled: Sequence[int],
    make_tracker: Callable[[], ByteTrackTracker] = ByteTrackTracker,
) -> Found:
    """Runs the library's ByteTrack over the detections of the sampled frames.

    It knows of no shots and no times, as in its documentation's examples.
    """
    tracker = make_tracker()
    found: Frames = {}
    start = time.perf_counter()
    for frame in sampled:
        rows = detections.get(frame, NO_ROWS)
        given = sv.Detections(
            xyxy=rows.boxes.astype(np.float32), confidence=rows.conf.astype(np.float32)
        )
        result = tracker.update(given)
        if len(result) > 0:
            ids = np.asarray(result.tracker_id, np.int64) + 1  # -1 is its word for untracked
            found[frame] = Rows(
                ids, result.xyxy.astype(np.float64), result.confidence.astype(np.float64)
            )
    return Found(found, tuple(sampled), tracker_seconds=time.perf_counter() - start)


def library_variants(fps: float, stride: int) -> dict[str, Callable[[], ByteTrackTracker]]:
    """The library at its defaults and at other settings, by name."""
    grid = itertools.product((0.5, 0.7), (1, 2), (0.05, 0.1, 0.2, 0.3), (30, 60), (False, True))
    variants: dict[str, Callable[[], ByteTrackTracker]] = {DEFAULTS: ByteTrackTracker}
    for activation, confirm, overlap, buffer, is_general in grid:
        measure = "GIoU" if is_general else "IoU"
        min_overlap = overlap - 0.4 if is_general else overlap
        numbers = f"{measure} {min_overlap:.2f}, buffer {buffer}"
        name = f"start {activation}, confirm {confirm}, {numbers}"
        variants[name] = partial(
            ByteTrackTracker,
            lost_track_buffer=buffer,
            frame_rate=fps / stride,
            track_activation_threshold=activation,
            minimum_consecutive_frames=confirm,
            minimum_iou_threshold=min_overlap,
            iou=GIoU() if is_general else IoU(),
        )
    return variants
