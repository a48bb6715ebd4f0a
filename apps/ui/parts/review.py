"""The episode with boxes on it, above its timeline: a component of plain JavaScript modules.

Video, tracks and boxes go from the API to the browser by way of the page's server; this script sees
what is picked, and can send the reader to a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import streamlit as st
import streamlit.components.v2 as components

from apps.ui.files import episode_path, review_module_path, run_path
from apps.ui.formatting import ENDS
from apps.ui.modules import LOADER
from apps.ui.parts.palette import COLOURS

_ASSETS = files("apps.ui") / "assets" / "review"
_review = components.component(
    "screenalytics_review",
    html=(_ASSETS / "review.html").read_text(),
    css=(_ASSETS / "review.css").read_text(),
    js=LOADER,
)


@dataclass(frozen=True)
class Seek:
    """A wish to see a moment.

    Args:
        track: that is picked there; None leaves what is picked.
        seconds: of the video; None is the track's first sighting.
        count: another number for every wish, so that the same one can be wished again.
    """

    track: str | None
    seconds: float | None
    count: int


@dataclass(frozen=True)
class Picked:
    """Where the reader has come to rest.

    Args:
        track: None where none is picked.
        seconds: of the video.
    """

    track: str | None
    seconds: float


def show_review(ep_id: str, run_id: str, *, seek: Seek | None = None) -> Picked | None:
    """Video and timeline of a completed run.

    Args:
        ep_id, run_id: of the run; not `latest`, of which a browser would keep the tracks.
        seek: where it goes, once for each `count`.

    Returns:
        What is picked; None until the reader has done something. It is told when the video stands
        still or a track is picked, so nothing runs while it plays.
    """
    answer = _review(
        key=f"review-{ep_id}-{run_id}",
        data={
            "module": review_module_path(),
            "episode": episode_path(ep_id),
            "run": run_path(ep_id, run_id),
            "colours": list(COLOURS),
            "ends": ENDS,
            "seek": None
            if seek is None
            else {"track": seek.track, "seconds": seek.seconds, "count": seek.count},
        },
        on_picked_change=lambda: None,
    )
    return _picked(answer.get("picked"))


def ask_for(run_id: str, track: str | None, seconds: float | None) -> None:
    """Has the review go to a moment at the next redraw, also where it went there before."""
    before: Seek | None = st.session_state.get(_key(run_id))
    count = 1 if before is None else before.count + 1
    st.session_state[_key(run_id)] = Seek(track, seconds, count)


def asked_for(run_id: str) -> Seek | None:
    """What `ask_for` was called with last."""
    asked: Seek | None = st.session_state.get(_key(run_id))
    return asked


def _key(run_id: str) -> str:
    return f"seek-{run_id}"


def _picked(value: Any) -> Picked | None:
    """What the browser told, which may be anything."""
    if not isinstance(value, dict):
        return None
    track, seconds = value.get("track"), value.get("t")
    if not isinstance(seconds, (int, float)) or not (track is None or isinstance(track, str)):
        return None
    return Picked(track, float(seconds))
