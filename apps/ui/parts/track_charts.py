"""Pictures of a run: faces against time, histograms. Pure Altair."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from apps.common.schemas import HistogramBin, RunCharts

_CLOCK = (
    "(datum.value >= 3600 ? floor(datum.value / 3600) + ':' : '')"
    " + format(floor(datum.value / 60) % 60, datum.value >= 3600 ? '02d' : 'd')"
    " + ':' + format(datum.value % 60, '02.0f')"
)


def faces_over_time(charts: RunCharts) -> alt.Chart:
    rows = [
        {"second": bin.start_s, "faces": bin.faces_per_frame, "tracks": bin.tracks}
        for bin in charts.faces
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_area(interpolate="step-after", opacity=0.5, line=True)
        .encode(
            alt.X(
                "second:Q", title=None, axis=alt.Axis(labelExpr=_CLOCK, grid=False, tickMinStep=1)
            ),
            alt.Y("faces:Q", title="faces in a frame"),
            tooltip=["second:Q", "faces:Q", "tracks:Q"],
        )
        .properties(height=150)
    )


def histogram(bins: Sequence[HistogramBin], title: str) -> alt.Chart:
    rows = [{"low": bin.low, "high": bin.high, "faces": bin.count} for bin in bins]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            alt.X("low:Q", title=title, bin="binned"),
            alt.X2("high:Q"),
            alt.Y("faces:Q", title="faces"),
            tooltip=["low:Q", "high:Q", "faces:Q"],
        )
        .properties(height=150)
    )
