"""The episode with boxes on it, above its timeline: a component of plain JavaScript modules.

Video, tracks and boxes go from the API to the browser by way of the page's server; no script
runs when something is picked.
"""

from __future__ import annotations

from importlib.resources import files

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


def show_review(ep_id: str, run_id: str, *, has_people: bool) -> None:
    """Video, timeline and tracks of a completed run. What is picked there concerns no script.

    Args:
        ep_id, run_id: of the run; not `latest`, of which a browser would keep the tracks.
        has_people: its tracks were grouped into people.
    """
    _review(
        key=f"review-{ep_id}-{run_id}",
        data={
            "module": review_module_path(),
            "episode": episode_path(ep_id),
            "run": run_path(ep_id, run_id),
            "people": has_people,
            "colours": list(COLOURS),
            "ends": ENDS,
        },
    )
