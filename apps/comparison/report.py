"""A comparison as a table on the terminal, and as JSON, Markdown and a picture in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from apps.common.files import storage_errors, write_atomic, write_json
from apps.common.layout import REPORT_NAME
from apps.common.schemas import ModeFigures
from apps.comparison.figures import NOT_THE_SAME, Comparison
from apps.comparison.sampler import INTERVAL_SECONDS, PEAK_WINDOW_SECONDS

DPI = 120
METHOD = (
    "Medians. Wall: as the client sees it, from its request to the answer that the run has ended. "
    "Own: the run's own clock, from the start of its process to its result. Overhead: wall over "
    "the command line's, which holds the end of its interpreter too; so it can be negative. "
    "CPU and memory: the run's process tree (not the server's or the worker's), seen from outside "
    f"every {INTERVAL_SECONDS:g} s; 100 % is one core; the peak is the busiest "
    f"{PEAK_WINDOW_SECONDS:g} s. Frames a second: processed frames, loading not counted."
)


@dataclass(frozen=True)
class _Column:
    title: str
    value: Callable[[ModeFigures], str]


_COLUMNS = (
    _Column("mode", lambda s: s.mode),
    _Column("runs", lambda s: str(s.runs)),
    _Column("wall s", lambda s: f"{s.wall_seconds:.2f}"),
    _Column("own s", lambda s: f"{s.own_seconds:.2f}"),
    _Column("overhead", lambda s: f"{s.overhead_seconds:+.2f} s ({s.overhead_percent:+.1f} %)"),
    _Column("mean CPU %", lambda s: _shown(s.mean_percent)),
    _Column("peak CPU %", lambda s: _shown(s.peak_percent)),
    _Column("CPU s", lambda s: _shown(s.cpu_seconds, 2)),
    _Column("frames/s", lambda s: f"{s.frames_per_second:.1f}"),
    _Column("peak MB", lambda s: _shown(s.peak_rss_mb)),
    _Column("nice", lambda s: _shown(s.nice)),
    _Column("frames", lambda s: str(s.frames_done)),
    _Column("tracks", lambda s: str(s.tracks)),
)


def _shown(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def table(comparison: Comparison) -> RenderableType:
    result = Table(title=comparison.title, caption=METHOD, caption_justify="left")
    for index, column in enumerate(_COLUMNS):
        result.add_column(column.title, justify="right" if index else "left", no_wrap=True)
    for summary in comparison.summaries:
        result.add_row(*_cells(summary))
    if not comparison.warnings:
        return result
    warnings = Table(show_header=False, style="red")
    for warning in comparison.warnings:
        warnings.add_row(NOT_THE_SAME, Text(warning))
    return Group(result, warnings)


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes `comparison.json`, `.md` and, with Matplotlib (extra `pictures`), `.png`.

    Raises:
        StorageFailed: the folder is not writable.
    """
    is_drawn = find_spec("matplotlib") is not None
    suffixes = (".json", ".md", ".png") if is_drawn else (".json", ".md")
    paths = [(folder / REPORT_NAME).with_suffix(suffix) for suffix in suffixes]
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(paths[0], comparison.to_dict())
        write_atomic(paths[1], markdown(comparison, is_drawn=is_drawn).encode())
        if is_drawn:
            from apps.comparison.bars import picture

            picture(comparison).savefig(paths[2], dpi=DPI)
    return paths


def markdown(comparison: Comparison, *, is_drawn: bool = True) -> str:
    rows = [[column.title for column in _COLUMNS], ["---", *["---:"] * (len(_COLUMNS) - 1)]]
    rows += [_cells(summary) for summary in comparison.summaries]
    lines = [f"# {comparison.title}", ""]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += [""] + [f"- **{NOT_THE_SAME}**: {warning}" for warning in comparison.warnings]
    lines += [f"- {note}" for note in comparison.notes]
    options = comparison.measurements[0].facts.options
    shown = ", ".join(f"{name} {value}" for name, value in options.items())
    lines += ["", METHOD, ""]
    if is_drawn:
        lines += ["![Bars of the same figures](comparison.png)", ""]
    lines += [f"{comparison.cores} cores, {comparison.created_at}. Options: {shown}.", ""]
    return "\n".join(lines)


def _cells(summary: ModeFigures) -> list[str]:
    return [column.value(summary) for column in _COLUMNS]
