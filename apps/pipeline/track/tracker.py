"""Track: follows faces through the sampled frames of each shot.

Made for samples that lie far apart. Tracks are predicted by true times, after the camera's own
movement is taken out, and associated by distance in face sizes and by appearance (`associate`).
Confident detections choose first and doubtful ones continue what is left, as in ByteTrack (Zhang et
al., 2022). A track's first sightings get their number once it is confirmed, so sightings leave this
stage a little later than they enter it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from apps.common.config import TrackConfig
from apps.common.contracts.manifest import TrackEnd
from apps.pipeline.arrays import FloatArray
from apps.pipeline.track.association import BoxStates, PairLimits, far_pairs, pairs, surprises
from apps.pipeline.track.identity import Identity, IdentityGate
from apps.pipeline.types import Scene, Sighting, TrackedSighting

TRACKER_NAME = "sparse_byte"
_SHORTEST_STEP = 1e-3  # seconds, where a file repeats a time
_SMALLEST_SIDE = 1e-6
_TAKEN = -1
_FACE = 0.5  # of a face's sizes, from its centre to its edge
_SHOWN = 0.25  # the same, where half of it still shows
_EDGE = 0.01  # of a side of the picture
_MOVES = 0.1  # of a face's sizes a second; a close-up that touches the edge stays there
_BODY_WIDTH, _BODY_HEIGHT = 3.0, 7.0  # in widths and heights of the face; the body is below it


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


@dataclass(frozen=True)
class Foreseen:
    """How a sighting follows on the tracks so far.

    Args:
        continuing: numbers of the faces that continue a track.
        missed: shape (n, 4), where the faces of the other tracks should be; 0..1 of the frame, but
            for those that left it.
        missed_s: shape (n,), for how long they have not been seen.
    """

    continuing: frozenset[int]
    missed: FloatArray
    missed_s: FloatArray


@dataclass(frozen=True)
class _Pending:
    """A sighting whose numbers are not final."""

    sighting: Sighting
    numbers: list[int]


@dataclass(eq=False)
class _Track:
    """What is known of one face.

    Args:
        centre: shape (2,), where it was seen last, moved with the camera since.
        size: shape (2,), likewise.
        appearance: shape (k,), its running mean.
        seen_s: when it was seen last.
        best_conf: highest confidence so far.
        velocity: shape (2,), of the face in the moving picture, per second.
        began_s: when it was seen first.
        number: 0 until it is confirmed.
        unnumbered: sightings, and which face of each, until it is confirmed.
        identity: whose face it is, where that is compared.
        vanished: why it was not seen again after it was seen last, as far as that is known.
    """

    centre: FloatArray
    size: FloatArray
    appearance: FloatArray
    seen_s: float
    best_conf: float
    unnumbered: list[tuple[_Pending, int]]
    began_s: float
    velocity: FloatArray = field(default_factory=lambda: np.zeros(2, np.float32))
    number: int = 0
    identity: Identity | None = None
    vanished: TrackEnd = "lost"

    def gate_distance(self, now_s: float, config: TrackConfig) -> float:
        """How far from its place the face may be, in its sizes: less once its speed is known."""
        speed = (
            config.gate_distance_per_second
            if self.number > 0
            else config.first_gate_distance_per_second
        )
        return min(config.gate_distance + speed * (now_s - self.seen_s), config.max_gate_distance)

    def predicted(self, now_s: float, horizon_s: float) -> FloatArray:
        """A face that walks out of the picture comes back at its edge.

        The camera may have left it behind farther outside.
        """
        ahead = self.centre + self.velocity * np.float32(min(now_s - self.seen_s, horizon_s))
        edges = np.minimum(self.centre, 0.0), np.maximum(self.centre, 1.0)
        return np.clip(ahead, *edges).astype(np.float32)

    def compensate_camera_motion(self, motion: _CameraMotion) -> None:
        self.centre = motion.turn @ self.centre + motion.shift
        self.size = self.size * motion.zoom
        self.velocity = motion.turn @ self.velocity

    def see(
        self, face: BoxStates, now_s: float, config: TrackConfig, *, is_same_light: bool
    ) -> None:
        """Takes up a new sighting: `face` is one place."""
        step = max(now_s - self.seen_s, _SHORTEST_STEP)
        seen = (face.centres[0] - self.centre) / np.float32(step)
        self.velocity = self.velocity + _gain(step, config.velocity_seconds) * (
            seen - self.velocity
        )
        if is_same_light:
            self.appearance = self.appearance + _gain(step, config.appearance_seconds) * (
                face.appearance[0] - self.appearance
            )
        self.centre, self.size, self.seen_s = face.centres[0], face.sizes[0], now_s


@dataclass(frozen=True)
class _CameraMotion:
    """How places of the picture moved since the sample before.

    Args:
        turn: shape (2, 2).
        shift: shape (2,).
        zoom: how many times as long distances are.
    """

    turn: FloatArray
    shift: FloatArray
    zoom: np.float32


def _compensate_camera_motion(tracks: Sequence[_Track], scene: Scene) -> None:
    """Moves tracks to where the camera has left them."""
    if scene.motion is None or not tracks:
        return
    turn, shift = scene.motion[:, :2], scene.motion[:, 2]
    motion = _CameraMotion(turn, shift, np.sqrt(abs(np.linalg.det(turn))))
    for track in tracks:
        track.compensate_camera_motion(motion)


@dataclass(frozen=True)
class _Claim:
    """A track that began where a face that is out of sight may have come back.

    Args:
        former: the track of the face that is out of sight.
        track: the one that began.
        surprise: how much place, size and appearance differ.
    """

    former: _Track
    track: _Track
    surprise: float


def _gain(step_s: float, constant_s: float) -> np.float32:
    """Share of a change that is believed after a time: of a first-order filter."""
    return np.float32(1.0 - np.exp(-step_s / constant_s))


@dataclass
class FaceTracker:
    """Gives every face of every sighting the number of its track, 0 where it belongs to none.

    Numbers count from 1 in the order in which tracks are confirmed. Tracks end at a cut. A track is
    confirmed by a second sighting, or at its end by one that is confident enough. Where it may be a
    face that was out of sight, that is decided a moment later: unless that face came back by itself
    or another track could be it as well, the two are one.

    Args:
        config: see `config/pipeline.toml`.
        limits: thresholds.
        gate: splits and joins tracks by faces, where there is a recognition model.

    Attributes:
        endings: why the tracks that have ended did, by their numbers.
    """

    config: TrackConfig
    limits: TrackThresholds
    gate: IdentityGate | None = None
    endings: dict[int, TrackEnd] = field(init=False, default_factory=dict)
    _tracks: list[_Track] = field(init=False, default_factory=list)
    _ended: list[_Track] = field(init=False, default_factory=list)  # of this shot, with identity
    _claims: list[_Claim] = field(init=False, default_factory=list)  # of this shot
    _waiting: deque[_Pending] = field(init=False, default_factory=deque)
    _shot: int = field(init=False, default=-1)
    _count: int = field(init=False, default=0)
    _before_s: float = field(init=False, default=-np.inf)  # time of the sighting before

    def track(self, sightings: Iterable[Sighting]) -> Iterator[TrackedSighting]:
        """Takes sightings in order; gives them back in the same order, numbered."""
        for sighting in sightings:
            if sighting.scene.shot != self._shot:
                self._end_shot("cut", sighting.scene.since_s)
                self._shot = sighting.scene.shot
            self._step(sighting)
            yield from self._settled()
        self._end_shot("end")
        yield from self._settled()

    def foresee(self, sighting: Sighting) -> Foreseen:
        """What the tracks so far make of a sighting, before it is taken; nothing is changed.

        At a cut there are no tracks.
        """
        if sighting.scene.shot != self._shot or not self._tracks:
            return Foreseen(frozenset(), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        now, tracks = sighting.ts_s, [replace(track) for track in self._tracks]
        _compensate_camera_motion(tracks, sighting.scene)
        chosen = self._pairs(tracks, _box_states(sighting), sighting)
        met = {known for known, _ in chosen}
        missed = [track for known, track in enumerate(tracks) if known not in met]
        centres = np.array([t.predicted(now, self.config.horizon_seconds) for t in missed])
        halves = np.array([track.size for track in missed]) / 2
        boxes = np.concatenate([centres - halves, centres + halves], axis=-1)
        return Foreseen(
            frozenset(face for _, face in chosen),
            boxes.reshape(-1, 4).astype(np.float32),
            np.array([now - track.seen_s for track in missed], np.float32),
        )

    @property
    def count(self) -> int:
        """Tracks so far."""
        return self._count

    def _step(self, sighting: Sighting) -> None:
        pending = _Pending(sighting, [0] * len(sighting.faces))
        self._waiting.append(pending)
        self._end_lost(sighting.ts_s)
        _compensate_camera_motion(self._tracks, sighting.scene)
        faces = _box_states(sighting)
        conf = sighting.faces.conf
        free, unused, extended = list(self._tracks), [], list[_Track]()
        is_high = conf >= self.limits.high_confidence
        for group in (np.flatnonzero(is_high).tolist(), np.flatnonzero(~is_high).tolist()):
            chosen = self._pairs(free, faces[group], sighting)
            used = set[int]()
            for known, place in chosen:
                track, face = free[known], group[place]
                if self._is_another(track, sighting, face):
                    self._tracks.remove(track)
                    self._end(track, "covered")
                    continue
                self._extend(track, pending, face, faces)
                extended.append(track)
                used.add(place)
            unused += [face for place, face in enumerate(group) if place not in used]
            met = {known for known, _ in chosen}
            free = [track for known, track in enumerate(free) if known not in met]
        unused = sorted(unused)
        for known, place in self._far_pairs(free, faces[unused], sighting.scene):
            self._extend(free[known], pending, unused[place], faces)
            extended.append(free[known])
            unused[place] = _TAKEN
        for track in free:
            if track not in extended and track.seen_s >= self._before_s:
                track.vanished = self._why_gone(track, faces, sighting.ts_s)
        for face in unused:
            if face != _TAKEN and conf[face] >= self.limits.activation:
                self._begin(pending, face, faces)
        for track in self._decided(extended, sighting.ts_s):
            self._confirm(track)
        self._before_s = sighting.ts_s

    def _pairs(
        self, tracks: list[_Track], faces: BoxStates, sighting: Sighting
    ) -> list[tuple[int, int]]:
        if not tracks or len(faces) == 0:
            return []
        now, config = sighting.ts_s, self.config
        known = self._predicted(tracks, now)
        gate_distance = np.array([track.gate_distance(now, config) for track in tracks], np.float32)
        surprise = np.array([self._max_surprise(track, now) for track in tracks], np.float32)
        limit, apart = self._max_appearance_distance(sighting.scene), None
        if limit is not None:
            hidden = [self._is_hidden(track, now) for track in tracks]
            apart = np.where(
                hidden,
                min(limit, config.max_appearance_distance_hidden),
                limit,
            )
        limits = PairLimits(gate_distance, surprise, apart, config.max_scale_change)
        return pairs(known, faces, limits, config)

    def _predicted(self, tracks: list[_Track], now_s: float) -> BoxStates:
        """Where tracks should be now; at least one."""
        horizon_s = self.config.horizon_seconds
        centres = np.stack([track.predicted(now_s, horizon_s) for track in tracks])
        return replace(_as_box_states(tracks), centres=centres)

    def _why_gone(self, track: _Track, faces: BoxStates, now_s: float) -> TrackEnd:
        """Of a track that was seen in the sample before, by where its face should be now."""
        place = track.predicted(now_s, self.config.horizon_seconds)
        if _is_outside(track, place):
            return "left"
        nearer = faces.sizes.prod(axis=1) >= track.size.prod() * self.config.nearer**2
        away = (place - faces.centres) / faces.sizes  # in sizes of the one who may be before it
        behind_body = (np.abs(away[:, 0]) <= _BODY_WIDTH / 2) & (away[:, 1] >= -_FACE)
        behind_body &= away[:, 1] <= _BODY_HEIGHT
        return "covered" if (nearer & behind_body).any() else "lost"

    def _far_pairs(
        self, tracks: list[_Track], faces: BoxStates, scene: Scene
    ) -> list[tuple[int, int]]:
        """People who pass so fast that they were seen once before, by the tracks' places."""
        if scene.lighting_changed:
            return []
        passers = [
            known
            for known, track in enumerate(tracks)
            if track.number == 0 and track.seen_s >= self._before_s
        ]
        chosen = [tracks[known] for known in passers]
        if not chosen:
            return []
        found = far_pairs(_as_box_states(chosen), faces, self.config)
        return [(passers[place], face) for place, face in found]

    def _is_hidden(self, track: _Track, now_s: float) -> bool:
        """Whether it vanished inside the picture, and was not just missed for a moment."""
        is_gone = track.seen_s < self._before_s and track.vanished != "left"
        return is_gone and now_s - track.seen_s > self.config.unseen_seconds

    def _max_surprise(self, track: _Track, now_s: float) -> float:
        """Less and less for a face that is hidden: where it was, another one may have come."""
        config = self.config
        if self._is_hidden(track, now_s):
            hidden_s = now_s - track.seen_s
            return config.max_surprise_hidden - config.hidden_per_second * hidden_s
        if track.seen_s < self._before_s:
            is_left = track.vanished == "left"
            return config.max_surprise_left if is_left else config.max_surprise_known
        return config.max_surprise_known if track.number > 0 else config.max_surprise_new

    def _max_appearance_distance(self, scene: Scene) -> float | None:
        if scene.lighting_changed:
            return None
        return (
            self.config.max_appearance_distance
            if scene.is_stable
            else self.config.max_appearance_distance_moving
        )

    def _begin(self, pending: _Pending, face: int, faces: BoxStates) -> None:
        sighting = pending.sighting
        track = _Track(
            faces.centres[face],
            faces.sizes[face],
            faces.appearance[face],
            sighting.ts_s,
            float(sighting.faces.conf[face]),
            [(pending, face)],
            sighting.ts_s,
        )
        if not sighting.scene.lighting_changed:
            self._claims += self._possible_claims(track)
        self._tracks.append(track)

    def _extend(self, track: _Track, pending: _Pending, face: int, faces: BoxStates) -> None:
        sighting = pending.sighting
        is_same_light = not sighting.scene.lighting_changed
        track.see(faces[[face]], sighting.ts_s, self.config, is_same_light=is_same_light)
        track.best_conf = max(track.best_conf, float(sighting.faces.conf[face]))
        track.unnumbered.append((pending, face))

    def _is_another(self, track: _Track, sighting: Sighting, face: int) -> bool:
        """Whether the face that continues a track is another person's, where that is compared."""
        gate = self.gate
        if gate is None or track.number == 0 or not gate.is_due(track.identity, sighting.index):
            return False
        seen = gate.identity(sighting, face)
        if seen is None:
            return False
        if track.identity is not None and gate.is_other(track.identity, seen):
            return True
        track.identity = gate.updated(track.identity, seen)
        return False

    def _possible_claims(self, track: _Track) -> list[_Claim]:
        """Of a track that begins now: on each face out of sight that it could be, if no better."""
        now, config = track.began_s, self.config
        gone = [
            other
            for other in self._tracks
            if other.number > 0 and other.seen_s < now and other.vanished != "left"
        ]
        if not gone:
            return []
        gate_distance = np.array([other.gate_distance(now, config) for other in gone], np.float32)
        surprise = np.full(len(gone), config.max_surprise_claimed, np.float32)
        apart = np.full(len(gone), config.max_appearance_distance_hidden, np.float32)
        limits = PairLimits(gate_distance, surprise, apart, config.max_scale_change_claimed)
        found = surprises(self._predicted(gone, now), _as_box_states([track]), limits, config)[:, 0]
        return [
            _Claim(former, track, float(surprise))
            for former, surprise in zip(gone, found, strict=True)
            if np.isfinite(surprise)
        ]

    def _open_claims(self, track: _Track) -> list[_Claim]:
        """Its claims on faces that have not come back by themselves, the likeliest first."""
        own = [claim for claim in self._claims if claim.track is track and self._is_open(claim)]
        return sorted(own, key=lambda claim: claim.surprise)

    def _is_open(self, claim: _Claim) -> bool:
        return claim.former in self._tracks and claim.former.seen_s < claim.track.began_s

    def _decided(self, tracks: list[_Track], now_s: float) -> list[_Track]:
        """Those that may be confirmed now."""
        oldest_s = now_s - self.config.claim_seconds
        return [
            track
            for track in tracks
            if track.number > 0 or track.began_s <= oldest_s or not self._open_claims(track)
        ]

    def _number_of_claimed(self, track: _Track) -> int:
        """Of the only face out of sight that the track can be, and that only it can be; else 0."""
        claims = self._open_claims(track)
        if not claims:
            return 0
        best, former = claims[0], claims[0].former
        rivals = [*claims[1:], *(c for c in self._claims if c.former is former and c is not best)]
        if any(c.surprise < best.surprise + self.config.claim_margin for c in rivals):
            return 0
        self._tracks.remove(former)
        return former.number

    def _confirm(self, track: _Track) -> None:
        if track.number == 0:
            track.number = self._number_of_former(track) or self._number_of_claimed(track)
        if track.number == 0:
            self._count += 1
            track.number = self._count
        for pending, face in track.unnumbered:
            pending.numbers[face] = track.number
        track.unnumbered.clear()

    def _number_of_former(self, track: _Track) -> int:
        """Of the track that ended before this one began and is the same person's; 0 if none is."""
        if self.gate is None:
            return 0
        looked = (self.gate.identity(p.sighting, face) for p, face in track.unnumbered)
        seen = next((identity for identity in looked if identity is not None), None)
        if seen is None:
            return 0
        track.identity = seen
        began_s = track.unnumbered[0][0].sighting.ts_s
        known = [
            (other, other.identity)
            for other in (*self._ended, *self._tracks)
            if other.number > 0 and other.identity is not None and other.seen_s < began_s
        ]
        best = self.gate.former(seen, [identity for _, identity in known])
        if best is None:
            return 0
        former, identity = known[best]
        (self._ended if former in self._ended else self._tracks).remove(former)
        track.identity = self.gate.updated(identity, seen)
        return former.number

    def _end_lost(self, now_s: float) -> None:
        oldest_s = min(now_s - self.config.lost_seconds, self._before_s)  # samples may lie apart
        claimed = [
            c.former for c in self._claims if c.track.number == 0 and c.track in self._tracks
        ]
        lost = [t for t in self._tracks if t.seen_s < oldest_s and t not in claimed]
        self._tracks = [track for track in self._tracks if track not in lost]
        for track in lost:
            self._end(track, track.vanished)
        self._claims = [claim for claim in self._claims if self._is_open(claim)]

    def _end(self, track: _Track, why: TrackEnd) -> None:
        """Of a track that is not among the open ones any more."""
        is_sure = len(track.unnumbered) > 1 or track.best_conf >= self.config.single_confidence
        if track.number == 0 and is_sure:
            self._confirm(track)
        track.unnumbered.clear()
        if track.number > 0:
            self.endings[track.number] = why
        if track.identity is not None:
            self._ended.append(track)

    def _settled(self) -> Iterator[TrackedSighting]:
        """Sightings that no unconfirmed track started from, oldest first."""
        open_ones = {id(pending) for track in self._tracks for pending, _ in track.unnumbered}
        while self._waiting and id(self._waiting[0]) not in open_ones:
            yield self._release()

    def _end_shot(self, why: TrackEnd, since_s: float | None = None) -> None:
        """Ends the tracks, but those of faces that came with the next shot.

        Args:
            since_s: when that one began to show, where it mixed into this one.
        """
        last_s, coming = self._before_s - self.config.unseen_seconds, list[_Track]()
        if since_s is not None:
            last_s = min(last_s, 2 * since_s - self._before_s)  # mixed as long before as after it
            coming = [track for track in self._tracks if track.began_s >= since_s]
        going = [track for track in self._tracks if track not in coming]
        self._tracks = coming
        for track in going:
            was_there = track.seen_s >= last_s and track.vanished == "lost"
            is_there = track.seen_s >= self._before_s
            self._end(track, why if is_there or was_there else track.vanished)
        self._ended.clear()
        self._claims.clear()

    def _release(self) -> TrackedSighting:
        pending = self._waiting.popleft()
        return TrackedSighting(pending.sighting, tuple(pending.numbers))


def _is_outside(track: _Track, place: FloatArray) -> bool:
    """Whether a face that was at the picture's edge, and went there, should be beyond it.

    Args:
        place: shape (2,), its predicted centre.
    """
    low, high = track.centre - track.size * _FACE, track.centre + track.size * _FACE
    speed = track.velocity / track.size
    gone_low = (low <= _EDGE) & (speed <= -_MOVES)
    gone_high = (high >= 1 - _EDGE) & (speed >= _MOVES)
    beyond = (place - track.size * _SHOWN < 0) | (place + track.size * _SHOWN > 1)
    return bool((gone_low | gone_high | beyond).any())


def _as_box_states(tracks: Sequence[_Track]) -> BoxStates:
    """Where tracks were seen last; at least one."""
    return BoxStates(
        np.stack([track.centre for track in tracks]),
        np.stack([track.size for track in tracks]),
        np.stack([track.appearance for track in tracks]),
    )


def _box_states(sighting: Sighting) -> BoxStates:
    boxes = sighting.faces.boxes
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], np.float32(_SMALLEST_SIDE))
    appearance = (
        np.zeros((len(boxes), 1), np.float32)
        if sighting.appearance is None
        else sighting.appearance
    )
    return BoxStates((boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5), sizes, appearance)
