"""Runs of one episode side by side, and the comparison of the paths."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal

import altair as alt
import streamlit as st

from apps.common.contracts.events import ErrorEvent, LogEvent
from apps.common.contracts.manifest import RunManifest
from apps.common.schemas import ComparisonRequest, ComparisonSummary, ModeFigures, RunSummary
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import (
    MODE_LABELS,
    OPTION_LABELS,
    count,
    megabytes,
    moment,
    option,
    plain,
)
from apps.ui.numbers import decimal, significant
from apps.ui.parts.address import show_address
from apps.ui.parts.charts import show_chart
from apps.ui.parts.differences import what_was_found
from apps.ui.parts.episode_picker import pick_episode
from apps.ui.parts.live import follow
from apps.ui.parts.run_picker import choose_asked_runs
from apps.ui.problems import problems_shown
from apps.ui.session import client, reader_zone

_MAX_RUNS = 6
_LETTERS = "ABCDEF"
_MARK = "≠"
_AROUND_BARS = 70  # pixels of title and axis
_COMPARING = "⏳ Running the comparison; leaving this page stops it."
_FIGURES = {
    "Wall clock, s": "wall",
    "CPU, mean %": "cpu_mean",
    "CPU, peak %": "cpu_peak",
    "CPU, s": "cpu_seconds",
    "Frames a second": "fps",
    "Memory, MB": "memory",
    "Tracks": "tracks",
    "Faces on the screen, s": "screen",
}
_MODES: list[Literal["sse", "local", "redis"]] = ["sse", "local", "redis"]


def view() -> None:
    api = client()
    ep_id = pick_episode(api)
    follow(api, "Compare", ep_id)
    if ep_id is None:
        return
    runs, found, paths = st.tabs(
        ["Runs side by side", "What was found", "Paths: old, local, queued"]
    )
    with runs, problems_shown():
        show_address(ep_id, _runs_side_by_side(api, ep_id), steps=["run"])
    with found, problems_shown():
        what_was_found(api, ep_id, _run_label)
    with paths, problems_shown():
        _paths(api, ep_id)


def _runs_side_by_side(api: Client, ep_id: str) -> list[str]:
    """Shows them; their names."""
    completed = {run.run_id: run for run in api.runs(ep_id).items if run.status == "completed"}
    choose_asked_runs(f"compare-{ep_id}", ep_id, list(completed), _MAX_RUNS)
    if len(completed) < 2:
        st.info(
            "**Two completed runs are needed.** Run the episode with another profile, detector or "
            "mode on the page Detect/Track.",
            icon=":material/compare_arrows:",
        )
        return []
    chosen = st.multiselect(
        "Runs",
        list(completed),
        max_selections=_MAX_RUNS,
        format_func=lambda run_id: _run_label(completed[run_id]),
        key=f"compare-{ep_id}",
    )
    manifests = [api.run(ep_id, run_id) for run_id in chosen]
    if not manifests:
        return []
    figures = [_figures(letter, run) for letter, run in zip(_LETTERS, manifests, strict=False)]
    _show_bars(figures)
    st.dataframe(run_rows(manifests), hide_index=True, height="content", alt="Figures of the runs")
    st.markdown("**Options** — those that differ come first and are marked.")
    st.dataframe(
        option_rows(manifests),
        hide_index=True,
        height="content",
        column_config={_MARK: st.column_config.TextColumn(width=40)},
        alt="Options of the runs",
    )
    return list(chosen)


def _run_label(run: RunSummary) -> str:
    mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
    return f"{moment(run.started_at, reader_zone())} · {mode} · {run.profile} · {run.run_id}"


def _figures(name: str, run: RunManifest) -> dict[str, Any]:
    result = run.result
    if result is None:
        return {"name": name}
    return {
        "name": name,
        "wall": result.elapsed_seconds,
        "cpu_mean": result.cpu.mean_percent,
        "cpu_peak": result.cpu.peak_percent,
        "cpu_seconds": result.cpu.seconds,
        "fps": result.analyzed_fps,
        "memory": result.peak_rss_mb,
        "tracks": result.tracks,
        "screen": result.screen_s,
    }


def _show_bars(figures: list[dict[str, Any]]) -> None:
    """Beside each other, as many as the window has room for."""
    with st.container(horizontal=True):
        for chart in bars(figures):
            show_chart(chart, width="content")


def bars(figures: list[dict[str, Any]]) -> list[alt.LayerChart]:
    """One small chart a figure, a bar a run, each with its own scale.

    Args:
        figures: `name`, and the values named in `_FIGURES`; absent ones are left out.
    """
    charts = []
    for title, field in _FIGURES.items():
        rows = [
            {"name": row["name"], "value": row[field], "place": place}
            for place, row in enumerate(figures)
            if row.get(field) is not None
        ]
        largest = max((row["value"] for row in rows), default=0.0)
        top = 1.25 * largest if largest > 0 else 1.0  # with room for the figures
        base = alt.Chart(alt.Data(values=rows)).encode(
            alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=110)),
            alt.X(
                "value:Q",
                title=None,
                axis=alt.Axis(tickCount=3, grid=False),
                scale=alt.Scale(domain=[0, top], nice=False),
            ),
            color=alt.Color("name:N", legend=None, sort=None),
            tooltip=["name:N", "value:Q"],
        )
        text = base.mark_text(align="left", dx=3).encode(alt.Text("value:Q", format=".3~s"))
        layers = alt.layer(base.mark_bar(), text)
        height = _AROUND_BARS + 26 * len(figures)
        charts.append(layers.properties(title=title, width=280, height=height))
    return charts


def run_rows(manifests: list[RunManifest]) -> list[dict[str, str]]:
    """Figures of the runs, a column a run: A, B, ..."""
    runs = dict(zip(_LETTERS, manifests, strict=False))
    figures = {letter: _figures(letter, run) for letter, run in runs.items()}
    names: dict[str, Callable[[RunManifest], str]] = {
        "Run": lambda run: run.run_id,
        "Started": lambda run: moment(run.started_at, reader_zone()),
        "Mode": lambda run: MODE_LABELS.get(run.execution_mode, run.execution_mode),
        "Provider": lambda run: run.provider or "–",
    }
    rows = [
        {"Figure": title, **{letter: name(run) for letter, run in runs.items()}}
        for title, name in names.items()
    ]
    return rows + [
        {"Figure": title, **{letter: _shown(row.get(field)) for letter, row in figures.items()}}
        for title, field in _FIGURES.items()
    ]


def _shown(value: float | None) -> str:
    return "–" if value is None else significant(value)


def _signed(value: float, places: int) -> str:
    return f"{'+' if value >= 0 else '−'}{decimal(abs(value), places)}"


def option_rows(manifests: list[RunManifest]) -> list[dict[str, str]]:
    """Options of the runs, those that differ first and marked."""
    columns = {
        letter: run.options.model_dump() for letter, run in zip(_LETTERS, manifests, strict=False)
    }
    names = list(next(iter(columns.values())))
    rows = []
    for name in names:
        values = {title: option(name, options[name]) for title, options in columns.items()}
        differs = len(set(values.values())) > 1
        label = OPTION_LABELS.get(name, name)
        rows.append({_MARK: "≠" if differs else "", "Option": label, **values})
    return sorted(rows, key=lambda row: row[_MARK] == "")


def _paths(api: Client, ep_id: str) -> None:
    st.caption(
        "The same run by the bare command line, the old path (SSE), local and queued: what does "
        "each path cost? The runs stay in the episode's list."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        modes = st.pills(
            "Paths",
            _MODES,
            selection_mode="multi",
            default=_MODES,
            format_func=lambda mode: MODE_LABELS[mode],
            key="compare-modes",
        )
        repeat = st.number_input("Rounds", 1, 20, 1, key="compare-rounds", width=120)
        wanted = st.button(
            "Run the comparison", type="primary", icon=":material/timer:", disabled=not modes
        )
    if wanted:
        _run_comparison(api, ep_id, ComparisonRequest(modes=modes, repeat=repeat))
    past = api.comparisons(ep_id)
    if not past.items:
        st.info("No comparison of this episode yet.", icon=":material/compare_arrows:")
    for place, comparison in enumerate(past.items[:5]):
        with st.expander(plain(moment(comparison.created_at, reader_zone())), expanded=place == 0):
            _show_comparison(comparison)


def _run_comparison(api: Client, ep_id: str, request: ComparisonRequest) -> None:
    with st.status(_COMPARING, expanded=True) as status:
        board, pulse, lines = st.empty(), st.empty(), list[str]()
        with closing(api.run_comparison(ep_id, request)) as events:
            for event in events:
                if isinstance(event, LogEvent):
                    lines.append(event.message)
                    board.code("\n".join(lines[-20:]), language=None, wrap_lines=True)
                elif isinstance(event, ErrorEvent):
                    status.update(label="The comparison has failed.", state="error")
                    raise ApiProblem(event.detail, event.hint or "", event.status)
                else:
                    pulse.empty()  # a point at which Streamlit can stop this script
        status.update(label="The comparison is done.", state="complete", expanded=False)


def _show_comparison(comparison: ComparisonSummary) -> None:
    _show_bars([_mode_figures(mode) for mode in comparison.summaries])
    st.dataframe(
        [_mode_row(mode) for mode in comparison.summaries],
        hide_index=True,
        height="content",
        alt="Figures of the paths",
    )
    for text in (*comparison.warnings, *comparison.notes):
        st.caption(plain(text))


def _mode_figures(mode: ModeFigures) -> dict[str, Any]:
    return {
        "name": MODE_LABELS.get(mode.mode, mode.mode),
        "wall": mode.wall_seconds,
        "cpu_mean": mode.mean_percent,
        "cpu_peak": mode.peak_percent,
        "cpu_seconds": mode.cpu_seconds,
        "fps": mode.frames_per_second,
        "memory": mode.peak_rss_mb,
        "tracks": mode.tracks,
    }


def _mode_row(mode: ModeFigures) -> dict[str, str]:
    return {
        "Path": MODE_LABELS.get(mode.mode, mode.mode),
        "Rounds": count(mode.runs),
        "Wall clock": f"{decimal(mode.wall_seconds, 2)} s",
        "Over the command line": _signed(mode.overhead_seconds, 2)
        + f" s ({_signed(mode.overhead_percent, 1)} %)",
        "CPU": _shown(mode.cpu_seconds) + " s",
        "CPU, peak": _shown(mode.peak_percent) + " %",
        "Frames a second": _shown(mode.frames_per_second),
        "Memory": megabytes(mode.peak_rss_mb),
        "Tracks": count(mode.tracks),
    }
