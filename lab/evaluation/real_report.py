"""Real videos and existing runs as tables on the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table

from apps.common.files import storage_errors, write_json
from lab.evaluation.errors import IdentityError
from lab.evaluation.real import ClipResult, CutResult
from lab.evaluation.scores import shown

COUNTED = (
    "Counted are the tracks and faces of the scored frames; without --strict, no tracks on faces "
    "that need not be found."
)
FEW = 20  # errors that are listed without being asked for
_SHOWN = (
    ("IDF1", "idf1"),
    ("HOTA", "hota"),
    ("MOTA", "mota"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("IDsw", "id_switches"),
    ("frag", "fragmentations"),
    ("takeovers", "takeovers"),
    ("splits", "splits"),
    ("across cuts", "across_cuts"),
    ("tracks", "tracks"),
    ("identities", "identities"),
    ("detector recall", "detector_recall"),
    ("scored frames", "scored_frames"),
)


def tables(results: Sequence[ClipResult], iou: float, note: str) -> Iterator[Table]:
    """Tracks and cuts of one clip at all strides, as far as they were scored.

    Args:
        note: which frames are marked.
    """
    name = results[0].name
    if any(result.scores for result in results):
        yield _tracks(f"{name}: tracks, boxes matched at IoU {iou:g}", results, note)
    if any(result.cuts is not None for result in results):
        cuts = [(f"stride {r.stride}", r.cuts) for r in results if r.cuts is not None]
        yield cut_table(f"{name}: cuts", cuts)


def _tracks(title: str, results: Sequence[ClipResult], note: str) -> Table:
    table = Table("stride", "system", title=title, caption=" ".join(filter(None, (note, COUNTED))))
    for heading, _ in _SHOWN:
        table.add_column(heading, justify="right")
    for result in results:
        for system, scores in result.scores.items():
            cells = [shown(getattr(scores, field)) for _, field in _SHOWN]
            table.add_row(str(result.stride), system, *cells)
    return table


def cut_table(title: str, cuts: Iterable[tuple[str, CutResult]]) -> Table:
    """A row for each named result, and which frames are wrong."""
    table = Table("of", title=title)
    for heading in ("hits", "missed", "false", "gradual", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    table.add_column("missed at frames")
    table.add_column("false at frames")
    for name, cut in cuts:
        scores = cut.scores
        counts = [str(value) for value in (scores.hits, scores.misses, scores.false)]
        shares = [f"{value:.3f}" for value in (scores.precision, scores.recall, scores.f1)]
        gradual = f"{scores.gradual_hits}/{scores.gradual}"
        frames = (", ".join(map(str, of)) for of in (cut.errors.missed, cut.errors.false))
        table.add_row(name, *counts, gradual, *shares, *frames)
    return table


def error_table(
    title: str, errors: Sequence[tuple[str, IdentityError]], limit: int | None
) -> Table | None:
    """Identity errors, a row for each; None where there are none.

    Args:
        errors: each with where it is.
        limit: at most so many; None lists all.
    """
    if not errors:
        return None
    shown = errors[:limit]
    left = len(errors) - len(shown)
    caption = f"and {left} more: --errors lists all" if left > 0 else None
    table = Table("where", "kind", title=title, caption=caption)
    for heading in ("frame", "seconds", "identity", "track", "gap", "jump"):
        table.add_column(heading, justify="right")
    for where, error in shown:
        identity, track = transition(error)
        numbers = [str(error.frame), f"{error.time_s:.2f}", identity, track, str(error.gap)]
        table.add_row(where, error.kind, *numbers, f"{error.jump:.1f}")
    return table


def transition(error: IdentityError) -> tuple[str, str]:
    """What became of the identity and of the track, for people: "3 → 5" where it changed."""
    if error.identity != error.identity_before:
        return f"{error.identity_before} → {error.identity}", str(error.track)
    return str(error.identity), f"{error.track_before} → {error.track}"


def save(results: Sequence[ClipResult], iou: float, note: str, folder: Path) -> Path:
    """Writes `video-NAME.json`.

    Raises:
        StorageFailed: the folder is not writable.
    """
    path = folder / f"video-{results[0].name}.json"
    document = {"iou": iou, "note": note, "results": [result.to_dict() for result in results]}
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, document)
    return path
