"""Where tracks and identities part: the places that a person looks at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from tools.evaluation.rows import NO_ROWS, Found, Truth, overlaps


@dataclass(frozen=True)
class IdentityError:
    """A face that changed its track while it was followed.

    Args:
        kind: "split" where the track is a new one, "swap" where it had another face before.
        frame: of the first wrong sighting.
        gap: frames since the last right one.
        jump: distance between both, in sizes of the face.
        identity, track_before, track: numbers.
    """

    kind: str
    frame: int
    gap: int
    jump: float
    identity: int
    track_before: int
    track: int


def identity_errors(truth: Truth, found: Found, *, iou: float) -> tuple[IdentityError, ...]:
    """In order of their frames."""
    errors = []
    last: dict[int, tuple[int, int, np.ndarray]] = {}  # of an identity: track, frame, box
    used: set[int] = set()
    for frame in found.sampled:
        faces = truth.rows.get(frame, NO_ROWS)
        tracked = found.rows.get(frame, NO_ROWS).tracked
        similarity = overlaps(faces, tracked)
        rows, columns = linear_sum_assignment(-similarity)
        for row, column in zip(rows, columns, strict=True):
            if similarity[row, column] < iou:
                continue
            identity, track = int(faces.ids[row]), int(tracked.ids[column])
            box = faces.boxes[row]
            if identity in last and last[identity][0] != track:
                before, seen, place = last[identity]
                kind = "swap" if track in used else "split"
                jump = _jump(place, box)
                gap = frame - seen
                errors.append(IdentityError(kind, frame, gap, jump, identity, before, track))
            last[identity] = track, frame, box
        used.update(int(track) for track in tracked.ids)
    return tuple(errors)


def _jump(before: np.ndarray, now: np.ndarray) -> float:
    sides = np.sqrt((before[2:] - before[:2]) * (now[2:] - now[:2]))
    centres = (before[:2] + before[2:]) / 2, (now[:2] + now[2:]) / 2
    return float(np.linalg.norm((centres[1] - centres[0]) / sides))
