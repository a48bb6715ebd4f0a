"""A comparison as a table on the terminal, and as JSON, Markdown and a picture in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from apps.common.files import storage_errors, write_atomic, write_json
from apps.common.schemas import ModeFigures
from apps.comparison.figures import Comparison, Measurement
from apps.comparison.plotting import Axes, Figure, FigureCanvasAgg
from apps.comparison.sampler import INTERVAL_SECONDS, PEAK_WINDOW_SECONDS

NOT_THE_SAME = "not the same work"
PALE, STRONG, DOT = "#9db7d5", "#2f5d8a", "#222222"
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
    result = Table(title=_title(comparison), caption=METHOD, caption_justify="left")
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
    """Writes `comparison.json`, `.md` and `.png`.

    Raises:
        StorageFailed: the folder is not writable.
    """
    paths = [folder / f"comparison.{suffix}" for suffix in ("json", "md", "png")]
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(paths[0], comparison.to_dict())
        write_atomic(paths[1], markdown(comparison).encode())
        picture(comparison).savefig(paths[2], dpi=DPI)
    return paths


def markdown(comparison: Comparison) -> str:
    rows = [[column.title for column in _COLUMNS], ["---", *["---:"] * (len(_COLUMNS) - 1)]]
    rows += [_cells(summary) for summary in comparison.summaries]
    lines = [f"# {_title(comparison)}", ""]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += [""] + [f"- **{NOT_THE_SAME}**: {warning}" for warning in comparison.warnings]
    lines += [f"- {note}" for note in comparison.notes]
    options = comparison.measurements[0].facts.options
    shown = ", ".join(f"{name} {value}" for name, value in options.items())
    lines += ["", METHOD, "", "![Bars of the same figures](comparison.png)", ""]
    lines += [f"{comparison.cores} cores, {comparison.created_at}. Options: {shown}.", ""]
    return "\n".join(lines)


def picture(comparison: Comparison) -> Figure:
    """Three panels of bars; a dot is one run."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a window, and without pyplot's global state
    wall, cpu, rate = figure.subplots(1, 3)
    modes = [summary.mode for summary in comparison.summaries]
    summaries, runs = comparison.summaries, comparison.measurements
    _bars(wall, "Wall clock, s", modes, [s.wall_seconds for s in summaries])
    _dots(wall, modes, runs, lambda run: run.wall_seconds)
    _bars(rate, "Processed frames a second", modes, [s.frames_per_second for s in summaries])
    _dots(rate, modes, runs, lambda run: run.facts.analyzed_fps)
    _cpu_bars(cpu, modes, summaries)
    heading = _title(comparison)
    if comparison.warnings:
        heading += f" – {NOT_THE_SAME}, see comparison.md"
    figure.suptitle(heading)
    return figure


def _bars(axes: Axes, title: str, modes: Sequence[str], values: Sequence[float]) -> None:
    bars = axes.bar(modes, values, width=0.6, color=PALE)
    axes.bar_label(bars, fmt="%.1f", label_type="center")
    axes.set_title(title)


def _dots(
    axes: Axes,
    modes: Sequence[str],
    runs: Sequence[Measurement],
    value: Callable[[Measurement], float],
) -> None:
    places = [modes.index(run.mode) for run in runs]
    axes.scatter(places, [value(run) for run in runs], s=12, color=DOT, zorder=3)


def _cpu_bars(axes: Axes, modes: Sequence[str], summaries: Sequence[ModeFigures]) -> None:
    kinds = (
        ("mean", PALE, -0.2, [s.mean_percent or 0.0 for s in summaries]),
        ("peak", STRONG, 0.2, [s.peak_percent or 0.0 for s in summaries]),
    )
    for name, color, shift, values in kinds:
        places = [index + shift for index in range(len(modes))]
        bars = axes.bar(places, values, width=0.38, color=color, label=name)
        axes.bar_label(bars, fmt="%.0f")
    axes.set_xticks(range(len(modes)), modes)
    axes.margins(y=0.2)  # room for the legend
    axes.legend(loc="upper right", ncols=2)
    axes.set_title("CPU of the run, % (100 is one core)")


def _cells(summary: ModeFigures) -> list[str]:
    return [column.value(summary) for column in _COLUMNS]


def _title(comparison: Comparison) -> str:
    return f"{comparison.ep_id}: execution modes compared, {comparison.repeat} rounds"
