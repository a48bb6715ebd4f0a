"""How far a run is and how hot: bar, figures, and CPU against its cap as a small chart."""

from __future__ import annotations

from dataclasses import dataclass, field

import altair as alt
import streamlit as st

from apps.common.contracts.manifest import Progress
from apps.ui.formatting import count, duration, percent, rate
from apps.ui.numbers import counted, significant
from apps.ui.parts.charts import show_chart

PHASES = {
    "waiting": "Waiting for its turn",
    "starting": "Starting",
    "loading": "Loading the detector",
    "running": "Detecting and tracking",
    "preview": "Making the preview video",
    "writing": "Writing the results",
    "done": "Done",
}
_LINES = 12
_CHART_SECONDS = 2.0  # a browser draws it anew as a whole, on the CPU that the run shares


@dataclass
class History:
    """What a run reported so far. CPU in percent, 100 is one core; times in seconds."""

    cpu: list[dict[str, float]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def add(self, progress: Progress) -> None:
        if progress.cpu_percent is not None:
            self.cpu.append({"seconds": progress.elapsed_sec, "percent": progress.cpu_percent})
            del self.cpu[:-600]


class ProgressBoard:
    """Places on the page that are filled again with each report.

    Args:
        history: the run's reports so far; kept by the caller where the page is drawn again
            meanwhile.
        cap: CPU budget in percent, None where there is none.
    """

    def __init__(self, history: History, cap: float | None) -> None:
        self._history = history
        self._cap = cap
        self._drawn_at: float | None = None
        self._bar = st.empty()
        figures, chart = st.columns([2, 3], vertical_alignment="center")
        with figures, st.container(horizontal=True):
            self._rate, self._left, self._cpu = st.empty(), st.empty(), st.empty()
        with chart:
            self._chart = st.empty()
        self._log = st.empty()
        self._pulse = st.empty()
        self._bar.progress(0.0, "Starting…")

    def show(self, progress: Progress) -> None:
        self._history.add(progress)
        share = progress.frames_done / progress.frames_total if progress.frames_total else 0.0
        self._bar.progress(min(1.0, share), _sentence(progress))
        self._rate.metric("Frames", rate(progress.analyzed_fps))
        self._left.metric("Time left", duration(progress.eta_sec))
        cap = "no cap" if self._cap is None else f"cap {significant(self._cap)} %"
        self._cpu.metric(f"CPU ({cap})", percent(progress.cpu_percent))
        if self._history.cpu and self._is_chart_due(progress.elapsed_sec):
            with self._chart:
                show_chart(cpu_chart(self._history.cpu, self._cap))

    def _is_chart_due(self, elapsed_s: float) -> bool:
        if self._drawn_at is not None and elapsed_s < self._drawn_at + _CHART_SECONDS:
            return False
        self._drawn_at = elapsed_s
        return True

    def log(self, message: str) -> None:
        self._history.log.append(message)
        self._log.code("\n".join(self._history.log[-_LINES:]), language=None, wrap_lines=True)

    def wait(self, seconds: float) -> None:
        """Says that there is nothing to say yet; and lets Streamlit stop the script here."""
        self._bar.progress(0.0, f"Starting… {duration(seconds)}")

    def pulse(self) -> None:
        """Changes nothing; a point at which Streamlit can stop the script."""
        self._pulse.empty()


def _sentence(progress: Progress) -> str:
    phase = PHASES.get(progress.phase, progress.phase)
    if progress.frames_total == 0:  # nothing is known of the video yet
        return f"{phase} · {duration(progress.elapsed_sec)}"
    done = f"{count(progress.frames_done)} of {counted(progress.frames_total, 'frame')}"
    return f"{phase} · {done} · {duration(progress.elapsed_sec)}"


def cpu_chart(points: list[dict[str, float]], cap: float | None) -> alt.LayerChart:
    """CPU against time, beside the cap.

    Args:
        points: `seconds`, `percent`.
        cap: drawn as a line.
    """
    top = max([cap or 0.0, 100.0, *(point["percent"] for point in points)]) * 1.05
    base = alt.Chart(alt.Data(values=points)).encode(
        alt.X("seconds:Q", title="seconds", axis=alt.Axis(grid=False, tickMinStep=1)),
        alt.Y("percent:Q", title="CPU %", scale=alt.Scale(domain=[0, top])),
    )
    layers: list[alt.Chart] = [base.mark_area(opacity=0.3, line=True)]
    if cap is not None:
        rule = alt.Chart(alt.Data(values=[{"cap": cap}])).mark_rule(strokeDash=[4, 4], color="red")
        layers.append(rule.encode(alt.Y("cap:Q"), tooltip=alt.value(f"cap {significant(cap)} %")))
    return alt.layer(*layers).properties(height=140)
