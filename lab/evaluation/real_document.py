"""The part of docs/quality.md that tells of real videos, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.arguments import MARKED_IOU
from lab.evaluation.evaluate_episodes import LIBRARY, PRODUCT
from lab.evaluation.real import ClipResult, CutResult
from lab.evaluation.real_clips import CUT_STRIDES, TRACK_STRIDES, Real
from lab.evaluation.real_report import transition
from lab.evaluation.sheet import write_sheet

PICTURE = "quality-real.png"
_TRACKS = (
    f"Boxes are matched at IoU {MARKED_IOU:g}: the true ones were drawn by eye, in every "
    "third frame. "
    "Frames that are sampled and marked are scored, at stride 1 the same as at 3. Each pair of "
    "figures is the product's / the library's. A takeover is a track that goes on with another "
    "face, a split a face that goes on in a new track."
)
_CUTS = (
    "Beside PySceneDetect's detectors with their defaults, which look at every frame. A cut is "
    "right when it is found at the first sampled frame at or after it."
)
_ERRORS = (
    "Each is drawn at its last right and its first wrong sighting. "
    "`python -m lab.evaluate --video` draws the same on the video's frames."
)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, and an empty line after it."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def section(real: Real) -> Iterator[str]:
    """The lines of the section."""
    yield "## Real videos\n"
    if real.missing:
        yield f"Not measured, since they are not on this machine: {', '.join(real.missing)}.\n"
    yield from _tracks([r for r in real.results if r.scores and r.stride in TRACK_STRIDES])
    yield from _cuts(real)
    yield from _errors([r for r in real.results if r.scores and r.stride in TRACK_STRIDES])


def write_picture(real: Real, folder: Path) -> Path | None:
    """Draws the identity errors without the videos' frames; None where there are none.

    Raises:
        StorageFailed: the folder is not writable.
    """
    sheets = [
        result.sheet(with_pictures=False)
        for result in real.results
        if result.stride in TRACK_STRIDES
    ]
    return write_sheet(sheets, folder / PICTURE)


def _tracks(results: Sequence[ClipResult]) -> Iterator[str]:
    if not results:
        return
    yield "### Tracks\n"
    yield _TRACKS + "\n"
    head = ["clip", "stride", "IDF1", "recall", "precision", "takeovers", "splits", "frames scored"]
    rows = [
        [
            result.name,
            str(result.stride),
            *(_both(result, field, 3) for field in ("idf1", "recall", "precision")),
            *(_both(result, field, 0) for field in ("takeovers", "splits")),
            str(result.scores[PRODUCT].scored_frames),
        ]
        for result in results
    ]
    yield from markdown_table(head, rows)


def _both(result: ClipResult, field: str, digits: int) -> str:
    values = [getattr(result.scores[system], field) for system in (PRODUCT, LIBRARY)]
    return " / ".join(f"{value:.{digits}f}" for value in values)


def _cuts(real: Real) -> Iterator[str]:
    results = [r for r in real.results if r.cuts is not None and r.stride in CUT_STRIDES]
    if not results:
        return
    yield "### Cuts\n"
    yield _CUTS + "\n"
    rows = []
    for name in dict.fromkeys(result.name for result in results):
        for result in results:
            if result.name == name and result.cuts is not None:
                rows.append([name, f"product, stride {result.stride}", *_cells(result.cuts)])
        for other, cuts in real.others.get(name, {}).items():
            rows.append([name, f"PySceneDetect, {other}", *_cells(cuts)])
    head = ["clip", "of", "hit", "missed", "false", "precision", "recall", "F1"]
    yield from markdown_table(head, rows)


def _cells(cuts: CutResult) -> list[str]:
    scores = cuts.scores
    shares = (scores.precision, scores.recall, scores.f1)
    counts = (scores.hits, scores.misses, scores.false)
    return [*map(str, counts), *(f"{share:.3f}" for share in shares)]


def _errors(results: Sequence[ClipResult]) -> Iterator[str]:
    if not results:
        return
    yield "### Identity errors of the product\n"
    rows = []
    for result in results:
        for error in result.errors[PRODUCT]:
            identity, track = transition(error)
            frames = f"{error.last_right} → {error.frame}"
            place = [result.name, str(result.stride), error.kind, frames, f"{error.time_s:.2f}"]
            rows.append([*place, identity, track, f"{error.jump:.1f}"])
    if not rows:
        yield "None.\n"
        return
    head = ["clip", "stride", "kind", "frames", "second", "face", "track", "jump in face sizes"]
    yield from markdown_table(head, rows)
    yield _ERRORS + "\n"
    yield f"![Identity errors]({PICTURE})\n"
