"""Pictures of a run: tracks against time, faces against time, histograms. Pure Altair."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from apps.common.schemas import HistogramBin, RunCharts
from apps.ui.formatting import clock_tenths

PICKED = "picked"
_LANE_HEIGHT, _MAX_HEIGHT = 16, 420
_AXIS_HEIGHT = 40
_TRACK_COLOUR = "#3b82c4"  # as the first colour of the theme
_CLOCK = (
    "(datum.value >= 3600 ? floor(datum.value / 3600) + ':' : '')"
    " + format(floor(datum.value / 60) % 60, datum.value >= 3600 ? '02d' : 'd')"
    " + ':' + format(datum.value % 60, '02.0f')"
)


@dataclass(frozen=True)
class TrackBar:
    """One track on the timeline.

    Args:
        first_s, last_s: its first and its last sighting.
        start_s, end_s: the stretch that its sightings stand for, which the bar shows.
        lane: row, from 0; tracks in one lane do not overlap in time.
        picture: URL of its thumbnail.
        screen: how long it is on the screen, for people.
        ended: why it ended, for people.
    """

    track_id: str
    first_s: float
    last_s: float
    start_s: float
    end_s: float
    lane: int
    sightings: int
    confidence: float
    picture: str
    screen: str
    ended: str


@dataclass(frozen=True)
class Samples:
    """How far samples stand for the video around them, as seconds on the screen are counted.

    Something new that sample j shows began, on average, `before_s` before it; what sample i shows
    last ended `after_s` after it. With pictures d apart and samples T, that is (T - d) / 2 and
    (T + d) / 2: exactly j and i + d where every picture is a sample.

    Args:
        before_s, after_s: seconds; 0 where the run does not tell.
    """

    before_s: float = 0.0
    after_s: float = 0.0

    @classmethod
    def of(cls, stride: int, fps: float) -> Samples:
        """The samples of a video at this stride.

        Args:
            stride: >= 1.
            fps: mean frame rate of the video, > 0.
        """
        return cls((stride - 1) / (2 * fps), (stride + 1) / (2 * fps))

    def cut(self, first_s: float) -> float:
        """Where the cut lies before the first sample of a shot."""
        return max(0.0, first_s - self.before_s)

    def stretch(
        self, first_s: float, last_s: float, cuts_s: Sequence[float]
    ) -> tuple[float, float]:
        """What a track stands for; it never goes over a cut that its sightings do not go over.

        Args:
            first_s, last_s: its first and last sighting.
            cuts_s: where the cuts lie, as `cut` says, seconds, ascending.
        """
        start_s, end_s = self.cut(first_s), last_s + self.after_s
        before, after = bisect_right(cuts_s, first_s), bisect_right(cuts_s, last_s)
        if before > 0:
            start_s = max(start_s, cuts_s[before - 1])
        if after < len(cuts_s):
            end_s = min(end_s, cuts_s[after])
        return start_s, end_s


def lanes(spans: Iterable[tuple[float, float]]) -> list[int]:
    """Puts spans into as few rows as can be, so that none overlap in a row.

    Args:
        spans: (start, end) in seconds, ordered by start.

    Returns:
        A row for each, from 0.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    rows = []
    for start, end in spans:
        while busy and busy[0][0] < start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, row))
        rows.append(row)
    return rows


def timeline(
    bars: Sequence[TrackBar], cuts_s: Sequence[float], window: tuple[float, float]
) -> alt.LayerChart:
    """Tracks against time with the shot cuts; a click picks a track.

    Args:
        bars: those to be seen.
        cuts_s: times of the cuts, seconds.
        window: first and last second to be seen.
    """
    rows = [_row(bar) for bar in bars]
    height = max(bar.lane for bar in bars) + 1 if bars else 1
    picked = alt.selection_point(name=PICKED, fields=["track"], on="click", empty=False)
    time = alt.X(
        "start:Q",
        title=None,
        scale=alt.Scale(domain=list(window), nice=False),
        axis=alt.Axis(labelExpr=_CLOCK, grid=False, orient="top"),
    )
    tracks = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadius=3, clip=True, minBandSize=4)
        .encode(
            time,
            alt.X2("end:Q"),
            alt.Y("lane:O", axis=None),
            color=alt.value(_TRACK_COLOUR),
            opacity=alt.Opacity(
                "confidence:Q",
                scale=alt.Scale(domain=[0.5, 1], range=[0.35, 1], clamp=True),
                legend=None,
            ),
            stroke=alt.condition(picked, alt.value("#ff4b4b"), alt.value("transparent")),
            strokeWidth=alt.value(2),
            tooltip=[
                *("image:N", "track:N"),
                alt.Tooltip("first:N", title="first seen"),
                alt.Tooltip("last:N", title="last seen"),
                alt.Tooltip("screen:N", title="on the screen"),
                *("ended:N", "sightings:Q", "confidence:Q"),
            ],
        )
        .add_params(picked)
    )
    marks = (
        alt.Chart(alt.Data(values=[{"cut": cut} for cut in cuts_s]))
        .mark_rule(strokeDash=[3, 3], opacity=0.6, color="#d9822b", clip=True)
        .encode(alt.X("cut:Q", scale=alt.Scale(domain=list(window), nice=False), title=None))
    )
    return alt.layer(marks, tracks).properties(
        height=min(_MAX_HEIGHT, height * _LANE_HEIGHT + _AXIS_HEIGHT)
    )


def _row(bar: TrackBar) -> dict[str, Any]:
    return {
        "image": bar.picture,
        "track": bar.track_id,
        "start": bar.start_s,
        "end": max(bar.end_s, bar.start_s + 0.05),
        "first": clock_tenths(bar.first_s),
        "last": clock_tenths(bar.last_s),
        "screen": bar.screen,
        "ended": bar.ended,
        "lane": bar.lane,
        "sightings": bar.sightings,
        "confidence": round(bar.confidence, 3),
    }


def faces_over_time(charts: RunCharts) -> alt.Chart:
    rows = [
        {"second": bin.start_s, "faces": bin.faces_per_frame, "tracks": bin.tracks}
        for bin in charts.faces
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_area(interpolate="step-after", opacity=0.5, line=True)
        .encode(
            alt.X("second:Q", title=None, axis=alt.Axis(labelExpr=_CLOCK, grid=False)),
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
