"""Where tracks and identities part: the places that a person looks at first.

Faces and tracks are paired in each scored frame, one to one, at the least overlap that is asked
for; pairs of the frame before stay together as long as they overlap, as CLEAR has it. Tracks that
are on no face that counts are then paired with the ignored ones that have an identity: whoever
need not be found is somebody all the same. In the order of frames, two kinds of errors are told
apart:

- **takeover**: a track that was on identity A last is on another identity B, whether or not B was
  seen before. It happens at the first frame in which the track is on B. One of both must count in
  some frame. A swap of two faces is two takeovers, since two tracks went on with a wrong face; so
  is a track that goes to B and comes back to A.
- **split**: an identity goes on in a new track, one that no other identity had before. It happens
  at the first frame that counts in the new track.

One event counts once. A change of track that is a takeover is no split of B too. Where A's track
was taken over, in the same frame or before, A has no track to go on in: the new one that it gets
is no split, since the takeover counts already. An identity that goes back to a track that was its
own before does not count again: the split that led away from it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lab.evaluation.rows import NO_ROWS, Found, Rows, Truth, overlaps

TAKEOVER, SPLIT = "takeover", "split"
NOBODY = 0  # identities are greater; an ignored face may have none
_LOYALTY = 10.0  # more than any overlaps can add up to: pairs of the frame before stay together


@dataclass(frozen=True)
class IdentityError:
    """A track that went on with another face, or a face that went on in another track.

    Args:
        kind: `TAKEOVER` or `SPLIT`.
        frame: the one of the first wrong sighting, from 0.
        time_s: when it is shown, by the mean frame rate; 0 where the video's length is not known.
        gap: frames since the last right one: of the track's former identity, or of the identity in
            its former track.
        jump: distance between both, in sizes of the face.
        identity: the one that is seen in the frame.
        identity_before: the one that the track had; for a split the same as `identity`.
        track: the one that it is seen in.
        track_before: the one that the identity had, None for one that was not seen before.
    """

    kind: str
    frame: int
    time_s: float
    gap: int
    jump: float
    identity: int
    identity_before: int
    track: int
    track_before: int | None

    @property
    def last_right(self) -> int:
        """The frame of the last right sighting."""
        return self.frame - self.gap


def identity_errors(truth: Truth, found: Found, *, iou: float) -> tuple[IdentityError, ...]:
    """The identity errors, in the order of their frames.

    Raises:
        InvalidInput: no sampled frame is marked.
    """
    history, errors = _History(_identities(truth, found)), list[IdentityError]()
    seconds = found.video_seconds / max(1, truth.frames)
    for frame in truth.scored(found.sampled):
        pairs = _sightings(truth, found, frame, iou, history.now)
        errors += history.takeovers(pairs, seconds)
        errors += history.splits(pairs, seconds)
        history.add(pairs)
    return tuple(errors)


def _identities(truth: Truth, found: Found) -> frozenset[int]:
    """Those that count in some scored frame."""
    frames = truth.scored(found.sampled)
    return frozenset(int(i) for frame in frames for i in truth.rows.get(frame, NO_ROWS).ids)


@dataclass(frozen=True)
class _Sighting:
    """A track on a face.

    Args:
        counts: the face is one that is to be found in this frame.
    """

    identity: int
    track: int
    frame: int
    box: NDArray[np.float64]
    counts: bool


@dataclass
class _History:
    """What was seen so far.

    Args:
        counting: identities that count in some frame.
        of_identity, of_track: last sighting of each.
        counted: last sighting of each identity in a frame in which it counts.
        had: identities of each track.
        kept: identities of each track, in frames in which they count.
        now: the track of each identity in the last frame.
    """

    counting: frozenset[int]
    of_identity: dict[int, _Sighting] = field(default_factory=dict)
    of_track: dict[int, _Sighting] = field(default_factory=dict)
    counted: dict[int, _Sighting] = field(default_factory=dict)
    had: dict[int, set[int]] = field(default_factory=dict)
    kept: dict[int, set[int]] = field(default_factory=dict)
    now: dict[int, int] = field(default_factory=dict)

    def takeovers(self, pairs: list[_Sighting], seconds: float) -> Iterator[IdentityError]:
        for here in pairs:
            last = self.of_track.get(here.track)
            if last is None or last.identity == here.identity:
                continue
            if not self.counting.isdisjoint((last.identity, here.identity)):
                before = self.of_identity.get(here.identity)
                track_before = None if before is None else before.track
                yield _error(TAKEOVER, last, here, track_before, seconds)

    def splits(self, pairs: list[_Sighting], seconds: float) -> Iterator[IdentityError]:
        owners = {track: last.identity for track, last in self.of_track.items()}
        owners |= {here.track: here.identity for here in pairs}
        for here in pairs:
            last = self.counted.get(here.identity)
            if last is None or not here.counts or last.track == here.track:
                continue
            is_new = self.had.get(here.track, set()) <= {here.identity}
            is_known = here.identity in self.kept.get(here.track, set())
            if is_new and not is_known and owners[last.track] == here.identity:
                yield _error(SPLIT, last, here, last.track, seconds)

    def add(self, pairs: list[_Sighting]) -> None:
        for here in pairs:
            self.of_identity[here.identity] = self.of_track[here.track] = here
            self.had.setdefault(here.track, set()).add(here.identity)
            if here.counts:
                self.counted[here.identity] = here
                self.kept.setdefault(here.track, set()).add(here.identity)
        self.now = {here.identity: here.track for here in pairs}


def _sightings(
    truth: Truth, found: Found, frame: int, iou: float, now: dict[int, int]
) -> list[_Sighting]:
    """The tracks of a frame that are on a face: first on those that count, then on the others."""
    left = found.rows.get(frame, NO_ROWS).tracked
    ignored = truth.ignored.get(frame, NO_ROWS)
    sightings = []
    for faces, counts in (
        (truth.rows.get(frame, NO_ROWS), True),
        (ignored.where(ignored.ids > NOBODY), False),
    ):
        pairs = list(_pairs(faces, left, iou, now))
        sightings += [
            _Sighting(int(faces.ids[face]), int(left.ids[box]), frame, faces.boxes[face], counts)
            for face, box in pairs
        ]
        free = np.ones(len(left), bool)
        free[[box for _, box in pairs]] = False
        left = left.where(free)
    return sightings


def _error(
    kind: str, last: _Sighting, here: _Sighting, track_before: int | None, seconds: float
) -> IdentityError:
    """The error between two sightings of a face.

    Args:
        last: the last right sighting.
        here: the first wrong one.
        seconds: of a frame.
    """
    return IdentityError(
        kind=kind,
        frame=here.frame,
        time_s=here.frame * seconds,
        gap=here.frame - last.frame,
        jump=_jump(last.box, here.box),
        identity=here.identity,
        identity_before=last.identity,
        track=here.track,
        track_before=track_before,
    )


def _pairs(
    faces: Rows, tracked: Rows, iou: float, now: dict[int, int]
) -> Iterator[tuple[int, int]]:
    """Places of faces and boxes that belong together.

    Args:
        now: the track of each identity in the frame before.
    """
    similarity = overlaps(faces, tracked)
    had = np.array([now.get(int(identity), -1) for identity in faces.ids], np.int64)
    weight = similarity + _LOYALTY * (had[:, None] == tracked.ids[None, :])
    weight[similarity < iou] = 0.0
    for face, box in zip(*linear_sum_assignment(weight, maximize=True), strict=True):
        if similarity[face, box] >= iou and weight[face, box] > 0.0:
            yield int(face), int(box)


def _jump(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    sides = np.sqrt((before[2:] - before[:2]) * (now[2:] - now[:2]))
    centres = (before[:2] + before[2:]) / 2, (now[:2] + now[2:]) / 2
    return float(np.linalg.norm((centres[1] - centres[0]) / sides))
