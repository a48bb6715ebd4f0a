"""Track: ByteTrack over the detections of each shot.

Source: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", 2022,
in the implementation of roboflow/trackers. That one works online: a track's first detection
leaves it without a number, since the track is not confirmed yet. Here numbers are written back,
so sightings leave this stage a little later than they enter it.

Boxes are compared by generalised IoU (Rezatofighi et al., 2019), -1..1, which still tells near from
far where two boxes do not overlap: between samples a face moves by more than its own width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker
from trackers.utils.iou import GIoU

from apps.common.config import TrackConfig
from apps.pipeline.types import Sighting, TrackedSighting

TRACKER_NAME = "bytetrack"
_FRAMES_PER_BUFFER_SECOND = 30  # the library counts its buffer in frames of a 30 fps video
_SCALE = 1000.0  # boxes of 0..1 to about pixels: the Kalman filter's noise is tuned for those


@dataclass(frozen=True)
class TrackThresholds:
    """What the tracker really uses, after the detection threshold is known.

    Args:
        activation: least confidence that starts a track.
        high_confidence: least confidence of the first round of matching.
        warning: set where detections exist that cannot start a track.
    """

    activation: float
    high_confidence: float
    warning: str | None


def thresholds(config: TrackConfig, det_thresh: float) -> TrackThresholds:
    """The configured thresholds; says so where they lie above the detection threshold."""
    above = config.activation_threshold > det_thresh
    return TrackThresholds(
        activation=config.activation_threshold,
        high_confidence=config.high_confidence_threshold,
        warning=(
            f"Detections between {det_thresh:g} and {config.activation_threshold:g} may continue "
            "a track but start none (track.activation_threshold in config/pipeline.toml)."
            if above
            else None
        ),
    )


@dataclass
class _Pending:
    """A sighting whose numbers are not final."""

    sighting: Sighting
    numbers: list[int]


@dataclass
class _Tracklet:
    """Where a tracklet of the library was born, and its number once it is confirmed."""

    tracklet: object  # held, so that its identity cannot pass to another one
    pending: _Pending
    face: int
    number: int = 0


@dataclass
class FaceTracker:
    """Gives every face of every sighting the number of its track, 0 where it belongs to none.

    Numbers count from 1 in the order in which tracks are confirmed. Tracks end at a cut.

    Args:
        config: see `config/pipeline.toml`.
        limits: thresholds.
        sample_rate: processed frames a second of video, > 0.
    """

    config: TrackConfig
    limits: TrackThresholds
    sample_rate: float
    _tracker: ByteTrackTracker = field(init=False)
    _born: dict[int, _Tracklet] = field(init=False, default_factory=dict)
    _waiting: deque[_Pending] = field(init=False, default_factory=deque)
    _shot: int = field(init=False, default=-1)
    _count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._tracker = self._new_tracker()

    def track(self, sightings: Iterable[Sighting]) -> Iterator[TrackedSighting]:
        """Takes sightings in order; gives them back in the same order, numbered."""
        for sighting in sightings:
            if sighting.shot != self._shot:
                yield from self._flush()
                self._tracker = self._new_tracker()
                self._shot = sighting.shot
            self._update(sighting)
            yield from self._settled()
        yield from self._flush()

    @property
    def count(self) -> int:
        """Tracks so far."""
        return self._count

    def _new_tracker(self) -> ByteTrackTracker:
        return ByteTrackTracker(
            lost_track_buffer=max(1, round(self.config.lost_seconds * _FRAMES_PER_BUFFER_SECOND)),
            frame_rate=self.sample_rate,
            track_activation_threshold=self.limits.activation,
            minimum_consecutive_frames=self.config.minimum_consecutive_frames,
            minimum_iou_threshold=self.config.minimum_giou,
            iou=GIoU(),
            high_conf_det_threshold=self.limits.high_confidence,
        )

    def _update(self, sighting: Sighting) -> None:
        faces = sighting.faces
        pending = _Pending(sighting, [0] * len(faces))
        self._waiting.append(pending)
        detections = sv.Detections(
            xyxy=faces.boxes.astype(np.float32) * _SCALE,
            confidence=faces.conf,
            data={"face": np.arange(len(faces))},
        )
        result = self._tracker.update(detections, timestamp=sighting.ts_s)
        labels = _labels(result, len(faces))
        self._note_births(pending, labels, detections.xyxy)
        self._note_numbers(pending, labels)

    def _note_births(self, pending: _Pending, labels: list[int], boxes: np.ndarray) -> None:
        """Remembers which detection a new tracklet started from: it still has that very box."""
        free = [face for face, label in enumerate(labels) if label < 0]
        alive = {id(tracklet): tracklet for tracklet in self._tracker.tracks}
        self._born = {key: born for key, born in self._born.items() if key in alive}
        for key, tracklet in alive.items():
            if key in self._born or not free:
                continue
            distances = np.abs(boxes[free] - tracklet.get_state_bbox()).max(axis=1)
            birth = free.pop(int(np.argmin(distances)))
            self._born[key] = _Tracklet(tracklet, pending, birth)

    def _note_numbers(self, pending: _Pending, labels: list[int]) -> None:
        by_label = {
            tracklet.tracker_id: self._born[id(tracklet)]
            for tracklet in self._tracker.tracks
            if tracklet.tracker_id >= 0 and id(tracklet) in self._born
        }
        for face, label in enumerate(labels):
            if label < 0 or label not in by_label:
                continue
            born = by_label[label]
            if born.number == 0:
                self._count += 1
                born.number = self._count
                born.pending.numbers[born.face] = born.number
            pending.numbers[face] = born.number

    def _settled(self) -> Iterator[TrackedSighting]:
        """Sightings that no unconfirmed tracklet started from, oldest first."""
        open_births = {id(b.pending) for b in self._born.values() if b.number == 0}
        while self._waiting and id(self._waiting[0]) not in open_births:
            yield self._release()

    def _flush(self) -> Iterator[TrackedSighting]:
        while self._waiting:
            yield self._release()
        self._born.clear()

    def _release(self) -> TrackedSighting:
        pending = self._waiting.popleft()
        return TrackedSighting(pending.sighting, tuple(pending.numbers))


def _labels(result: sv.Detections, count: int) -> list[int]:
    """The library's track number for each face in the order they went in; -1 for none."""
    labels = [-1] * count
    if len(result) > 0 and result.tracker_id is not None:
        for face, label in zip(result.data["face"], result.tracker_id, strict=True):
            labels[int(face)] = int(label)
    return labels
