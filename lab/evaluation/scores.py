"""Scores of one result against its ground truth, at the sampled frames only.

HOTA, CLEAR and identity figures are those of `trackers.eval`, which agrees with TrackEval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from trackers.eval import compute_clear_metrics, compute_hota_metrics, compute_identity_metrics

from lab.evaluation.errors import SPLIT, TAKEOVER, identity_errors
from lab.evaluation.rows import NO_ROWS, Found, Rows, Truth, covered, overlaps

_INSIDE = 0.5  # share of a box that must lie in an ignored face to be that face


@dataclass(frozen=True)
class Scores:
    """Shares are 0..1, the others are counts; MOTA may be negative.

    Args:
        across_cuts: tracks with faces on both sides of a hard cut, once for every cut.
        across_transitions: the same for dissolves and fades.
        tracks, identities: numbers of different ones in the sampled frames.
        detector_recall, detector_precision: those of the detections before tracking, 0..1.
        takeovers, splits: identity errors by their kind; see `lab.evaluation.errors`.
        scored_frames: sampled frames that are marked; all figures but `across_` are of these.
    """

    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    recall: float
    precision: float
    id_switches: int
    fragmentations: int
    across_cuts: int
    across_transitions: int
    tracks: int
    identities: int
    detector_recall: float
    detector_precision: float
    takeovers: int
    splits: int
    scored_frames: int


@dataclass(frozen=True)
class CutScores:
    """Cuts of one or more videos; gradual ones are counted apart.

    Args:
        hits: found at the first sampled frame at or after the true cut.
        misses: not found there.
        false: found where there is neither a cut nor a transition.
        gradual_hits, gradual: dissolves and fades in which a cut was found, and all of them.
    """

    hits: int
    misses: int
    false: int
    gradual_hits: int
    gradual: int

    @property
    def precision(self) -> float:
        return _share(self.hits, self.hits + self.false)

    @property
    def recall(self) -> float:
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        return _share(2 * self.hits, 2 * self.hits + self.misses + self.false)


def score(truth: Truth, found: Found, *, iou: float, strict: bool = False) -> Scores:
    """Compares what was found with what is true.

    Args:
        iou: least overlap of a face and its box, except for HOTA, which averages over many.
        strict: count faces as wrong of which too little shows to be in the ground truth.

    Raises:
        InvalidInput: no sampled frame is marked.
    """
    frames = truth.scored(found.sampled)
    faces = [truth.rows.get(frame, NO_ROWS) for frame in frames]
    everything = [found.rows.get(frame, NO_ROWS) for frame in frames]
    if not strict:
        partial = [truth.ignored.get(frame, NO_ROWS) for frame in frames]
        everything = [
            _without_ignored(rows, face, ignored, iou)
            for rows, face, ignored in zip(everything, faces, partial, strict=True)
        ]
    tracked = [rows.tracked for rows in everything]
    similarity = [overlaps(face, rows) for face, rows in zip(faces, tracked, strict=True)]
    ids = _renumbered(faces), _renumbered(tracked)
    hota = compute_hota_metrics(*ids, similarity)
    clear = compute_clear_metrics(*ids, similarity, threshold=iou)
    identity = compute_identity_metrics(*ids, similarity, threshold=iou)
    detector_recall, detector_precision = _detection(faces, everything, iou)
    kinds = Counter(error.kind for error in identity_errors(truth, found, iou=iou))
    return Scores(
        hota=float(hota["HOTA"]),
        det_a=float(hota["DetA"]),
        ass_a=float(hota["AssA"]),
        mota=float(clear["MOTA"]),
        idf1=float(identity["IDF1"]),
        recall=float(clear["CLR_Re"]),
        precision=float(clear["CLR_Pr"]),
        id_switches=int(clear["IDSW"]),
        fragmentations=int(clear["Frag"]),
        across_cuts=tracks_across(found, [(cut, cut) for cut in truth.cuts]),
        across_transitions=tracks_across(
            found, [(gradual.first, gradual.last + 1) for gradual in truth.transitions]
        ),
        tracks=_different(tracked),
        identities=_different(faces),
        detector_recall=detector_recall,
        detector_precision=detector_precision,
        takeovers=kinds[TAKEOVER],
        splits=kinds[SPLIT],
        scored_frames=len(frames),
    )


def tracks_across(found: Found, gaps: Iterable[tuple[int, int]]) -> int:
    """Tracks with a face before a gap and one after it, once for every gap.

    Args:
        gaps: (first frame of the gap, first frame after it); a hard cut is an empty gap.
    """
    spans: dict[int, tuple[int, int]] = {}
    for frame in found.sampled:
        for number in found.rows.get(frame, NO_ROWS).tracked.ids.tolist():
            spans[number] = (spans.get(number, (frame, frame))[0], frame)
    return sum(
        first < start and last >= end for start, end in gaps for first, last in spans.values()
    )


@dataclass(frozen=True)
class CutErrors:
    """Frames: of true cuts that were missed, and of cuts that were found where there are none.

    Args:
        missed: true first frames of shots, not the sampled ones after them.
        false: sampled frames.
    """

    missed: tuple[int, ...]
    false: tuple[int, ...]


def score_cuts(truth: Truth, found: Found) -> CutScores:
    """Scores the cuts that were found among the sampled frames."""
    reported = set(found.cuts if found.cuts is not None else ())
    targets = _targets(truth, found).keys()
    gradual = _gradual(truth, found)
    hits = len(reported & targets)
    return CutScores(
        hits=hits,
        misses=len(targets) - hits,
        false=len(reported - targets - set().union(*gradual)),
        gradual_hits=sum(bool(reported & frames) for frames in gradual),
        gradual=len(gradual),
    )


def cut_errors(truth: Truth, found: Found) -> CutErrors:
    """Which ones `score_cuts` counts; of several cuts between two sampled frames the first."""
    reported = set(found.cuts if found.cuts is not None else ())
    targets = _targets(truth, found)
    excused: set[int] = set().union(*_gradual(truth, found))
    return CutErrors(
        missed=tuple(cut for target, cut in targets.items() if target not in reported),
        false=tuple(sorted(reported - targets.keys() - excused)),
    )


def _targets(truth: Truth, found: Found) -> dict[int, int]:
    """True cuts by the sampled frame at which each is to be found, in order."""
    targets: dict[int, int] = {}
    for cut in sorted(truth.cuts):
        target = _sampled_at_or_after(cut, found.sampled)
        if target is not None:
            targets.setdefault(target, cut)
    return targets


def _gradual(truth: Truth, found: Found) -> list[set[int]]:
    """The sampled frames in which each gradual change may be found."""
    return [
        {
            frame
            for frame in found.sampled
            if item.first <= frame <= (_sampled_at_or_after(item.last + 1, found.sampled) or frame)
        }
        for item in truth.transitions
    ]


def add_cuts(scores: Iterable[CutScores]) -> CutScores:
    """The cuts of several videos as if they were one."""
    rows = [(s.hits, s.misses, s.false, s.gradual_hits, s.gradual) for s in scores]
    return CutScores(*(sum(column) for column in zip(*rows, strict=True)))


def _sampled_at_or_after(frame: int, sampled: Sequence[int]) -> int | None:
    place = int(np.searchsorted(np.asarray(sampled), frame))
    return sampled[place] if place < len(sampled) else None


def _without_ignored(rows: Rows, faces: Rows, ignored: Rows, iou: float) -> Rows:
    """Without boxes that are no counted face's but lie on one of which too little shows."""
    if len(rows) == 0 or len(ignored) == 0:
        return rows
    free = np.ones(len(rows), bool)
    free[[box for _, box in pairs(faces, rows, iou)]] = False
    on_ignored = covered(rows, ignored).max(axis=1) >= _INSIDE
    return rows.where(~(free & on_ignored))


def pairs(faces: Rows, rows: Rows, iou: float) -> list[tuple[int, int]]:
    """Faces and boxes that belong together, one to one, as many and as close as can be."""
    similarity = overlaps(faces, rows)
    similarity[similarity < iou] = 0.0
    chosen = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
    return [(int(face), int(box)) for face, box in chosen if similarity[face, box] > 0.0]


def _detection(faces: Sequence[Rows], found: Sequence[Rows], iou: float) -> tuple[float, float]:
    """Recall and precision of boxes, whatever track they belong to."""
    hits = sum(len(pairs(face, rows, iou)) for face, rows in zip(faces, found, strict=True))
    return _share(hits, sum(map(len, faces))), _share(hits, sum(map(len, found)))


def _renumbered(frames: Sequence[Rows]) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The ids of each frame as 0, 1, 2, ...: the library uses them as places in arrays."""
    known = {number: place for place, number in enumerate(sorted(_all_ids(frames)))}
    return [np.array([known[i] for i in rows.ids.tolist()], np.int64) for rows in frames]


def _all_ids(frames: Iterable[Rows]) -> set[int]:
    return {number for rows in frames for number in rows.ids.tolist()}


def _different(frames: Iterable[Rows]) -> int:
    return len(_all_ids(frames))


def shown(value: float) -> str:
    """A figure for people: shares with three digits, counts as they are."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> float:
    return part / whole if whole > 0 else 1.0
